package churn_test

import (
	"fmt"
	"testing"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// roundOf returns a round in which one agent measured the path, with the changes and the backend sets.
func roundOf(agent string, p report.Path, backends []report.BackendSet, changes ...report.Change) report.Round {
	return report.Round{Churn: changes, Backends: backends, Agents: []report.AgentReport{
		{Pod: agent, Finished: true, Started: at(0), Ended: at(101), Earliest: at(0), Latest: at(0),
			Paths: []report.Path{p}}}}
}

// excusedRequests returns how many requests of the round's only path are excused, on both of its streams.
func excusedRequests(r report.Round) uint64 {
	p := churn.Excuse(r, nil).Agents[0].Paths[0]
	if p.Persistent != nil {
		return p.Excused() + p.Persistent.Excused()
	}
	return p.Excused()
}

func deletedAt(pod string, second float64) report.Change {
	return report.Change{Pod: pod, Node: "n" + pod, Kind: report.Deleted, WindowStart: at(second),
		WindowEnd: at(second)}
}

func restartedAt(pod string, from, to float64) report.Change {
	return report.Change{Pod: pod, Node: "n" + pod, Kind: report.Restarted, WindowStart: at(from), WindowEnd: at(to)}
}

// With internalTrafficPolicy Local a Service leads each agent to the pods on its own node.
func TestOnlyPodsThatMayAnswerTheAgentExplainItsFailures(t *testing.T) {
	local := []report.BackendSet{
		{Targets: []string{"service"}, Pods: []string{"a1", "a2"}, Askers: []string{"a1", "a2"}},
		{Targets: []string{"service"}, Pods: []string{"b"}, Askers: []string{"b"}},
		{Targets: []string{"service"}, Pods: []string{"z"}, Askers: []string{"z"}},
	}
	service := target.Target{ID: "service", Kind: target.ClusterIP, Answer: target.Backends}
	anyone := target.Target{ID: "service", Kind: target.Ingress, Answer: target.Anyone}
	cases := []struct {
		name, agent string
		target      target.Target
		changed     string
		span        [3]float64
		want        uint64
	}{
		{"a pod on another node explains nothing", "b", service, "z", [3]float64{55, 75, 200}, 0},
		{"a pod on another node explains nothing for a moment either", "b", service, "z", [3]float64{50, 50, 1}, 0},
		{"the other pod on the node explains its half", "a1", service, "a2", [3]float64{50, 52, 9}, 9},
		{"the other pod on the node does not explain all", "a1", service, "a2", [3]float64{50, 54, 40}, 0},
		{"the agent's own pod is one of the two", "a1", service, "a1", [3]float64{50, 52, 9}, 9},
		{"the only pod on the node explains all", "b", service, "b", [3]float64{50, 60, 100}, 100},
		{"an agent of which nobody knows where it is led to has no excuse", "x", service, "b", [3]float64{50, 50, 1},
			0},
		{"where anyone may answer nobody is missed", "b", anyone, "b", [3]float64{50, 50, 1}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			round := roundOf(c.agent, measured(c.target, failure(probe.Refused, c.span)), local,
				deletedAt(c.changed, 50))
			if got := excusedRequests(round); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// rollingChanges returns changes of all pods but the first, one after the other.
func rollingChanges(pods int, change func(pod string, i int) report.Change) (names []string, changes []report.Change) {
	for i := range pods {
		names = append(names, fmt.Sprintf("p%02d", i))
		if i > 0 {
			changes = append(changes, change(names[i], i))
		}
	}
	return names, changes
}

// A Service that loses four in five requests for a while is broken, whatever is replaced one by one meanwhile.
func TestPodsThatChangeOneAfterTheOtherDoNotExplainABrokenService(t *testing.T) {
	restarts := func(every float64) func(string, int) report.Change {
		return func(pod string, i int) report.Change {
			from := 35 + every*float64(i)
			return restartedAt(pod, from, from+1)
		}
	}
	deletions := func(every float64) func(string, int) report.Change {
		return func(pod string, i int) report.Change { return deletedAt(pod, 35+every*float64(i)) }
	}
	spans := map[string][][3]float64{
		"in eight spans": {{45, 46, 8}, {46.2, 48, 14}, {48.2, 50, 15}, {50.1, 53, 24},
			{53.1, 56, 24}, {56.1, 59, 24}, {59.1, 62, 24}, {62.1, 65, 24}},
		"in one span":  {{45, 65, 157}},
		"in two spans": {{45, 53, 66}, {53.5, 65, 91}},
		"for five seconds, with short spans": {{45, 45.5, 5}, {45.7, 46.5, 8}, {46.7, 47.6, 9}, {47.8, 48, 3},
			{48.2, 49, 8}, {49.1, 50, 9}},
	}
	for _, c := range []struct {
		name   string
		pods   int
		change func(string, int) report.Change
	}{
		{"20 pods restart, one every 1.2 s", 20, restarts(1.2)},
		{"20 pods restart, one every 3 s", 20, restarts(3)},
		{"20 pods restart, one every 0.8 s", 20, restarts(0.8)},
		{"50 pods restart, one every 0.5 s", 50, restarts(0.5)},
		{"50 pods restart, one every 1.2 s", 50, restarts(1.2)},
		{"10 pods restart, one every 2.4 s", 10, restarts(2.4)},
		{"20 pods are deleted, one every 1.2 s", 20, deletions(1.2)},
		{"50 pods are deleted, one every 0.5 s", 50, deletions(0.5)},
		{"10 pods are deleted, one every 5 s", 10, deletions(5)},
	} {
		for name, spans := range spans {
			t.Run(c.name+", failures "+name, func(t *testing.T) {
				pods, changes := rollingChanges(c.pods, c.change)
				p := measured(target.Target{ID: "service", Kind: target.ClusterIP}, failure(probe.Refused, spans...))
				kept := p
				p.Persistent = &kept
				if got := excusedRequests(roundOf("p00", p,
					[]report.BackendSet{{Targets: []string{"service"}, Pods: pods}},
					changes...)); got != 0 {
					t.Errorf("%d requests are void", got)
				}
			})
		}
	}
}
