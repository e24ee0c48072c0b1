// Package verdict judges a round: pass, fail, tool-limited or no data, per path, per agent and in all.
package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

// Result is a judgement.
type Result string

// The judgements. Only Pass is a success: a path without data is as little a success as one that failed.
const (
	Pass Result = "pass"
	Fail Result = "fail"
	// ToolLimited: there are measurements, but the agent that made them was too short of CPU, ports, descriptors or memory for them to be trusted.
	ToolLimited Result = "tool-limited"
	NoData      Result = "no data"
)

// NothingLeft is how the reason begins, and there is no other, of a round in which nothing failed but everything is void.
const NothingLeft = "nothing is left to judge"

// severity orders results: what is known to be broken weighs most, then what could not be told although it was measured,
// then what was not measured.
func severity(r Result) int {
	switch r {
	case Pass:
		return 0
	case NoData:
		return 1
	case ToolLimited:
		return 2
	case Fail:
	}
	return 3
}

// worse tells whether a weighs more than b.
func worse(a, b Result) bool { return severity(a) > severity(b) }

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
	// Void tells that there is no data because an agent was changed during the round, which fails nothing.
	Void bool
}

// Agent is the judgement on one agent; Paths stands in the order of the report's paths.
type Agent struct {
	Pod, Node string
	Result    Result
	// Reason is that of the first path with the agent's result, or the limit that the agent met.
	Reason string
	// Void tells that all of its paths are void.
	Void  bool
	Paths []Path
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
		if worse(to, v.Result) {
			v.Result = to
		}
		v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...))
	}
	for _, gap := range round.Gaps {
		worsen(Fail, "no %s target over %s: %s", gap.Kind, gap.Family, gap.Reason)
	}
	for _, missing := range round.Missing {
		if missing.Void {
			continue
		}
		worsen(Fail, "%s did not report: %s", Named(missing.Pod, missing.Node), missing.Reason)
	}
	if nothing := round.Load.Withheld(); nothing != "" {
		worsen(NoData, "%s", nothing)
		return v
	}
	slow := slowAnswers(round)
	for _, reported := range round.Agents {
		agent := judgeAgent(reported, round, expect, slow)
		v.Agents = append(v.Agents, agent)
		if agent.Result != Pass && !agent.Void {
			worsen(agent.Result, "%s: %s", Named(agent.Pod, agent.Node), agent.Reason)
		}
	}
	if len(round.Agents) == 0 && v.Result != Fail {
		worsen(NoData, "no agent reported")
	}
	if v.Result == Pass && !slices.ContainsFunc(v.Agents, func(a Agent) bool { return !a.Void }) {
		worsen(NoData, NothingLeft+": %s", changed(round.Churn))
	}
	return v
}

// Named is how reasons name an agent, at their beginning. A pod that has no node yet is named alone.
func Named(pod, node string) string {
	if node == "" {
		return "agent " + pod
	}
	return fmt.Sprintf("agent %s on node %s", pod, node)
}

func judgeAgent(reported report.Agent, round report.Round, expect Expect, slow slow) Agent {
	expected, _ := round.ExpectedOf(reported.Pod)
	whole := reported.Paths
	reported = withoutVoid(reported)
	agent := Agent{Pod: reported.Pod, Node: reported.Node, Result: Pass}
	worsen := func(to Result, reason string) {
		if worse(to, agent.Result) {
			agent.Result, agent.Reason = to, reason
		}
	}
	limit := agentLimit(reported, expect)
	measured := make(map[string]bool, len(reported.Paths))
	for i, p := range reported.Paths {
		stands := betweenOf(whole[i])
		answer := slow.on(reported.Pod, p, stands)
		judged := judgePath(p, expect, doubt{agent: limit, limit: cmp.Or(limit, pathLimit(p)), answer: answer, between: stands,
			alone: func() bool { return alone(reported.Paths, i, answer != "") }})
		if due := whole[i].Scheduled; judged.Result == Pass && due < expected.Requests && reported.Cut == "" {
			judged.Result, judged.Reason = NoData, fmt.Sprintf("only %d of the %d planned requests came due", due, expected.Requests)
		}
		if reason := small(whole[i], round.Load.AnswerBytes); judged.Result == Pass && reason != "" {
			judged.Result, judged.Reason = ToolLimited, reason
		}
		judged = excuse(judged, whole[i], reported.Cut, round.Churn)
		agent.Paths = append(agent.Paths, judged)
		measured[p.Target.ID] = true
		if judged.Result != Pass && !judged.Void {
			worsen(judged.Result, judged.Target+": "+judged.Reason)
		}
	}
	if agent.Result == ToolLimited && limit != "" {
		agent.Reason = limit
	}
	if void, reason := allVoid(agent.Paths, reported.Cut); void && agent.Result == Pass {
		agent.Result, agent.Reason, agent.Void = NoData, reason, true
	}
	if reported.Cut != "" {
		return agent
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
