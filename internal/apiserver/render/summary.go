package render

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Summary is a report in one line.
type Summary struct {
	// Round is the round reported of those asked for, such as 1/3, or 7 where there is no end, or where it was asked
	// for beyond those.
	Round string
	// Result is succeed or fail.
	Result string
	// Reported of Expected agents gave a report.
	Reported, Expected int
	Paths              Paths
	// Ended is when the last agent was done, zero when none reported.
	Ended time.Time
	// Reason is the first one of the failure, empty on success.
	Reason string
}

// Paths counts the paths of the agents that reported. Each is counted once, so that the counts add up to all of them.
type Paths struct {
	Passed, Failed, NoData, ToolLimited int
	// Void are the paths that have nothing left to judge, because agents were deleted, drained or restarted.
	Void int
}

// add counts a path. A result of a later release is a failure: it is no success that this one knows.
func (p *Paths) add(d systemv1beta1.TargetDetail) {
	switch {
	case d.Succeed:
		p.Passed++
	case d.Result == systemv1beta1.ResultVoid:
		p.Void++
	case d.Result == string(verdict.NoData):
		p.NoData++
	case d.Result == string(verdict.ToolLimited):
		p.ToolLimited++
	default:
		p.Failed++
	}
}

// Judged is how many paths there are without those that are void.
func (p Paths) Judged() int { return p.Passed + p.Failed + p.NoData + p.ToolLimited }

// Others tells what became of the paths that did not pass, such as "1 fail, 2 void"; it is empty where all did.
func (p Paths) Others() string {
	var parts []string
	for _, class := range []struct {
		n    int
		name string
	}{{p.Failed, string(verdict.Fail)}, {p.NoData, string(verdict.NoData)},
		{p.ToolLimited, string(verdict.ToolLimited)}, {p.Void, systemv1beta1.ResultVoid}} {
		if class.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", class.n, class.name))
		}
	}
	return strings.Join(parts, ", ")
}

// Summarize reads a rendered report.
func Summarize(r *systemv1beta1.KdoctorReport) Summary {
	s := Summary{
		Round: strconv.FormatInt(r.Spec.ReportRoundNumber, 10), Result: Succeed,
		Reported: len(r.Spec.Report), Expected: len(r.Spec.Report) + len(r.Spec.NotReported),
	}
	if r.Spec.RoundNumber >= r.Spec.ReportRoundNumber {
		s.Round = fmt.Sprintf("%d/%d", r.Spec.ReportRoundNumber, r.Spec.RoundNumber)
	}
	if len(r.Spec.FailedReasons) > 0 {
		s.Result, s.Reason = Fail, r.Spec.FailedReasons[0]
	}
	for _, a := range r.Spec.Report {
		if a.EndTimeStamp.After(s.Ended) {
			s.Ended = a.EndTimeStamp.Time
		}
		if a.RoundResult != Succeed && a.RoundResult != systemv1beta1.ResultVoid {
			s.Result = Fail
		}
		if a.Task() == nil {
			continue
		}
		for _, d := range a.Task().Detail {
			s.Paths.add(d)
		}
	}
	if s.Reported == 0 {
		s.Result = Fail
	}
	return s
}
