package render

import (
	"fmt"
	"strconv"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
)

// Summary is a report in one line.
type Summary struct {
	// Round is the round reported of those asked for, such as 1/3, or 7 where there is no end.
	Round string
	// Result is succeed or fail.
	Result string
	// Reported of Expected agents gave a report; Passed of Targets paths succeeded.
	Reported, Expected, Passed, Targets int
	// Ended is when the last agent was done, zero when none reported.
	Ended time.Time
	// Reason is the first one of the failure, empty on success.
	Reason string
}

// Summarize reads a rendered report.
func Summarize(r *systemv1beta1.KdoctorReport) Summary {
	s := Summary{
		Round: strconv.FormatInt(r.Spec.ReportRoundNumber, 10), Result: Succeed,
		Reported: len(r.Spec.Report), Expected: len(r.Spec.Report) + len(r.Spec.NotReported),
	}
	if r.Spec.RoundNumber > 0 {
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
		if a.NetReachTask == nil {
			continue
		}
		s.Targets += len(a.NetReachTask.Detail)
		for _, d := range a.NetReachTask.Detail {
			if d.Succeed {
				s.Passed++
			}
		}
	}
	if s.Reported == 0 {
		s.Result = Fail
	}
	return s
}
