package churn_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
)

// spansOf are the spans of failures at the given seconds, as an agent joins them.
func spansOf(seconds []float64) report.Failure {
	f := report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: uint64(len(seconds))}
	for _, s := range slices.Sorted(slices.Values(seconds)) {
		f.Spans = report.AddFailure(f.Spans, time.Duration(s*float64(time.Second)))
	}
	return f
}

// A pod is dead long before it is deleted, so its failures also happen while no pod is away. Whether one more failure
// joins two spans or not, no path without an excuse becomes fully excused.
func TestAFailureMoreThatJoinsSpansExcusesNoPath(t *testing.T) {
	before, joined := 0, 0
	for seed := range uint64(20 * seeds) {
		random := rand.New(rand.NewPCG(seed, 1))
		changes := []report.Change{restartedAt("b", 30, 31), deletedAt("c", 39+4*random.Float64())}
		var failed []float64
		for at := 35.0; at < 52; at += 0.1 {
			if random.IntN(4) == 0 {
				failed = append(failed, at)
			}
		}
		left := func(failed []float64) uint64 {
			f := spansOf(failed)
			p := four([3]float64{0, 0, 1})
			p.OK, p.Failures = p.OK+1-f.Count, []report.Failure{f}
			return f.Count - churn.Excuse(roundOf("a", p, behindFour(), changes...), nil).Agents[0].Paths[0].Excused()
		}
		whole := left(failed)
		if whole > 0 {
			before++
		}
		for range 5 {
			if more := append(slices.Clone(failed), 35+17*random.Float64()); whole > 0 && left(more) == 0 {
				joined++
			}
		}
	}
	if before == 0 || joined > 0 {
		t.Errorf("of %d rounds with failures that nothing excuses, one failure more excuses all of %d", before, joined)
	}
}
