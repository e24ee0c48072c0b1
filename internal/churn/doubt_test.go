package churn_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// deletedWithin is a deletion that happened at some moment between the two, and nobody knows when.
func deletedWithin(pod string, from, to float64) report.Change {
	return report.Change{Pod: pod, Node: "n" + pod, Kind: report.Deleted, WindowStart: at(from), WindowEnd: at(to)}
}

// Twenty requests a second come due for twenty seconds. A deleted pod of three is away for 12 s: of the 240 requests
// that come due then, 80 are led to it, give or take 22, and one more; to two deleted ones 160, give or take 22.
func TestADeletionOfUnknownTimeExplainsNoMoreThanOneOfKnownTime(t *testing.T) {
	drained := deletedWithin("b", 0, 10)
	drained.Kind = report.Drained
	left := drained
	left.NodeLeft = true
	known := deletedAt("b", 5)
	b, c := deletedWithin("b", 0, 10), deletedWithin("c", 2, 12)
	cases := []struct {
		name        string
		changes     []report.Change
		first, last float64
		failed      float64
		want        uint64
	}{
		{"half of all requests fail while two pods are replaced one after the other", []report.Change{b, c}, 0.1, 19.6,
			212, 0},
		{"what two deletions explain at most", []report.Change{b, c}, 0, 20, 183, 183},
		{"one more", []report.Change{b, c}, 0, 20, 184, 0},
		{"what one deletion explains at most", []report.Change{b}, 0, 20, 103, 103},
		{"one more than one deletion explains", []report.Change{b}, 0, 20, 104, 0},
		{"a drained pod explains as much", []report.Change{drained}, 0, 20, 103, 103},
		{"one more than a drained pod explains", []report.Change{drained}, 0, 20, 104, 0},
		{"a node that left takes longer to be noticed", []report.Change{left}, 0, 20, 160, 160},
		{"no more than the requests of a third of the time", []report.Change{left}, 0, 20, 170, 0},
		{"failures while a deletion of known time explains them", []report.Change{known}, 4, 15.9, 102, 102},
		{"one more than a deletion of known time explains", []report.Change{known}, 4, 15.9, 104, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := report.Path{Target: target.Target{ID: "service", Kind: target.ClusterIP, Answer: target.Backends},
				Scheduled: 400, Sent: 400, OK: 400 - uint64(c.failed), Started: at(0), Ended: at(20),
				Failures: []report.Failure{failure(probe.Timeout, [3]float64{c.first, c.last, c.failed})}}
			behind := []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a", "b", "c"}}}
			if got := excusedRequests(roundOf("a", p, behind, c.changes...)); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}
