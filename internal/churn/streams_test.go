package churn_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// The counted requests and the requests over persistent connections are excused separately, whichever of them failed.
func TestAChangeExcusesEitherStreamOfAPod(t *testing.T) {
	endpoint := target.Target{ID: "b", Kind: target.Endpoint, Answer: target.OnePod, Pod: "b"}
	nodePort := target.Target{ID: "port", Kind: target.NodePort, AtNode: "nb"}
	failed := func(to target.Target) report.Path { return measured(to, failure(probe.Timeout, [3]float64{50, 52, 9})) }
	for _, c := range []struct {
		name          string
		change        report.Change
		counted, kept report.Path
		want          uint64
	}{
		{"a pod is deleted: both failed", deletedAt("b", 50), failed(endpoint), failed(endpoint), 18},
		{"a pod is deleted: counted requests failed", deletedAt("b", 50), failed(endpoint), measured(endpoint), 9},
		{"a pod is deleted: the others failed", deletedAt("b", 50), measured(endpoint), failed(endpoint), 9},
		{"a node is drained: counted requests failed", left("b", 50, 52), failed(nodePort), measured(nodePort), 9},
		{"a node is drained: the others failed", left("b", 50, 52), measured(nodePort), failed(nodePort), 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.counted.Persistent = &c.kept
			if got := excusedRequests(roundOf("a", c.counted, nil, c.change)); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// A path without an answer does not show that a pod was still there, however late its agent asked.
func TestAnAgentThatAskedLateAndHadNoAnswerReachedNobody(t *testing.T) {
	for ok, void := range map[uint64]bool{0: true, 1: false} {
		p := report.Path{Target: target.Target{ID: "b", Kind: target.Endpoint, Answer: target.OnePod, Pod: "b"},
			Scheduled: 1, Sent: 1, OK: ok, Started: at(90), Ended: at(90)}
		round := roundOf("a", p, nil, drainedAt("b", 10, 95))
		round.Agents[0].Started, round.Agents[0].Earliest, round.Agents[0].Latest = at(90), at(90), at(90)
		round.Missing = []report.Missing{{Pod: "b"}}
		if got := churn.Excuse(round, since("b", 30)).Missing[0].Excused; got != void {
			t.Errorf("%d of 1 requests succeeded: void is %v, want %v", ok, got, void)
		}
	}
}
