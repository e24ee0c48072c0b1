package churn_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

// A node that leaves the cluster was in use until a look showed that it was to leave.
func TestANodeThatWasSeenLeavingIsGone(t *testing.T) {
	pod := &topology.Agent{Pod: "a", Node: "n", UID: "1", Started: at(-1000)}
	up, down := &topology.Node{Name: "n"}, &topology.Node{Name: "n", NotReady: true}
	cordoned := &topology.Node{Name: "n", Cordoned: true}
	const autoscaler = "the cluster autoscaler removes it"
	removing := &topology.Node{Name: "n", Cordoned: true, Removing: autoscaler}
	removingDown := &topology.Node{Name: "n", Cordoned: true, NotReady: true, Removing: autoscaler}
	cases := []struct {
		name     string
		looks    []topology.Snapshot
		from, to float64
	}{
		{"it was to be removed since the look before",
			[]topology.Snapshot{nodes(20, pod, up), nodes(30, pod, up), nodes(40, pod, removing), nodes(50, nil, nil)},
			30, 50},
		{"it was cordoned since the look before",
			[]topology.Snapshot{nodes(20, pod, up), nodes(30, pod, up), nodes(40, pod, cordoned), nodes(50, pod, nil)},
			30, 50},
		{"it was cordoned before the round, and to be removed since the look before",
			[]topology.Snapshot{nodes(0, pod, cordoned), nodes(30, pod, cordoned), nodes(40, pod, removing),
				nodes(50, nil, nil)}, 30, 50},
		{"its cordon was taken away, and nothing announced that it would go",
			[]topology.Snapshot{nodes(60, pod, up), nodes(70, pod, cordoned), nodes(80, pod, up), nodes(90, nil, nil)},
			30, 90},
		{"it was not ready before it was to be removed, so it stopped up to a minute before that",
			[]topology.Snapshot{nodes(20, pod, up), nodes(30, pod, down), nodes(40, pod, removingDown),
				nodes(50, nil, nil)}, 0, 30},
		{"its cordon was taken away, and it stopped before it was to be removed",
			[]topology.Snapshot{nodes(20, pod, up), nodes(30, pod, cordoned), nodes(40, pod, down),
				nodes(50, pod, removingDown), nodes(60, nil, nil)}, 0, 40},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := churn.NewWatch([]topology.Agent{*pod}, at(0))
			for _, s := range c.looks {
				w.Observe(s)
			}
			want := []report.Change{{Pod: "a", Node: "n", Kind: report.Drained, WindowStart: at(c.from),
				WindowEnd: at(c.to),
				NodeLeft:  true}}
			if diff := cmp.Diff(want, w.Changes(map[string]time.Time{})); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

// An agent that was silent for another reason goes with its node all the same, where another agent on the node shows
// that.
func TestAnAgentThatWasSilentBeforeGoesWithItsNode(t *testing.T) {
	a, b := topology.Agent{Pod: "a", Node: "n", UID: "1"}, topology.Agent{Pod: "b", Node: "n", UID: "2"}
	left := func(pod string) report.Change {
		return report.Change{Pod: pod, Node: "n", Kind: report.Drained, WindowStart: at(21), WindowEnd: at(25),
			NodeLeft: true}
	}
	type silent map[string]time.Time
	for _, c := range []struct {
		name   string
		silent silent
		want   []report.Change
	}{
		{"another agent fell silent later", silent{"a": at(2), "b": at(25)}, []report.Change{left("a"), left("b")}},
		{"another agent fell silent later, and this one answers", silent{"b": at(25)}, []report.Change{left("b")}},
		{"no other agent is silent", silent{"a": at(2)}, nil},
		{"the other agent was silent before, too", silent{"a": at(2), "b": at(4)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := churn.NewWatch([]topology.Agent{a, b}, at(0))
			w.Observe(topology.Snapshot{Taken: at(10), Agents: []topology.Agent{a, b},
				Nodes: []topology.Node{{Name: "n"}}})
			w.Observe(topology.Snapshot{Taken: at(20), Agents: []topology.Agent{a, b},
				Nodes: []topology.Node{{Name: "n", Cordoned: true, Removing: "the cluster autoscaler removes it"}}})
			w.ObserveSilence(c.silent)
			if diff := cmp.Diff(c.want, w.Changes(map[string]time.Time{"a": at(1), "b": at(23)})); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

// What takes a pod's place on its own node shows that the node is not emptied, though it is cordoned.
func TestAPodThatIsReplacedOnItsNodeWasDeleted(t *testing.T) {
	a, cordoned := topology.Agent{Pod: "a", Node: "n", UID: "1"}, topology.Node{Name: "n", Cordoned: true}
	on := func(node string) topology.Agent { return topology.Agent{Pod: "b", Node: node, UID: "2"} }
	old := topology.Agent{Pod: "old", Node: "n", UID: "3"}
	leaving := on("n")
	leaving.Deleted = at(15)
	for _, c := range []struct {
		name string
		then topology.Snapshot
		want report.ChangeKind
	}{
		{"another pod is on the node", topology.Snapshot{Agents: []topology.Agent{on("n")}}, report.Deleted},
		{"another pod is on another node", topology.Snapshot{Agents: []topology.Agent{on("m")}}, report.Drained},
		{"no other pod is there", topology.Snapshot{}, report.Drained},
		{"another pod was on the node before", topology.Snapshot{Agents: []topology.Agent{old}}, report.Drained},
		{"another pod on the node is being deleted as well", topology.Snapshot{Agents: []topology.Agent{leaving}},
			report.Drained},
	} {
		for _, late := range []float64{20, 30} {
			w := churn.NewWatch([]topology.Agent{a}, at(0))
			first := topology.Snapshot{Taken: at(10), Agents: []topology.Agent{a, old},
				Nodes: []topology.Node{cordoned}}
			w.Observe(first)
			if late > 20 {
				w.Observe(topology.Snapshot{Taken: at(20), Nodes: []topology.Node{cordoned}})
			}
			c.then.Taken, c.then.Nodes = at(late), []topology.Node{cordoned}
			w.Observe(c.then)
			want := []report.Change{{Pod: "a", Node: "n", Kind: c.want, WindowStart: at(10), WindowEnd: at(20)}}
			if diff := cmp.Diff(want, w.Changes(nil)); diff != "" {
				t.Errorf("%s, seen at %v s: changes (-want +got):\n%s", c.name, late, diff)
			}
		}
	}
}
