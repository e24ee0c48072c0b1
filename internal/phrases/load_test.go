package phrases_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/report"
)

func TestReductionSaysWhyLessWasGiven(t *testing.T) {
	for name, c := range map[string]struct {
		load report.RequestBudget
		want string
	}{
		"nothing is known": {report.RequestBudget{}, ""},
		"all was given":    {report.RequestBudget{Asked: 10, Granted: 10, Limit: 5000, Targets: 500, Sends: 5000}, ""},
		"all was given, every second": {report.RequestBudget{Asked: 10, Granted: 10, Every: 1, Limit: 5000,
			Targets: 500,
			Sends:   5000}, ""},
		"less was given, every second": {report.RequestBudget{Asked: 10, Granted: 8, Every: 1, Limit: 5000,
			Targets: 600,
			Sends:   4800},
			"each target got 8 requests a second instead of 10: an agent with 600 targets may send 5000 requests a " +
				"second for this task"},
		"one a second of others counts": {report.RequestBudget{Asked: 10, Granted: 8, Limit: 5000, Targets: 600,
			Sends:  4800,
			Others: 1},
			"each target got 8 requests a second instead of 10: an agent with 600 targets may send 5000 requests a " +
				"second for this task " +
				"beside 1 for others"},
		"nothing of one a second was given": {report.RequestBudget{Asked: 1, Targets: 6000, LowestRate: 600, Cap: 50},
			"nothing was sent: each agent may send 50 requests a second (limits.requestsPerSecondPerAgent), " +
				"and an agent with 6000 targets would have sent 600 at the lowest rate"},
		"less was given": {report.RequestBudget{Asked: 10, Granted: 8, Limit: 5000, Targets: 600, Sends: 4800},
			"each target got 8 requests a second instead of 10: an agent with 600 targets may send 5000 requests a " +
				"second for this task"},
		"less than one a second was given": {report.RequestBudget{Asked: 10, Granted: 1, Every: 2, Limit: 5000,
			Targets: 6000,
			Sends:   3000},
			"each target got 1 request every 2 seconds instead of 10 a second: an agent with 6000 targets may send " +
				"5000 requests a second for this task"},
		"one a second was asked for, and less was given": {report.RequestBudget{Asked: 1, Granted: 1, Every: 2,
			Limit:   5000,
			Targets: 6000, Sends: 3000},
			"each target got 1 request every 2 seconds instead of 1 a second: an agent with 6000 targets may send " +
				"5000 requests a second for this task"},
		"nothing was given": {report.RequestBudget{Asked: 10, Limit: 50, Targets: 6000, LowestRate: 600, Cap: 50,
			Others: 7},
			"nothing was sent: each agent may send 50 requests a second (limits.requestsPerSecondPerAgent), and an " +
				"agent with 6000 targets would have sent 600 at the lowest rate"},
		"others left nothing": {report.RequestBudget{Asked: 10, TotalTargets: 36, ByTotal: true, LowestRate: 4,
			Cap:         100,
			OthersTotal: 98, UsedBy: "NetReach a, NetReach b"},
			"nothing was sent: all agents together may send 100 requests a second (limits.requestsPerSecond), of " +
				"which the rounds of NetReach a, NetReach b had 98 until it was too late to begin, " +
				"and all agents together with 36 targets would have sent 4 at the lowest rate"},
		"other rounds have their part": {report.RequestBudget{Asked: 10, Granted: 4, Limit: 2500, Targets: 600,
			Sends:  2400,
			Others: 5000},
			"each target got 4 requests a second instead of 10: an agent with 600 targets may send 2500 requests a " +
				"second for this task beside 5000 for others"},
		"the whole cluster is what limits": {report.RequestBudget{Asked: 10, Granted: 2, Limit: 5000, Targets: 6,
			Sends:   12,
			ByTotal: true, TotalLimit: 100, TotalTargets: 36, TotalSends: 72, Others: 1, OthersTotal: 200},
			"each target got 2 requests a second instead of 10: all agents together, with 36 targets, may send 100 " +
				"requests a second for this task beside 200 for others"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := phrases.Reduction(c.load); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestOtherRoundsSaysHowLoadedTheAgentsWere(t *testing.T) {
	if got := phrases.OtherRounds(report.RequestBudget{Sends: 30}); got != "" {
		t.Errorf("a round that was alone says %q", got)
	}
	const want = "other rounds sent 1 request a second from each of these agents when this one began, beside the 30 " +
		"of this round"
	if got := phrases.OtherRounds(report.RequestBudget{Sends: 30, Others: 1, OthersTotal: 5}); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := phrases.OtherRounds(report.RequestBudget{Sends: 30, Others: 1,
		Waited: 19600 * time.Millisecond}); got != want+
		", which had waited 20s until other rounds left it enough" {
		t.Errorf("a round that waited says %q", got)
	}
	if got := phrases.OtherRounds(report.RequestBudget{Sends: 30,
		Waited: 20 * time.Second}); got != "this round waited 20s until other rounds left it enough" {
		t.Errorf("a round that waited until the others were gone says %q", got)
	}
	for _, asked := range []int{1, 10} {
		if got := phrases.OtherRounds(report.RequestBudget{Asked: asked, Others: 7}); got != "" {
			t.Errorf("a round that sent nothing of %d says %q", asked, got)
		}
		if got := phrases.OtherRounds(report.RequestBudget{Asked: asked, Granted: 1, Sends: 30,
			Others: 1}); got != want {
			t.Errorf("a round that sent 1 of %d a second says %q, want %q", asked, got, want)
		}
	}
}
