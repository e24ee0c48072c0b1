package verdict_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// last judges the agent, and returns the judgement on its last path, which is x if there are others.
func last(expect verdict.Expect, a report.AgentReport) verdict.JudgedPath {
	judged := verdict.Judge(report.Round{Agents: []report.AgentReport{a}}, expect).Agents[0].Paths
	return judged[len(judged)-1]
}

// A request that was not sent, or cut off, and also excused, is left out only once.
func TestWhatIsExcusedIsLeftOutOnce(t *testing.T) {
	for _, outcome := range []probe.Outcome{probe.Aborted, probe.NotSent} {
		p := path("x", 30, 30, 10, time.Millisecond, report.Failure{Outcome: outcome, Count: 20, Excused: 20})
		if got := one(p, 30); got.Result != verdict.Pass {
			t.Errorf("20 of 30 requests are %v and excused: got %s: %s; want the 10 others to pass", outcome,
				got.Result, got.Reason)
		}
	}
}

// A third of the 1000 planned requests of a persistent stream is not judged, because most were cut off.
func TestBoundOfWhatAPersistentStreamCouldNotSend(t *testing.T) {
	plain := by(target.Endpoint, "b", path("x", 10_000, 10_000, 10_000, time.Millisecond))
	for _, c := range []struct {
		missed, unsent uint64
		want           verdict.Code
	}{{0, 0, verdict.TooFewJudged}, {1, 0, verdict.TooFewJudged}, {0, 1, verdict.TooFewJudged}, {1, 1, verdict.Unsent},
		{2, 0, verdict.Unsent}} {
		ok := uint64(199)
		stream := path("x", 1000, 1000-c.missed, ok, time.Millisecond, unsent(c.unsent),
			aborted(1000-c.missed-c.unsent-ok))
		stream.Reused = 100
		got := first(strict(), agent("a", withPersistent(plain, stream)))
		if got.Reason.Code != c.want || !got.Reason.Persistent {
			t.Errorf("%d missed and %d without a port: got %s: %s; want %s", c.missed, c.unsent, got.Result, got.Reason,
				c.want)
		}
		if want := 1000 - c.missed - c.unsent; c.want == verdict.Unsent &&
			(got.Reason.Count != want || got.Reason.Of != 1000) {
			t.Errorf("the reason names %d of %d sent, want %d of 1000", got.Reason.Count, got.Reason.Of, want)
		}
	}
}

// What a change took from an agent and what it excuses are explained together.
func TestAnAgentThatWasCutAndWhosePeerChanged(t *testing.T) {
	for aborts, want := range map[uint64]verdict.Result{350: verdict.Void, 351: verdict.Void, 700: verdict.NoData} {
		p := path("x", 700, 700, 700-min(aborts, 450)-250, time.Millisecond, excused(250), aborted(min(aborts, 450)))
		if aborts > 450 {
			p = path("x", 700, 700, 0, 0, aborted(700))
		}
		e := planned(1000, "a", "x")
		if aborts > 450 {
			e.Requests = 1100
			p.Scheduled, p.Missed = 800, 100
		}
		v := verdict.Judge(report.Round{Churn: deleted("b"), Expected: []report.Expected{e},
			Agents: []report.AgentReport{cutShort(agent("a", p))}}, strict())
		if got := v.Agents[0].Paths[0]; got.Result != want {
			t.Errorf("%d cut off: got %s: %s; want %s", aborts, got.Result, got.Reason, want)
		}
	}
}

// Failures other than timeouts do not show how slow an agent is.
func TestRefusedRequestsOfLikePathsAreNoTimeouts(t *testing.T) {
	expect := verdict.Expect{SuccessRate: 0.4, MeanDelay: time.Second}
	half := path("x", 100, 100, 50, time.Millisecond, refused(50))
	if got := last(expect, throttledAgent(paths(ofWhich(100, 100), times(3, half)...)...)); got.Result != verdict.Fail {
		t.Errorf("beside paths that refuse half: got %s: %s; want fail", got.Result, got.Reason)
	}
	if got := last(expect,
		throttledAgent(paths(ofWhich(100, 100), times(3, ofWhich(50, 100))...)...)); got.Result != verdict.ToolLimited {
		t.Errorf("beside paths on which half times out: got %s: %s; want tool-limited", got.Result, got.Reason)
	}
}

func TestFewLikePathsAndSmallOnes(t *testing.T) {
	small := func(timeouts uint64) report.Path { return ofWhich(timeouts, 20) }
	cases := []struct {
		name   string
		x      report.Path
		others []report.Path
		want   verdict.Result
	}{
		{"the only like path is clean and has half as many requests", ofWhich(20, 20), times(1, ofWhich(0, 10)),
			verdict.Fail},
		{"the only like path is clean and has fewer", ofWhich(20, 20), times(1, ofWhich(0, 9)), verdict.ToolLimited},
		{"one of two is clean", ofWhich(20, 20), []report.Path{ofWhich(0, 20), ofWhich(20, 20)}, verdict.ToolLimited},
		{"a small clean path comes before larger ones", ofWhich(100, 100),
			append(times(1, small(0)), times(3, ofWhich(1, 100))...), verdict.Fail},
		{"many small clean paths are no evidence", ofWhich(100, 100),
			append(times(6, small(0)), times(3, ofWhich(20, 100))...), verdict.ToolLimited},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := last(strict(), throttledAgent(paths(c.x, c.others...)...)); got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}

// A lag that is exactly a tenth of the allowed delay is not above it.
func TestBoundOfTheLag(t *testing.T) {
	p := lagging(path("x", 100, 100, 100, time.Millisecond), 50, 20*time.Millisecond)
	lag := p.Lag.Quantile(0.9)
	for allowed, want := range map[time.Duration]verdict.Result{10 * lag: verdict.Pass,
		10*lag - 10: verdict.ToolLimited} {
		got := first(verdict.Expect{SuccessRate: 1, MeanDelay: allowed}, agent("a", p))
		if got.Result != want {
			t.Errorf("half of the requests %v late, %v allowed: got %s: %s; want %s", lag, allowed, got.Result,
				got.Reason, want)
		}
	}
}

// Of 2000 due requests 1000 are excused: one in a thousand of the others may be missed.
func TestBoundOfWhatWasMissedBesideExcusedRequests(t *testing.T) {
	for missed, want := range map[uint64]verdict.Result{1: verdict.Pass, 2: verdict.ToolLimited} {
		p := path("x", 2000, 2000-missed, 1000-missed, time.Millisecond, excused(1000))
		if got := one(p, 2000); got.Result != want {
			t.Errorf("%d missed: got %s: %s; want %s", missed, got.Result, got.Reason, want)
		}
	}
}

func TestReasonsHoldTheirFigures(t *testing.T) {
	short := path("x", 10, 10, 10, time.Millisecond)
	short.Bytes = 1005
	v := verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", short)},
		Budget: report.RequestBudget{Asked: 10, Granted: 10, AnswerBytes: 8000}}, strict())
	if diff := cmp.Diff(verdict.Reason{Code: verdict.ShortAnswers, Count: 100, Of: 8000},
		v.Agents[0].Paths[0].Reason); diff != "" {
		t.Errorf("short answers (-want +got):\n%s", diff)
	}
	for quota, cores := range map[float64]float64{0.5: 0.5, 0: 0, -1: 0, math.Inf(1): 0} {
		a := throttledAgent(path("x", 10, 10, 10, time.Millisecond))
		a.Observer.Quota = quota
		if got := first(strict(), a).Reason; got.Code != verdict.Throttled || got.Cores != cores || got.Count != 61 ||
			got.Of != 100 {
			t.Errorf("a quota of %v: reason %+v, want %v cores", quota, got, cores)
		}
	}
}

func ExampleReason_String() {
	fmt.Println(verdict.Reason{Code: verdict.NotDue, Count: 3, Of: 10})
	// Output:
	// only 3 of the 10 planned requests came due
}

func TestRoomForPortsIsSaidWhereItIsKnown(t *testing.T) {
	const start, end = "the agent could not send 1 of 10 due requests: it ran out of ports",
		", descriptors or memory for large answers: lower the rate"
	for room, want := range map[uint64]string{1: start + " (it has 1)" + end, 0: start + end} {
		if got := (verdict.Reason{Code: verdict.OutOfPorts, Count: 1, Of: 10, Room: room}).String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
