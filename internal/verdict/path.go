package verdict

import (
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// JudgePath judges one path of an agent by this path alone: whatever else the agent's report says against the path is
// left out.
func JudgePath(p report.Path, expect Expect) JudgedPath {
	j := newJudge(report.Round{Agents: []report.AgentReport{{Paths: []report.Path{p}}}}, expect)
	j.agents[0].limit = nil
	return j.judgePath(&j.agents[0], 0, report.Expected{})
}

// Alone judges single paths as an agent can that knows nothing of other agents and of changes: a path that passes
// passes for everybody, unless the agent itself met a limit.
type Alone struct {
	Expect Expect
	// Expected has the requests that are planned on each path.
	Expected report.Expected
	// AnswerBytes is the least length of answers.
	AnswerBytes int
}

// Judge judges one path.
func (a Alone) Judge(p report.Path) JudgedPath {
	j := a.judge()
	return j.alone(&p, a.Expected)
}

// Results returns the result of each path, as Judge has it.
func (a Alone) Results(paths []report.Path) []Result {
	j, results := a.judge(), make([]Result, len(paths))
	for i := range paths {
		results[i] = j.alone(&paths[i], a.Expected).Result
	}
	return results
}

// judge returns what judges an agent without paths.
func (a Alone) judge() judge {
	round := report.Round{Budget: report.RequestBudget{AnswerBytes: a.AnswerBytes}, Agents: []report.AgentReport{{}}}
	return newJudge(round, a.Expect)
}

// alone judges the path as if it were the only one of the only agent. An agent may have thousands of paths, so nothing
// is allocated for one that passes.
func (j *judge) alone(p *report.Path, expected report.Expected) JudgedPath {
	agent := &j.agents[0]
	agent.reported, agent.judged = append(agent.reported[:0], p), append(agent.judged[:0], judgedPath(p))
	clear(agent.rankings)
	return j.judgePath(agent, 0, expected)
}

// judgePath judges the counted requests and the persistent stream apart. The worse result is the path's.
func (j *judge) judgePath(r *reported, i int, expected report.Expected) JudgedPath {
	judged := JudgedPath{Target: r.reported[i].Target.ID}
	s := j.suspects(r, i)
	judged.Result, judged.Reason = j.judgeCounted(r, i, expected.Requests, s)
	if result, reason := j.judgeStream(r, i, expected.Persistent, s); worse(result, judged.Result) {
		judged.Result, judged.Reason = result, reason
	}
	return judged
}

// judgeCounted judges the counted requests. The order is: was anything measured, did enough succeed, was it fast
// enough, could the agent measure at all, was enough measured. Requests that the agent could not send, or that the end
// of the round cut off, are no evidence about the path and are left out of its rate.
func (j *judge) judgeCounted(r *reported, i int, planned uint64, s suspects) (Result, Reason) {
	p, n := r.judged[i], countRequests(r.reported[i], planned)
	failures, lost := judgedFailures(p.Failures), j.resetWhileIdle(r.Pod, &p.Target, p)
	if n.judged == 0 {
		return j.nothingJudged(r, &p.Target, n, r.reported[i], s)
	}
	succeeded := Reason{Code: TooFewSucceeded, Count: p.OK, Of: n.judged, Lost: lost, Rate: j.expect.SuccessRate,
		Worst: mostFrequent(failures)}
	if result, reason := j.successAndDelay(s, succeeded, failures, p, counted); result != Pass {
		return result, reason
	}
	switch {
	case p.OK == 0 && j.expect.MeanDelay > 0:
		return NoData, Reason{Code: NothingSucceeded, Worst: mostFrequent(failures)}.withLimit(s.asker)
	case s.asker != nil:
		return ToolLimited, *s.asker
	case !n.enoughJudged():
		return j.tooFewJudged(r, &p.Target, n, r.reported[i])
	case n.due < planned && r.StoppedWhy == "":
		return NoData, Reason{Code: NotDue, Count: n.due, Of: planned}
	}
	if reason := shortAnswers(r.reported[i], j.round.Budget.AnswerBytes); !reason.IsZero() {
		return ToolLimited, reason
	}
	return Pass, Reason{}
}

// nothingJudged returns the result if no request is evidence about the path.
func (j *judge) nothingJudged(r *reported, t *target.Target, n requestCounts, p *report.Path, s suspects) (Result,
	Reason) {
	if n.areVoid(r.StoppedWhy != "") {
		return Void, j.excuseReason(r, t, p, n)
	}
	nothing := Reason{Code: NothingSent, Of: n.due - min(n.due, n.excused),
		Worst: mostFrequent(p.WithoutExcused().Failures)}
	return NoData, nothing.withLimit(s.agent)
}

// tooFewJudged returns the result if the judged requests are good, but too few.
func (j *judge) tooFewJudged(r *reported, t *target.Target, n requestCounts, p *report.Path) (Result, Reason) {
	switch {
	case n.areVoid(r.StoppedWhy != ""):
		return Void, j.excuseReason(r, t, p, n)
	case n.due < n.planned && r.StoppedWhy == "":
		return NoData, Reason{Code: NotDue, Count: n.due, Of: n.planned}
	}
	return NoData, Reason{Code: TooFewJudged, Count: n.judged, Of: n.planned,
		Worst: mostFrequent(p.WithoutExcused().Failures)}
}

// excuseReason returns why a path is void.
func (j *judge) excuseReason(r *reported, t *target.Target, p *report.Path, n requestCounts) Reason {
	if r.StoppedWhy != "" && (n.due < n.planned || n.excused == 0) {
		return Reason{Code: Cut, Text: r.StoppedWhy, Change: r.StoppedBy, Count: n.due, Of: n.planned}
	}
	of := n.planned
	if n.judged == 0 {
		of = n.excused
	}
	return withChanges(Reason{Code: Excused, Excused: n.excused, Of: of, Count: n.judged},
		j.excusingChanges(r.Pod, t, p))
}

// successAndDelay returns the worse of two results: whether enough requests of the stream succeeded, and whether they
// were fast enough. The two are judged apart: a limit that may be why some requests failed need not be why others were
// slow.
func (j *judge) successAndDelay(s suspects, succeeded Reason, failures []report.Failure, p *report.Path,
	of stream) (Result, Reason) {
	result, reason := Pass, Reason{}
	if missesRate(p.OK, succeeded.Of+succeeded.Lost, j.expect.SuccessRate) {
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

// judgedFailures returns the failures that are evidence about the path.
func judgedFailures(failures []report.Failure) []report.Failure {
	var judged []report.Failure
	for _, f := range failures {
		if f.Outcome != probe.NotSent && f.Outcome != probe.Aborted {
			judged = append(judged, f)
		}
	}
	return judged
}

// missesRate reports whether ok of total misses the rate. The tolerance is for rates such as 0.07 that binary floats
// cannot hold: it is far below one request for any count that fits a round.
func missesRate(ok, total uint64, rate float64) bool {
	want := rate * float64(total)
	return float64(ok) < want-1e-9*max(want, 1)
}

// mostFrequent returns the most frequent kind of failure, nil without failures. Among equally frequent kinds, the first
// in the order of outcomes and phases is returned.
func mostFrequent(failures []report.Failure) *Failures {
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
