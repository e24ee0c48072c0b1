package verdict

import (
	"slices"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// stream judges the persistent stream: the requests over a connection that stays open. It meets what only old
// connections meet.
//
// On a proxied path HTTP lets the proxy close an idle connection at any moment, so that requests which find theirs
// closed, and connections that are lost while idle, count neither way. On all other paths nothing between the two
// agents may close it, and the agent that answers keeps it longer than the round pauses: there each is a failure.
func (j judge) stream(r *reported, i int, planned uint64, s suspects) (Result, Reason) {
	p := r.left[i]
	if !p.Target.Persistent() || (p.Persistent == nil && planned == 0) {
		return Pass, Reason{}
	}
	if p.Persistent == nil {
		// Also of an agent that was cut: agents report both streams from their first moment on.
		return NoData, Reason{Code: NothingSent, Persistent: true}.but(s.agent)
	}
	whole := r.whole[i].Persistent
	result, reason := j.persistent(r, &p.Target, requestsOf(whole, planned), whole, s)
	reason.Persistent = result != Pass
	return result, reason
}

// persistent judges the stream, whose excused requests are still in it.
func (j judge) persistent(r *reported, t *target.Target, n requests, whole *report.Path, s suspects) (Result, Reason) {
	kept := whole.WithoutExcused()
	failures, closed := judgedFailures(kept.Failures), uint64(0)
	if !direct(t) {
		failures, closed = withoutClosed(failures, kept.Closed)
	}
	made, lost := n.judged-min(n.judged, closed), j.lostWhileIdle(r.Pod, t, whole)
	if n.judged == 0 && lost == 0 {
		return j.nothing(r, t, n, whole, s)
	}
	succeeded := Reason{Code: TooFewSucceeded, Count: kept.OK, Of: made, Lost: lost, Rate: j.expect.SuccessRate,
		Worst: worst(failures)}
	result, reason := j.successAndDelay(s, succeeded, failures, &kept, persistent)
	switch {
	case result != Fail && j.neverReused(r.Pod, t, &kept):
		return Fail, Reason{Code: NeverReused, Count: kept.OK}
	case result != Pass:
		return result, reason
	case !n.enough() && n.unsent():
		return ToolLimited, Reason{Code: Unsent, Count: n.due - min(n.due, n.missed+n.notSent), Of: n.due,
			Missed: n.missed, NotSent: n.notSent}
	case !n.enough():
		return j.tooFew(r, t, n, whole)
	}
	return Pass, Reason{}
}

// lostWhileIdle is how many connections of a stream the other side ended while idle, although nothing may. A change of
// an agent that may answer explains one: the stream has one open at a time.
func (j judge) lostWhileIdle(agent string, t *target.Target, p *report.Path) uint64 {
	lost := p.IdleResets + p.IdleCloses
	if lost == 0 || !direct(t) {
		return 0
	}
	return lost - min(lost, uint64(len(j.mayAnswer(agent, t))))
}

// resetWhileIdle is the same for counted requests that share connections. Those that a burst opened and nobody uses any
// longer the agent that answers closes in good order, and a change explains any number.
func (j judge) resetWhileIdle(agent string, t *target.Target, p *report.Path) uint64 {
	if p.IdleResets == 0 || !direct(t) || len(j.mayAnswer(agent, t)) > 0 {
		return 0
	}
	return p.IdleResets
}

// neverReused reports whether no connection of a stream lasted until the next request, which nothing on the path
// explains.
func (j judge) neverReused(agent string, t *target.Target, p *report.Path) bool {
	return p.Reused == 0 && direct(t) && p.OK > 1+uint64(len(j.mayAnswer(agent, t)))
}

// direct reports whether nothing on the path may end a connection between the two agents.
func direct(t *target.Target) bool {
	return !t.Proxied() && (t.Kind != "" || t.MayAnswer() == target.OnePod)
}

// withoutClosed takes so many failures away from those that a connection closed by the other side leads to (a reset or
// an early end before the answer's first byte), and tells how many there were to take.
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
