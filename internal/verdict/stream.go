package verdict

import (
	"slices"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// stream judges the persistent stream: the requests over a connection that stays open. It meets what only old connections meet.
//
// On a proxied path HTTP lets the proxy close an idle connection at any moment, so that requests which find theirs closed, and connections that
// are lost while idle, count neither way. On all other paths nothing between the two agents may close it, and the agent that answers
// keeps it longer than the round pauses: there each is a failure.
func (j judge) stream(r reported, i int, planned uint64, s suspects) (Result, Reason) {
	p := r.Paths[i]
	if p.Target.Protocol == target.TCP || (p.Kept == nil && planned == 0) {
		return Pass, Reason{}
	}
	whole, kept := report.Path{}, report.Path{}
	if p.Kept != nil {
		whole, kept = *r.whole[i].Kept, *p.Kept
	}
	result, reason := j.persistent(r, i, requestsOf(whole, planned), kept, s)
	reason.Persistent = result != Pass
	return result, reason
}

// persistent judges the stream by its requests without the excused ones.
func (j judge) persistent(r reported, i int, n requests, kept report.Path, s suspects) (Result, Reason) {
	direct, explained := direct(r.Paths[i].Target), uint64(len(j.behind(r.Pod, r.whole[i])))
	failures, closed, lost := judgedFailures(kept.Failures), uint64(0), uint64(0)
	if direct {
		// A change of an agent at the other end takes at most the one connection that is open to it.
		lost = kept.IdleResets + kept.IdleCloses
		lost -= min(lost, explained)
	} else {
		failures, closed = withoutClosed(failures, kept.Closed)
	}
	made := n.judged - min(n.judged, closed)
	switch {
	case n.judged == 0 && lost == 0:
		return j.nothing(r, i, n, kept, s)
	case short(kept.OK, made+lost, j.expect.SuccessRate):
		return s.failed(Reason{Code: TooFewSucceeded, Count: kept.OK, Of: made, Lost: lost, Rate: j.expect.SuccessRate, Worst: worst(failures)}, failures, persistent)
	case direct && kept.Reused == 0 && kept.OK > 1+explained:
		return Fail, Reason{Code: NeverReused, Count: kept.OK}
	case tooSlow(kept, j.expect):
		return s.slow(Reason{Code: TooSlow, Delay: kept.Latency.Mean(), Allowed: j.expect.MeanDelay}, persistent)
	case !n.enough() && n.unsent() && !n.void(r.Cut != ""):
		return ToolLimited, Reason{Code: Unsent, Count: n.due - n.missed - n.notSent, Of: n.due, Missed: n.missed, NotSent: n.notSent}
	case !n.enough():
		return j.tooFew(r, i, n, kept)
	}
	return Pass, Reason{}
}

// direct reports whether nothing on the path may end a connection between the two agents.
func direct(t target.Target) bool {
	return !t.Proxied() && (t.Kind != "" || t.MayAnswer() == target.OnePod)
}

// withoutClosed takes so many failures away from those that a connection closed by the other side leads to (a reset or an early end before
// the answer's first byte), and tells how many there were to take.
func withoutClosed(failures []report.Failure, closed uint64) (rest []report.Failure, taken uint64) {
	rest = slices.Clone(failures)
	for i := range rest {
		f := &rest[i]
		if f.Phase != probe.FirstByte || (f.Outcome != probe.Reset && f.Outcome != probe.BadAnswer) {
			continue
		}
		n := min(f.Count, closed-taken)
		f.Count -= n
		taken += n
	}
	return rest, taken
}
