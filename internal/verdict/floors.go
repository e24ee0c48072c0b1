package verdict

import (
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
)

// floor is one in how many must have been measured for a success to be one, below which there is no data, or nothing
// but an excuse:
//
//   - of a path's planned requests, so many must have been sent and judged. A request that is excused, that could not
//     be sent, or that the end of the round cut off, is not judged. The same holds for the planned requests of the
//     path's persistent stream;
//   - of the round's planned paths of each kind and family, so many must have been judged: with one of three nodes
//     drained, four of nine paths between pods are left, which is enough; with one of two, only one of four is, which
//     leads from a pod to itself;
//   - of the expected agents, so many must have a report that was judged.
//
// docs/use.md tells users.
const floor = 3

// reaches reports whether part is at least one in floor of the whole.
func reaches(part, whole uint64) bool { return floor*part >= whole }

// requests are those of a path, or of its persistent stream, by what may be said of them.
type requests struct {
	// planned is how many were to come due, due how many did, judged how many were sent and say something about the
	// path.
	planned, due, judged uint64
	// excused are explained by changes, missed could not be started in time, notSent had no port, descriptor or memory,
	// and aborted were cut off by the end of the round.
	excused, missed, notSent, aborted uint64
}

// requestsOf counts the requests of a path whose excused ones are still in it; planned is 0 where the plan is not
// known.
func requestsOf(p *report.Path, planned uint64) requests {
	r := requests{planned: max(planned, p.Scheduled), due: p.Scheduled, excused: p.Excused(), missed: p.Missed}
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

// enough reports whether enough was judged for a success.
func (r requests) enough() bool { return reaches(r.judged, r.planned) }

// unsent reports whether the agent could not send more of the due requests than is forgiven.
func (r requests) unsent() bool { return float64(r.missed+r.notSent) > missedShare*float64(r.due) }

// void reports whether nothing but changes explains that so few requests were judged: without these enough would have
// been. cut reports that a change ended the agent itself, which explains what did not come due.
func (r requests) void(cut bool) bool {
	never, explained := r.planned-r.due, r.excused
	if cut {
		never, explained = 0, explained+never
	}
	others := r.missed + r.notSent + never
	return (cut || r.excused > 0) && float64(others) <= missedShare*float64(r.planned) &&
		reaches(r.judged+explained, r.planned)
}
