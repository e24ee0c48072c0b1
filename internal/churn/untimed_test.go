package churn_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// Failures without a time may have come while a pod was away. Whatever they might disprove is not excused.
func TestFailuresWithoutATimeLeaveNothingExcused(t *testing.T) {
	timed, untimed := four([3]float64{50, 52, 5}), four()
	untimed.OK, untimed.Failures = untimed.OK-5,
		[]report.Failure{{Outcome: probe.Refused, Phase: probe.Connect, Count: 5}}
	partly := four([3]float64{50, 52, 5})
	partly.OK, partly.Failures[0].Count = partly.OK-1, 6
	other := four([3]float64{50, 52, 5})
	other.OK, other.Failures = other.OK-5, append(other.Failures, report.Failure{Outcome: probe.DNSFailed, Count: 5})
	for _, c := range []struct {
		name          string
		counted, kept report.Path
		want          uint64
	}{
		{"all have times", timed, timed, 10},
		{"the counted ones have none", untimed, timed, 0},
		{"those over persistent connections have none", timed, untimed, 0},
		{"one has none", partly, timed, 0},
		{"those that no change can cause have none", other, timed, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.counted.Persistent = &c.kept
			if got := excusedRequests(roundOf("a", c.counted, behindFour(), deletedAt("b", 50))); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
	t.Run("where one pod alone may answer each is judged by itself", func(t *testing.T) {
		p := partly
		p.Target = target.Target{ID: "b", Kind: target.Endpoint, Answer: target.OnePod, Pod: "b"}
		if got := excusedRequests(roundOf("a", p, nil, deletedAt("b", 50))); got != 5 {
			t.Errorf("%d requests are void, want 5", got)
		}
	})
}
