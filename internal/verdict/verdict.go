// Package verdict judges a round: pass, void, no data, tool-limited or fail, per path, per agent and in all. Reasons
// are data (reason.go); their wording is in words.go. How much must have been measured is in floors.go.
package verdict

import (
	"cmp"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/report"
)

// Result is a judgement.
type Result string

// The judgements, the worst last. Only Pass is a success: a path without data is no more a success than a failed path.
const (
	Pass Result = "pass"
	// Void: changes of agents excuse so much that too little is left to judge. A void path or agent fails nothing; a
	// round is never void.
	Void   Result = "void"
	NoData Result = "no data"
	// ToolLimited: there are measurements, but the agent that made them was too short of CPU, ports, descriptors or
	// memory for them to be trusted.
	ToolLimited Result = "tool-limited"
	Fail        Result = "fail"
)

// severity orders results. What is known to be broken weighs most. Then follow what was measured but cannot be trusted,
// what was not measured, and what nobody could have measured.
func severity(r Result) int {
	switch r {
	case Pass:
		return 0
	case Void:
		return 1
	case NoData:
		return 2
	case ToolLimited:
		return 3
	case Fail:
	}
	return 4
}

// worse reports whether a weighs more than b.
func worse(a, b Result) bool { return severity(a) > severity(b) }

// Expect is what a path must reach.
type Expect struct {
	// SuccessRate is the least share of attempts that must succeed, 0..1.
	SuccessRate float64
	// MeanDelay is the largest mean latency of the successful attempts; 0 means that latency is not judged.
	MeanDelay time.Duration
}

// JudgedPath is the judgement on one path; Reason is zero on Pass.
type JudgedPath struct {
	Target string `json:"Target"`
	Result Result `json:"Result"`
	Reason Reason `json:"Reason,omitzero"`
}

// JudgedAgent is the judgement on one agent.
type JudgedAgent struct {
	Pod  string `json:"Pod"`
	Node string `json:"Node"`
	// Result is the result of the worst path, or of anything that is worse than all paths. A void path has no part in
	// it, unless all paths are void.
	Result Result `json:"Result"`
	// Reason is the reason of the first path with the agent's result, or the limit that the agent met.
	Reason Reason `json:"Reason,omitzero"`
	// Paths are sorted by target.
	Paths []JudgedPath `json:"Paths"`
	// Explained reports that findings about other nodes explain all failures of the agent.
	Explained bool `json:"Explained,omitempty"`
	// Unlisted are the paths in sums that did not pass and that no change excuses; they are not stored.
	Unlisted []Unlisted `json:"-"`
}

// Verdict is the judgement on a round. The same reports give the same verdict, in whatever order they come.
type Verdict struct {
	Result Result `json:"Result"`
	// Reasons are what kept the round from passing; empty on Pass.
	Reasons []Reason `json:"Reasons"`
	// Agents are sorted by node, then pod.
	Agents []JudgedAgent `json:"Agents"`
}

// worsen adds a reason.
func (v *Verdict) worsen(to Result, reason Reason) {
	if worse(to, v.Result) {
		v.Result = to
	}
	v.Reasons = append(v.Reasons, reason)
}

// Judge judges a round by what is expected of its paths.
func Judge(round report.Round, expect Expect) Verdict {
	v := Verdict{Result: Pass}
	for _, gap := range sortedGaps(round.Gaps) {
		v.worsen(Fail, Reason{Code: NoTarget, Kind: gap.Kind, Family: gap.Family, Text: gap.Reason})
	}
	for _, missing := range missingAgents(round) {
		if !missing.Excused {
			v.worsen(Fail, Reason{Code: NotReported, Pod: missing.Pod, Node: missing.Node, Text: missing.Reason})
		}
	}
	if round.Budget.Withheld() {
		v.worsen(NoData, Reason{Code: NothingGiven, Text: phrases.NothingSent(round.Budget)})
		return v
	}
	j := newJudge(round, expect)
	for _, reported := range j.agents {
		agent := j.judgeAgent(reported)
		v.Agents = append(v.Agents, agent)
		if worse(agent.Result, Void) {
			v.worsen(agent.Result, agent.Reason.ofAgent(agent.Pod, agent.Node))
		}
	}
	if len(round.Agents) == 0 && v.Result != Fail {
		v.worsen(NoData, nobodyReported(round))
	}
	if v.Result == Pass {
		for _, reason := range coverageReasons(round, v.Agents) {
			v.worsen(NoData, reason)
		}
	}
	return v
}

// judge has what is needed to judge the agents of a round.
type judge struct {
	round  report.Round
	expect Expect
	// agents are the round's agents, sorted by node and pod.
	agents []reported
	slow   slowAnswerers
	// changed are the pods that changed during the round.
	changed map[string]bool
}

// reported is the report of one agent.
type reported struct {
	*report.AgentReport
	// reported are the paths as the agent reported them. judged are the paths as if the excused requests had never been
	// made. Both are sorted by target.
	reported, judged []*report.Path
	// limit is the limit that makes all of the agent's paths doubtful, nil for none.
	limit *Reason
	// rankings compare the agent's paths with each other.
	rankings rankings
}

func newJudge(round report.Round, expect Expect) judge {
	j := judge{round: round, expect: expect, changed: map[string]bool{}}
	for _, c := range round.Churn {
		j.changed[c.Pod] = true
	}
	for i := range round.Agents {
		j.agents = append(j.agents, newReported(&round.Agents[i], expect))
	}
	slices.SortStableFunc(j.agents,
		func(a, b reported) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod)) })
	j.slow = slowAnswers(round, j.agents)
	return j
}

func newReported(a *report.AgentReport, expect Expect) reported {
	r := reported{AgentReport: a, limit: agentLimit(a, expect), rankings: rankings{}}
	for i := range a.Paths {
		r.reported = append(r.reported, &a.Paths[i])
	}
	slices.SortStableFunc(r.reported, func(a, b *report.Path) int { return cmp.Compare(a.Target.ID, b.Target.ID) })
	for _, p := range r.reported {
		r.judged = append(r.judged, judgedPath(p))
	}
	return r
}

// judgedPath returns the path as if the excused requests had never been made.
func judgedPath(p *report.Path) *report.Path {
	if p.Excused() == 0 && (p.Persistent == nil || p.Persistent.Excused() == 0) {
		return p
	}
	left := p.WithoutExcused()
	return &left
}

// judgeAgent judges one agent. A stop or a missing measurement weighs more than excuses.
func (j *judge) judgeAgent(r reported) JudgedAgent {
	expected, _ := j.round.ExpectedOf(r.Pod)
	agent := JudgedAgent{Pod: r.Pod, Node: r.Node, Result: Pass}
	left, measured := false, make(map[string]bool, len(r.reported))
	worsen := func(to Result, reason Reason) {
		if worse(to, agent.Result) {
			agent.Result, agent.Reason = to, reason
		}
	}
	for i := range r.reported {
		judged := j.judgePath(&r, i, expected)
		agent.Paths = append(agent.Paths, judged)
		measured[judged.Target] = true
		if judged.Result == Void {
			continue
		}
		left = true
		worsen(judged.Result, judged.Reason.onTarget(judged.Target))
	}
	left = j.judgeSums(&r, &agent, worsen) || left
	if agent.Result == ToolLimited && r.limit != nil {
		agent.Reason = *r.limit
	}
	// This comes first: it explains the missing measurements below.
	if r.StoppedWhy == "" && !r.Finished {
		worsen(NoData, Reason{Code: Stopped})
	}
	// This holds for a stopped agent too: agents report all of their targets from their first moment on.
	for _, id := range slices.Sorted(slices.Values(expected.Targets)) {
		if !measured[id] {
			worsen(NoData, Reason{Code: NotMeasured, Target: id})
		}
	}
	if n := unmeasured(&r, expected); n > 0 {
		worsen(NoData, Reason{Code: PathsNotMeasured, Count: n, Of: expected.Paths})
	}
	if r.StoppedWhy == "" && len(r.reported) == 0 && len(r.Sums) == 0 {
		worsen(NoData, Reason{Code: NoTargets})
	}
	if agent.Result == Pass && !left {
		agent.Result, agent.Reason = Void, allExcused(agent.Paths, r.StoppedWhy)
	}
	return agent
}

// allExcused returns why nothing of an agent is left to judge.
func allExcused(paths []JudgedPath, cut string) Reason {
	if cut != "" || len(paths) == 0 {
		return Reason{Code: Cut, Text: cut}
	}
	return paths[0].Reason.onTarget(paths[0].Target)
}
