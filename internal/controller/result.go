package controller

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// longestReason is the length in bytes to which reasons in status and events are cut.
const longestReason = 1000

// mostNames is how many names of nodes each list of a record has. A status has the records of ten rounds, and etcd
// refuses an object of more than 1.5 MiB.
const mostNames = 20

// Summary is what the status says of a round that is over. All lists are sorted and without repetition or empty names.
type Summary struct {
	Result  verdict.Result
	Reasons []string
	// Finding says where to look, by the surest finding; it is empty without a finding.
	Finding string
	// Findings are all findings, the surest first.
	Findings []report.Finding
	// Succeeded, Failed and Silent are nodes: all agents passed, one did not, one gave no report.
	Succeeded, Failed, Silent []string
	// Success says what a success is worth: how many targets passed, and what the round does not prove. It is empty for
	// other results.
	Success string
	// Expected is how many agents were expected to report.
	Expected int
	// Reduced says why the round got less load than its task asks for, empty where it did not.
	Reduced string
	Ended   time.Time
}

// Summarize reduces a round to its outcome.
func Summarize(r report.Round, v verdict.Verdict) Summary {
	o := Summary{Result: v.Result, Expected: len(r.Expected), Reduced: phrases.Reduction(r.Budget), Ended: r.Ended}
	if v.Result == verdict.Pass {
		o.Success = success(r, v)
	}
	if o.Findings = diagnose.Findings(r, v); len(o.Findings) > 0 {
		o.Finding = o.Findings[0].Message
	}
	o.Reasons = sentences(v.Reasons)
	for _, a := range v.Agents {
		switch a.Result {
		case verdict.Pass:
			o.Succeeded = append(o.Succeeded, a.Node)
		case verdict.Void:
		default:
			if a.Explained {
				// The finding names the node that is the reason.
				continue
			}
			o.Failed = append(o.Failed, a.Node)
		}
	}
	for _, m := range r.Missing {
		o.Silent = append(o.Silent, m.Node)
	}
	o.Failed, o.Silent = names(o.Failed), names(o.Silent)
	o.Succeeded = slices.DeleteFunc(names(o.Succeeded), func(n string) bool {
		_, failed := slices.BinarySearch(o.Failed, n)
		_, silent := slices.BinarySearch(o.Silent, n)
		return failed || silent
	})
	return o
}

// success says how many of the targets that could be judged passed, and what the round does not prove.
func success(r report.Round, v verdict.Verdict) string {
	counts := verdict.AllCounts(r, v)
	text := fmt.Sprintf("%d of %d targets passed", counts[verdict.Pass], counts[verdict.Pass])
	if n := counts[verdict.Void]; n > 0 {
		text += fmt.Sprintf(", %d void", n)
	}
	for _, note := range verdict.Notes(r, v) {
		text += "; " + note.String()
	}
	return text
}

// names sorts node names; an agent without a node, such as one that is Pending, has none to show.
func names(nodes []string) []string {
	sorted := slices.Compact(slices.Sorted(slices.Values(nodes)))
	sorted = slices.DeleteFunc(sorted, func(n string) bool { return n == "" })
	if sorted == nil {
		return []string{}
	}
	return sorted
}

// Result is how the running of a round ended.
type Result struct {
	Key schedule.Key
	Summary
	// changes are the findings that are others than in the round before.
	changes findings
	// Err is why there is no outcome, or, when there is one, why its report could not be kept.
	Err error
}

// Judged reports whether there is an outcome.
func (r Result) Judged() bool { return r.Result != "" }

// write closes the record of a round.
func write(record *v1beta1.Record, result Result, now time.Time) {
	ended := now
	if !result.Ended.IsZero() {
		ended = result.Ended
	}
	if ended.Before(record.StartTimeStamp.Time) {
		// The clock was set back meanwhile. A round does not end before it began, whatever the clock says.
		ended = record.StartTimeStamp.Time
	}
	end, took := metav1.NewTime(ended.Truncate(time.Second)), ended.Sub(record.StartTimeStamp.Time).String()
	record.EndTimeStamp, record.Duration = &end, &took
	record.Status = v1beta1.RecordSucceed
	if result.Result != verdict.Pass {
		record.Status, record.FailureReason = v1beta1.RecordFail, reasonOf(result)
	}
	expected := int64(result.Expected)
	record.ExpectedActorNumber = &expected
	record.FailedAgentNodeList, record.FailedAgentNodeNumber = shown(result.Failed)
	record.SucceedAgentNodeList, record.SucceedAgentNodeNumber = shown(result.Succeeded)
	record.NotReportAgentNodeList, record.NotReportAgentNodeNumber = shown(result.Silent)
}

// shown returns what a record has of the nodes: the first names of at most mostNames, and the number of all.
func shown(nodes []string) (first []string, number *int64) {
	all := names(nodes)
	count := int64(len(all))
	return slices.Clone(all[:min(len(all), mostNames)]), &count
}

// succeeded says that a round succeeded, and what that is worth.
func succeeded(number int64, result Result) string {
	text := fmt.Sprintf("Round %d succeeded", number)
	if result.Success != "" {
		text += ": " + result.Success
	}
	if result.Finding != "" {
		text += ". Finding: " + result.Finding
	}
	return short(text) + "."
}

// failed says that a round failed, where to look, and why.
func failed(number int64, result Result) string {
	text := fmt.Sprintf("Round %d failed: ", number)
	if result.Finding != "" {
		text += result.Finding + ". Reasons: "
	}
	return short(text+reasonOf(result)) + "."
}

func reasonOf(result Result) string {
	switch {
	case result.Judged():
		return short(strings.Join(result.Reasons, "; "))
	case errors.Is(result.Err, round.ErrOverdue):
		return "the controller was down until after the deadline"
	case result.Err != nil:
		return short("the round could not be run: " + result.Err.Error())
	}
	return "the round was not judged"
}

// short cuts a text to one line of at most longestReason bytes.
func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= longestReason {
		return text
	}
	const more = "..."
	return strings.ToValidUTF8(text[:longestReason-len(more)], "") + more
}
