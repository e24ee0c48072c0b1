package churn

import (
	"math"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

const (
	// slack is how long before a change a request may have started that failed because of it.
	slack = time.Second
	// grace is how long after a change requests may still be led to the agent that is no longer there, or not yet there again.
	// Pods get 15 s to end, and what leads to them follows within seconds.
	grace = 30 * time.Second
)

// Void returns the round with all that its Churn explains marked as void. silent tells, by pod, since when an agent without a report did not
// answer; a pod that is not in it never mattered.
func Void(round report.Round, silent map[string]time.Time) report.Round {
	if len(round.Churn) == 0 {
		return round
	}
	v := voider{changes: map[string][]report.Change{}, backends: map[string][]string{}}
	for _, c := range round.Churn {
		v.changes[c.Pod] = append(v.changes[c.Pod], c)
	}
	for _, group := range round.Backends {
		for _, id := range group.Targets {
			v.backends[id] = group.Pods
		}
	}
	round.Missing = slices.Clone(round.Missing)
	for i, m := range round.Missing {
		if c, ok := since(v.changes[m.Pod], silent[m.Pod]); ok {
			round.Missing[i].Void, round.Missing[i].Reason = true, c.Clause()+" during the round"
		}
	}
	round.Agents = slices.Clone(round.Agents)
	for i := range round.Agents {
		round.Agents[i] = v.agent(round.Agents[i])
	}
	return round
}

// since finds the change that can be why an agent fell silent, or ended, at the given time.
func since(changes []report.Change, at time.Time) (report.Change, bool) {
	for _, c := range slices.Backward(changes) {
		if !at.Before(c.From.Add(-slack)) {
			return c, true
		}
	}
	return report.Change{}, false
}

// voider is the churn of a round.
type voider struct {
	// changes are those of each pod, sorted by time.
	changes map[string][]report.Change
	// backends are the pods that may answer on a target.
	backends map[string][]string
}

func (v voider) agent(a report.Agent) report.Agent {
	if !a.Finished && !a.Ended.IsZero() {
		_, ended := clock(a, a.Ended)
		if c, ok := since(v.changes[a.Pod], ended); ok {
			a.Cut = c.Clause() + " during the round"
		}
	}
	a.Paths = slices.Clone(a.Paths)
	for i, p := range a.Paths {
		p.Failures = v.failures(a, p)
		if p.Kept != nil {
			kept := *p.Kept
			kept.Failures = v.failures(a, kept)
			p.Kept = &kept
		}
		a.Paths[i] = p
	}
	return a
}

// clock turns a moment of the agent's clock into the two between which it lies by the controller's. Only differences of the agent's clock
// are used, unless nobody knows when it started.
func clock(a report.Agent, at time.Time) (earliest, latest time.Time) {
	if a.Earliest.IsZero() || a.Latest.IsZero() {
		return at, at
	}
	return a.Earliest.Add(at.Sub(a.Started)), a.Latest.Add(at.Sub(a.Started))
}

// failures returns the path's failures with those marked that the churn explains.
func (v voider) failures(a report.Agent, p report.Path) []report.Failure {
	windows := v.windows(p)
	if len(windows) == 0 || len(p.Failures) == 0 {
		return p.Failures
	}
	marked := slices.Clone(p.Failures)
	var failed report.Span
	changed, all := map[string]bool{}, false
	for i := range marked {
		marked[i].Void = 0
		if !causedBy(marked[i], p) {
			continue
		}
		for _, s := range marked[i].Spans {
			first, _ := clock(a, p.Started.Add(s.First))
			_, last := clock(a, p.Started.Add(s.Last))
			held := false
			for _, w := range windows {
				if w.holds(first, last) {
					held, all, changed[w.pod] = true, all || w.all, true
				}
			}
			if held {
				marked[i].Void += s.Count
				failed = joined(failed, s)
			}
		}
	}
	share := float64(len(changed)) / float64(max(len(v.backends[p.Target.ID]), 1))
	if !all && !explains(share, failed, p) {
		return p.Failures
	}
	return marked
}

// window is a time in which the change of a pod may make requests fail; one that is open has no end. all tells that all of the requests may
// be led to that pod, and not only its share.
type window struct {
	pod      string
	from, to time.Time
	all      bool
}

func (w window) holds(first, last time.Time) bool {
	return !first.Before(w.from) && (w.to.IsZero() || !last.After(w.to))
}

// windows are the times in which requests on the path may fail because of changes.
func (v voider) windows(p report.Path) []window {
	var windows []window
	if p.Target.Pod != "" {
		for _, c := range v.changes[p.Target.Pod] {
			w := window{pod: c.Pod, from: c.From.Add(-slack), all: true}
			// Nobody answers at the address of a pod that is gone. One that was restarted is there again.
			if c.What == report.Restarted && !c.To.IsZero() {
				w.to = c.To.Add(grace)
			}
			windows = append(windows, w)
		}
		return windows
	}
	// All requests of one client may be led to one pod behind a load balancer or an Ingress, and where the pods of one node alone may answer.
	pinned := p.Target.Kind == target.LoadBalancer || p.Target.Kind == target.Ingress
	for _, pod := range v.backends[p.Target.ID] {
		for _, c := range v.changes[pod] {
			windows = append(windows, window{pod: pod, from: c.From.Add(-slack), to: latest(c.From, c.To).Add(grace),
				all: pinned || (c.Node == p.Target.OnlyNode && c.Node != "")})
		}
	}
	return windows
}

// causedBy tells whether requests can fail in this way because a pod is no longer there. What answers in its place decides for the only peer:
// its address may belong to another pod by then.
func causedBy(f report.Failure, p report.Path) bool {
	switch f.Outcome {
	case probe.Timeout, probe.Refused, probe.Reset, probe.Unreachable, probe.BadAnswer:
		return true
	case probe.WrongPeer:
		return p.Target.Pod != ""
	case probe.BadStatus:
		return p.Target.Pod != "" || (p.Target.Kind == target.Ingress && p.Gateway())
	case probe.OK, probe.DNSFailed, probe.TLSFailed, probe.NotSent, probe.Aborted, probe.Other, probe.Outcomes:
	}
	return false
}

func joined(a, b report.Span) report.Span {
	if a.Count == 0 {
		return b
	}
	return report.Span{First: min(a.First, b.First), Last: max(a.Last, b.Last), Count: a.Count + b.Count}
}

// explains tells whether the share of the pods that changed can be why so many requests failed within the span: of n requests, each led to
// one of the pods chosen alike, share x n fail, give or take three standard deviations of the binomial distribution.
// A Service that fails altogether while one of its five pods is replaced is broken.
func explains(share float64, failed report.Span, p report.Path) bool {
	n := float64(failed.Count)
	if took := p.Ended.Sub(p.Started); took > 0 {
		n = max(n, float64(p.Scheduled)*float64(failed.Last-failed.First)/float64(took)+1)
	}
	return float64(failed.Count) <= n*share+3*math.Sqrt(n*share*(1-share))+1
}
