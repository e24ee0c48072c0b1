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
	// FalseGreen: a fault cost a path more than the allowance and more than changes explain, and the path passes or is
	// void; or the round passes although an agent did not report, or a node was not looked at.
	FalseGreen Kind = "false green"
	// FalseRed: nothing was broken on a path, and the path fails; or a round without any fault fails.
	FalseRed Kind = "false red"
	// NotGreen: nothing at all happened, and the round does not pass.
	NotGreen Kind = "healthy and not a pass"
	// UnprovenExcuse: an excuse names a change that did not happen, or explains more requests than failed.
	UnprovenExcuse Kind = "excuse that did not happen"
	// FailureImproves: one more failure made a result better.
	FailureImproves Kind = "a failure improves a result"
	// ForeignChange: a change that cannot affect a path changed the path's result.
	ForeignChange Kind = "a change touches a path that it cannot"
	// LessMeasuredPasses: taking measurements away made a pass.
	LessMeasuredPasses Kind = "less measured makes a pass"
	// OrderMatters: the order of what was reported changed a result.
	OrderMatters Kind = "order matters"
	// FalseBlame: a finding blames something in a round without a fault.
	FalseBlame Kind = "false blame"
	// RefusedReport: a report does not go through the wire.
	RefusedReport Kind = "report that is refused"
)

// void is the result of a path on which changes leave nothing to judge.
const void verdict.Result = "void"

// Kinds returns all kinds of errors, in the order in which they are shown.
func Kinds() []Kind {
	return []Kind{FalseGreen, FalseRed, NotGreen, UnprovenExcuse, FailureImproves, ForeignChange, LessMeasuredPasses,
		OrderMatters, FalseBlame, RefusedReport}
}

// Problem is one error of the product in one round.
type Problem struct {
	Kind Kind
	Text string
}

// RoundCheck is what came of one round.
type RoundCheck struct {
	Problems []Problem
	Result   verdict.Result
	// Unlucky reports that a path fails because chance alone cost more than the margin allows, or for a reason that
	// nobody can know. That is no error.
	Unlucky bool
	// FaultFree reports a round without a fault, Blames how many findings it has all the same.
	FaultFree bool
	Blames    int
	// Found reports a finding in a round with a fault.
	Found bool
}

// checker compares one round's judgement with its truth.
type checker struct {
	truth   *Truth
	judged  Judged
	windows []window
	outcome RoundCheck
}

// Check simulates the scenario and compares the product's judgement with the truth.
func Check(s Scenario) RoundCheck {
	c := checker{truth: Simulate(s)}
	c.windows = c.truth.windows()
	e, err := c.truth.evidence()
	if err != nil {
		c.problem(RefusedReport, "%v", err)
		return c.outcome
	}
	c.judged = e.judge(s.Expect)
	c.outcome.Result = c.judged.Verdict.Result
	c.checkPaths()
	c.checkRound()
	c.checkExcuses()
	c.checkFindings()
	c.checkMetamorphic(e)
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

// resultOf returns the judgement on an agent, nil without one.
func resultOf(v verdict.Verdict, pod string) *verdict.JudgedAgent {
	for i := range v.Agents {
		if v.Agents[i].Pod == pod {
			return &v.Agents[i]
		}
	}
	return nil
}

// unexplainedIdle returns how many connections of the persistent stream a fault ended while they were idle, less one
// for each change that may have ended one.
func (c *checker) unexplainedIdle(p PathTruth) int {
	n := p.Persistent.idleFaults
	for _, w := range c.windows {
		if c.truth.mayAffect(p.r, w) {
			n--
		}
	}
	return n
}

// unlucky reports whether chance alone, or something that nobody can know of, cost the path more than the margins
// allow.
func (c *checker) unlucky(a AgentTruth, p PathTruth, counted, persistent lossAccount) bool {
	t := c.truth
	unlucky := counted.outside+persistent.outside > 0 || t.hasHiddenBackends(p) ||
		t.exceedsSlowShare(p, p.Counted, counted) ||
		t.exceedsSlowShare(p, p.Persistent, persistent) ||
		t.exceedsShare(a, p, p.Counted.attempts) || t.exceedsShare(a, p, p.Persistent.attempts) ||
		t.hasUnknowableTime(p.Counted) || t.hasUnknowableTime(p.Persistent)
	c.outcome.Unlucky = c.outcome.Unlucky || unlucky
	return unlucky
}

// hasUnknowableTime reports whether a request failed for a change whose time nobody can know. One such change is a
// restart whose time comes from a clock that is wrong by less than the time between two snapshots, of an agent whose
// silence proves nothing because a fault had silenced it before. The other is the removal of a node that was announced
// and that no snapshot showed, with such an agent.
func (t *Truth) hasUnknowableTime(s stream) bool {
	return slices.ContainsFunc(s.attempts, func(x attempt) bool {
		if x.cause.Culprit != ByChange {
			return false
		}
		c := t.Scenario.Changes[x.cause.Index]
		if c.Kind == Remove {
			return t.removalUnseen(c)
		}
		wrong := t.Scenario.Starts[c.Node].Clock.Abs()
		if c.Kind != Restart || wrong <= maxClockError {
			return false
		}
		// The time of silence is known no better than the agent is asked.
		return wrong <= heartbeat+maxInFlight || slices.ContainsFunc(t.world.faults[LostReport], func(i int) bool {
			return t.Scenario.Faults[i].Node == c.Node
		})
	})
}

// removalUnseen reports whether no snapshot shows that the node was removed, and a fault had kept away the reports of
// all agents on it before.
func (t *Truth) removalUnseen(c Change) bool {
	if c.At+min(c.Follows, lease) <= t.Length {
		return false
	}
	for _, a := range t.Agents {
		lost := a.LostBecause.Culprit == ByFault && a.SilentSince <= c.At
		if t.world.pods[a.Number].node == c.Node && !lost {
			return false
		}
	}
	return true
}

// hasHiddenBackends reports whether pods may answer here that nobody can know of: no pod that the traffic policy leaves
// out ever answered.
func (t *Truth) hasHiddenBackends(p PathTruth) bool {
	if p.r.kind != target.NodePort || !t.Scenario.Service.ExternalLocal || len(p.r.answerers) < len(p.r.possible) {
		return false
	}
	further := func(a attempt) bool {
		return a.outcome == probe.OK && a.peer != nobody && int(a.peer) < len(t.Scenario.Nodes) &&
			t.world.pods[a.peer].node != p.r.node
	}
	return !slices.ContainsFunc(p.Counted.attempts, further) ||
		(p.HasPersistent && !slices.ContainsFunc(p.Persistent.attempts, further))
}

// anyFails reports whether any path fails.
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

// pathOf returns the judgement on an agent's path.
func pathOf(a *verdict.JudgedAgent, id string) verdict.JudgedPath {
	for _, p := range a.Paths {
		if p.Target == id {
			return p
		}
	}
	return verdict.JudgedPath{}
}

// checkPaths checks every path by itself.
func (c *checker) checkPaths() {
	for _, a := range c.truth.Agents {
		judged := resultOf(c.judged.Verdict, podName(a.Number))
		if judged == nil {
			continue
		}
		results := make(map[string]verdict.JudgedPath, len(judged.Paths))
		for _, p := range judged.Paths {
			results[p.Target] = p
		}
		for _, p := range a.Paths {
			c.checkPath(a, p, results[p.Target.ID])
		}
	}
}

func (c *checker) checkPath(a AgentTruth, p PathTruth, judged verdict.JudgedPath) {
	t, expect := c.truth, c.truth.Scenario.Expect
	counted := t.accountFor(a, p, p.Counted.attempts, c.windows)
	persistent := t.accountFor(a, p, p.Persistent.attempts, c.windows)
	where := fmt.Sprintf("%s to %s", podName(a.Number), p.Target.ID)
	// A Service that is uneven without saying so is itself a fault of all paths through it.
	uneven := t.Scenario.Service.SpreadIsFault && p.r.pod == nobody
	// An address that two nodes have is a fault of all requests to it.
	shared := p.r.kind == target.NodePort && len(t.world.faults[SharedAddress]) > 0
	// A fault that takes a pod from a Service or a sticky proxy leads the pod's clients to another pod.
	moved := t.world.sticks(p.r) && p.r.pod == nobody && t.world.hasUnlistingFault()
	// A pod that a fault keeps out of the plan may get requests once it is back, and nobody follows what becomes of it.
	unplanned := p.r.pod == nobody && t.world.hasUnplannedAgent()
	touched := uneven || shared || moved || unplanned ||
		counted.faults+counted.slow+persistent.faults+persistent.slow+p.Persistent.idleFaults+p.Counted.idleFaults > 0
	if !touched && judged.Result == verdict.Fail && !c.unlucky(a, p, counted, persistent) {
		c.problem(FalseRed, "%s: no fault met the path (%d of %d failed, %d by changes, %d by limits), and it is %q: %s",
			where, counted.failed, counted.made, counted.changes, counted.limits, judged.Result, reasonOf(judged))
	}
	if judged.Result != verdict.Pass && judged.Result != void {
		return
	}
	ok := counted.made - counted.failed
	switch {
	case counted.exceedsRate(expect.SuccessRate):
		c.problem(FalseGreen,
			"%s: %d of %d failed, %d by a fault; changes explain at most %d of %d inside; the path is "+
				"%q and the round %q",
			where, counted.failed, counted.made, counted.faults, counted.excused(), counted.inside, judged.Result,
			c.judged.Verdict.Result)
	case counted.slow > 0 && expect.MeanDelay > 0 && ok > 0 && counted.sum/time.Duration(ok) > expect.MeanDelay:
		c.problem(FalseGreen, "%s: the mean delay is %v where %v are allowed, and the path is a pass", where,
			counted.sum/time.Duration(ok), expect.MeanDelay)
	case p.HasPersistent && persistent.exceedsRate(expect.SuccessRate) && !t.world.proxied(p.r):
		c.problem(FalseGreen,
			"%s: of the persistent stream %d of %d failed, %d by a fault; changes explain at most %d, "+
				"and the path is a pass",
			where, persistent.failed, persistent.made, persistent.faults, persistent.excused())
	case p.HasPersistent && !t.world.proxied(p.r) &&
		persistent.idleExceedsRate(c.unexplainedIdle(p), expect.SuccessRate):
		c.problem(FalseGreen, "%s: %d persistent connections were reset while idle beside %d requests, of which %d "+
			"failed, "+
			"and the path is a pass", where, p.Persistent.idleFaults, persistent.made, persistent.failed)
	}
}

// exceedsSlowShare reports whether slow answers cost the path more than the slow agents' share, within three standard
// deviations, or whether nobody can know of a slow agent because it gave no report.
func (t *Truth) exceedsSlowShare(p PathTruth, s stream, sum lossAccount) bool {
	for _, a := range s.attempts {
		if a.cause.Culprit == ByAnswerer && !t.reported(t.Scenario.Limits[a.cause.Index].Node) {
			return true
		}
	}
	if p.r.pod != nobody || sum.limits == 0 {
		return false
	}
	slow := 0
	for _, pod := range p.r.answerers {
		if pod < len(t.world.limits) && len(t.world.limits[pod]) > 0 {
			slow++
		}
	}
	share := float64(slow) / float64(max(len(p.r.answerers), 1))
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

func reasonOf(p verdict.JudgedPath) string { return fmt.Sprint(p.Reason) }

// checkRound checks what must hold for the whole round.
func (c *checker) checkRound() {
	s, result := c.truth.Scenario, c.judged.Verdict.Result
	harmless := true
	for _, change := range s.Changes {
		harmless = harmless && change.Kind == Cordon
	}
	c.outcome.FaultFree = len(s.Faults) == 0 && !s.Service.SpreadIsFault
	switch {
	case c.outcome.FaultFree && result == verdict.Fail && !c.anyFails():
		c.problem(FalseRed, "there is no fault, and the round fails: %v", c.judged.Verdict.Reasons)
	case c.outcome.FaultFree && harmless && len(s.Limits) == 0 && result != verdict.Pass:
		c.problem(NotGreen, "nothing happened, and the round is %q: %v", result, c.judged.Verdict.Reasons)
	}
	if result != verdict.Pass {
		return
	}
	for _, a := range c.truth.Agents {
		if !a.Reports && a.LostBecause.Culprit == ByFault && !c.excusable(a.Number, a.SilentSince) {
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

// excusable reports whether, as far as anybody can know, a change of the agent may be why it fell silent at the moment.
func (c *checker) excusable(agent int, at time.Duration) bool {
	t := c.truth
	for _, w := range c.windows {
		change := t.Scenario.Changes[w.change]
		// A restart whose time comes from a wrong clock may have happened at any moment since the snapshot before.
		from := w.from
		if change.Kind == Restart {
			from = min(from, lastBefore(t.snapshotTimes, t.noticed(w.change))-maxInFlight)
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

// checkFindings counts the findings in a round without a fault.
func (c *checker) checkFindings() {
	if !c.outcome.FaultFree {
		c.outcome.Found = len(c.judged.Findings) > 0
		return
	}
	// Paths that fail by chance, or for a reason that nobody can know, may have something in common too.
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
