package phrases_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/report"
)

func TestAChangeReadsAsASentence(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cases := []struct {
		change report.Change
		want   string
	}{
		{report.Change{Pod: "a", Node: "n", Kind: report.Deleted, WindowStart: start.Add(14600 * time.Millisecond)},
			"pod a on node n: its pod was deleted during the round, 15s after its start"},
		{report.Change{Pod: "a", Node: "n", Kind: report.Drained, WindowStart: start.Add(-time.Second)},
			"pod a on node n: its node was drained during the round, 0s after its start"},
		{report.Change{Pod: "a", Node: "n", Kind: report.Restarted, WindowStart: start, WindowEnd: start},
			"pod a on node n: its agent was restarted during the round, 0s after its start"},
		{report.Change{Pod: "a", Node: "n", Kind: report.Restarted, Detail: "OOMKilled",
			WindowStart: start.Add(time.Minute)},
			"pod a on node n: its agent was restarted (OOMKilled) during the round, 1m0s after its start, and was " +
				"not back by its end"},
	}
	for _, c := range cases {
		if got := phrases.ChangeWithTime(c.change, start); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
