package verdict_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// A path is void, or has too little, because its own agent was stopped, its peer changed, or both.
func TestWhatTakesTheBlameForTooFewRequests(t *testing.T) {
	// reported returns a path with so many successes; the rest of what came due is excused or cut off.
	reported := func(due, ok, excusedOnes uint64) report.Path {
		return path("x", due, due, ok, time.Millisecond, excused(excusedOnes), aborted(due-ok-excusedOnes))
	}
	cases := []struct {
		name   string
		path   report.Path
		cut    bool
		result verdict.Result
		code   verdict.Code
	}{
		{"one request did not come due, and most are excused", reported(999, 299, 700), false, verdict.Void,
			verdict.Excused},
		{"all came due before the agent was cut, and most are excused", reported(1000, 250, 700), true, verdict.Void,
			verdict.Excused},
		{"not all came due before the agent was cut, and most are excused", reported(999, 250, 700), true, verdict.Void,
			verdict.Cut},
		{"not all came due before the agent was cut", reported(500, 300, 0), true, verdict.Void, verdict.Cut},
		{"all came due before the agent was cut, and nothing is excused", reported(1000, 333, 0), true, verdict.NoData,
			verdict.TooFewJudged},
		{"too few came due and were judged before the agent was cut", reported(990, 100, 0), true, verdict.NoData,
			verdict.TooFewJudged},
		{"too few came due", reported(990, 100, 0), false, verdict.NoData, verdict.NotDue},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := agent("a", c.path, path("y", 1000, 1000, 1000, time.Millisecond))
			if c.cut {
				a = cutShort(a)
			}
			v := verdict.Judge(report.Round{Churn: deleted("b"),
				Expected: []report.Expected{planned(1000, "a", "x", "y")}, Agents: []report.AgentReport{a}}, strict())
			got := v.Agents[0].Paths[0]
			if got.Result != c.result || got.Reason.Code != c.code {
				t.Errorf("got %s, %s: %s; want %s, %s", got.Result, got.Reason.Code, got.Reason, c.result, c.code)
			}
			if c.code == verdict.Cut &&
				(got.Reason.Text != a.StoppedWhy || got.Reason.Change != a.StoppedBy ||
					got.Reason.Count != c.path.Scheduled ||
					got.Reason.Of != 1000) {
				t.Errorf("the reason is %+v", got.Reason)
			}
		})
	}
}

// In a day of a thousand requests a second, 55 % are to succeed. No float holds this rate exactly.
func TestRatesOfManyRequestsAreExact(t *testing.T) {
	const day = 86_400_000
	for ok, want := range map[uint64]verdict.Result{day * 55 / 100: verdict.Pass, day*55/100 - 1: verdict.Fail} {
		p := report.Path{Target: target.Target{ID: "x"}, Scheduled: day, Sent: day, OK: ok,
			Failures: []report.Failure{refused(day - ok)}}
		if got := first(verdict.Expect{SuccessRate: 0.55}, agent("a", p)); got.Result != want {
			t.Errorf("%d of %d: got %s: %s; want %s", ok, day, got.Result, got.Reason, want)
		}
	}
}

func TestTheWorstOfAsManyFailuresIsTheFirstOutcome(t *testing.T) {
	failures := []report.Failure{
		{Outcome: probe.Reset, Phase: probe.Connect, Count: 2}, {Outcome: probe.Timeout, Phase: probe.Body, Count: 2},
		{Outcome: probe.Refused, Phase: probe.Connect},
	}
	if worst := first(strict(),
		agent("a", path("x", 10, 10, 6, time.Millisecond, failures...))).Reason.Worst; worst == nil ||
		*worst != (verdict.Failures{
			Outcome: probe.Timeout, Phase: probe.Body, Count: 2}) {
		t.Errorf("the worst failure is %+v, want the timeouts", worst)
	}
	none := path("x", 10, 10, 6, time.Millisecond, report.Failure{Outcome: probe.Timeout})
	if worst := first(strict(), agent("a", none)).Reason.Worst; worst != nil {
		t.Errorf("the worst of no failure is %+v", worst)
	}
}

// Nothing was sent over a persistent connection, and the connection was lost.
func TestAConnectionThatIsLostIsAFaultWhateverWasSentOverIt(t *testing.T) {
	plain := by(target.Endpoint, "b", path("x", 100, 100, 100, time.Millisecond))
	for resets, want := range map[uint64]verdict.Result{0: verdict.NoData, 1: verdict.Fail} {
		got := first(strict(), agent("a", withPersistent(plain, idle(path("x", 10, 10, 0, 0, aborted(10)), resets, 0))))
		if got.Result != want || got.Reason.Lost != resets {
			t.Errorf("%d lost: got %s: %s; want %s", resets, got.Result, got.Reason, want)
		}
	}
}

// Two changes explain that two connections did not last.
func TestChangesExplainAsManyConnectionsThatDidNotLast(t *testing.T) {
	plain := by(target.Endpoint, "b", path("x", 100, 100, 100, time.Millisecond))
	for ok, want := range map[uint64]verdict.Result{3: verdict.Pass, 4: verdict.Fail} {
		round := report.Round{Churn: deleted("b", "b"),
			Agents: []report.AgentReport{agent("a", withPersistent(plain, path("x", ok, ok, ok, time.Millisecond)))}}
		if got := verdict.Judge(round, strict()).Agents[0].Paths[0]; got.Result != want {
			t.Errorf("%d requests, each over a connection of its own: got %s: %s; want %s", ok, got.Result, got.Reason,
				want)
		}
	}
}

// A node whose agent is missing was to be looked at.
func TestANodeWhoseAgentIsMissingIsLookedAtInPart(t *testing.T) {
	round := report.Round{Missing: []report.Missing{{Pod: "a", Node: "n"}},
		Outside: []report.Outside{{Node: "m"}, {Node: "n"}}}
	notes := verdict.Notes(round, verdict.Verdict{})
	if len(notes) != 2 || notes[0].Code != verdict.NodesLeftOut || notes[0].Count != 1 || notes[0].Of != 2 ||
		notes[1].Code != verdict.NodesInPart {
		t.Errorf("notes are %+v, want m left out of two nodes, and n in part", notes)
	}
}
