package churn_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// One of four pods is away for 12 s, in which 120 requests come due. How many may fail in a part of that time follows
// from how many requests came due in that part, both its ends included.
func TestBoundsOfAPartOfTheTime(t *testing.T) {
	for _, c := range []struct {
		name   string
		latest float64
		span   [3]float64
		want   uint64
	}{
		{"the first moment: 8 failed", 0, [3]float64{49, 49, 8}, 8},
		{"the first moment: 9 failed", 0, [3]float64{49, 49, 9}, 0},
		{"28 of the 120 requests: 15 failed", 0, [3]float64{50, 52.7, 15}, 15},
		{"28 of the 120 requests: 16 failed", 0, [3]float64{50, 52.7, 16}, 0},
		{"50 of the 120 requests: 23 failed", 0, [3]float64{50, 54.9, 23}, 23},
		{"50 of the 120 requests: 24 failed", 0, [3]float64{50, 54.9, 24}, 0},
		{"50 requests, up to five seconds later: 23 failed", 5, [3]float64{50, 54.9, 23}, 23},
		{"50 requests, up to five seconds later: 24 failed", 5, [3]float64{50, 54.9, 24}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			round := roundOf("a", four(c.span), behindFour(), deletedAt("b", 50))
			round.Agents[0].Latest = at(c.latest)
			if got := excusedRequests(round); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// The only pod of a set was away, and nobody else was left: that is one change.
func TestAChangeThatExplainsTwiceIsToldOnce(t *testing.T) {
	gone := deletedAt("b", 50)
	p := measured(target.Target{ID: "local", Kind: target.NodePort}, failure(probe.Timeout, [3]float64{50, 55, 51}))
	round := roundOf("a", p, []report.BackendSet{{Targets: []string{"local"}, Pods: []string{"b"}}}, gone)
	want := []report.Excuse{{Changes: []report.Change{gone}, First: at(50), Last: at(55), Explained: 51, Of: 51,
		Away: 1, Backends: 1}}
	if diff := cmp.Diff(want, churn.Excuse(round, nil).Agents[0].Paths[0].Excuses); diff != "" {
		t.Errorf("excuses (-want +got):\n%s", diff)
	}
}

func TestARoundWithoutChangesStaysAsItIs(t *testing.T) {
	round := roundOf("a", four([3]float64{50, 55, 9}), behindFour())
	round.Missing = []report.Missing{{Pod: "b", Reason: "no answer"}}
	if diff := cmp.Diff(round, churn.Excuse(round, since("b", 50))); diff != "" {
		t.Errorf("(-given +got):\n%s", diff)
	}
}

// One request a second comes due, or three of the persistent stream for each counted one.
func TestTheRateOfTheSmallestLoads(t *testing.T) {
	for _, c := range []struct {
		name          string
		load          report.RequestBudget
		expected      []report.Expected
		counted, kept float64
		want          uint64
	}{
		{"one a second: as many as a quarter explains", report.RequestBudget{Granted: 1}, nil, 8, 0, 8},
		{"one a second: one more", report.RequestBudget{Granted: 1}, nil, 9, 0, 0},
		{"thirty over persistent connections: as many as a quarter explains", report.RequestBudget{Granted: 10},
			[]report.Expected{{Pod: "x", Requests: 1, Persistent: 3}}, 0, 97, 97},
		{"thirty over persistent connections: one more", report.RequestBudget{Granted: 10},
			[]report.Expected{{Pod: "x", Requests: 1, Persistent: 3}}, 0, 98, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := four()
			if c.counted > 0 {
				p = four([3]float64{50, 59.9, c.counted})
			}
			kept := four()
			if c.kept > 0 {
				kept = four([3]float64{50, 59.9, c.kept})
			}
			p.Persistent = &kept
			round := roundOf("x", p, behindFour(), deletedAt("b", 50))
			round.Budget, round.Expected = c.load, c.expected
			if got := excusedRequests(round); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}

// An agent that was silent from the restart on was not well again because it answered once much later.
func TestAnAnswerAfterTheSilenceIsNoStartOfIt(t *testing.T) {
	round := report.Round{Churn: []report.Change{restartedAt("b", 50, 52)},
		Missing: []report.Missing{{Pod: "b", LastAnswered: at(90)}}}
	if !churn.Excuse(round, since("b", 51)).Missing[0].Excused {
		t.Error("the restart does not explain the silence that began with it")
	}
}

// One of four pods is away from 49 s to 61 s. Where it is known to 2.5 s when the agent started, failures may have
// begun with the first of these moments and ended with the last one.
func TestFailuresOfAnAgentWhoseStartIsKnownAlmost(t *testing.T) {
	for _, c := range []struct {
		name        string
		latest      float64
		first, last float64
		want        uint64
	}{
		{"they may have begun in time, and may have ended in time", 2.5, 46.5, 61, 5},
		{"they began too early", 2.5, 46.4, 61, 0},
		{"they ended too late", 2.5, 46.5, 61.1, 0},
		{"the start is known less well", 2.501, 46.5, 61, 0},
		{"the start is known less well, and they began in time in any case", 2.501, 49, 61, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			round := roundOf("a", four([3]float64{c.first, c.last, 5}), behindFour(), deletedAt("b", 50))
			round.Agents[0].Latest = at(c.latest)
			if got := excusedRequests(round); got != c.want {
				t.Errorf("%d requests are void, want %d", got, c.want)
			}
		})
	}
}
