package verdict_test

import (
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// first judges the agents, and returns the judgement on the first path of the first agent.
func first(expect verdict.Expect, agents ...report.AgentReport) verdict.JudgedPath {
	return verdict.Judge(report.Round{Agents: agents}, expect).Agents[0].Paths[0]
}

func TestBoundsOfPaths(t *testing.T) {
	cases := []struct {
		name   string
		path   report.Path
		expect verdict.Expect
		want   verdict.Result
	}{
		{"the one request is too slow", path("x", 1, 1, 1, 5*time.Second), strict(), verdict.Fail},
		{"the one request is as slow as allowed", path("x", 1, 1, 1, 100*time.Millisecond), strict(), verdict.Pass},
		{"7000 of 100000 succeed where 0.07 is expected", path("x", 100_000, 100_000, 7000, time.Millisecond),
			verdict.Expect{SuccessRate: 0.07}, verdict.Pass},
		{"6999 of 100000 succeed where 0.07 is expected", path("x", 100_000, 100_000, 6999, time.Millisecond),
			verdict.Expect{SuccessRate: 0.07}, verdict.Fail},
		{"10 of 10000 are missed", path("x", 10_000, 9990, 9990, time.Millisecond), strict(), verdict.Pass},
		{"11 of 10000 are missed", path("x", 10_000, 9989, 9989, time.Millisecond), strict(), verdict.ToolLimited},
		{"one of 1000 has no port", path("x", 1000, 1000, 999, time.Millisecond, unsent(1)), strict(), verdict.Pass},
		{"one of 999 has no port", path("x", 999, 999, 998, time.Millisecond, unsent(1)), strict(),
			verdict.ToolLimited},
		{"nothing succeeded where nothing has to", path("x", 10, 10, 0, 0, timedOut(10)),
			verdict.Expect{MeanDelay: time.Second}, verdict.NoData},
		{"nothing succeeded where nothing has to and no delay is judged", path("x", 10, 10, 0, 0, timedOut(10)),
			verdict.Expect{}, verdict.Pass},
		{"failures that are not excused, and excused ones beside them",
			path("x", 10, 10, 8, time.Millisecond, excused(1), refused(1)), strict(), verdict.Fail},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := first(c.expect, agent("a", c.path)); got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}

func TestBoundsOfLimits(t *testing.T) {
	good := func(n uint64) report.Path { return path("x", n, n, n, time.Millisecond) }
	periods := func(throttled, of uint64) report.AgentReport {
		return observed(agent("a", good(100)), report.Observer{Periods: of, ThrottledPeriods: throttled})
	}
	late := report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: 5}
	cases := []struct {
		name  string
		agent report.AgentReport
		want  verdict.Result
	}{
		{"throttled in 2 of 20 periods", periods(2, 20), verdict.ToolLimited},
		{"throttled in 2 of 40 periods", periods(2, 40), verdict.Pass},
		{"throttled in 2 of 39 periods", periods(2, 39), verdict.ToolLimited},
		{"throttled in 1 of 1 period", periods(1, 1), verdict.Pass},
		{"two requests, both late", agent("a", lagging(good(2), 2, 40*time.Millisecond)), verdict.ToolLimited},
		{"two requests, one late", agent("a", lagging(good(2), 1, 40*time.Millisecond)), verdict.Pass},
		{"two of 100 late", agent("a", lagging(good(100), 2, 40*time.Millisecond)), verdict.ToolLimited},
		{"one of 100 late", agent("a", lagging(good(100), 1, 40*time.Millisecond)), verdict.Pass},
		{"two of 199 late", agent("a", lagging(good(199), 2, 40*time.Millisecond)), verdict.ToolLimited},
		{"two of 200 late", agent("a", lagging(good(200), 2, 40*time.Millisecond)), verdict.Pass},
		{"three of 200 late", agent("a", lagging(good(200), 3, 40*time.Millisecond)), verdict.ToolLimited},
		{"late by as much as a tenth of the allowed delay", agent("a", lagging(good(100), 50, 10*time.Millisecond)),
			verdict.Pass},
		{"late by more than a tenth of the allowed delay", agent("a", lagging(good(100), 50, 11*time.Millisecond)),
			verdict.ToolLimited},
		{"2000 requests of a throttled agent, five answers late and one without a port",
			throttledAgent(path("x", 2000, 2000, 1994, time.Millisecond, late, unsent(1))), verdict.ToolLimited},
		{"2000 requests of a throttled agent, five answers late and one cut off",
			throttledAgent(path("x", 2000, 2000, 1994, time.Millisecond, late, aborted(1))), verdict.ToolLimited},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := first(strict(), c.agent); got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}

// Unsent requests of one path are a limit of all the agent's paths if they are more than one in a thousand of all due
// requests.
func TestBoundOfWhatTheAgentCouldNotSend(t *testing.T) {
	for unsentOnes, want := range map[uint64]verdict.Result{2: verdict.Pass, 3: verdict.ToolLimited} {
		got := first(strict(),
			agent("a", path("x", 1500, 1500, 1500, time.Millisecond),
				path("y", 500, 500, 500-unsentOnes, time.Millisecond, unsent(unsentOnes))))
		if got.Result != want {
			t.Errorf("%d of 2000 without a port: got %s: %s; want %s", unsentOnes, got.Result, got.Reason, want)
		}
	}
	// A path on which nothing at all can be sent has a reason of its own.
	if got := first(strict(),
		agent("a", path("x", 100, 100, 100, time.Millisecond),
			path("y", 100, 100, 0, 0, unsent(100)))); got.Result != verdict.Pass {
		t.Errorf("beside a path on which nothing can be sent: got %s: %s", got.Result, got.Reason)
	}
}

// Slow answers of one of three throttled agents explain at most a third of the requests, give or take three standard
// deviations, and one more.
func TestBoundOfWhatSlowAnswerersExplain(t *testing.T) {
	late := func(n uint64) report.Failure {
		return report.Failure{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: n}
	}
	limited := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
	limited.Pod, limited.Node = "b", "node-b"
	// 100/3 + 3*sqrt(100*2/9) + 1 is 48.48, 300/3 + 3*sqrt(300*2/9) + 1 is 125.49.
	for _, c := range []struct {
		late, of uint64
		want     verdict.Result
	}{{48, 100, verdict.ToolLimited}, {49, 100, verdict.Fail}, {125, 300, verdict.ToolLimited},
		{126, 300, verdict.Fail}} {
		v := verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a",
			path("service", c.of, c.of, c.of-c.late, time.Millisecond, late(c.late))), limited},
			Backends: []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a", "b", "c"}}}}, strict())
		if got := v.Agents[0].Paths[0]; got.Result != c.want {
			t.Errorf("%d of %d answers late: got %s: %s; want %s", c.late, c.of, got.Result, got.Reason, c.want)
		}
	}
}

func TestBoundOfShortAnswers(t *testing.T) {
	answered := func(ok, bytes uint64) report.Path {
		p := path("x", 100, 100, ok, time.Millisecond)
		p.Bytes = bytes
		return p
	}
	cases := []struct {
		name string
		path report.Path
		rate float64
		want verdict.Result
	}{
		{"nine tenths of the bytes", answered(100, 90*8000), 1, verdict.Pass},
		{"a byte less than nine tenths", answered(100, 90*8000-1), 1, verdict.ToolLimited},
		{"no answer where none is expected", answered(0, 0), 0, verdict.Pass},
		{"failed answers do not make up for successful ones", answered(50, 50*8000*9/10-1), 0.5, verdict.ToolLimited},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", c.path)},
				Budget: report.RequestBudget{Asked: 10, Granted: 10, AnswerBytes: 8000}},
				verdict.Expect{SuccessRate: c.rate})
			if got := v.Agents[0].Paths[0]; got.Result != c.want {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}

func TestReasonsNameTheirFigures(t *testing.T) {
	files := func(open uint64) report.AgentReport {
		return observed(agent("a", path("x", 100, 100, 90, time.Millisecond, unsent(10))),
			report.Observer{Ports: 28232, Files: open, FileLimit: 1000})
	}
	both := path("x", 100, 99, 98, time.Millisecond, unsent(1))
	cases := []struct {
		name  string
		agent report.AgentReport
		want  string
	}{
		{"one missed and one without a port", throttledless(both), "the agent sent only 98 of 100 due requests (1 " +
			"could not be started in time, 1 had no port, descriptor or memory for a large answer)"},
		{"one missed", agent("a", path("x", 100, 99, 99, time.Millisecond)),
			"the agent sent only 99 of 100 due requests (1 could not be started in time)"},
		{"one without a port", throttledless(path("x", 100, 100, 99, time.Millisecond, unsent(1))),
			"the agent sent only 99 of 100 due requests (1 had no port, descriptor or memory for a large answer)"},
		{"nine tenths of the descriptors open", files(900), "900 of its 1000 descriptors were open"},
		{"fewer open", files(899), "it ran out of ports (it has 28232), descriptors or memory"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := first(strict(), c.agent); got.Result != verdict.ToolLimited ||
				!strings.Contains(got.Reason.String(), c.want) {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
}

func TestJudgePathKnowsNothingOfTheAgent(t *testing.T) {
	if got := verdict.JudgePath(path("x", 100, 100, 99, time.Millisecond, unsent(1)),
		strict()); got.Reason.Code != verdict.Unsent {
		t.Errorf("got %s: %s; want the limit of the path", got.Result, got.Reason)
	}
}

// throttledless returns an agent with one unsent request on its only bad path, and so many sent elsewhere that this is
// no limit of the agent.
func throttledless(p report.Path) report.AgentReport {
	return agent("a", p, path("y", 10_000, 10_000, 10_000, time.Millisecond))
}

// Among equally frequent failures the reason names the first in the order of outcomes and phases, in whatever order
// they are reported.
func TestTheWorstFailureIsNamed(t *testing.T) {
	cases := []struct {
		name     string
		failures []report.Failure
		want     string
	}{
		{"the most frequent", []report.Failure{refused(2), timedOut(3)}, "(3 Timeout at connect)"},
		{"the first of as many", []report.Failure{reset(2), timedOut(2)}, "(2 Timeout at connect)"},
		{"the first phase of as many",
			[]report.Failure{{Outcome: probe.Timeout, Phase: probe.Body, Count: 2}, timedOut(2)},
			"(2 Timeout at connect)"},
		{"one without a phase", []report.Failure{{Outcome: probe.Other, Count: 2}}, "(2 Other)"},
		{"a kind that happened not at all is none",
			[]report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect}, refused(1)}, "(1 Refused at connect)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			reversed := []report.Failure{}
			for _, f := range c.failures {
				reversed = append([]report.Failure{f}, reversed...)
			}
			for _, failures := range [][]report.Failure{c.failures, reversed} {
				if got := first(strict(),
					agent("a", path("x", 10, 10, 5, time.Millisecond,
						failures...))).Reason.String(); !strings.HasSuffix(got, c.want) {
					t.Errorf("got %q, want it to end with %q", got, c.want)
				}
			}
		})
	}
}

// A proxy gives a gateway's status in place of a slow agent. If that status is the expected one, only unexpected
// statuses count.
func TestGatewayStatusesWhereTheyAreExpected(t *testing.T) {
	limited := throttledAgent(path("x", 100, 100, 100, time.Millisecond))
	limited.Pod, limited.Node = "b", "node-b"
	bad := report.Failure{Outcome: probe.BadStatus, Phase: probe.FirstByte, Count: 20}
	for name, c := range map[string]struct {
		statuses map[int]uint64
		want     verdict.Result
	}{
		"502 instead of 503": {map[int]uint64{503: 80, 502: 20}, verdict.ToolLimited},
		"200 instead of 503": {map[int]uint64{503: 80, 200: 20}, verdict.Fail},
	} {
		p := through(target.Ingress, path("service", 100, 100, 80, time.Millisecond, bad), c.statuses, "a", "c")
		v := verdict.Judge(report.Round{Agents: []report.AgentReport{agent("a", p), limited},
			Backends: []report.BackendSet{{Targets: []string{"service"}, Pods: []string{"a", "b", "c"}}}}, strict())
		if got := v.Agents[0].Paths[0]; got.Result != c.want {
			t.Errorf("%s: got %s: %s; want %s", name, got.Result, got.Reason, c.want)
		}
	}
}
