package churn_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

// nodes is what a look at the given second shows: pod a, if it is there, on node n, if that is there, beside another
// node.
func nodes(second float64, a *topology.Agent, n *topology.Node) topology.Snapshot {
	s := topology.Snapshot{Taken: at(second), Nodes: []topology.Node{{Name: "m"}}}
	if n != nil {
		s.Nodes = append(s.Nodes, *n)
	}
	if a != nil {
		s.Agents = []topology.Agent{*a}
	}
	return s
}

func TestNodes(t *testing.T) {
	pod := &topology.Agent{Pod: "a", Node: "n", UID: "1", Started: at(-1000)}
	other := &topology.Agent{Pod: "a", Node: "n", UID: "2"}
	leaving := func(second float64) *topology.Agent {
		return &topology.Agent{Pod: "a", Node: "n", UID: "1", Started: at(-1000), Deleted: at(second)}
	}
	restarted := &topology.Agent{Pod: "a", Node: "n", UID: "1", Restarts: 1, Ended: at(14), Started: at(15)}
	node := func(change func(*topology.Node)) *topology.Node {
		n := &topology.Node{Name: "n"}
		change(n)
		return n
	}
	up := node(func(*topology.Node) {})
	down := node(func(n *topology.Node) { n.NotReady = true })
	cordoned := node(func(n *topology.Node) { n.Cordoned = true })
	cordonedDown := node(func(n *topology.Node) { n.Cordoned, n.NotReady = true, true })
	removing := node(func(n *topology.Node) { n.Removing, n.Cordoned = "the cluster autoscaler removes it", true })
	removingDown := node(func(n *topology.Node) {
		n.Removing, n.Cordoned, n.NotReady = "the cluster autoscaler removes it", true, true
	})
	change := func(what report.ChangeKind, from, to float64) []report.Change {
		return []report.Change{{Pod: "a", Node: "n", Kind: what, WindowStart: at(from), WindowEnd: at(to)}}
	}
	emptied := func(from, to float64) []report.Change { return change(report.Drained, from, to) }
	drained := func(from, to float64) []report.Change {
		all := emptied(from, to)
		all[0].NodeLeft = true
		return all
	}
	cases := []struct {
		name     string
		looks    []topology.Snapshot
		answered time.Time
		// silent is when the agent was first asked in vain, zero for an agent that answers.
		silent time.Time
		want   []report.Change
	}{
		{name: "a node that was cordoned before and dies is a fault",
			looks: []topology.Snapshot{nodes(10, pod, cordoned), nodes(20, pod, cordonedDown)}},
		{name: "a pod that is deleted from a node that was cordoned before and died is a fault",
			looks: []topology.Snapshot{nodes(10, pod, cordoned), nodes(20, pod, cordonedDown),
				nodes(30, leaving(25), cordonedDown), nodes(40, nil, cordonedDown)}},
		{name: "a node that is cordoned and then stops was drained",
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, cordoned), nodes(20, pod, cordonedDown)},
			want:  drained(0, 20)},
		{name: "it was drained after its agent last answered",
			looks:    []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, cordoned), nodes(20, pod, cordonedDown)},
			answered: at(15), want: drained(13, 20)},
		{name: "a node that is cordoned and stops between two looks was drained",
			looks: []topology.Snapshot{nodes(5, pod, up), nodes(20, pod, cordonedDown)},
			want:  drained(5, 20)},
		{name: "a node whose cordon was taken away and set again was drained",
			looks: []topology.Snapshot{nodes(0, pod, cordoned), nodes(10, pod, up), nodes(20, pod, cordoned),
				nodes(30, pod, cordonedDown)}, want: drained(10, 30)},
		{name: "a node that died and is cordoned after that is a fault",
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, down), nodes(20, pod, cordonedDown)}},
		{name: "a node that died and is removed by the autoscaler after that is a fault while it is there",
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, down), nodes(20, pod, removingDown)}},
		{name: "a node that was to be removed from the beginning and stops was drained",
			looks: []topology.Snapshot{nodes(0, pod, removing), nodes(20, pod, removingDown)},
			want:  drained(0, 20)},
		{name: "a pod that is deleted from a node that is to be removed was drained",
			looks: []topology.Snapshot{nodes(0, pod, removing), nodes(20, leaving(14), removing)},
			want:  emptied(14, 14)},
		{name: "a node that is removed from the cluster was drained",
			looks: []topology.Snapshot{nodes(10, pod, up), nodes(20, pod, nil)}, want: drained(0, 20)},
		{name: "a node that is removed with its pod was drained",
			looks: []topology.Snapshot{nodes(10, pod, up), nodes(20, nil, nil)}, want: drained(0, 20)},
		{name: "a node that is removed stopped at most a minute before",
			looks: []topology.Snapshot{nodes(90, pod, up), nodes(100, pod, nil)}, want: drained(40, 100)},
		{name: "a node that is removed stopped before it was NotReady",
			looks: []topology.Snapshot{nodes(90, pod, up), nodes(100, pod, down), nodes(110, pod, down),
				nodes(200, nil, nil)}, want: drained(40, 100)},
		{name: "a node that is removed after its pod was deleted for that it stopped was drained",
			looks: []topology.Snapshot{nodes(90, pod, up), nodes(100, leaving(99), down), nodes(110, nil, down),
				nodes(200, nil, nil)}, answered: at(62), want: drained(60, 100)},
		{name: "a node that was cordoned before, stopped and is removed was drained",
			looks: []topology.Snapshot{nodes(0, pod, cordoned), nodes(10, pod, cordonedDown), nodes(20, pod, nil)},
			want:  drained(0, 10)},
		{name: "a pod that is deleted and whose node is removed after that was drained",
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, leaving(5), up), nodes(20, nil, nil)},
			want:  drained(5, 5)},
		{name: "a pod that is deleted and whose node dies after that was deleted",
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, leaving(5), up), nodes(20, nil, down)},
			want:  change(report.Deleted, 5, 5)},
		{name: "a node that no snapshot ever showed is not removed",
			looks: []topology.Snapshot{nodes(0, pod, nil), nodes(10, pod, nil)}},
		{name: "an agent that falls silent on a node that is about to be removed was drained", silent: at(25),
			looks: []topology.Snapshot{nodes(0, pod, removing), nodes(30, pod, removing)}, answered: at(23),
			want: drained(21, 30)},
		{name: "it fell silent after the last look", silent: at(35),
			looks: []topology.Snapshot{nodes(0, pod, removing), nodes(30, pod, removing)}, answered: at(33),
			want: drained(31, 35)},
		{name: "an agent that answers on a node that is about to be removed is still there",
			looks: []topology.Snapshot{nodes(0, pod, removing), nodes(30, pod, removing)}},
		{name: "it fell silent half a minute before at most", silent: at(55),
			looks: []topology.Snapshot{nodes(0, pod, removing)}, want: drained(25, 55)},
		{name: "it fell silent after the watch began", silent: at(5),
			looks: []topology.Snapshot{nodes(0, pod, removing)}, want: drained(0, 5)},
		{name: "an agent that fell silent before its node was to be removed is a fault", silent: at(9.9),
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, up), nodes(20, pod, removing)}},
		{name: "an agent that falls silent when its node is last seen as one that is to stay was drained",
			silent:   at(10),
			looks:    []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, up), nodes(20, pod, removing)},
			answered: at(8), want: drained(6, 20)},
		{name: "an agent that falls silent on a node that is to stay is a fault", silent: at(25),
			looks: []topology.Snapshot{nodes(0, pod, removing), nodes(30, pod, up)}},
		{name: "an agent that falls silent on a node that is cordoned alone is a fault", silent: at(25),
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(30, pod, cordoned)}},
		{name: "an agent that falls silent on a node that died before it was to be removed is a fault", silent: at(25),
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, down), nodes(20, pod, removingDown)}},
		{name: "an agent that falls silent when it is deleted was changed once", silent: at(25),
			looks: []topology.Snapshot{nodes(0, pod, removing), nodes(30, leaving(24), removing)},
			want:  emptied(24, 24)},
		{name: "a node that is gone after a list that was empty was drained",
			looks: []topology.Snapshot{nodes(0, pod, up), {Taken: at(10), Agents: []topology.Agent{*pod}},
				nodes(20, pod, nil)},
			want: drained(0, 20)},
		{name: "a list of nodes that is empty says nothing",
			looks: []topology.Snapshot{nodes(0, pod, up), {Taken: at(10), Agents: []topology.Agent{*pod}}}},
		{name: "a node that was not ready for a moment stays in use, and a pod that is deleted later is a change",
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, down), nodes(20, pod, up),
				nodes(30, leaving(25), up)}, want: change(report.Deleted, 25, 25)},
		{name: "an agent that restarted while its node was not ready is a fault, and one that restarts again is a change",
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, down), nodes(20, restarted, up),
				nodes(40, &topology.Agent{Pod: "a", Node: "n", UID: "1", Restarts: 2, Ended: at(34), Started: at(35)},
					up)}, want: change(report.Restarted, 34, 35)},
		{name: "a pod that was replaced while its node was not ready is a fault",
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, down), nodes(20, other, up),
				nodes(30, other, up)}},
		{name: "a pod that was deleted while its node was not ready is a fault",
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, down), nodes(20, leaving(14), up),
				nodes(30, nil, up)}},
		{name: "a pod that is gone when its node is ready again is a fault",
			looks: []topology.Snapshot{nodes(0, pod, up), nodes(10, pod, down), nodes(20, nil, up),
				nodes(30, nil, up)}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for range 2 {
				w := churn.NewWatch([]topology.Agent{*pod}, at(0))
				for _, s := range c.looks {
					w.Observe(s)
				}
				w.ObserveSilence(map[string]time.Time{"a": c.silent, "b": at(1)})
				if diff := cmp.Diff(c.want, w.Changes(map[string]time.Time{"a": c.answered})); diff != "" {
					t.Errorf("changes (-want +got):\n%s", diff)
				}
				// The order of nodes and pods says nothing.
				for i := range c.looks {
					slices.Reverse(c.looks[i].Nodes)
				}
			}
		})
	}
}

func TestEachAgentThatFallsSilentIsLookedAt(t *testing.T) {
	agents := []topology.Agent{{Pod: "a", Node: "n"}, {Pod: "b", Node: "n"}}
	w := churn.NewWatch(agents, at(0))
	w.Observe(topology.Snapshot{Taken: at(10), Agents: agents,
		Nodes: []topology.Node{{Name: "n", Cordoned: true, Removing: "the cluster autoscaler removes it"}}})
	w.ObserveSilence(map[string]time.Time{"b": at(12)})
	want := []report.Change{{Pod: "b", Node: "n", Kind: report.Drained, WindowStart: at(0), WindowEnd: at(12),
		NodeLeft: true}}
	if diff := cmp.Diff(want, w.Changes(nil)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}
