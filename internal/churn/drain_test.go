package churn_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

func drainedAt(pod string, from, to float64) report.Change {
	return report.Change{Pod: pod, Node: "n" + pod, Kind: report.Drained, WindowStart: at(from), WindowEnd: at(to)}
}

// left is a drain after which the node is gone.
func left(pod string, from, to float64) report.Change {
	c := drainedAt(pod, from, to)
	c.NodeLeft = true
	return c
}

// Nothing is left to lead to where all pods of a set are gone.
func TestSetsOfWhichNobodyIsLeft(t *testing.T) {
	type spans = [][3]float64
	one, two := []string{"b"}, []string{"b", "c"}
	open := report.Change{Pod: "b", Kind: report.Restarted, WindowStart: at(50)}
	for _, c := range []struct {
		name    string
		pods    []string
		changes []report.Change
		spans   spans
		want    uint64
	}{
		{"the only pod is deleted: half a minute", one, []report.Change{deletedAt("b", 50)}, spans{{49, 80, 311}}, 311},
		{"the only pod is deleted: more than half a minute", one, []report.Change{deletedAt("b", 50)},
			spans{{49, 80.1, 312}}, 0},
		{"the only pod is drained", one, []report.Change{drainedAt("b", 50, 52)}, spans{{49, 99.9, 510}}, 510},
		{"the only pod is drained, and it failed before", one, []report.Change{drainedAt("b", 50, 52)},
			spans{{48.9, 99.9, 511}}, 0},
		{"the only pod does not come back", one, []report.Change{open}, spans{{50, 99.9, 500}}, 500},
		{"the only pod comes back after a minute", one, []report.Change{restartedAt("b", 20, 80)}, spans{{20, 85, 651}},
			651},
		{"the only pod came back", one, []report.Change{restartedAt("b", 20, 80)}, spans{{20, 86, 661}}, 0},
		{"two pods are drained", two, []report.Change{drainedAt("b", 50, 50), drainedAt("c", 50, 50)},
			spans{{50, 99.9, 500}}, 500},
		{"one of two pods is drained", two, []report.Change{drainedAt("b", 50, 50)}, spans{{50, 99.9, 500}}, 0},
		{"two pods are drained one after the other", two,
			[]report.Change{drainedAt("b", 50, 50), drainedAt("c", 70, 70)}, spans{{50, 55, 25}, {70, 99.9, 300}}, 325},
		{"two pods are drained one after the other, and nobody answers in between", two,
			[]report.Change{drainedAt("b", 50, 50), drainedAt("c", 70, 70)}, spans{{50, 99.9, 500}}, 0},
		{"two pods are deleted at once: they are replaced one by one", two,
			[]report.Change{deletedAt("b", 50), deletedAt("c", 50)}, spans{{50, 61, 111}}, 111},
		{"two pods are deleted at once, and neither is replaced in time", two,
			[]report.Change{deletedAt("b", 50), deletedAt("c", 50)}, spans{{50, 62, 121}}, 0},
		{"one of two pods is drained, and the other one deleted", two,
			[]report.Change{drainedAt("b", 20, 20), deletedAt("c", 50)}, spans{{50, 61, 111}}, 111},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := measured(target.Target{ID: "local", Kind: target.NodePort}, failure(probe.Timeout, c.spans...))
			if got := excusedRequests(roundOf("a", p, []report.BackendSet{{Targets: []string{"local"}, Pods: c.pods}},
				c.changes...)); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// Nothing answers at the address of a node that was drained, whichever pods its port leads to.
func TestNodePortsOfDrainedNodes(t *testing.T) {
	port := target.Target{ID: "service", Kind: target.NodePort, AtNode: "nb"}
	drained, emptied := left("b", 50, 60), drainedAt("b", 50, 60)
	spans := func(all ...[3]float64) []report.Failure { return []report.Failure{failure(probe.Timeout, all...)} }
	for _, c := range []struct {
		name     string
		change   report.Change
		failures []report.Failure
		want     []report.Excuse
	}{
		{"the node was drained", drained, spans([3]float64{49, 99.9, 510}),
			[]report.Excuse{{Changes: []report.Change{drained}, First: at(49), Last: at(99.9), Explained: 510, Of: 510,
				Away: 1, Backends: 1}}},
		{"its pod was drained, and the node is still there", emptied, spans([3]float64{50, 99.9, 500}), nil},
		{"the port failed before", drained, spans([3]float64{48.9, 99.9, 511}), nil},
		{"the pod alone was deleted", deletedAt("b", 50), spans([3]float64{50, 99.9, 500}), nil},
		{"another node was drained", left("c", 50, 60), spans([3]float64{50, 99.9, 500}), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := measured(port, c.failures...)
			got := churn.Excuse(roundOf("a", p, behindFour(), c.change), nil).Agents[0].Paths[0]
			if diff := cmp.Diff(c.want, got.Excuses); diff != "" {
				t.Errorf("excuses (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a pod behind the port was deleted, and the node drained later", func(t *testing.T) {
		first := deletedAt("d", 5)
		p := measured(port, spans([3]float64{5, 10, 12}, [3]float64{52, 79.9, 280})...)
		want := []report.Excuse{{Changes: []report.Change{drained}, First: at(52), Last: at(79.9), Explained: 280,
			Of: 280, Away: 1, Backends: 1},
			{Changes: []report.Change{first}, First: at(5), Last: at(10), Explained: 12, Of: 51, Away: 1, Backends: 4}}
		if diff := cmp.Diff(want,
			churn.Excuse(roundOf("a", p, behindFour(), first, drained), nil).Agents[0].Paths[0].Excuses); diff != "" {
			t.Errorf("excuses (-want +got):\n%s", diff)
		}
		p.Failures = append(p.Failures, failure(probe.Refused, [3]float64{5, 10, 20}))
		if got := excusedRequests(roundOf("a", p, behindFour(), first, drained)); got != 280 {
			t.Errorf("%d requests are void, want those 280 that the drain explains alone", got)
		}
	})
}

// An agent whose report is lost, and that others reach for long after that, was not silent because its pod is gone at
// the end.
func TestAnAgentThatOthersStillReachIsNotGone(t *testing.T) {
	endpoint := target.Target{ID: "b", Kind: target.Endpoint, Answer: target.OnePod, Pod: "b"}
	// 601 answers take 60 s at least.
	answered := func(n uint64) report.Path {
		p := measured(endpoint)
		p.OK = n
		return p
	}
	for _, c := range []struct {
		name   string
		change report.Change
		path   report.Path
		silent float64
		void   bool
	}{
		{"others reached it for less than half a minute more", drainedAt("b", 10, 90), answered(601), 30, true},
		{"others reached it for more than half a minute more", drainedAt("b", 10, 90), answered(602), 30, false},
		{"the time of the deletion is known", deletedAt("b", 30), answered(1000), 30, true},
		{"it was restarted, and answers again", restartedAt("b", 25, 35), answered(1000), 30, true},
		{"nobody reached it", drainedAt("b", 10, 90), answered(0), 30, true},
		{"others reached its Service", drainedAt("b", 10, 90), four(), 30, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			round := roundOf("a", c.path, behindFour(), c.change)
			round.Missing = []report.Missing{{Pod: "b"}}
			if got := churn.Excuse(round, map[string]time.Time{"b": at(c.silent)}).Missing[0].Excused; got != c.void {
				t.Errorf("void is %v, want %v", got, c.void)
			}
		})
	}
}
