package verdict

import (
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
)

// floorOneIn is one in how many must have been measured for a success. Below this floor there is no data, or only an
// excuse:
//
//   - of a path's planned requests, one in floorOneIn must have been sent and judged. A request that is excused, that
//     could not be sent, or that the end of the round cut off, is not judged. The same holds for the planned requests
//     of the path's persistent stream;
//   - of the round's planned paths of each kind and family, one in floorOneIn must have been judged. With one of three
//     nodes drained, four of nine paths between pods are left, which is enough. With one of two nodes drained, only one
//     of four paths is left, which leads from a pod to itself;
//   - of the expected agents, one in floorOneIn must have a report that was judged.
//
// docs/use.md says so to users.
const floorOneIn = 3

// reachesFloor reports whether part is at least one in floorOneIn of the whole.
func reachesFloor(part, whole uint64) bool { return floorOneIn*part >= whole }

// requestCounts are the requests of a path, or of its persistent stream, by what can be concluded from them.
type requestCounts struct {
	// planned is how many requests were to come due, due how many did. judged is how many were sent and are evidence
	// about the path.
	planned, due, judged uint64
	// excused requests are explained by changes. missed could not be started in time, notSent had no port, descriptor
	// or memory, and aborted were cut off by the end of the round.
	excused, missed, notSent, aborted uint64
}

// countRequests counts the requests of a path, which must still include the excused ones; planned is 0 if the plan is
// unknown.
func countRequests(p *report.Path, planned uint64) requestCounts {
	r := requestCounts{planned: max(planned, p.Scheduled), due: p.Scheduled, excused: p.Excused(), missed: p.Missed}
	for _, f := range p.Failures {
		switch f.Outcome {
		case probe.NotSent:
			r.notSent += f.Count - min(f.Count, f.Excused)
		case probe.Aborted:
			r.aborted += f.Count - min(f.Count, f.Excused)
		}
	}
	r.judged = p.Sent - min(p.Sent, r.excused+r.notSent+r.aborted)
	return r
}

// enoughJudged reports whether enough was judged for a success.
func (r requestCounts) enoughJudged() bool { return reachesFloor(r.judged, r.planned) }

// tooManyUnsent reports whether more of the due requests were not sent than is tolerated.
func (r requestCounts) tooManyUnsent() bool {
	return float64(r.missed+r.notSent) > missedShare*float64(r.due)
}

// areVoid reports whether only changes explain why so few requests were judged: without the changes enough would have
// been judged. cut reports that a change ended the agent itself, which explains the requests that did not come due.
func (r requestCounts) areVoid(cut bool) bool {
	notDue, explained := r.planned-r.due, r.excused
	if cut {
		notDue, explained = 0, explained+notDue
	}
	others := r.missed + r.notSent + notDue
	return (cut || r.excused > 0) && float64(others) <= missedShare*float64(r.planned) &&
		reachesFloor(r.judged+explained, r.planned)
}
