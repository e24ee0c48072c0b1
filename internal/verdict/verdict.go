// Package verdict judges a round: pass, fail, or no data, per path, per agent and in all.
package verdict

import (
	"fmt"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
)

// Result is a judgement.
type Result string

// The judgements. Only Pass is a success: a path without data is as little a success as one that failed.
const (
	Pass   Result = "pass"
	Fail   Result = "fail"
	NoData Result = "no data"
)

// Expect is what a path must reach.
type Expect struct {
	// SuccessRate is the least share of attempts that must succeed, 0..1.
	SuccessRate float64
	// MeanDelay is the largest mean latency of the successful attempts; 0 means that latency is not judged.
	MeanDelay time.Duration
}

// Path is the judgement on one path; Reason is empty on Pass.
type Path struct {
	Target string
	Result Result
	Reason string
}

// Agent is the judgement on one agent; Paths stands in the order of the report's paths.
type Agent struct {
	Pod, Node string
	Result    Result
	// Reason is that of the first path that did not pass.
	Reason string
	Paths  []Path
}

// Verdict is the judgement on a round.
type Verdict struct {
	Result Result
	// Reasons say, one sentence each, what kept the round from passing; empty on Pass.
	Reasons []string
	Agents  []Agent
}

// Judge holds a round against what was expected.
func Judge(round report.Round, expect Expect) Verdict {
	v := Verdict{Result: Pass}
	worsen := func(to Result, format string, args ...any) {
		if v.Result != Fail {
			v.Result = to
		}
		v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...))
	}
	for _, gap := range round.Gaps {
		worsen(Fail, "no %s target over %s: %s", gap.Kind, gap.Family, gap.Reason)
	}
	for _, missing := range round.Missing {
		worsen(Fail, "agent %s on node %s did not report: %s", missing.Pod, missing.Node, missing.Reason)
	}
	for _, reported := range round.Agents {
		expected, _ := round.ExpectedOf(reported.Pod)
		agent := judgeAgent(reported, expected, expect)
		v.Agents = append(v.Agents, agent)
		if agent.Result != Pass {
			worsen(agent.Result, "agent %s on node %s: %s", agent.Pod, agent.Node, agent.Reason)
		}
	}
	if len(round.Agents) == 0 && v.Result != Fail {
		worsen(NoData, "no agent reported")
	}
	return v
}

func judgeAgent(reported report.Agent, expected report.Expected, expect Expect) Agent {
	agent := Agent{Pod: reported.Pod, Node: reported.Node, Result: Pass}
	worsen := func(to Result, reason string) {
		if agent.Result == Pass || (agent.Result == NoData && to == Fail) {
			agent.Result, agent.Reason = to, reason
		}
	}
	measured := make(map[string]bool, len(reported.Paths))
	for _, p := range reported.Paths {
		judged := JudgePath(p, expect)
		if judged.Result == Pass && p.Scheduled < expected.Requests {
			judged.Result, judged.Reason = NoData, fmt.Sprintf("only %d of the %d planned requests came due", p.Scheduled, expected.Requests)
		}
		agent.Paths = append(agent.Paths, judged)
		measured[p.Target.ID] = true
		if judged.Result != Pass {
			worsen(judged.Result, judged.Target+": "+judged.Reason)
		}
	}
	// Before what is not measured, of which it is the cause.
	if !reported.Finished {
		worsen(NoData, "the round was stopped before its end")
	}
	for _, id := range expected.Targets {
		if !measured[id] {
			worsen(NoData, id+": not measured")
		}
	}
	if len(reported.Paths) == 0 {
		worsen(NoData, "there was no target to measure")
	}
	return agent
}

// missedShare is the share of due attempts above which a path that the agent could not serve says nothing about the network.
const missedShare = 0.001

// JudgePath judges one path. The order is: was anything measured, did enough succeed, was it fast enough, was it the agent's own fault.
// Attempts that the agent could not send, or that were cut off by the end of the round, say nothing about the path and are left out of its rate.
func JudgePath(p report.Path, expect Expect) Path {
	judged := Path{Target: p.Target.ID, Result: Pass}
	decide := func(result Result, format string, args ...any) Path {
		judged.Result, judged.Reason = result, fmt.Sprintf(format, args...)
		return judged
	}
	notSent := count(p, probe.NotSent)
	made := p.Sent - notSent - count(p, probe.Aborted)
	switch {
	case made == 0:
		return decide(NoData, "no request was sent (%d were due)%s", p.Scheduled, worst(p))
	case short(p.OK, made, expect.SuccessRate):
		return decide(Fail, "%d of %d requests succeeded, expected a rate of at least %v%s", p.OK, made, expect.SuccessRate, worst(p))
	case p.OK > 0 && expect.MeanDelay > 0 && p.Latency.Mean() > expect.MeanDelay:
		return decide(Fail, "mean delay %.3f ms is above the expected %d ms", float64(p.Latency.Mean())/float64(time.Millisecond), expect.MeanDelay.Milliseconds())
	case p.OK == 0 && expect.MeanDelay > 0:
		return decide(NoData, "no request succeeded, so there is no delay to judge%s", worst(p))
	case float64(p.Missed+notSent) > missedShare*float64(p.Scheduled):
		return decide(NoData, "the agent sent only %d of %d due requests: it is short of CPU, ports or descriptors", p.Sent-notSent, p.Scheduled)
	}
	return judged
}

// short tells whether ok of total misses the rate. The tolerance is for rates such as 0.07 that binary floats cannot hold:
// it is far below one request for any count that fits a round.
func short(ok, total uint64, rate float64) bool {
	want := rate * float64(total)
	return float64(ok) < want-1e-9*max(want, 1)
}

// count is how many attempts had the outcome.
func count(p report.Path, outcome probe.Outcome) uint64 {
	var total uint64
	for _, f := range p.Failures {
		if f.Outcome == outcome {
			total += f.Count
		}
	}
	return total
}

// worst names the most frequent failure.
func worst(p report.Path) string {
	var most report.Failure
	for _, f := range p.Failures {
		if f.Count > most.Count {
			most = f
		}
	}
	if most.Count == 0 {
		return ""
	}
	if phase := most.Phase.String(); phase != "" {
		return fmt.Sprintf(" (%d %s at %s)", most.Count, most.Outcome, phase)
	}
	return fmt.Sprintf(" (%d %s)", most.Count, most.Outcome)
}
