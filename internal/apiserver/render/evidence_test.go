package render_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

func histogram(n int, each time.Duration) stats.Histogram {
	var h stats.Histogram
	for range n {
		h.Record(each)
	}
	return h
}

// observed is the agent with everything that one can tell.
func observed(a report.AgentReport) report.AgentReport {
	a.Observer = report.Observer{Quota: 0.5, Periods: 200, ThrottledPeriods: 5, Throttled: 75 * time.Millisecond,
		LongestPause: 250 * time.Microsecond,
		Files:        120, FileLimit: 1048576, Ports: 28232, Conntrack: 900, ConntrackLimit: 131072}
	for i := range a.Paths {
		p := &a.Paths[i]
		p.Response, p.Lag, p.Kernel = histogram(100, 3*time.Millisecond), histogram(100, 40*time.Microsecond), 100
		p.Phases[probe.Connect] = report.Phase{Count: 100, Sum: 100 * time.Millisecond, Max: 9 * time.Millisecond}
		p.Phases[probe.FirstByte] = report.Phase{Count: 100, Sum: 200 * time.Millisecond, Max: 12 * time.Millisecond}
		p.Retransmits, p.Retransmitted = 3, 2
		p.Peers = map[string]uint64{"agent-a": 52, "agent-b": 48}
		p.Persistent = &report.Path{Target: p.Target, Scheduled: 10, Sent: 10, OK: 9, Reused: 9, Closed: 1,
			Latency:  histogram(9, time.Millisecond),
			Failures: []report.Failure{{Outcome: probe.Reset, Phase: probe.FirstByte, Count: 1}}}
	}
	return a
}

// silent is a round in which a Service leads a third of the requests to a pod that answers nobody, at a rate that was
// lowered.
func silent() verdict.StoredRound {
	round := report.Round{
		Key: schedule.Key{UID: "0b1f8f4e", Generation: 1, Round: 1}, Started: began(),
		Ended: began().Add(12 * time.Second),
		Budget: report.RequestBudget{Asked: 100, Granted: 10, Limit: 50, Targets: 5, Sends: 50, Connections: 50,
			Tracked: 500,
			Others:  70},
		Missing: []report.Missing{{Pod: "agent-c", Node: "node-3", Reason: "no answer on either way"}},
	}
	for i := range 3 {
		round.Expected = append(round.Expected,
			report.Expected{Pod: fmt.Sprintf("agent-%c", 'a'+i), Node: fmt.Sprintf("node-%d", i+1)})
	}
	const id = "AgentClusterV4IP_10.0.0.1:80"
	round.Backends = []report.BackendSet{{Targets: []string{id}, Pods: []string{"agent-a", "agent-b", "agent-c"}}}
	for _, e := range round.Expected[:2] {
		a := agent(e.Pod, e.Node)
		service, pod := path(target.ClusterIP, id, "http://10.0.0.1:80"),
			path(target.Endpoint, "AgentPodV4IP_agent-c_172.40.0.9", "http://172.40.0.9:8080")
		service.OK, service.Peers, service.Kernel = 68, map[string]uint64{"agent-a": 33, "agent-b": 35}, 50
		service.Failures = []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: 32}}
		pod.Target.Pod, pod.OK, pod.Bytes, pod.Latency, pod.Statuses = "agent-c", 0, 0, stats.Histogram{}, nil
		pod.Failures = []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: 100}}
		a.Paths = []report.Path{service, pod}
		a = observed(a)
		a.Paths[0].Peers, a.Paths[0].Kernel, a.Observer.FixedWakeups = service.Peers, 50, true
		// Nobody answered here, so there is nothing but failures.
		a.Paths[1] = pod
		round.Agents = append(round.Agents, a)
	}
	return keep(round)
}

func TestAResultThatIsNeitherPassNorFailHasAWord(t *testing.T) {
	for name, c := range map[string]struct {
		judged verdict.Result
		word   string
		passed bool
	}{
		"pass":         {verdict.Pass, "", true},
		"fail":         {verdict.Fail, "", false},
		"no data":      {verdict.NoData, "no data", false},
		"tool-limited": {verdict.ToolLimited, "tool-limited", false},
	} {
		t.Run(name, func(t *testing.T) {
			stored := passed()
			for i := range stored.Verdict.Agents {
				a := &stored.Verdict.Agents[i]
				a.Result = c.judged
				for j := range a.Paths {
					a.Paths[j].Result = c.judged
				}
			}
			r := render.Report(task(), stored).Spec.Report[0]
			if result := map[bool]string{true: render.Succeed, false: render.Fail}[c.passed]; r.RoundResult != result {
				t.Errorf("the agent's result is %s, want %s", r.RoundResult, result)
			}
			for _, d := range r.NetReachTask.Detail {
				if d.Result != c.word || d.Succeed != c.passed {
					t.Errorf("result %q, succeed %v; want %q, %v", d.Result, d.Succeed, c.word, c.passed)
				}
			}
		})
	}
}

func TestWhoAnsweredIsNamedWhileThatIsFew(t *testing.T) {
	stored := passed()
	const id = "AgentIngress_http://172.18.0.50/kdoctoragent"
	expected := []string{"stopped"}
	peers := map[string]uint64{"stranger": 1}
	for i := range 99 {
		expected = append(expected, fmt.Sprintf("p%d", i))
		peers[fmt.Sprintf("p%d", i)] = 1
	}
	stored.Round.Backends = []report.BackendSet{{Targets: []string{id}, Pods: expected}}
	figures := func() systemv1beta1.HTTPMetrics {
		for i := range stored.Round.Agents {
			stored.Round.Agents[i].Paths[0].Peers = peers
		}
		return render.Report(task(), stored).Spec.Report[0].NetReachTask.Detail[1].Metrics
	}
	if m := figures(); m.BackendsAnswered != 99 || m.BackendsExpected != 100 || len(m.Backends) != 100 {
		t.Errorf("%d of %d answered, %d are named; want 99 of 100, and the stranger named too", m.BackendsAnswered,
			m.BackendsExpected, len(m.Backends))
	}
	peers["another stranger"] = 1
	if m := figures(); m.BackendsAnswered != 99 || m.BackendsExpected != 100 || m.Backends != nil {
		t.Errorf("%d of %d answered, %d are named; want 99 of 100 and no names", m.BackendsAnswered, m.BackendsExpected,
			len(m.Backends))
	}
}

func TestTheClockIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		ok, kernel uint64
		want       string
	}{
		"by the kernel":         {100, 100, "kernel"},
		"by the agent":          {100, 0, "user"},
		"by both":               {100, 99, "mixed"},
		"by nobody":             {0, 0, ""},
		"by an agent that errs": {100, 101, "kernel"},
	} {
		t.Run(name, func(t *testing.T) {
			stored := passed()
			for i := range stored.Round.Agents {
				for j := range stored.Round.Agents[i].Paths {
					stored.Round.Agents[i].Paths[j].OK, stored.Round.Agents[i].Paths[j].Kernel = c.ok, c.kernel
				}
			}
			if got := render.Report(task(),
				stored).Spec.Report[0].NetReachTask.Detail[0].Metrics.ClockSource; got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAPhaseThatNobodyMeasuredIsLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		longest time.Duration
		want    map[string]systemv1beta1.Phase
	}{
		"a body that came with the headers": {time.Nanosecond, nil},
		"just too short":                    {time.Microsecond - 1, nil},
		"just long enough": {time.Microsecond,
			map[string]systemv1beta1.Phase{"body": {Mean: 0.0001, Max: 0.001}}},
	} {
		t.Run(name, func(t *testing.T) {
			stored := passed()
			p := report.Path{Phases: [probe.Phases]report.Phase{probe.Body: {Count: 10, Sum: time.Microsecond,
				Max: c.longest}}}
			stored.Round.Agents[0].Paths = []report.Path{p}
			stored.Round.Agents = stored.Round.Agents[:1]
			got := render.Report(task(), stored).Spec.Report[0].NetReachTask.Detail[0].Metrics.PhasesInMs
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheLoadIsTold(t *testing.T) {
	stored := passed()
	if got := render.Report(task(), stored).Spec.Load; got != nil {
		t.Errorf("a load of which nothing is known is told as %+v", got)
	}
	stored.Round.Budget = report.RequestBudget{Asked: 100, Granted: 10, Limit: 300, Targets: 27, Sends: 297,
		Connections: 270,
		Tracked:     2970, Ports: 10}
	want := &systemv1beta1.Load{RequestsPerSecond: 10, AskedRequestsPerSecond: 100, TargetsPerAgent: 27,
		ConnectionsPerSecond: 270, TrackedConnections: 2970, PortsPerTarget: 10}
	if diff := cmp.Diff(want, render.Report(task(), stored).Spec.Load); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	slow := stored
	slow.Round.Budget = report.RequestBudget{Asked: 1, Granted: 1, Every: 7, Targets: 700, Sends: 100, Connections: 100}
	if got := render.Report(task(), slow).Spec.Load; got.RequestsPerSecond != 0 || got.SecondsPerRequest != 7 {
		t.Errorf("a request every 7 s is told as %+v", got)
	}
	stored.Round.Budget.AnswerBytes = 8000
	want.AnswerSizeInByte, want.AnswerBytesPerSecond = 8000, 297*8000
	if diff := cmp.Diff(want, render.Report(task(), stored).Spec.Load); diff != "" {
		t.Errorf("with answers of a size (-want +got):\n%s", diff)
	}
}

func TestAnObserverThatTellsNonsenseTellsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		told report.Observer
		want *systemv1beta1.Observer
	}{
		"nothing": {report.Observer{}, nil},
		"no number": {report.Observer{Quota: math.NaN(), Files: 1},
			&systemv1beta1.Observer{Mode: "precise", Files: 1}},
		"more than there is": {report.Observer{Files: math.MaxUint64},
			&systemv1beta1.Observer{Mode: "precise", Files: math.MaxInt64}},
	} {
		t.Run(name, func(t *testing.T) {
			stored := passed()
			for i := range stored.Round.Agents {
				stored.Round.Agents[i].Observer = c.told
			}
			if diff := cmp.Diff(c.want,
				render.Report(task(), stored).Spec.Report[0].NetReachTask.Observer); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
