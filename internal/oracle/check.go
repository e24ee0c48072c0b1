package oracle

import (
	"fmt"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Kind is what kind of error the product made.
type Kind string

// The kinds of errors.
const (
	// FalseGreen: a fault cost a path more than the allowance and more than changes explain, and the path passes or
	// is void; or the round is a pass although somebody did not report, or was not looked at.
	FalseGreen Kind = "false green"
	// FalseRed: nothing was broken on a path, and it fails; or a round without any fault fails.
	FalseRed Kind = "false red"
	// NotGreen: nothing at all happened, and the round is no pass.
	NotGreen Kind = "healthy and not a pass"
	// Unproven: an excuse names what did not happen, or explains more than failed.
	Unproven Kind = "excuse that did not happen"
	// Improved: one more failure made a result better.
	Improved Kind = "a failure improves a result"
	// Touched: a change that cannot touch a path changed its result.
	Touched Kind = "a change touches a path that it cannot"
	// Taken: measurements that were taken away made a pass.
	Taken Kind = "less measured makes a pass"
	// Disorder: the order of what was reported changed a result.
	Disorder Kind = "order matters"
	// FalseBlame: a finding blames something in a round without a fault.
	FalseBlame Kind = "false blame"
	// Broken: a report does not go through the wire.
	Broken Kind = "report that is refused"
)

// voided is the result of a path of which changes leave nothing to judge.
const voided verdict.Result = "void"

// Kinds are all kinds of errors, in the order in which they are shown.
func Kinds() []Kind {
	return []Kind{FalseGreen, FalseRed, NotGreen, Unproven, Improved, Touched, Taken, Disorder, FalseBlame, Broken}
}

// Problem is one error of the product in one round.
type Problem struct {
	Kind Kind
	Text string
}

// Outcome is what came of one round.
type Outcome struct {
	Problems []Problem
	Result   verdict.Result
	// Unlucky reports that a path fails that chance alone cost more than the margin allows, or for what nobody can
	// know: that is no error.
	Unlucky bool
	// Quiet reports a round without a fault, Blames how many findings it has all the same.
	Quiet  bool
	Blames int
	// Found reports a finding in a round with a fault.
	Found bool
}

// checker holds one round's judgement against its truth.
type checker struct {
	truth   *Truth
	judged  Judged
	windows []window
	outcome Outcome
}

// Check simulates the scenario and holds the product's judgement against the truth.
func Check(s Scenario) Outcome {
	c := checker{truth: Simulate(s)}
	c.windows = c.truth.windows()
	e, err := c.truth.evidence()
	if err != nil {
		c.problem(Broken, "%v", err)
		return c.outcome
	}
	c.judged = e.judge(s.Expect)
	c.outcome.Result = c.judged.Verdict.Result
	c.paths()
	c.round()
	c.excuses()
	c.findings()
	c.metamorphic(e)
	return c.outcome
}

func (c *checker) problem(kind Kind, format string, args ...any) {
	for _, p := range c.outcome.Problems {
		if p.Kind == kind {
			return // One of a kind is enough to look at.
		}
	}
	c.outcome.Problems = append(c.outcome.Problems, Problem{kind, fmt.Sprintf(format, args...)})
}

// resultOf is the judgement on an agent, nil where there is none.
func resultOf(v verdict.Verdict, pod string) *verdict.Agent {
	for i := range v.Agents {
		if v.Agents[i].Pod == pod {
			return &v.Agents[i]
		}
	}
	return nil
}

// idle is how many connections of the persistent stream a fault ended while they were idle, less one for each change
// that may have done so.
func (c *checker) idle(p PathTruth) int {
	n := p.Kept.idleFaults
	for _, w := range c.windows {
		if c.truth.concerns(p.r, w) {
			n--
		}
	}
	return n
}

// unlucky reports whether chance alone cost the path more than the margins allow, or something that nobody can know of.
func (c *checker) unlucky(a AgentTruth, p PathTruth, counted, kept account) bool {
	t := c.truth
	unlucky := counted.outside+kept.outside > 0 || t.hidden(p) || t.starved(p, p.Counted, counted) ||
		t.starved(p, p.Kept, kept) ||
		t.chance(a, p, p.Counted.attempts) || t.chance(a, p, p.Kept.attempts) || t.misled(p.Counted) || t.misled(p.Kept)
	c.outcome.Unlucky = c.outcome.Unlucky || unlucky
	return unlucky
}

// misled reports whether a request failed for a change of which nobody can know the time: a restart that is told by a
// clock which is wrong by less than the time between two looks, of an agent whose silence tells nothing because it had
// begun before, for a fault; or the removal of a node that was announced and that no look showed, with the same agent.
func (t *Truth) misled(s stream) bool {
	return slices.ContainsFunc(s.attempts, func(x attempt) bool {
		if x.cause.Culprit != ByChange {
			return false
		}
		c := t.Scenario.Changes[x.cause.Index]
		if c.Kind == Remove {
			return t.unseen(c)
		}
		wrong := t.Scenario.Starts[c.Node].Clock.Abs()
		if c.Kind != Restart || wrong <= clocks {
			return false
		}
		// Silence is no better known than the agent is asked.
		return wrong <= heartbeat+before || slices.ContainsFunc(t.world.faults[LostReport], func(i int) bool {
			return t.Scenario.Faults[i].Node == c.Node
		})
	})
}

// unseen reports whether no look shows that the node was removed, and a fault had kept the reports of all agents on it
// away before.
func (t *Truth) unseen(c Change) bool {
	if c.At+min(c.Follows, lease) <= t.Length {
		return false
	}
	for _, a := range t.Agents {
		lost := a.Lost.Culprit == ByFault && a.Silent <= c.At
		if t.world.pods[a.Number].node == c.Node && !lost {
			return false
		}
	}
	return true
}

// hidden reports whether pods may answer here that nobody can know of: none that the traffic policy leaves out ever
// answered.
func (t *Truth) hidden(p PathTruth) bool {
	if p.r.kind != target.NodePort || !t.Scenario.Service.ExternalLocal || len(p.r.may) < len(p.r.known) {
		return false
	}
	further := func(a attempt) bool {
		return a.outcome == probe.OK && a.peer != nobody && int(a.peer) < len(t.Scenario.Nodes) &&
			t.world.pods[a.peer].node != p.r.node
	}
	return !slices.ContainsFunc(p.Counted.attempts, further) ||
		(p.HasKept && !slices.ContainsFunc(p.Kept.attempts, further))
}

// anyFails reports whether a path fails.
func (c *checker) anyFails() bool {
	for _, a := range c.judged.Verdict.Agents {
		for _, p := range a.Paths {
			if p.Result == verdict.Fail {
				return true
			}
		}
	}
	return false
}

// pathOf is the judgement on an agent's path.
func pathOf(a *verdict.Agent, id string) verdict.Path {
	for _, p := range a.Paths {
		if p.Target == id {
			return p
		}
	}
	return verdict.Path{}
}

// paths checks every path by itself.
func (c *checker) paths() {
	for _, a := range c.truth.Agents {
		judged := resultOf(c.judged.Verdict, podName(a.Number))
		if judged == nil {
			continue
		}
		results := make(map[string]verdict.Path, len(judged.Paths))
		for _, p := range judged.Paths {
			results[p.Target] = p
		}
		for _, p := range a.Paths {
			c.path(a, p, results[p.Target.ID])
		}
	}
}

func (c *checker) path(a AgentTruth, p PathTruth, judged verdict.Path) {
	t, expect := c.truth, c.truth.Scenario.Expect
	counted := t.reckon(a, p, p.Counted.attempts, c.windows)
	kept := t.reckon(a, p, p.Kept.attempts, c.windows)
	where := fmt.Sprintf("%s to %s", podName(a.Number), p.Target.ID)
	// A Service that is uneven although nothing says so is itself a fault of all that it leads anywhere.
	uneven := t.Scenario.Service.Undeclared && p.r.pod == nobody
	// So is an address that two nodes have, of all requests to it.
	shared := p.r.kind == target.NodePort && len(t.world.faults[SharedAddress]) > 0
	// A fault that takes a pod from a Service or a proxy that sticks to pods leads their clients to another one.
	moved := t.world.pinned(p.r) && p.r.pod == nobody && t.world.unlists()
	// A pod that a fault keeps out of the plan may be led to all the same, once it is there again, and nobody follows
	// what becomes of it.
	unplanned := p.r.pod == nobody && t.world.unplanned()
	touched := uneven || shared || moved || unplanned ||
		counted.faults+counted.slow+kept.faults+kept.slow+p.Kept.idleFaults+p.Counted.idleFaults > 0
	if !touched && judged.Result == verdict.Fail && !c.unlucky(a, p, counted, kept) {
		c.problem(FalseRed, "%s: no fault met the path (%d of %d failed, %d by changes, %d by limits), and it is %q: %s",
			where, counted.failed, counted.made, counted.changes, counted.limits, judged.Result, reasonOf(judged))
	}
	if judged.Result != verdict.Pass && judged.Result != voided {
		return
	}
	ok := counted.made - counted.failed
	switch {
	case counted.broken(expect.SuccessRate):
		c.problem(FalseGreen,
			"%s: %d of %d failed, %d by a fault; changes explain at most %d of %d inside; the path is "+
				"%q and the round %q",
			where, counted.failed, counted.made, counted.faults, counted.excused(), counted.inside, judged.Result,
			c.judged.Verdict.Result)
	case counted.slow > 0 && expect.MeanDelay > 0 && ok > 0 && counted.sum/time.Duration(ok) > expect.MeanDelay:
		c.problem(FalseGreen, "%s: the mean delay is %v where %v are allowed, and the path is a pass", where,
			counted.sum/time.Duration(ok), expect.MeanDelay)
	case p.HasKept && kept.broken(expect.SuccessRate) && !t.world.proxied(p.r):
		c.problem(FalseGreen,
			"%s: of the persistent stream %d of %d failed, %d by a fault; changes explain at most %d, "+
				"and the path is a pass",
			where, kept.failed, kept.made, kept.faults, kept.excused())
	case p.HasKept && !t.world.proxied(p.r) && kept.dropped(c.idle(p), expect.SuccessRate):
		c.problem(FalseGreen, "%s: %d persistent connections were reset while idle beside %d requests, of which %d "+
			"failed, "+
			"and the path is a pass", where, p.Kept.idleFaults, kept.made, kept.failed)
	}
}

// starved reports whether slow answers cost the path more than the share of the slow agents, with three standard
// deviations, would let them; or whether nobody can know of them, because the slow agent gave no report.
func (t *Truth) starved(p PathTruth, s stream, sum account) bool {
	for _, a := range s.attempts {
		if a.cause.Culprit == ByAnswerer && !t.reported(t.Scenario.Limits[a.cause.Index].Node) {
			return true
		}
	}
	if p.r.pod != nobody || sum.limits == 0 {
		return false
	}
	slow := 0
	for _, pod := range p.r.may {
		if pod < len(t.world.limits) && len(t.world.limits[pod]) > 0 {
			slow++
		}
	}
	share := float64(slow) / float64(max(len(p.r.may), 1))
	return float64(sum.limits) > margin(share, float64(sum.made))
}

// reported reports whether the agent's report reached the controller.
func (t *Truth) reported(number int) bool {
	for _, a := range t.Agents {
		if a.Number == number {
			return a.Reports
		}
	}
	return false
}

func reasonOf(p verdict.Path) string { return fmt.Sprint(p.Reason) }

// round checks what is true of the whole.
func (c *checker) round() {
	s, result := c.truth.Scenario, c.judged.Verdict.Result
	harmless := true
	for _, change := range s.Changes {
		harmless = harmless && change.Kind == Cordon
	}
	c.outcome.Quiet = len(s.Faults) == 0 && !s.Service.Undeclared
	switch {
	case c.outcome.Quiet && result == verdict.Fail && !c.anyFails():
		c.problem(FalseRed, "there is no fault, and the round fails: %v", c.judged.Verdict.Reasons)
	case c.outcome.Quiet && harmless && len(s.Limits) == 0 && result != verdict.Pass:
		c.problem(NotGreen, "nothing happened, and the round is %q: %v", result, c.judged.Verdict.Reasons)
	}
	if result != verdict.Pass {
		return
	}
	for _, a := range c.truth.Agents {
		if !a.Reports && a.Lost.Culprit == ByFault && !c.excusable(a.Number, a.Silent) {
			c.problem(FalseGreen, "%s did not report because of a fault, and the round is a pass", podName(a.Number))
		}
		if a.Reports && a.Stopped != forever && a.Cause.Culprit == ByAsker && !c.excusable(a.Number, a.Stopped) {
			c.problem(FalseGreen, "%s was stopped before its end, and the round is a pass", podName(a.Number))
		}
	}
	for _, f := range s.Faults {
		if f.Kind == AgentAbsent || (f.Kind == SharedAddress && wants(s, target.NodePort) && !s.Service.ExternalLocal) {
			c.problem(FalseGreen, "%s on %s, and the round is a pass", f.Kind, nodeName(f.Node))
		}
	}
}

// excusable reports whether, for all that anybody can know, a change of the agent is why it fell silent at the moment.
func (c *checker) excusable(agent int, at time.Duration) bool {
	t := c.truth
	for _, w := range c.windows {
		change := t.Scenario.Changes[w.change]
		// A restart that is told by a wrong clock may have been at any moment since the look before.
		from := w.from
		if change.Kind == Restart {
			from = min(from, lastBefore(t.looks, t.noticed(w.change))-before)
		}
		if w.pod == agent && at >= from {
			return true
		}
	}
	return false
}

func wants(s Scenario, kind target.Kind) bool {
	for _, k := range s.Kinds {
		if k == kind {
			return true
		}
	}
	return false
}

// findings counts what is blamed where nothing is broken.
func (c *checker) findings() {
	if !c.outcome.Quiet {
		c.outcome.Found = len(c.judged.Findings) > 0
		return
	}
	// What failing paths have in common is found of those as well that fail for chance, or for what nobody can know.
	if c.outcome.Unlucky {
		return
	}
	c.outcome.Blames = len(c.judged.Findings)
	if c.outcome.Blames > 0 {
		f := c.judged.Findings[0]
		c.problem(FalseBlame, "there is no fault, and %s (%s) blames %s: %s", f.Reason, f.Confidence, f.Component,
			f.Message)
	}
}
