package sheet

import (
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
)

// Omitted reports whether the report is without single paths because there are too many of them.
func Omitted(r systemv1beta1.KdoctorReport) bool {
	return r.Spec.ReportOmitted != "" && r.Spec.Summary != nil
}

// participants are the agents of the round in short.
type participants struct {
	expected, reported int
	// changed are those without a report because they were deleted, drained or restarted.
	changed    int
	begin, end time.Time
	// cpu, in percent of a core, and memory, in bytes, are the most that one agent used.
	cpu    float64
	memory int64
}

// silent is how many owe a report.
func (p participants) silent() int { return p.expected - p.reported - p.changed }

// agentsOf counts the agents, whether the report lists them or not.
func agentsOf(s systemv1beta1.KdoctorReportSpec) participants {
	if s.ReportOmitted != "" && s.Summary != nil {
		a := s.Summary.Agents
		p := participants{expected: int(a.Expected), reported: int(a.Reported), changed: int(a.NotReportedVoid),
			cpu: a.MaxCPUInPercent, memory: a.MaxMemoryInByte}
		if a.StartTimeStamp != nil && a.EndTimeStamp != nil {
			p.begin, p.end = a.StartTimeStamp.Time, a.EndTimeStamp.Time
		}
		return p
	}
	_, changed := apart(s.NotReported)
	p := participants{expected: len(s.Report) + len(s.NotReported), reported: len(s.Report), changed: len(changed)}
	for _, a := range s.Report {
		if b := a.StartTimeStamp.Time; !b.IsZero() && (p.begin.IsZero() || b.Before(p.begin)) {
			p.begin = b
		}
		if e := a.EndTimeStamp.Time; e.After(p.end) {
			p.end = e
		}
		if a.Task() != nil {
			p.cpu = max(p.cpu, a.Task().MaxCPUInPercent)
			p.memory = max(p.memory, a.Task().MaxMemoryInByte)
		}
	}
	return p
}
