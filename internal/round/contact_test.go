package round

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/topology"
)

// connectedAgents are agents that answer after a while; who was called is connected until it is released.
type connectedAgents struct {
	mu        sync.Mutex
	began     map[string]time.Time
	connected map[string]bool
	most      int
	calls     map[string]int
	// sums are what each report has in place of paths, overrun is how long after its load a round ends.
	sums    []report.Sum
	overrun time.Duration
}

// call connects the agent as the first call to it does.
func (c *connectedAgents) call(name string, agent topology.Agent) time.Time {
	time.Sleep(50 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected[agent.Pod] = true
	c.most = max(c.most, len(c.connected))
	c.calls[name]++
	return c.began[agent.Pod]
}

func (c *connectedAgents) Start(_ context.Context, agent topology.Agent, _ mesh.Plan) error {
	c.call("start", agent)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began[agent.Pod] = time.Now()
	return nil
}

func (c *connectedAgents) State(_ context.Context, agent topology.Agent, _ schedule.Key) (report.AgentReport, error) {
	return c.report(c.call("state", agent), agent), nil
}

func (c *connectedAgents) Fetch(_ context.Context, agent topology.Agent, _ schedule.Key) (report.AgentReport, error) {
	r := c.report(c.call("fetch", agent), agent)
	r.Sums = c.sums
	return r, nil
}

func (c *connectedAgents) report(began time.Time, agent topology.Agent) report.AgentReport {
	r := report.AgentReport{Pod: agent.Pod, Node: agent.Node, Started: began}
	if end := began.Add(loadOfTest + c.overrun); !time.Now().Before(end) {
		r.Ended, r.Finished = end, true
	}
	return r
}

func (c *connectedAgents) Stop(context.Context, topology.Agent, schedule.Key) error { return nil }

func (c *connectedAgents) Release(agent topology.Agent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.connected, agent.Pod)
}

const loadOfTest = 30 * time.Second

// followed runs a round of the number of agents to its end.
func followed(t *testing.T, agents int, overrun time.Duration, sums ...report.Sum) (*connectedAgents, []*agentRun) {
	t.Helper()
	c := &connectedAgents{began: map[string]time.Time{}, connected: map[string]bool{}, calls: map[string]int{},
		sums: sums, overrun: overrun}
	var all *roundRun
	synctest.Test(t, func(t *testing.T) {
		plan := store.StoredPlan{Started: time.Now(), Deadline: time.Now().Add(2 * time.Minute)}
		for i := range agents {
			plan.Mesh.Plans = append(plan.Mesh.Plans, mesh.Plan{Agent: topology.Agent{Pod: fmt.Sprintf("agent-%d", i),
				Node: fmt.Sprintf("node-%d", i)}, Load: mesh.Load{PerSecond: 1, Duration: loadOfTest}})
		}
		all = newRoundRun(Config{Agents: c, Parallel: 256}, plan)
		all.forEach(func(a *agentRun) { a.follow(t.Context(), false) })
		all.forEach(func(a *agentRun) { a.fetchLast(t.Context()) })
	})
	return c, all.agents
}

func wantReports(t *testing.T, agents []*agentRun) {
	t.Helper()
	for _, a := range agents {
		if !a.ended() {
			t.Fatalf("%s did not report: %+v", a.plan.Agent.Pod, a.result)
		}
	}
}

func TestOfVeryManyAgentsFewAreConnectedAtTheSameTime(t *testing.T) {
	const agents = connectedUpTo + 1
	c, all := followed(t, agents, 0)
	wantReports(t, all)
	if c.most > 256 || len(c.connected) != 0 {
		t.Errorf("%d agents were connected at the same time, and %d are at the end; want at most 256, and none", c.most,
			len(c.connected))
	}
	if c.calls["start"] != agents || c.calls["fetch"] != agents || c.calls["state"] > 3*agents {
		t.Errorf("calls %v to %d agents", c.calls, agents)
	}
}

func TestConnectionsOfFewerAgentsStayForTheLastCall(t *testing.T) {
	const agents = connectedUpTo
	c, all := followed(t, agents, 0)
	wantReports(t, all)
	if c.most != agents {
		t.Errorf("%d of %d agents were connected at the same time", c.most, agents)
	}
	if c.calls["start"] != agents || c.calls["fetch"] != agents {
		t.Errorf("calls %v to %d agents", c.calls, agents)
	}
}

// A new leader that cannot read the plans of the one before makes another plan, and agents keep the one they have.
func TestAReportOfAnotherPlanIsNoSilence(t *testing.T) {
	_, all := followed(t, 1, 0, report.Sum{Paths: 3})
	const want = "its report is of another plan of this round, whose controller stores plans where this one cannot read " +
		"them (it has sums that the plan does not ask for)"
	if got := all[0].result; got.reported || got.lostWhy != want || !all[0].silent.IsZero() {
		t.Errorf("reported %t, because %q, silent since %v; want no report, because %q, and an agent that answers",
			got.reported, got.lostWhy, all[0].silent, want)
	}
}

// Each question of an agent whose load takes longer than planned connects again, so they are a second apart.
func TestOfVeryManyAgentsThatOverrunNoneIsAskedEveryHalfSecond(t *testing.T) {
	const agents = connectedUpTo + 1
	c, all := followed(t, agents, 10*time.Second)
	wantReports(t, all)
	if least, most := 8*agents, 13*agents; c.calls["state"] < least || c.calls["state"] > most {
		t.Errorf("%d questions to %d agents in 10 s, want %d to %d", c.calls["state"], agents, least, most)
	}
}

func TestAnAgentForWhichThereWasNoConnectionHasAReason(t *testing.T) {
	all := newRoundRun(Config{Agents: &connectedAgents{}, Parallel: 1},
		store.StoredPlan{Mesh: mesh.Mesh{Plans: make([]mesh.Plan, connectedUpTo+1)}})
	if cap(all.contacts) != 1 {
		t.Fatalf("%d agents may be connected, want 1", cap(all.contacts))
	}
	all.contacts <- struct{}{}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	a := all.agents[0]
	if a.fetchLast(over); a.result.reported || a.result.lostWhy != "there was no time left to connect to it" {
		t.Errorf("the result is %+v", a.result)
	}
}
