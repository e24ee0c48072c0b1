package wire

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

func TestTheReleaseOfAnAgentIsReported(t *testing.T) {
	begun := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for name, release := range map[string]string{"an agent of 0.1.0 does not tell": "", "a later one does": "0.2.0"} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseReport(Report(report.AgentReport{Pod: "p", Node: "n", Started: begun,
				Ended: begun.Add(time.Second), Finished: true, Release: release}))
			if err != nil || got.Release != release {
				t.Errorf("got %q, %v; want %q", got.Release, err, release)
			}
		})
	}
}
