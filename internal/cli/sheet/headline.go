package sheet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/verdict"
)

// headline is the first line of the sheet.
func headline(r systemv1beta1.KdoctorReport, seen evidence, o Options) []string {
	result, as, text := headlineOf(r, seen)
	lines := labelled(result+"  ", text, o)
	lines[0] = paint(result, as, o.Color) + strings.TrimPrefix(lines[0], result)
	return lines
}

// headlineOf says how the round ended, and the one thing that matters most about it. It is about all that was seen,
// whatever is shown of it.
func headlineOf(r systemv1beta1.KdoctorReport, seen evidence) (result string, as outcome, text string) {
	s := r.Spec
	result, as, why := "SUCCEED", passed, success
	if !Passed(r) {
		result, as, why = "FAIL", failed, cause
	}
	return result, as,
		fmt.Sprintf("%s %s, %s: %s.", s.TaskType, s.TaskName, rounds(s), strings.TrimSuffix(why(s, seen), "."))
}

// success says how much the success is worth.
func success(s systemv1beta1.KdoctorReportSpec, seen evidence) string {
	text := tally(seen.total)
	if n := seen.total.targetsVoid; n > 0 {
		text += fmt.Sprintf(", %d void", n)
	}
	if changed := agentsOf(s).changed; changed > 0 {
		text += fmt.Sprintf(", %s void", count(changed, "agent"))
	}
	if s.ReducedLoad != "" {
		text += ", with less load than was asked for"
	}
	for _, n := range s.Notes {
		if n.Code == string(verdict.NodesLeftOut) {
			text += "; " + n.Message
		}
	}
	if seen.hidden {
		text += "; see the findings and notes below"
	}
	return text
}

// cause is the most important reason of a failure: what is known to be broken comes first, then what is not there, then
// what nobody could tell.
func cause(s systemv1beta1.KdoctorReportSpec, seen evidence) string {
	silent, _ := apart(s.NotReported)
	total := seen.total
	others := slices.DeleteFunc(reasonsOf(s), func(reason systemv1beta1.Reason) bool { return told(reason, s) })
	switch {
	case total.targetsUnknown > 0:
		return fmt.Sprintf("%d of %s did not pass; %s", total.notPassed(), count(total.judged(), "target"),
			lead(s.Findings))
	case total.targetsFailed() > 0:
		return fmt.Sprintf("%d of %s failed; %s", total.targetsFailed(), count(total.judged(), "target"),
			lead(s.Findings))
	case len(silent) > 0:
		return fmt.Sprintf("%d of %s did not report; %s", agentsOf(s).silent(), count(agentsOf(s).expected, "agent"),
			cmp.Or(silent[0].NodeName, silent[0].PodName)+": "+silent[0].Reason)
	case len(others) > 0 && !nothingLeft(others[0]):
		return others[0].Message
	case total.targetsNoData > 0 && total.targetsNoData == total.judged():
		return "nothing was measured: " + seen.faults[0]
	case total.targetsNoData > 0:
		return fmt.Sprintf("no data of %d of %s: %s", total.targetsNoData, count(total.judged(), "target"),
			seen.faults[0])
	case total.targetsLimited > 0:
		return fmt.Sprintf("%d of %s tool-limited: an agent was the limit, which says nothing about the network",
			total.targetsLimited, count(total.judged(), "target"))
	case len(s.FailedReasons) > 0:
		return s.FailedReasons[0]
	case agentsOf(s).reported == 0:
		return "no agent reported"
	}
	for _, a := range s.Report {
		if a.FailedReason != nil && *a.FailedReason != "" {
			return *a.FailedReason
		}
	}
	return "the report does not say why"
}

// lead is where to look first: the surest finding, which is the first.
func lead(findings []systemv1beta1.Finding) string {
	if len(findings) == 0 {
		return unrelated
	}
	if more := len(findings) - 1; more > 0 {
		return findings[0].Message + fmt.Sprintf(" (and %s)", count(more, "more finding"))
	}
	return findings[0].Message
}
