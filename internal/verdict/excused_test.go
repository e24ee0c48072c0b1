package verdict_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

func TestJudgeChurn(t *testing.T) {
	strict := verdict.Expect{SuccessRate: 1, MeanDelay: 100 * time.Millisecond}
	void := func(n, of uint64) report.Failure {
		return report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: of, Excused: n}
	}
	to := func(pod string, p report.Path) report.Path {
		p.Target.Pod = pod
		return p
	}
	gone := report.Change{Pod: "b", Node: "node-b", Kind: report.Deleted}
	oom := report.Change{Pod: "c", Node: "node-c", Kind: report.Restarted, Detail: "OOMKilled"}
	good := path("x", 10, 10, 10, time.Millisecond)
	notReported := []report.Missing{{Pod: "b", Node: "node-b", Reason: "its pod was deleted during the round",
		Excused: true}}
	cut := func(a report.AgentReport) report.AgentReport {
		a.Finished, a.StoppedWhy = false, "its pod was deleted during the round"
		return a
	}
	kept := path("x", 10, 10, 6, time.Millisecond, void(4, 4))
	kept.Reused = 6
	withKept := good
	withKept.Persistent = &kept
	asked := func(e report.Expected) report.Expected {
		e.Requests = 10
		return e
	}
	cases := []struct {
		name  string
		round report.Round
	}{
		{"void requests count for neither side of the rate",
			report.Round{Churn: []report.Change{gone}, Missing: notReported,
				Expected: []report.Expected{asked(expected("a", "x"))},
				Agents:   []report.AgentReport{agent("a", path("x", 10, 10, 4, time.Millisecond, void(6, 6)))}}},
		{"requests that are not void fail beside those that are",
			report.Round{Churn: []report.Change{gone}, Expected: []report.Expected{expected("a", "x")},
				Agents: []report.AgentReport{agent("a", path("x", 10, 10, 4, time.Millisecond, void(5, 6)))}}},
		{"a path of which everything is void has no data and fails nothing",
			report.Round{Churn: []report.Change{gone, oom}, Expected: []report.Expected{expected("a", "x", "y")},
				Agents: []report.AgentReport{agent("a", good, to("b", path("y", 10, 10, 0, 0, void(10, 10))))}}},
		{"void requests beside some that could not be sent leave no data",
			report.Round{Churn: []report.Change{gone}, Expected: []report.Expected{expected("a", "x", "y")},
				Agents: []report.AgentReport{agent("a", good,
					to("b", path("y", 10, 10, 0, 0, void(9, 9), report.Failure{Outcome: probe.Aborted, Count: 1})))}}},
		{"a path of which nothing was sent is not void",
			report.Round{Churn: []report.Change{gone}, Expected: []report.Expected{expected("a", "x", "y")},
				Agents: []report.AgentReport{agent("a", good, to("b", path("y", 10, 0, 0, 0)))}}},
		{"an agent of which everything is void fails nothing",
			report.Round{Churn: []report.Change{gone},
				Expected: []report.Expected{expected("a", "x"), expected("c", "y")},
				Agents: []report.AgentReport{agent("a", good),
					agent("c", to("b", path("y", 10, 10, 0, 0, void(10, 10))))}}},
		{"a round of which everything is void is no success",
			report.Round{Churn: []report.Change{gone}, Missing: notReported,
				Expected: []report.Expected{expected("a", "y")},
				Agents:   []report.AgentReport{agent("a", to("b", path("y", 10, 10, 0, 0, void(10, 10))))}}},
		{"a round of which everything is void for several reasons is no success",
			report.Round{Churn: []report.Change{gone, oom}, Expected: []report.Expected{expected("a", "y")},
				Agents: []report.AgentReport{agent("a", path("y", 10, 10, 0, 0, void(10, 10)))}}},
		{"a round without any report is no success though nobody could report",
			report.Round{Churn: []report.Change{gone}, Missing: notReported}},
		{"an agent that is missing for no such reason fails the round",
			report.Round{Churn: []report.Change{gone}, Expected: []report.Expected{expected("a", "x")},
				Agents:  []report.AgentReport{agent("a", good)},
				Missing: append(notReported[:1:1], report.Missing{Pod: "c", Node: "node-c", Reason: "no answer"})}},
		{"what an agent that was cut measured counts",
			report.Round{Churn: []report.Change{gone}, Expected: []report.Expected{asked(expected("b", "x"))},
				Agents: []report.AgentReport{cut(agent("b", path("x", 4, 4, 4, time.Millisecond)))}}},
		{"what failed before an agent was cut fails",
			report.Round{Churn: []report.Change{gone}, Expected: []report.Expected{asked(expected("b", "x"))},
				Agents: []report.AgentReport{cut(agent("b", path("x", 4, 4, 2, time.Millisecond, void(0, 2))))}}},
		{"an agent that was cut before it sent anything has no data",
			report.Round{Churn: []report.Change{gone},
				Expected: []report.Expected{expected("a", "x"), asked(expected("b", "x"))},
				Agents:   []report.AgentReport{agent("a", good), cut(agent("b", path("x", 0, 0, 0, 0)))}}},
		{"void requests of a kept stream fail nothing",
			report.Round{Churn: []report.Change{gone}, Expected: []report.Expected{expected("a", "x")},
				Agents: []report.AgentReport{agent("a", withKept)}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { golden(t, c.name, show(verdict.Judge(c.round, strict))) })
	}
}

func TestJudgePathLeavesOutVoidRequests(t *testing.T) {
	p := path("x", 10, 10, 4, time.Millisecond,
		report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: 6, Excused: 6})
	if got := verdict.JudgePath(p, verdict.Expect{SuccessRate: 1}); got.Result != verdict.Pass {
		t.Errorf("judged %+v", got)
	}
	p.Failures[0].Excused = 5
	if got := verdict.JudgePath(p, verdict.Expect{SuccessRate: 1}); got.Result != verdict.Fail {
		t.Errorf("judged %+v", got)
	}
}
