package verdict

import (
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// JudgePath judges one path of an agent of which nothing but this path is known: whatever the rest of its report says
// against it is left out.
func JudgePath(p report.Path, expect Expect) Path {
	j := newJudge(report.Round{Agents: []report.Agent{{Paths: []report.Path{p}}}}, expect)
	j.agents[0].limit = nil
	return j.path(&j.agents[0], 0, report.Expected{})
}

// path judges the counted requests and the persistent stream apart; what weighs more decides.
func (j judge) path(r *reported, i int, expected report.Expected) Path {
	judged := Path{Target: r.whole[i].Target.ID}
	s := j.suspects(r, i)
	judged.Result, judged.Reason = j.counted(r, i, expected.Requests, s)
	if result, reason := j.stream(r, i, expected.Persistent, s); worse(result, judged.Result) {
		judged.Result, judged.Reason = result, reason
	}
	return judged
}

// counted judges the counted requests. The order is: was anything measured, did enough succeed, was it fast enough,
// could the agent measure at all, was enough measured. Requests that the agent could not send, or that were cut off by
// the end of the round, say nothing about the path and are left out of its rate.
func (j judge) counted(r *reported, i int, planned uint64, s suspects) (Result, Reason) {
	p, n := r.left[i], requestsOf(r.whole[i], planned)
	failures, lost := judgedFailures(p.Failures), j.resetWhileIdle(r.Pod, &p.Target, p)
	if n.judged == 0 {
		return j.nothing(r, &p.Target, n, r.whole[i], s)
	}
	succeeded := Reason{Code: TooFewSucceeded, Count: p.OK, Of: n.judged, Lost: lost, Rate: j.expect.SuccessRate,
		Worst: worst(failures)}
	if result, reason := j.successAndDelay(s, succeeded, failures, p, counted); result != Pass {
		return result, reason
	}
	switch {
	case p.OK == 0 && j.expect.MeanDelay > 0:
		return NoData, Reason{Code: NothingSucceeded, Worst: worst(failures)}.but(s.asker)
	case s.asker != nil:
		return ToolLimited, *s.asker
	case !n.enough():
		return j.tooFew(r, &p.Target, n, r.whole[i])
	case n.due < planned && r.StoppedWhy == "":
		return NoData, Reason{Code: NotDue, Count: n.due, Of: planned}
	}
	if reason := small(r.whole[i], j.round.Load.AnswerBytes); !reason.IsZero() {
		return ToolLimited, reason
	}
	return Pass, Reason{}
}

// nothing is the result where no request says anything about the path.
func (j judge) nothing(r *reported, t *target.Target, n requests, p *report.Path, s suspects) (Result, Reason) {
	if n.void(r.StoppedWhy != "") {
		return Void, j.excuse(r, t, p, n)
	}
	nothing := Reason{Code: NothingSent, Of: n.due - min(n.due, n.excused), Worst: worst(p.WithoutExcused().Failures)}
	return NoData, nothing.but(s.agent)
}

// tooFew is the result where what was judged is well, and too little.
func (j judge) tooFew(r *reported, t *target.Target, n requests, p *report.Path) (Result, Reason) {
	switch {
	case n.void(r.StoppedWhy != ""):
		return Void, j.excuse(r, t, p, n)
	case n.due < n.planned && r.StoppedWhy == "":
		return NoData, Reason{Code: NotDue, Count: n.due, Of: n.planned}
	}
	return NoData, Reason{Code: TooFewJudged, Count: n.judged, Of: n.planned, Worst: worst(p.WithoutExcused().Failures)}
}

// excuse is why a path is void.
func (j judge) excuse(r *reported, t *target.Target, p *report.Path, n requests) Reason {
	if r.StoppedWhy != "" && (n.due < n.planned || n.excused == 0) {
		return Reason{Code: Cut, Text: r.StoppedWhy, Change: r.StoppedBy, Count: n.due, Of: n.planned}
	}
	of := n.planned
	if n.judged == 0 {
		of = n.excused
	}
	return changes(Reason{Code: Excused, Excused: n.excused, Of: of, Count: n.judged}, j.excusing(r.Pod, t, p))
}

// successAndDelay is what weighs more: that too few requests of the stream succeeded, or that they took too long. It
// is Pass where neither is so. A limit that may be why requests failed need not be why others were slow.
func (j judge) successAndDelay(s suspects, succeeded Reason, failures []report.Failure, p *report.Path,
	of stream) (Result, Reason) {
	result, reason := Pass, Reason{}
	if short(p.OK, succeeded.Of+succeeded.Lost, j.expect.SuccessRate) {
		result, reason = s.failed(succeeded, failures, of)
	}
	if tooSlow(p, j.expect) {
		delayed, why := s.slow(Reason{Code: TooSlow, Delay: p.Latency.Mean(), Allowed: j.expect.MeanDelay}, of)
		if worse(delayed, result) {
			return delayed, why
		}
	}
	return result, reason
}

// tooSlow reports whether the mean delay of the successes is longer than expected.
func tooSlow(p *report.Path, expect Expect) bool {
	return p.OK > 0 && expect.MeanDelay > 0 && p.Latency.Mean() > expect.MeanDelay
}

// judgedFailures are the failures that say something about the path.
func judgedFailures(failures []report.Failure) []report.Failure {
	var judged []report.Failure
	for _, f := range failures {
		if f.Outcome != probe.NotSent && f.Outcome != probe.Aborted {
			judged = append(judged, f)
		}
	}
	return judged
}

// short reports whether ok of total misses the rate. The tolerance is for rates such as 0.07 that binary floats cannot
// hold: it is far below one request for any count that fits a round.
func short(ok, total uint64, rate float64) bool {
	want := rate * float64(total)
	return float64(ok) < want-1e-9*max(want, 1)
}

// worst is the most frequent kind of failure, nil without any. Of as many, the first in the order of outcomes and
// phases is.
func worst(failures []report.Failure) *Failures {
	var most *Failures
	for _, f := range failures {
		before := most != nil && (f.Count < most.Count || f.Count == most.Count &&
			(f.Outcome > most.Outcome || f.Outcome == most.Outcome && f.Phase >= most.Phase))
		if f.Count > 0 && !before {
			most = &Failures{Outcome: f.Outcome, Phase: f.Phase, Count: f.Count}
		}
	}
	return most
}
