package diagnose

import (
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Recording is everything that the findings of a round are made from. In JSON it is what --record-dir writes: the
// findings can be made again from it, by another release too.
type Recording struct {
	// Past is what earlier rounds of the task were like.
	Past    Past            `json:"Past"`
	Round   report.Round    `json:"Round"`
	Verdict verdict.Verdict `json:"Verdict"`
	// Observations are what the ladder saw.
	Observations []ladder.Observation `json:"Observations"`
	// Snapshot is the cluster when the round began.
	Snapshot topology.Snapshot `json:"Snapshot"`
}

// Locate is LocateAfter for what was recorded.
func (r Recording) Locate() (*report.Ladder, []Finding) {
	return LocateAfter(r.Past, r.Round, r.Verdict, r.Observations, ClusterOf(r.Snapshot))
}

// Findings returns what a report of the round says.
func (r Recording) Findings() []Finding {
	r.Round.Ladder, r.Round.Located = r.Locate()
	return Findings(r.Round, r.Verdict)
}
