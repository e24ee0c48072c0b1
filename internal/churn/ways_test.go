package churn_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// If a client's pod went, a load balancer may lead the client to a pod that is also about to go. The load balancer
// counts a deleted pod as present for half a minute.
func TestAClientMayBeLedFromOnePodThatWentToTheNext(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes []report.Change
		span    [3]float64
		want    uint64
	}{
		{"the next pod goes while the first is away", []report.Change{deletedAt("b", 50), deletedAt("c", 70)},
			[3]float64{50, 95, 451}, 451},
		{"the next pod goes at the very end of that", []report.Change{deletedAt("b", 50), deletedAt("c", 81)},
			[3]float64{50, 95, 451}, 451},
		{"the next pod goes after the first was replaced", []report.Change{deletedAt("b", 50), deletedAt("c", 81.1)},
			[3]float64{50, 95, 451}, 0},
		{"no other pod goes", []report.Change{deletedAt("b", 50)}, [3]float64{50, 95, 451}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := measured(target.Target{ID: "service", Kind: target.LoadBalancer}, failure(probe.Timeout, c.span))
			p.Peers = map[string]uint64{"b": 490, "d": 59}
			if got := excusedRequests(roundOf("a", p, behindFour(), c.changes...)); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// The only nearby pod answers all requests until it is changed for the first time.
func TestThePodThatAnsweredAlone(t *testing.T) {
	near := report.BackendSet{Targets: []string{"service"}, Pods: []string{"a", "b", "c", "d", "e", "f"},
		UnevenWhy: "trafficDistribution is PreferClose"}
	for _, c := range []struct {
		name    string
		changes []report.Change
		b       uint64
		span    [3]float64
		want    uint64
	}{
		{"until its own change, whenever others were changed", []report.Change{deletedAt("c", 10), deletedAt("b", 50)},
			100, [3]float64{50, 54.9, 50}, 0},
		{"until the first of its changes", []report.Change{restartedAt("b", 21, 22), restartedAt("b", 60, 61)}, 200,
			[3]float64{60, 62.9, 30}, 30},
		{"until the first of its changes, and no fewer requests",
			[]report.Change{restartedAt("b", 21, 22), restartedAt("b", 60, 61)}, 160,
			[3]float64{60, 62.9, 30}, 0},
		{"a pod that was away from the start on answered nothing until then",
			[]report.Change{restartedAt("b", 0.5, 1), restartedAt("b", 60, 61)}, 1,
			[3]float64{60, 62.9, 30}, 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := four(c.span)
			p.Peers = map[string]uint64{"b": c.b, "a": 200, "d": 200, "e": 200, "f": 200}
			if got := excusedRequests(roundOf("x", p, []report.BackendSet{near}, c.changes...)); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// An agent that its CPU quota stopped lets requests time out. Such timeouts disprove no change, and no change excuses
// them.
func TestTimeoutsOfAnAgentThatWasThrottled(t *testing.T) {
	for _, c := range []struct {
		throttled uint64
		want      uint64
	}{{0, 0}, {1, 0}, {2, 20}} {
		p := four([3]float64{50, 54, 20})
		p.Failures = append([]report.Failure{failure(probe.Timeout, [3]float64{49, 59.9, 80})}, p.Failures...)
		p.OK -= 80
		round := roundOf("a", p, behindFour(), deletedAt("b", 50))
		round.Agents[0].Observer = report.Observer{Quota: 0.1, Periods: 1000, ThrottledPeriods: c.throttled}
		if got := excusedRequests(round); got != c.want {
			t.Errorf("throttled in %d periods: %d requests are void, want %d", c.throttled, got, c.want)
		}
	}
}

func TestEveryFailureThatAPodsEndCanCauseIsExcused(t *testing.T) {
	endpoint := target.Target{ID: "b", Kind: target.Endpoint, Pod: "b"}
	service := target.Target{ID: "service", Kind: target.ClusterIP}
	for outcome, want := range map[probe.Outcome][2]uint64{
		probe.Timeout: {3, 3}, probe.Refused: {3, 3}, probe.Reset: {3, 3}, probe.Unreachable: {3, 3},
		probe.BadAnswer: {3, 3},
		probe.WrongPeer: {3, 0}, probe.BadStatus: {3, 0},
		probe.DNSFailed: {0, 0}, probe.TLSFailed: {0, 0}, probe.NotSent: {0, 0}, probe.Aborted: {0, 0},
		probe.Other: {0, 0},
	} {
		span := [3]float64{50, 51, 3}
		got := [2]uint64{excusedRequests(roundOf("a", measured(endpoint, failure(outcome, span)), nil,
			deletedAt("b", 50))),
			excusedRequests(roundOf("a", measured(service, failure(outcome, span)), behindFour(), deletedAt("b", 50)))}
		if got != want {
			t.Errorf("%v: %d void at the pod's own address and at the Service's, want %d", outcome, got, want)
		}
	}
}

// The number of absent backends is counted over the whole time in which the excused requests may have been sent.
func TestAnExcuseCountsTheBackendsThatMayHaveBeenAway(t *testing.T) {
	round := roundOf("a", four([3]float64{52, 54, 15}), behindFour(), deletedAt("b", 50), deletedAt("c", 57))
	round.Agents[0].Latest = at(5)
	excuses := churn.Excuse(round, nil).Agents[0].Paths[0].Excuses
	if len(excuses) != 1 || excuses[0].Away != 2 || !excuses[0].Last.Equal(at(59)) {
		t.Errorf("excuses %+v, want one of two backends, up to 59 s", excuses)
	}
}

// An agent on a node that is about to be removed counts as unchanged as long as it answers.
func TestAnAgentThatAnswersOnANodeThatIsToBeRemoved(t *testing.T) {
	agent := topology.Agent{Pod: "b", Node: "n", UID: "u"}
	w := churn.NewWatch([]topology.Agent{agent}, at(0))
	w.Observe(topology.Snapshot{Taken: at(10), Agents: []topology.Agent{agent},
		Nodes: []topology.Node{{Name: "n", Removing: "the autoscaler removes it"}}})
	w.ObserveSilence(map[string]time.Time{"c": at(5)})
	if changes := w.Changes(nil); len(changes) != 0 {
		t.Errorf("changes are %+v, want none", changes)
	}
	w.ObserveSilence(map[string]time.Time{"b": at(12)})
	if changes := w.Changes(nil); len(changes) != 1 || changes[0].Kind != report.Drained {
		t.Errorf("changes are %+v, want that the node was drained", changes)
	}
}

func TestAPodWithoutAUIDThatIsGoneWasDeleted(t *testing.T) {
	w := churn.NewWatch([]topology.Agent{{Pod: "b", Node: "n"}}, at(0))
	w.Observe(topology.Snapshot{Taken: at(10), Nodes: []topology.Node{{Name: "n"}}})
	if changes := w.Changes(nil); len(changes) != 1 || changes[0].Kind != report.Deleted {
		t.Errorf("changes are %+v, want a deletion", changes)
	}
}

// A request over a persistent connection fails for what happened since the request before, here a tenth of a second
// ago.
func TestRequestsOverOldConnections(t *testing.T) {
	type spans = [][3]float64
	endpoint, restart := target.Target{ID: "b", Kind: target.Endpoint, Pod: "b"}, restartedAt("b", 40, 42)
	service := target.Target{ID: "service", Kind: target.ClusterIP}
	for _, c := range []struct {
		name   string
		target target.Target
		reused uint64
		latest float64
		ended  bool
		spans  spans
		want   uint64
	}{
		{"a new connection, at the end of the change", endpoint, 0, 0, true, spans{{52, 52, 1}}, 1},
		{"a new connection, just after it", endpoint, 0, 0, true, spans{{52.1, 52.1, 1}}, 0},
		{"an old connection, just after it", endpoint, 1, 0, true, spans{{52.1, 52.1, 1}}, 1},
		{"an old connection, later", endpoint, 1, 0, true, spans{{52.2, 52.2, 1}}, 0},
		{"an old connection of an agent that may have started later, just before the end", endpoint, 1, 5, true,
			spans{{47.1, 47.1, 1}}, 1},
		{"and later", endpoint, 1, 5, true, spans{{47.2, 47.2, 1}}, 0},
		{"an old connection of a path without an end: nobody knows how old", endpoint, 1, 0, false, spans{{52, 52, 1}},
			1},
		{"and just after the change", endpoint, 1, 0, false, spans{{52.1, 52.1, 1}}, 0},
		{"a Service, what fails over new connections after the change disproves nothing", service, 0, 0, true,
			spans{{42, 44, 5}, {47.1, 60, 130}}, 5},
		{"a Service, what fails over old connections just after the change may disprove it", service, 1, 0, true,
			spans{{42, 44, 5}, {47.1, 60, 130}}, 0},
		{"a Service, over old connections the pod was away a moment ago", service, 1, 0, true, spans{{47.1, 47.1, 2}},
			2},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := measured(c.target, failure(probe.Reset, c.spans...))
			if p.Reused = c.reused; !c.ended {
				p.Ended = time.Time{}
			}
			round := roundOf("a", p, behindFour(), restart)
			round.Agents[0].Latest = at(c.latest)
			if got := excusedRequests(round); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// The only near pod answered 490 requests until then, but for those that had no answer, give or take one.
func TestThePodThatAnsweredAloneAtTheBound(t *testing.T) {
	near := report.BackendSet{Targets: []string{"service"}, Pods: []string{"a", "b", "c", "d", "e", "f"},
		UnevenWhy: "trafficDistribution is PreferClose"}
	for answered, want := range map[uint64]uint64{379: 100, 378: 0} {
		p := four([3]float64{50, 59.9, 100})
		p.Missed, p.Sent, p.OK = 10, 990, 890
		p.Peers = map[string]uint64{"b": answered, "a": 200, "c": 200, "d": 890 - 400 - answered}
		if got := excusedRequests(roundOf("x", p, []report.BackendSet{near}, deletedAt("b", 50))); got != want {
			t.Errorf("a pod that answered %d times: %d requests are void, want %d", answered, got, want)
		}
	}
}

// If all pods, and the pods that answered, explain the same failures, the excuse names the changes of all pods.
func TestAllChangesAreToldWhereSeveralWaysExplainTheSame(t *testing.T) {
	near := report.BackendSet{Targets: []string{"service"}, Pods: []string{"a", "b", "c", "d", "e", "f"},
		UnevenWhy: "trafficDistribution is PreferClose"}
	p := four([3]float64{50, 59.9, 20})
	p.Peers = map[string]uint64{"a": 320, "b": 330, "c": 330}
	excuses := churn.Excuse(roundOf("x", p, []report.BackendSet{near}, deletedAt("b", 50), deletedAt("e", 50)),
		nil).Agents[0].Paths[0].Excuses
	if len(excuses) != 1 || excuses[0].Explained != 20 || len(excuses[0].Changes) != 2 || excuses[0].Backends != 6 {
		t.Errorf("excuses %+v, want 20 requests by two changes among six backends", excuses)
	}
}

func TestWhatDisprovesOneStreamOfAThrottledAgentDisprovesTheOther(t *testing.T) {
	few, many := four([3]float64{50, 59.9, 38}), four([3]float64{50, 59.9, 39})
	for name, c := range map[string]struct{ counted, kept report.Path }{"the counted requests": {many, few},
		"the persistent stream": {few, many}} {
		c.counted.Persistent = &c.kept
		round := roundOf("a", c.counted, behindFour(), deletedAt("b", 50))
		round.Agents[0].Observer = report.Observer{Quota: 0.1, Periods: 1000, ThrottledPeriods: 500}
		if got := excusedRequests(round); got != 0 {
			t.Errorf("%s: %d requests are void, want 0", name, got)
		}
	}
}
