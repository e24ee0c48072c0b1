// Package round conducts one round of a task from its start to the stored report.
//
// It knows nothing of reconcilers or commands: given where snapshots come from, a way to the agents and a store, a
// round is planned, started on all agents, followed until every agent is done or given up, judged and stored. The
// plan is stored before the first agent gets it, so that another process can take up a round that this one left.
package round

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/tally"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// ErrHandedOver is the cause to cancel Run's context with when another process is to take the round up: the agents go
// on. Any other cause means that nobody wants the round any more, and Run stops the agents.
var ErrHandedOver = errors.New("the round is handed over")

// ErrOverdue is returned, wrapped, for a round whose deadline had passed before it was planned, and for which no agent
// has a report.
var ErrOverdue = errors.New("the deadline passed before the round could start")

// Snapshots reads what the cluster has right now, as a task sees it whose agents the workload runs.
type Snapshots interface {
	Snapshot(ctx context.Context, of topology.Workload) (topology.Snapshot, error)
}

// Agents is the way to the agents. All calls but Release are keyed by the round, and all are idempotent.
type Agents interface {
	// Start hands an agent its plan; the agent begins at once. To start a round that the agent has changes nothing.
	Start(ctx context.Context, agent topology.Agent, plan mesh.Plan) error
	// Fetch returns what the agent has of the round so far; Ended is zero while the round is under way.
	Fetch(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error)
	// State returns what Fetch returns, without paths and sums.
	State(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error)
	// Stop ends the agent's part in the round; the agent forgets it.
	Stop(ctx context.Context, agent topology.Agent, key schedule.Key) error
	// Release gives up what a call to the agent leaves open. The next call opens it again.
	Release(agent topology.Agent)
}

// Plans stores the plans of rounds under way. Plan returns store.ErrNotFound for a plan that it does not have.
type Plans interface {
	Plan(ctx context.Context, key schedule.Key) (store.StoredPlan, error)
	PutPlan(ctx context.Context, key schedule.Key, plan store.StoredPlan) error
	DeletePlan(ctx context.Context, key schedule.Key) error
}

// Rounds stores rounds that are over. Round returns store.ErrNotFound for a round that it does not have.
type Rounds interface {
	Round(ctx context.Context, key schedule.Key) (verdict.StoredRound, error)
	PutRound(ctx context.Context, stored verdict.StoredRound) error
}

// Config is what a Conductor works with.
type Config struct {
	Snapshots Snapshots
	Agents    Agents
	Plans     Plans
	Rounds    Rounds
	// Budget limits the load; nil is no limit.
	Budget Budget
	// Again returns the pairs of nodes that a stored round wants probed again; nil is none. Its error is
	// store.ErrNotFound, wrapped, for a round that is not stored.
	Again func(ctx context.Context, key schedule.Key) ([]report.Again, error)
	// Past returns what the newest stored rounds of the task before the round of the key were like, as far as it can
	// tell; nil is none.
	Past func(ctx context.Context, key schedule.Key) diagnose.Past
	// Record is given what the findings of each round with a ladder are made from; nil is nobody.
	Record func(diagnose.Recording)
	// Ladder sends the probes that tell components apart; nil is none.
	Ladder Prober
	// Unknown is the error that Agents return, wrapped, for a round that the agent does not have.
	Unknown error
	// Release is the controller's release, which rounds name.
	Release string
	// Parallel is the number of calls to agents that may be under way at a time; 0 is 256.
	Parallel int
}

// Conductor runs rounds; several may run at a time, each of its own key.
type Conductor struct {
	Config
}

// New returns a conductor.
func New(c Config) *Conductor {
	if c.Parallel <= 0 {
		c.Parallel = 256
	}
	if c.Budget == nil {
		c.Budget = unlimited{}
	}
	return &Conductor{Config: c}
}

// Request asks for one round.
type Request struct {
	Key  schedule.Key
	Task report.TaskRef
	// Workload runs the agents.
	Workload topology.Workload
	// Want is what is to be probed; its Limit is overridden by what is left until the deadline.
	Want   mesh.Want
	Expect verdict.Expect
	// Planned is when the round was to start. Deadline is when it is over, whatever is still missing.
	Planned, Deadline time.Time
	// Interval is the time between two rounds of the task; 0 for a task of one round.
	Interval time.Duration
	// Ladder says whether to probe the ladder of paths beside the counted requests.
	Ladder bool
	// Spec is the task's spec in JSON; it is stored with the round.
	Spec json.RawMessage
}

// Run conducts the round and returns it as it was stored. Run returns a round that is stored already as it is, and
// takes up a round whose plan is stored where it stands, so Run may be called again for a key after a crash at any
// point.
//
// Agents that could not be started or did not report are data in the round. An error means that there is no round to
// store: the cluster could not be read, the plan could not be stored, ErrOverdue, or the context's cause when the
// context was cancelled. When only the storing of the round failed, Run returns the round with the error.
func (c *Conductor) Run(ctx context.Context, req Request) (verdict.StoredRound, error) {
	stored, err := c.Rounds.Round(ctx, req.Key)
	if err == nil {
		c.deletePlan(ctx, req.Key)
		return stored, nil
	}
	// A round that cannot be read is run, or collected, again and replaced, whatever the reason: when the store is out
	// of reach, the network must be tested all the more. Agents that have the round do not run it twice.
	if ctx.Err() != nil {
		return verdict.StoredRound{}, context.Cause(ctx)
	}
	c.Budget.Register(req.Key, req.Task, req.Workload)
	defer c.Budget.Release(req.Key)
	plan, seen, err := c.plan(ctx, req)
	if err != nil {
		return verdict.StoredRound{}, causeOr(ctx, err)
	}
	probed, load := c.probed(ctx, plan, req, seen)
	climbed := c.newClimb(plan, req, probed, load)
	collected, changes, endpoints := c.collect(ctx, plan, req.Workload, seen, climbed)
	switch {
	case ctx.Err() != nil:
		return verdict.StoredRound{}, c.abandon(ctx, req.Key, plan)
	case plan.Started.IsZero() && !slices.ContainsFunc(collected, func(r result) bool { return r.reported }):
		return verdict.StoredRound{}, ErrOverdue
	case plan.Started.IsZero():
		plan.Started = req.Planned
	}
	stored = judge(req, plan, collected, changes)
	stored.Round.Controller, stored.Round.Endpoints = c.Release, endpoints
	if climbed != nil {
		seen := diagnose.Recording{Past: c.past(ctx, req.Key), Round: stored.Round, Verdict: stored.Verdict,
			Observations: climbed.observations(), Snapshot: *probed}
		stored.Round.Ladder, stored.Round.Located = seen.Locate()
		if c.Record != nil {
			c.Record(seen)
		}
	}
	err = retry(ctx, time.Now().Add(storeWithin), func() error { return c.Rounds.PutRound(ctx, stored) })
	if err != nil {
		return stored, causeOr(ctx, fmt.Errorf("keep the round: %w", err))
	}
	c.deletePlan(ctx, req.Key)
	return stored, nil
}

// pastWithin bounds the reading of past rounds, for which the report of this one waits.
const pastWithin = 5 * time.Second

// past returns what earlier rounds of the task were like.
func (c *Conductor) past(ctx context.Context, key schedule.Key) diagnose.Past {
	if c.Past == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pastWithin)
	defer cancel()
	return c.Past(ctx, key)
}

// plan returns the round's stored plan, or makes a plan and stores it. After the deadline the plan may be lost together
// with the process before. Then plan makes one that says which agents to ask; it has no start and is not stored. seen
// is the snapshot that the plan was made for just now; nil for a round that is taken up again.
func (c *Conductor) plan(ctx context.Context, req Request) (plan store.StoredPlan, seen *topology.Snapshot, err error) {
	plan, err = c.Plans.Plan(ctx, req.Key)
	if err == nil {
		c.acquireRunning(ctx, req.Key, plan.Mesh)
		return plan, nil, nil
	}
	// A plan that cannot be read is made again, as a plan that was never stored.
	planned, snapshot, err := c.draft(ctx, req)
	if err != nil {
		return store.StoredPlan{}, nil, err
	}
	plan = store.StoredPlan{Mesh: planned, Deadline: req.Deadline}
	if !time.Now().Before(req.Deadline) {
		return plan, nil, nil
	}
	plan.Started = time.Now()
	err = retry(ctx, req.Deadline, func() error { return c.Plans.PutPlan(ctx, req.Key, plan) })
	if err != nil {
		return store.StoredPlan{}, nil, fmt.Errorf("keep the plan: %w", err)
	}
	return plan, &snapshot, nil
}

// deletePlan removes the plan of a round that is over. A plan that stays behind is harmless: the stored round is found
// first.
func (c *Conductor) deletePlan(ctx context.Context, key schedule.Key) {
	_ = c.Plans.DeletePlan(ctx, key)
}

// abandon stops all agents, unless the round is handed over, and returns the context's cause.
func (c *Conductor) abandon(ctx context.Context, key schedule.Key, plan store.StoredPlan) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrHandedOver) {
		return cause
	}
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	newRoundRun(c.Config, plan).forEach(func(m *agentRun) { m.stop(detached) })
	_ = c.Plans.DeletePlan(detached, key)
	return cause
}

func judge(req Request, plan store.StoredPlan, collected []result, changes []report.Change) verdict.StoredRound {
	var reports []report.AgentReport
	lost, silent, answered := map[string]string{}, map[string]time.Time{}, map[string]time.Time{}
	for i, r := range collected {
		if r.reported {
			reports = append(reports, r.report)
			continue
		}
		pod := plan.Mesh.Plans[i].Agent.Pod
		lost[pod], silent[pod], answered[pod] = r.lostWhy, r.silent, r.answered
	}
	agents, missing := report.Merge(plan.Mesh.Expected, reports, lost)
	for i, m := range missing {
		missing[i].LastAnswered = answered[m.Pod]
	}
	round := report.Round{
		Key: req.Key, Task: req.Task, Started: plan.Started, Deadline: plan.Deadline, Ended: time.Now(),
		Budget: plan.Mesh.Load, Expected: plan.Mesh.Expected, Backends: plan.Mesh.Backends, Agents: agents,
		Missing: missing, Gaps: plan.Mesh.Gaps,
		Churn: changes, Outside: plan.Mesh.Outside,
	}
	round = churn.Excuse(round, silent)
	judged := verdict.Judge(round, req.Expect)
	assigned := plan.Mesh.Assign()
	round.Coverage = assigned.Coverage(req.Key.Round, req.Interval, req.Planned)
	if round.HasSums() {
		counts := tally.Of(&plan.Mesh, assigned, round, judged)
		counts.Summarize(&round)
		round.Again = again(plan.Mesh.Shared, counts, agents)
		var explained func(string) bool
		round.Findings, explained = diagnose.Large(round, counts)
		judged.Explain(round.Findings, explained)
	}
	return verdict.StoredRound{Round: round, Verdict: judged, Spec: req.Spec}
}

// again returns the pairs that the next round probes again, where it does not probe all pairs anyway.
func again(shared *mesh.Shared, counts *tally.Tally, agents []report.AgentReport) []report.Again {
	if shared == nil || shared.Rotation.Full() {
		return nil
	}
	asked := make(map[string]bool, len(agents))
	for _, a := range agents {
		asked[a.Node] = true
	}
	return counts.Again(shared.Again, asked)
}

// causeOr returns the cause of a cancelled context, and err when the context is alive.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
