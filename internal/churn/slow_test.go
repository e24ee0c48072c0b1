package churn_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
)

// Answers of an agent that its CPU quota stopped come too late. Such failures disprove no change where the agent may
// answer, and no change excuses them.
func TestLateAnswersOfAnAgentThatWasThrottled(t *testing.T) {
	for _, c := range []struct {
		name, pod string
		periods   uint64
		phase     probe.Phase
		want      uint64
	}{
		{"an agent that may answer was throttled", "c", 2, probe.FirstByte, 20},
		{"an agent that may answer was throttled once, which any agent may be", "c", 1, probe.FirstByte, 0},
		{"an agent that may not answer was throttled", "z", 2, probe.FirstByte, 0},
		{"the kernel of an agent that was throttled takes connections", "c", 2, probe.Connect, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			late := failure(probe.Timeout, [3]float64{49, 59.9, 80})
			late.Phase = c.phase
			p := four([3]float64{50, 54, 20})
			p.Failures, p.OK = append([]report.Failure{late}, p.Failures...), p.OK-80
			round := roundOf("a", p, behindFour(), deletedAt("b", 50))
			round.Agents = append(round.Agents,
				report.AgentReport{Pod: c.pod, Finished: true, Started: at(0), Ended: at(101),
					Earliest: at(0), Latest: at(0),
					Observer: report.Observer{Quota: 0.1, Periods: 1000, ThrottledPeriods: c.periods}})
			if got := excusedRequests(round); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}
