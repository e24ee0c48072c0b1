package round

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/topology"
)

// result is the outcome of one agent's part in the round.
type result struct {
	report report.AgentReport
	// reported says that there is a report, whole or in part.
	reported bool
	// lostForGood says that asking the agent again is of no use.
	lostForGood bool
	// lostWhy is why there is no report, as one clause.
	lostWhy string
	// answered is when the last call was made that the agent answered. It is when the round was planned while no call
	// was answered: the agent was ready then. silent is when the first call after that was made in vain; zero for none.
	answered, silent time.Time
}

// roundRun is one round under way: all agents that have a plan in it, and what their calls share.
type roundRun struct {
	config   Config
	assigned *mesh.Assignment
	agents   []*agentRun
	// slots bounds the calls under way, loads those that carry a plan or a report. Both are the same in a round with
	// few paths.
	slots, loads chan struct{}
	// contacts bounds how many agents are connected at the same time; nil in a round of so few that all may be.
	contacts chan struct{}
	// softDeadline is when agents are no longer followed, so that the last call to each is over by the deadline.
	softDeadline time.Time
	// unknown is why there is no report when an agent says that it does not have the round, as one clause.
	unknown string
}

// agentRun is one agent in one round.
type agentRun struct {
	round *roundRun
	// plan is the agent's plan, without the targets that the round's plans share. index is the plan's place.
	plan  mesh.Plan
	index int
	// began is when the agent's load began, as far as the controller knows.
	began time.Time
	// earliest and latest are moments between which the agent started. earliest is when the start was first sent, or
	// when the round was planned where another process sent the start. latest is when the start was acknowledged; zero
	// until then.
	earliest, latest time.Time
	// running is when the last call was made to which the agent said that its load still runs; zero for none.
	running time.Time
	// answered and silent are the fields of the result with the same names.
	answered, silent time.Time
	result           result
}

func newRoundRun(config Config, plan store.StoredPlan) *roundRun {
	r := &roundRun{config: config, assigned: plan.Mesh.Assign(), slots: make(chan struct{}, config.Parallel),
		unknown: "the agent restarted during the round"}
	r.loads = r.slots
	if plan.Mesh.Shared != nil {
		r.loads = make(chan struct{}, min(config.Parallel, largeParallel))
	}
	if len(plan.Mesh.Plans) > connectedUpTo {
		r.contacts = make(chan struct{}, config.Parallel)
	}
	r.softDeadline = plan.Deadline.Add(-reserveOf(plan.Deadline.Sub(plan.Started)))
	for i, p := range plan.Mesh.Plans {
		r.agents = append(r.agents,
			&agentRun{round: r, plan: p, index: i, began: plan.Started, answered: plan.Started, earliest: plan.Started})
	}
	return r
}

// forEach calls do for all agents at the same time and waits for all calls.
func (r *roundRun) forEach(do func(*agentRun)) {
	var all sync.WaitGroup
	for _, a := range r.agents {
		all.Go(func() { do(a) })
	}
	all.Wait()
}

// collect follows all agents to their ends and returns the outcome of each, in the order of the plans, and what
// happened to the agents meanwhile, and what EndpointSlices have wrong. The last call to all agents is made at the same
// time, after the last request of any agent, so that the counts of served requests are whole; in a round of very many
// agents these are of when their reports were fetched. seen is the snapshot that the plan was made for; nil for a round
// that is taken up again.
func (c *Conductor) collect(ctx context.Context, plan store.StoredPlan, of topology.Workload,
	seen *topology.Snapshot, climbed *climb) ([]result, []report.Change, []report.EndpointFault) {
	all := newRoundRun(c.Config, plan)
	watch, resumed := c.watch(plan, of, seen, climbed), seen == nil
	if time.Now().Before(all.softDeadline) {
		following, cancel := context.WithDeadline(ctx, all.softDeadline)
		watch.start(following)
		var climbing sync.WaitGroup
		climbing.Go(func() { climbed.run(following) })
		all.forEach(func(a *agentRun) { a.follow(following, resumed) })
		climbing.Wait()
		climbed.follow(following)
		watch.stop()
		cancel()
	} else {
		all.unknown = "the controller was down until after the deadline, and the agent no longer has its report"
	}
	// A round that is handed over goes on at the agents: no more calls.
	if ctx.Err() != nil {
		return nil, nil, nil
	}
	within := collectWithin
	if left := time.Until(plan.Deadline); left > 0 {
		within = min(within, left)
	}
	last, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	all.forEach(func(a *agentRun) {
		a.fetchLast(last)
		if len(all.agents) > keepOpenUpTo {
			all.config.Agents.Release(a.plan.Agent)
		}
	})
	results := make([]result, 0, len(all.agents))
	answered, silent := make(map[string]time.Time, len(all.agents)), map[string]time.Time{}
	for _, a := range all.agents {
		r := a.result
		r.answered, r.silent = a.answered, a.silent
		results = append(results, r)
		answered[a.plan.Agent.Pod] = a.answered
		if !a.silent.IsZero() {
			silent[a.plan.Agent.Pod] = a.silent
		}
	}
	changes := watch.changes(ctx, plan.Deadline, answered, silent)
	return results, changes, watch.endpoints()
}

// follow starts the agent, unless its load is under way, and fetches its report until the agent is done, lost or given
// up.
func (a *agentRun) follow(ctx context.Context, resumed bool) {
	if !a.start(ctx, resumed) {
		return
	}
	load := a.plan.Load
	// A round may be taken up long after its load, when nobody has asked for its reports yet.
	giveUp := later(a.began.Add(load.Duration+load.Timeout), time.Now()).Add(giveUpAfter)
	for sleep(ctx, a.untilNextPoll()) {
		err := a.poll(ctx)
		switch {
		case err == nil && a.ended():
			return
		case err == nil:
			giveUp = later(giveUp, time.Now().Add(giveUpAfter))
		case a.result.lostForGood || time.Now().After(giveUp):
			return
		}
	}
}

// start starts the agent's load and reports whether it is under way. In a round that is taken up again, start first
// asks whether the agent has the round, and starts it only when the agent does not and there is time left for the whole
// load: the earlier process may have ended before it started this agent.
func (a *agentRun) start(ctx context.Context, resumed bool) bool {
	if resumed {
		if err := a.poll(ctx); !a.result.lostForGood {
			return err != nil || !a.ended()
		}
		if load := a.plan.Load; time.Until(a.round.softDeadline) < load.Duration+load.Timeout {
			a.result.lostWhy = "the agent does not have the round, and there was no time left to start it"
			return false
		}
		a.result = result{}
	}
	var err error
	for until := (time.Time{}); ; {
		err = a.startOnce(ctx)
		if until.IsZero() {
			a.earliest, until = a.began, a.began.Add(startWithin)
		}
		if err == nil {
			a.latest, a.answered = time.Now(), a.began
			return true
		}
		if time.Now().Add(retryStartEvery).After(until) || !sleep(ctx, retryStartEvery) {
			break
		}
	}
	a.silent = a.earliest
	a.result = result{lostForGood: true, lostWhy: "the round could not be started: " + clause(err)}
	// The agent may have begun although its answer did not arrive: its requests would count for nobody.
	within, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	a.stop(within)
	return false
}

// startOnce sends the start once and notes when.
func (a *agentRun) startOnce(ctx context.Context) error {
	return a.contact(ctx, func() error { return a.sendStart(ctx) })
}

func (a *agentRun) sendStart(ctx context.Context) error {
	if err := a.reach(ctx); err != nil {
		return err
	}
	return a.call(ctx, a.round.loads, func(ctx context.Context) error {
		plan := a.round.assigned.PlanOf(a.index)
		plan.Limit = time.Until(a.round.softDeadline)
		// Not before: with many agents a call may wait long for its slot.
		a.began = time.Now()
		return a.round.config.Agents.Start(ctx, plan.Agent, plan)
	})
}

// reach makes sure that the agent answers before a plan waits for it: with many paths few plans may be on their way,
// and a plan for each of many dead nodes would keep all others from starting in time.
func (a *agentRun) reach(ctx context.Context) error {
	if a.round.loads == a.round.slots {
		return nil
	}
	return a.call(ctx, a.round.slots, func(ctx context.Context) error {
		a.began = time.Now()
		_, err := a.round.config.Agents.State(ctx, a.plan.Agent, a.plan.Key)
		if errors.Is(err, a.round.config.Unknown) {
			return nil
		}
		return err
	})
}

// ended reports whether the whole report of the agent's round is there.
func (a *agentRun) ended() bool { return a.result.reported && !a.result.report.Ended.IsZero() }

// poll asks for the agent's state, and for its report once the round has ended.
func (a *agentRun) poll(ctx context.Context) error {
	return a.contact(ctx, func() error { return a.askState(ctx) })
}

func (a *agentRun) askState(ctx context.Context) error {
	state, err := a.ask(ctx, a.round.slots, a.round.config.Agents.State)
	if err != nil {
		return err
	}
	if !state.Ended.IsZero() {
		return a.fetch(ctx)
	}
	a.result = result{report: state, reported: true}
	return nil
}

// fetch asks for the report once and keeps the answer.
func (a *agentRun) fetch(ctx context.Context) error {
	got, err := a.ask(ctx, a.round.loads, func(ctx context.Context, agent topology.Agent,
		key schedule.Key) (report.AgentReport,
		error) {
		got, err := a.round.config.Agents.Fetch(ctx, agent, key)
		if err == nil && got.Pod == agent.Pod {
			if misfit := a.round.assigned.Attach(a.index, &got); misfit != nil {
				err = fmt.Errorf("%w (%w)", errOtherPlan, misfit)
			}
		}
		return got, err
	})
	if err == nil {
		a.result = result{report: got, reported: true}
	}
	return err
}

// update asks for how many requests the agent has answered since its report was fetched.
func (a *agentRun) update(ctx context.Context) error {
	state, err := a.ask(ctx, a.round.slots, a.round.config.Agents.State)
	if err == nil {
		a.result.report.Served, a.result.report.ServedPersistent = state.Served, state.ServedPersistent
		a.result.report.Earliest, a.result.report.Latest = a.earliest, a.latest
	}
	return err
}

// ask makes a call that returns a report or its state, and learns from the answer, or from its absence. An agent that
// does not have the round has restarted and lost what it measured.
func (a *agentRun) ask(ctx context.Context, slots chan struct{},
	do func(context.Context, topology.Agent, schedule.Key) (report.AgentReport, error)) (report.AgentReport, error) {
	var got report.AgentReport
	asked := time.Now()
	err := a.call(ctx, slots, func(ctx context.Context) (err error) {
		got, err = do(ctx, a.plan.Agent, a.plan.Key)
		return err
	})
	if err == nil && got.Pod != a.plan.Agent.Pod {
		err = fmt.Errorf("agent %s answered in its place", got.Pod)
	}
	switch {
	case err == nil, errors.Is(err, errOtherPlan):
		a.answered, a.silent = asked, time.Time{}
	case a.silent.IsZero():
		a.silent = asked
	}
	switch {
	case err == nil:
		if got.Ended.IsZero() {
			a.running = asked
		} else {
			a.earliest, a.latest = narrowStart(a.earliest, a.latest, a.running, time.Now(), got.Ended.Sub(got.Started))
		}
		got.Earliest, got.Latest = a.earliest, a.latest
	case errors.Is(err, a.round.config.Unknown):
		// A complete report stays, even when the agent restarts later.
		if !a.ended() {
			a.result = result{lostForGood: true, lostWhy: a.round.unknown}
		}
	case errors.Is(err, errOtherPlan):
		a.result.lostWhy = clause(err)
	case a.result.lostWhy == "" || ctx.Err() == nil:
		a.result.lostWhy = "no answer: " + clause(err)
	}
	return got, err
}

// narrowStart narrows the moments between which an agent started. running is a moment at which its load still ran, zero
// where no call found it so. done is a moment at which the load was over. ran is how long the load lasted by the
// agent's clock. A moment that nobody knows is zero.
func narrowStart(earliest, latest, running, done time.Time, ran time.Duration) (time.Time, time.Time) {
	if !running.IsZero() {
		earliest = later(earliest, running.Add(-ran))
	}
	if done = done.Add(-ran); latest.IsZero() || done.Before(latest) {
		latest = done
	}
	return earliest, latest
}

// fetchLast fetches the report of an agent that had not ended before, and stops an agent whose load still runs when the
// round is over. Without an answer to this call an agent that ran has no report: nobody knows what came after. Of an
// agent that had ended, it asks for what the agent answered since then, unless all would have to be connected again.
func (a *agentRun) fetchLast(ctx context.Context) {
	switch {
	case a.result.lostForGood:
	case !a.ended():
		a.fetchUnfinished(ctx)
	case a.round.contacts == nil:
		_ = a.update(ctx) // a complete report stays
	}
}

func (a *agentRun) fetchUnfinished(ctx context.Context) {
	switch err := a.contact(ctx, func() error { return a.fetch(ctx) }); {
	case !a.result.reported || a.ended():
	case err != nil:
		a.result.reported = false
	default:
		a.result.report.Finished = false
		a.stop(ctx)
	}
}

// stop asks the agent to end the round. A failure has no consequence: the limit in the agent's plan ends the round
// then.
func (a *agentRun) stop(ctx context.Context) {
	_ = a.call(ctx, a.round.slots, func(ctx context.Context) error {
		return a.round.config.Agents.Stop(ctx, a.plan.Agent, a.plan.Key)
	})
}

// call makes one call to the agent, once one of the slots is free. The time for the call counts from then.
func (a *agentRun) call(ctx context.Context, slots chan struct{}, do func(context.Context) error) error {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return do(within)
}

// clause cuts an error to one line of a length that fits a status.
func clause(err error) string {
	const longest = 300
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}
