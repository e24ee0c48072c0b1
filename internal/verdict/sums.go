package verdict

import (
	"slices"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// Unlisted is the judgement on a path that the agent reports in a sum alone. It is as small as it can be: where much
// fails in a large cluster there are millions of them.
type Unlisted struct {
	// At is the path's place in report.AgentReport.NotListed.
	At       uint32
	severity uint8
}

// Result returns the judgement.
func (u Unlisted) Result() Result {
	for _, r := range [...]Result{Pass, Void, NoData, ToolLimited} {
		if severity(r) == int(u.severity) {
			return r
		}
	}
	return Fail
}

// judgeSums judges the paths that the agent added up. Those that passed by the agent's own judgement pass, unless the
// agent met a limit. Of the others the agent tells which they are, but not what happened on them: changes excuse them
// as far as excused tells.
func (j *judge) judgeSums(r *reported, agent *JudgedAgent, worsen func(Result, Reason)) (left bool) {
	var paths, notPassed uint64
	for _, sum := range r.Sums {
		paths, notPassed = paths+sum.Paths, notPassed+sum.NotPassed
	}
	if paths == 0 {
		return false
	}
	byResult, excused := map[Result]uint64{}, j.excusedKinds(r, agent)
	agent.Unlisted = slices.Grow(agent.Unlisted, len(r.NotListed))
	for i, path := range r.NotListed {
		result := j.unlisted(r, path, excused)
		byResult[result]++
		if result != Void {
			// An agent has fewer than 2^32 targets, and there are five severities.
			one := Unlisted{At: uint32(i), severity: uint8(severity(result))} // #nosec G115 -- see above
			agent.Unlisted = append(agent.Unlisted, one)
		}
	}
	if r.limit != nil && paths > notPassed {
		worsen(ToolLimited, *r.limit)
	}
	for _, result := range []Result{Fail, ToolLimited, NoData} {
		if n := byResult[result]; n > 0 {
			worsen(result, Reason{Code: FurtherPaths, Count: n, Of: paths})
		}
	}
	return paths > byResult[Void]
}

// unlisted judges a path that did not pass by the agent's own judgement.
func (j *judge) unlisted(r *reported, path report.NotListed, excused map[kindFamily]bool) Result {
	t := path.Target
	switch {
	case t == nil:
		// Only a report that was not held against its plan has none.
		return NoData
	case t.MayAnswer() == target.OnePod && j.changed[t.Pod]:
		return Void
	case t.MayAnswer() != target.OnePod && excused[kindFamily{t.Kind, t.Family}]:
		return Void
	case r.limit != nil || path.Class == report.Doubtful:
		return ToolLimited
	case path.Class == report.NotMeasured:
		return NoData
	}
	return Fail
}

// kindFamily is a kind of path over one family.
type kindFamily = group

// excusedKinds returns the kinds of paths to backends of which changes excuse every listed failure, and at least one.
// The listed paths are chosen at random among those that did not pass, so that they stand for the others.
func (j *judge) excusedKinds(r *reported, agent *JudgedAgent) map[kindFamily]bool {
	excused, failed := map[kindFamily]bool{}, map[kindFamily]bool{}
	for i, p := range r.reported {
		at := kindFamily{p.Target.Kind, p.Target.Family}
		switch {
		case worse(agent.Paths[i].Result, Void):
			failed[at] = true
		case p.Excused() > 0:
			excused[at] = true
		}
	}
	for at := range failed {
		delete(excused, at)
	}
	return excused
}

// unmeasured returns how many paths the agent neither lists nor adds up, of a round in which agents report sums.
func unmeasured(r *reported, expected report.Expected) uint64 {
	measured := uint64(len(r.reported))
	for _, sum := range r.Sums {
		measured += sum.Paths
	}
	return expected.Paths - min(expected.Paths, measured)
}

// Explain marks the agents whose failures findings about other nodes explain, and says the findings in place of these
// agents' reasons. The result stays.
func (v *Verdict) Explain(findings []report.Finding, explained func(node string) bool) {
	if len(findings) == 0 || v.Result == Pass {
		return
	}
	theirs := map[string]bool{}
	for i, a := range v.Agents {
		if a.Result == Fail && explained(a.Node) {
			v.Agents[i].Explained, theirs[a.Pod] = true, true
		}
	}
	var reasons []Reason
	for _, f := range findings {
		reasons = append(reasons, Reason{Code: Located, Text: f.Message})
	}
	for _, r := range v.Reasons {
		if r.Code == NotReported || !theirs[r.Pod] {
			reasons = append(reasons, r)
		}
	}
	v.Reasons = reasons
}
