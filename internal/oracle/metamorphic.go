package oracle

import (
	"math/rand/v2"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// rank orders results: a higher rank is worse. Three results are neither success nor blame: not measured, not measured
// well, and too little left. One more failure that a change explains may turn one of these into another.
func rank(r verdict.Result) int {
	if r == verdict.NoData || r == void {
		r = verdict.ToolLimited
	}
	return slices.Index([]verdict.Result{verdict.Pass, verdict.ToolLimited, verdict.Fail}, r)
}

// checkMetamorphic changes what was reported a little, and checks that the judgement follows as it must.
func (c *checker) checkMetamorphic(e evidence) {
	s := c.truth.Scenario
	d := dice{rand.New(rand.NewPCG(s.Seed^0x9e3779b9, s.Number))} // #nosec G404 -- rounds must be repeatable
	c.shuffled(d, e)
	if len(e.round.Agents) == 0 {
		return
	}
	c.oneMoreFailure(d, e)
	c.foreignChange(d, e)
	c.lessMeasured(d, e)
}

// oneMoreFailure turns a successful request into a failed one.
func (c *checker) oneMoreFailure(d dice, e evidence) {
	a := c.agentTruth(e.round.Agents[d.IntN(len(e.round.Agents))].Pod)
	if len(a.Paths) == 0 {
		return
	}
	at := d.IntN(len(a.Paths))
	p := a.Paths[at]
	i, ok := d.quickSuccess(p.Counted.attempts)
	if !ok {
		return
	}
	p.Counted.attempts = slices.Clone(p.Counted.attempts)
	p.Counted.attempts[i].end(pick(d, ByTimeout, ByRefusal, ByUnreachable, ByReset, BySilence), Cause{})
	changed := *a
	changed.Paths = []PathTruth{p}
	r, err := c.truth.Record(changed)
	if err != nil {
		c.problem(RefusedReport, "with one more failure: %v", err)
		return
	}
	with := e.withAgent(r.Pod, func(a *report.AgentReport) {
		a.Paths = slices.Clone(a.Paths)
		a.Paths[at] = r.Paths[0]
	})
	judged := with.judge(c.truth.Scenario.Expect)
	was, is := c.judged.Verdict, judged.Verdict
	if rank(is.Result) < rank(was.Result) {
		c.problem(FailureImproves, "%s to %s: a failure more at %v makes the round %q, which was %q: %v, was %v",
			r.Pod, p.Target.ID, p.Counted.attempts[i].at, is.Result, was.Result, is.Reasons, was.Reasons)
	}
	before, after := pathOf(resultOf(was, r.Pod), p.Target.ID), pathOf(resultOf(is, r.Pod), p.Target.ID)
	if rank(after.Result) < rank(before.Result) {
		c.problem(FailureImproves, "%s to %s: a failure more (%v) at %v makes the path %q, which was %q: %v", r.Pod,
			p.Target.ID,
			p.Counted.attempts[i].outcome, p.Counted.attempts[i].at, after.Result, before.Result, reasonOf(before))
	}
}

// quickSuccess chooses a successful request that took no longer than the mean, so that the mean without it is no lower.
func (d dice) quickSuccess(attempts []attempt) (int, bool) {
	var sum, n int64
	for _, a := range attempts {
		if !a.missed && a.outcome == 0 {
			sum, n = sum+int64(a.latency), n+1
		}
	}
	if n == 0 {
		return 0, false
	}
	from := d.IntN(len(attempts))
	for i := range attempts {
		at := (from + i) % len(attempts)
		if a := attempts[at]; !a.missed && a.outcome == 0 && int64(a.latency)*n <= sum {
			return at, true
		}
	}
	return 0, false
}

// withAgent returns the evidence with one agent's report changed.
func (e evidence) withAgent(pod string, change func(*report.AgentReport)) evidence {
	e.round.Agents = slices.Clone(e.round.Agents)
	for i := range e.round.Agents {
		if e.round.Agents[i].Pod == pod {
			change(&e.round.Agents[i])
		}
	}
	return e
}

// foreignChange adds a change of a pod, and checks the paths on which it may not answer.
func (c *checker) foreignChange(d dice, e evidence) {
	s := c.truth.Scenario
	node := d.IntN(len(s.Nodes) + 1) // The last one is of no node.
	pod := podName(node)
	if _, planned := e.round.ExpectedOf(pod); !planned && node < len(s.Nodes) {
		return
	}
	at := epoch().Add(d.between(0, c.truth.Length))
	change := report.Change{Pod: pod, Node: nodeName(node),
		Kind: pick(d, report.Deleted, report.Drained, report.Restarted), WindowStart: at,
		WindowEnd: at.Add(time.Second)}
	with := e
	with.round.Churn = slices.Clone(e.round.Churn)
	i, _ := slices.BinarySearchFunc(with.round.Churn, change,
		func(a, b report.Change) int { return a.WindowStart.Compare(b.WindowStart) })
	with.round.Churn = slices.Insert(with.round.Churn, i, change)
	judged := with.judge(s.Expect)
	for _, a := range c.truth.Agents {
		was, is := resultOf(c.judged.Verdict, podName(a.Number)), resultOf(judged.Verdict, podName(a.Number))
		if was == nil || a.Number == node {
			continue
		}
		for _, p := range a.Paths {
			before, after := pathOf(was, p.Target.ID), pathOf(is, p.Target.ID)
			if !c.mayTouch(p.r, pod) && before.Result != after.Result {
				c.problem(ForeignChange,
					"%s to %s: %s of %s, which may not answer there, makes the path %q, which was %q",
					was.Pod, p.Target.ID, change.Kind, pod, after.Result, before.Result)
			}
		}
	}
}

// lessMeasured takes away part of what was measured.
func (c *checker) lessMeasured(d dice, e evidence) {
	pod := e.round.Agents[d.IntN(len(e.round.Agents))].Pod
	less, what, timeless := e, "", false
	switch d.IntN(5) {
	case 0:
		what = "without the report"
		less.round.Agents = slices.DeleteFunc(slices.Clone(e.round.Agents),
			func(a report.AgentReport) bool { return a.Pod == pod })
		less.round.Missing = append(slices.Clone(e.round.Missing),
			report.Missing{Pod: pod, Node: "", Reason: "no report"})
	case 1:
		what = "without a path"
		less = e.withAgent(pod, func(a *report.AgentReport) {
			if len(a.Paths) > 0 {
				i := d.IntN(len(a.Paths))
				a.Paths = slices.Delete(slices.Clone(a.Paths), i, i+1)
			}
		})
	case 2:
		what = "without most requests of a path"
		less = c.mostMissed(d, e, pod)
	case 3:
		what = "without the persistent stream of a path"
		less = e.withAgent(pod, func(a *report.AgentReport) {
			if len(a.Paths) > 0 {
				a.Paths = slices.Clone(a.Paths)
				a.Paths[d.IntN(len(a.Paths))].Persistent = nil
			}
		})
	case 4:
		what, timeless = "without the times of failures", true
		both := d.chance(0.5)
		less = e.withAgent(pod, func(a *report.AgentReport) {
			a.Paths = slices.Clone(a.Paths)
			for i := range a.Paths {
				p := &a.Paths[i]
				p.Failures = withoutTimes(p.Failures)
				if both && p.Persistent != nil {
					persistent := *p.Persistent
					persistent.Failures = withoutTimes(persistent.Failures)
					p.Persistent = &persistent
				}
			}
		})
	}
	judged, was := less.judge(c.truth.Scenario.Expect), c.judged.Verdict.Result
	if timeless && was != verdict.Fail {
		// Without times no failure is excused, so all failures count. A path that still passes needed no excuse.
		return
	}
	if judged.Verdict.Result == verdict.Pass && was != verdict.Pass {
		c.problem(LessMeasuredPasses, "%s: %s the round is a pass, which was %q: %v", pod, what, was,
			c.judged.Verdict.Reasons)
	}
}

// withoutTimes returns the failures without their times.
func withoutTimes(failures []report.Failure) []report.Failure {
	failures = slices.Clone(failures)
	for i := range failures {
		failures[i].Spans = nil
	}
	return failures
}

// mostMissed makes most requests of a path missed, half of the failures first.
func (c *checker) mostMissed(d dice, e evidence, pod string) evidence {
	a := *c.agentTruth(pod)
	if len(a.Paths) == 0 {
		return e
	}
	at := d.IntN(len(a.Paths))
	p := a.Paths[at]
	p.Counted.attempts = slices.Clone(p.Counted.attempts)
	failing, made := d.chance(0.5), 0
	for i := range p.Counted.attempts {
		x := &p.Counted.attempts[i]
		if failing == (x.outcome != 0) || d.chance(0.3) {
			*x = attempt{at: x.at, peer: nobody, missed: true}
		} else {
			made++
		}
	}
	p.Counted.idleResets, p.Counted.idleCloses = min(p.Counted.idleResets, made), min(p.Counted.idleCloses, made)
	a.Paths = []PathTruth{p}
	r, err := c.truth.Record(a)
	if err != nil {
		c.problem(RefusedReport, "with fewer requests: %v", err)
		return e
	}
	return e.withAgent(pod, func(a *report.AgentReport) {
		a.Paths = slices.Clone(a.Paths)
		a.Paths[at] = r.Paths[0]
	})
}

// shuffled puts everything into another order.
func (c *checker) shuffled(d dice, e evidence) {
	other := e
	r := &other.round
	r.Agents, r.Missing, r.Expected = shuffle(d, r.Agents), shuffle(d, r.Missing), shuffle(d, r.Expected)
	r.Backends, r.Churn, r.Gaps = shuffle(d, r.Backends), shuffle(d, r.Churn), shuffle(d, r.Gaps)
	for i := range r.Agents {
		r.Agents[i].Paths = shuffle(d, r.Agents[i].Paths)
		for j := range r.Agents[i].Paths {
			r.Agents[i].Paths[j].Failures = shuffle(d, r.Agents[i].Paths[j].Failures)
		}
	}
	for i := range r.Backends {
		r.Backends[i].Pods, r.Backends[i].Targets, r.Backends[i].Askers = shuffle(d, r.Backends[i].Pods),
			shuffle(d, r.Backends[i].Targets), shuffle(d, r.Backends[i].Askers)
	}
	judged := other.judge(c.truth.Scenario.Expect)
	was, is := c.judged.Verdict, judged.Verdict
	if was.Result != is.Result {
		c.problem(OrderMatters, "the round is %q, and in another order %q", was.Result, is.Result)
	}
	for i := range was.Agents {
		a := &was.Agents[i]
		b := resultOf(is, a.Pod)
		if b == nil || a.Result != b.Result {
			c.problem(OrderMatters, "%s is %q, and in another order otherwise", a.Pod, a.Result)
			continue
		}
		results := map[string]verdict.Result{}
		for _, p := range b.Paths {
			results[p.Target] = p.Result
		}
		for _, p := range a.Paths {
			if results[p.Target] != p.Result {
				c.problem(OrderMatters, "%s to %s is %q, and in another order %q", a.Pod, p.Target, p.Result,
					results[p.Target])
			}
		}
	}
	if len(c.judged.Findings) != len(judged.Findings) {
		c.problem(OrderMatters, "there are %d findings, and in another order %d", len(c.judged.Findings),
			len(judged.Findings))
		return
	}
	for i, f := range c.judged.Findings {
		if o := judged.Findings[i]; f.Reason != o.Reason || f.Message != o.Message || f.Confidence != o.Confidence ||
			f.Where != o.Where {
			c.problem(OrderMatters, "the finding %q, and in another order %q", f.Message, o.Message)
		}
	}
}

// shuffle returns a copy in another order.
func shuffle[T any](d dice, of []T) []T {
	other := slices.Clone(of)
	d.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
	return other
}
