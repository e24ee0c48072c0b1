package verdict

import (
	"slices"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// judgeStream judges the persistent stream, the requests over one persistent connection. This stream finds faults that
// only old connections meet.
//
// On a proxied path HTTP lets the proxy close an idle connection at any moment. There, requests that find their
// connection closed, and connections that are lost while idle, count neither way. On all other paths nothing between
// the two agents may close the connection, and the answering agent keeps it open for longer than the round pauses.
// There, each closed connection is a failure.
func (j *judge) judgeStream(r *reported, i int, planned uint64, s suspects) (Result, Reason) {
	p := r.judged[i]
	if !p.Target.Persistent() || (p.Persistent == nil && planned == 0) {
		return Pass, Reason{}
	}
	if p.Persistent == nil {
		// This holds for a stopped agent too: agents report both streams from their first moment on.
		return NoData, Reason{Code: NothingSent, Persistent: true}.withLimit(s.agent)
	}
	measured := r.reported[i].Persistent
	result, reason := j.judgePersistent(r, &p.Target, countRequests(measured, planned), measured, s)
	reason.Persistent = result != Pass
	return result, reason
}

// judgePersistent judges the stream. measured still includes the excused requests.
func (j *judge) judgePersistent(r *reported, t *target.Target, n requestCounts, measured *report.Path,
	s suspects) (Result, Reason) {
	left := measured.WithoutExcused()
	failures, closed := judgedFailures(left.Failures), uint64(0)
	if !direct(t) {
		failures, closed = withoutClosed(failures, left.Closed)
	}
	made, lost := n.judged-min(n.judged, closed), j.lostWhileIdle(r.Pod, t, measured)
	if n.judged == 0 && lost == 0 {
		return j.nothingJudged(r, t, n, measured, s)
	}
	succeeded := Reason{Code: TooFewSucceeded, Count: left.OK, Of: made, Lost: lost, Rate: j.expect.SuccessRate,
		Worst: mostFrequent(failures)}
	result, reason := j.successAndDelay(s, succeeded, failures, &left, persistent)
	switch {
	case result != Fail && j.neverReused(r.Pod, t, &left):
		return Fail, Reason{Code: NeverReused, Count: left.OK}
	case result != Pass:
		return result, reason
	case !n.enoughJudged() && n.tooManyUnsent():
		return ToolLimited, Reason{Code: Unsent, Count: n.due - min(n.due, n.missed+n.notSent), Of: n.due,
			Missed: n.missed, NotSent: n.notSent}
	case !n.enoughJudged():
		return j.tooFewJudged(r, t, n, measured)
	}
	return Pass, Reason{}
}

// lostWhileIdle returns how many connections of a stream the other side ended while idle, on a path on which nothing
// may end them. Each change of an agent that may answer explains one: the stream has one connection open at a time.
func (j *judge) lostWhileIdle(agent string, t *target.Target, p *report.Path) uint64 {
	lost := p.IdleResets + p.IdleCloses
	if lost == 0 || !direct(t) {
		return 0
	}
	return lost - min(lost, uint64(len(j.answererChanges(agent, t))))
}

// resetWhileIdle returns how many connections of the counted requests were reset while idle, unless a change explains
// it. Closes in good order are left out: the answering agent closes connections that a burst opened and nobody uses any
// longer. A change explains any number of resets.
func (j *judge) resetWhileIdle(agent string, t *target.Target, p *report.Path) uint64 {
	if p.IdleResets == 0 || !direct(t) || len(j.answererChanges(agent, t)) > 0 {
		return 0
	}
	return p.IdleResets
}

// neverReused reports whether no connection of a stream lasted until the next request, and nothing on the path explains
// that.
func (j *judge) neverReused(agent string, t *target.Target, p *report.Path) bool {
	return p.Reused == 0 && direct(t) && p.OK > 1+uint64(len(j.answererChanges(agent, t)))
}

// direct reports whether nothing on the path may end a connection between the two agents.
func direct(t *target.Target) bool {
	return !t.Proxied() && (t.Kind != "" || t.MayAnswer() == target.OnePod)
}

// withoutClosed takes up to closed failures away from the kinds that a connection closed by the other side leads to: a
// reset or an early end before the answer's first byte. taken is how many were taken away.
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
