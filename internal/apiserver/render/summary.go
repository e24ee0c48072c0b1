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
	// NotPassed are further paths that did not pass, of which no more is known.
	NotPassed int
}

// Judged is how many paths there are without those that are void.
func (p Paths) Judged() int { return p.Passed + p.Failed + p.NoData + p.ToolLimited + p.NotPassed }

// Others tells what became of the paths that did not pass, such as "1 fail, 2 void"; it is empty where all did.
func (p Paths) Others() string {
	var parts []string
	for _, class := range []struct {
		n    int
		name string
	}{{p.Failed, string(verdict.Fail)}, {p.NoData, string(verdict.NoData)},
		{p.ToolLimited, string(verdict.ToolLimited)}, {p.NotPassed, "not passed"}, {p.Void, systemv1beta1.ResultVoid}} {
		if class.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", class.n, class.name))
		}
	}
	return strings.Join(parts, ", ")
}

// Summarize reads a rendered report.
func Summarize(r *systemv1beta1.KdoctorReport) Summary {
	s := Summary{Round: rounds(r.Spec.ReportRoundNumber, r.Spec.RoundNumber), Result: Succeed}
	if len(r.Spec.FailedReasons) > 0 {
		s.Result, s.Reason = Fail, r.Spec.FailedReasons[0]
	}
	if r.Spec.Summary == nil {
		s.Result = Fail
		return s
	}
	agents := r.Spec.Summary.Agents
	s.Reported, s.Expected = int(agents.Reported), int(agents.Expected)
	if agents.EndTimeStamp != nil {
		s.Ended = agents.EndTimeStamp.Time
	}
	if agents.Failed+agents.Explained > 0 || agents.Reported == 0 {
		s.Result = Fail
	}
	for _, p := range r.Spec.Summary.Paths {
		s.Paths.Passed += int(p.Passed)
		s.Paths.Failed += int(p.Failed)
		s.Paths.NoData += int(p.NoData)
		s.Paths.ToolLimited += int(p.ToolLimited)
		s.Paths.Void += int(p.Void)
		s.Paths.NotPassed += int(p.NotPassed)
	}
	return s
}

// rounds is the number of a round and of those planned; the latter is left out of a round beyond them.
func rounds(number, planned int64) string {
	if planned >= number {
		return fmt.Sprintf("%d/%d", number, planned)
	}
	return strconv.FormatInt(number, 10)
}
