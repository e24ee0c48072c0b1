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

// line is agents that answer after a while, and counts who is connected.
type line struct {
	mu        sync.Mutex
	began     map[string]time.Time
	connected map[string]bool
	most      int
	calls     map[string]int
	// sums are what each report has in place of paths.
	sums []report.Sum
}

// call connects the agent as the first call to it does.
func (l *line) call(name string, agent topology.Agent) time.Time {
	time.Sleep(50 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connected[agent.Pod] = true
	l.most = max(l.most, len(l.connected))
	l.calls[name]++
	return l.began[agent.Pod]
}

func (l *line) Start(_ context.Context, agent topology.Agent, _ mesh.Plan) error {
	l.call("start", agent)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began[agent.Pod] = time.Now()
	return nil
}

func (l *line) State(_ context.Context, agent topology.Agent, _ schedule.Key) (report.AgentReport, error) {
	return l.report(l.call("state", agent), agent), nil
}

func (l *line) Fetch(_ context.Context, agent topology.Agent, _ schedule.Key) (report.AgentReport, error) {
	r := l.report(l.call("fetch", agent), agent)
	r.Sums = l.sums
	return r, nil
}

func (l *line) report(began time.Time, agent topology.Agent) report.AgentReport {
	r := report.AgentReport{Pod: agent.Pod, Node: agent.Node, Started: began}
	if end := began.Add(loadOfTest); !time.Now().Before(end) {
		r.Ended, r.Finished = end, true
	}
	return r
}

func (l *line) Stop(context.Context, topology.Agent, schedule.Key) error { return nil }

func (l *line) Release(agent topology.Agent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.connected, agent.Pod)
}

const loadOfTest = 30 * time.Second

// followed has a round of so many agents run on the line, and returns what became of each.
func followed(t *testing.T, agents int, sums ...report.Sum) (*line, []*agentRun) {
	t.Helper()
	l := &line{began: map[string]time.Time{}, connected: map[string]bool{}, calls: map[string]int{}, sums: sums}
	var all *roundRun
	synctest.Test(t, func(t *testing.T) {
		plan := store.StoredPlan{Started: time.Now(), Deadline: time.Now().Add(2 * time.Minute)}
		for i := range agents {
			plan.Mesh.Plans = append(plan.Mesh.Plans, mesh.Plan{Agent: topology.Agent{Pod: fmt.Sprintf("agent-%d", i),
				Node: fmt.Sprintf("node-%d", i)}, Load: mesh.Load{PerSecond: 1, Duration: loadOfTest}})
		}
		all = newRoundRun(Config{Agents: l, Parallel: 256}, plan)
		all.forEach(func(a *agentRun) { a.follow(t.Context(), false) })
		all.forEach(func(a *agentRun) { a.fetchLast(t.Context()) })
	})
	return l, all.agents
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
	l, all := followed(t, agents)
	wantReports(t, all)
	if l.most > 256 || len(l.connected) != 0 {
		t.Errorf("%d agents were connected at the same time, and %d are at the end; want at most 256, and none", l.most,
			len(l.connected))
	}
	if l.calls["start"] != agents || l.calls["fetch"] != agents || l.calls["state"] > 3*agents {
		t.Errorf("calls %v to %d agents", l.calls, agents)
	}
}

func TestConnectionsOfFewerAgentsStayForTheLastCall(t *testing.T) {
	const agents = connectedUpTo
	l, all := followed(t, agents)
	wantReports(t, all)
	if l.most != agents {
		t.Errorf("%d of %d agents were connected at the same time", l.most, agents)
	}
	if l.calls["start"] != agents || l.calls["fetch"] != agents {
		t.Errorf("calls %v to %d agents", l.calls, agents)
	}
}

// A new leader that cannot read the plans of the one before makes another plan, and agents keep the one they have.
func TestAReportOfAnotherPlanIsNoSilence(t *testing.T) {
	_, all := followed(t, 1, report.Sum{Paths: 3})
	const want = "its report is of another plan of this round, of a controller whose stored plans this one cannot read " +
		"(it has sums that the plan does not ask for)"
	if got := all[0].result; got.reported || got.lostWhy != want || !all[0].silent.IsZero() {
		t.Errorf("reported %t, because %q, silent since %v; want no report, because %q, and an agent that answers",
			got.reported, got.lostWhy, all[0].silent, want)
	}
}
