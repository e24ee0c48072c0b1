package oracle

import (
	"fmt"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// checkExcuses checks that each excuse happened.
func (c *checker) checkExcuses() {
	for _, m := range c.judged.Round.Missing {
		if m.Excused && !c.changed(m.Pod, nil) {
			c.problem(UnprovenExcuse, "the missing report of %s is excused, and nothing was done to it", m.Pod)
		}
	}
	for _, r := range c.judged.Round.Agents {
		if r.StoppedWhy != "" && !c.changed(r.Pod, nil) {
			c.problem(UnprovenExcuse, "%s was cut: %s; nothing was done to it", r.Pod, r.StoppedWhy)
		}
		a := c.agentTruth(r.Pod)
		for i, p := range r.Paths {
			c.checkStreamExcuses(a, &a.Paths[i], p, a.Paths[i].Counted)
			if p.Persistent != nil {
				c.checkStreamExcuses(a, &a.Paths[i], *p.Persistent, a.Paths[i].Persistent)
			}
		}
	}
}

func (c *checker) agentTruth(pod string) *AgentTruth {
	for i := range c.truth.Agents {
		if podName(c.truth.Agents[i].Number) == pod {
			return &c.truth.Agents[i]
		}
	}
	return nil
}

// changed reports whether the pod was changed, at about the time of the claimed change if there is one.
func (c *checker) changed(pod string, claimed *report.Change) bool {
	t := c.truth
	for i, change := range t.Scenario.Changes {
		met := podName(change.Node) == pod || (change.Kind == Remove && t.nodeOf(pod) == change.Node)
		if !met || change.Kind == Cordon {
			continue
		}
		if claimed == nil {
			return true
		}
		at := claimed.WindowStart.Sub(epoch())
		if at >= change.At-maxNodeUnnoticed-snapshotEvery-maxInFlight && at <= t.noticed(i)+maxInFlight &&
			(claimed.Kind == report.Restarted) == (change.Kind == Restart) {
			return true
		}
	}
	return false
}

// checkStreamExcuses checks the excuses of one stream.
func (c *checker) checkStreamExcuses(a *AgentTruth, p *PathTruth, got report.Path, s stream) {
	where := fmt.Sprintf("%s to %s", podName(a.Number), p.Target.ID)
	var explained uint64
	for _, e := range got.Excuses {
		explained += e.Explained
		for i := range e.Changes {
			pod := e.Changes[i].Pod
			if !c.changed(pod, &e.Changes[i]) {
				c.problem(UnprovenExcuse, "%s: %s of %s at %v did not happen", where, e.Changes[i].Kind, pod,
					e.Changes[i].WindowStart.Sub(epoch()))
			}
			if !c.mayTouch(p.r, pod) {
				c.problem(UnprovenExcuse, "%s: %s may not answer there and is an excuse", where, pod)
			}
		}
		unsure := a.Latest - a.Earliest
		first, last := e.First.Sub(epoch())-unsure, e.Last.Sub(epoch())+unsure
		if n := failedWithin(s, first, last); e.Explained > n {
			c.problem(UnprovenExcuse, "%s: %d failures are excused between %v and %v, where %d requests failed", where,
				e.Explained,
				first, last, n)
		}
		if e.Away > len(p.r.possible) || e.Away > len(c.windows) {
			c.problem(UnprovenExcuse, "%s: %d of %d backends are said to be away", where, e.Away, e.Backends)
		}
	}
	if excused := got.Excused(); excused > uint64(len(s.attempts)) || (len(got.Excuses) > 0 && explained != excused) {
		c.problem(UnprovenExcuse, "%s: %d requests are void, and the excuses explain %d", where, excused, explained)
	}
}

// mayTouch reports whether a change of the pod can cost requests on the route.
func (c *checker) mayTouch(r route, pod string) bool {
	for _, p := range r.possible {
		if podName(p) == pod {
			return true
		}
	}
	return r.kind == target.NodePort && c.truth.nodeOf(pod) == r.node
}

// nodeOf returns the number of the node that the pod runs on.
func (t *Truth) nodeOf(pod string) int {
	if i := t.world.numberOf(pod); i != nobody {
		return t.world.pods[i].node
	}
	return nobody
}

func failedWithin(s stream, first, last time.Duration) uint64 {
	var n uint64
	for _, a := range s.attempts {
		if !a.missed && a.outcome != 0 && a.at >= first-time.Millisecond && a.at <= last+time.Millisecond {
			n++
		}
	}
	return n
}
