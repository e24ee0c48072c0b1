package render

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/verdict"
)

// MaxBytes is the size of a KdoctorReport in JSON that no report exceeds.
const MaxBytes = 300_000

const (
	// leastPath is the size of one path in JSON that no path is below.
	leastPath = 600
	// maxText bounds the bytes of one sentence in a report whose paths are omitted.
	maxText = 1000
	// maxEvidence bounds the evidence of one finding in such a report.
	maxEvidence = 20
)

// bound is how many entries of a list such a report has at most, and how many bytes they have in JSON. The bytes of all
// lists together leave room for the rest of the object.
type bound struct{ entries, bytes int }

// The bounds.
func reasonBound() bound      { return bound{100, 50_000} }
func notReportedBound() bound { return bound{100, 25_000} }
func outsideBound() bound     { return bound{100, 15_000} }
func noteBound() bound        { return bound{20, 10_000} }
func findingBound() bound     { return bound{50, 45_000} }
func churnBound() bound       { return bound{100, 15_000} }
func nodeBound() bound        { return bound{200, 55_000} }
func zonePairBound() bound    { return bound{50, 8_000} }
func worstBound() bound       { return bound{50, 40_000} }

// take returns the first entries that are within the bound, and how many are left out.
func take[T any](all []T, within bound) (some []T, left int64) {
	bytes := 0
	for i, entry := range all {
		bytes += size(entry) + 1
		if i >= within.entries || bytes > within.bytes {
			return all[:i], int64(len(all) - i)
		}
	}
	return all, 0
}

// size is the number of bytes in JSON. Reports hold nothing that JSON cannot.
func size(value any) int {
	text, err := json.Marshal(value)
	if err != nil {
		return MaxBytes + 1
	}
	return len(text)
}

// clip cuts a sentence that is too long.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// shorten puts all lists of the report within their bounds, and counts what is left out. moreNodes is how many nodes
// that did not pass the judgement has left out before.
func shorten(spec *systemv1beta1.KdoctorReportSpec, moreNodes int64) {
	var left systemv1beta1.LeftOut
	for i := range spec.Reasons {
		spec.Reasons[i].Message = clip(spec.Reasons[i].Message)
	}
	half := reasonBound()
	half.bytes /= 2 // the sentences are there twice
	spec.Reasons, left.Reasons = take(spec.Reasons, half)
	spec.FailedReasons = nil
	for _, r := range spec.Reasons {
		spec.FailedReasons = append(spec.FailedReasons, r.Message)
	}
	for i := range spec.NotReported {
		spec.NotReported[i].Reason = clip(spec.NotReported[i].Reason)
	}
	spec.NotReported, left.NotReported = take(spec.NotReported, notReportedBound())
	for i := range spec.Outside {
		spec.Outside[i].Reason = clip(spec.Outside[i].Reason)
	}
	spec.Outside, left.Outside = take(spec.Outside, outsideBound())
	for i := range spec.Notes {
		spec.Notes[i].Message = clip(spec.Notes[i].Message)
	}
	spec.Notes, left.Notes = take(spec.Notes, noteBound())
	for i := range spec.Churn {
		spec.Churn[i] = clip(spec.Churn[i])
	}
	spec.Churn, left.Churn = take(spec.Churn, churnBound())
	for i := range spec.Findings {
		shortenFinding(&spec.Findings[i])
	}
	spec.Findings, left.Findings = take(spec.Findings, findingBound())
	spec.NodesNotPassed, left.NodesNotPassed = take(spec.NodesNotPassed, nodeBound())
	left.NodesNotPassed = max(left.NodesNotPassed, moreNodes)
	spec.ZonePairsNotPassed, left.ZonePairsNotPassed = take(spec.ZonePairsNotPassed, zonePairBound())
	spec.WorstPaths, _ = take(spec.WorstPaths, worstBound())
	spec.ReducedLoad, spec.LoadOfOthers = clip(spec.ReducedLoad), clip(spec.LoadOfOthers)
	spec.LeftOut = nil
	if left != (systemv1beta1.LeftOut{}) {
		spec.LeftOut = &left
	}
}

// shortenFinding bounds the sentence and the evidence of a finding.
func shortenFinding(f *systemv1beta1.Finding) {
	f.Message, f.Where = clip(f.Message), clip(f.Where)
	if more := len(f.Evidence) - maxEvidence; more > 0 {
		f.Evidence, f.MoreEvidence = f.Evidence[:maxEvidence], int64(more)
	}
	for i := range f.Evidence {
		f.Evidence[i] = clip(f.Evidence[i])
	}
}

// fits reports whether the paths may be few enough for the object; what they take is known only when they are rendered.
func fits(stored verdict.StoredRound) bool {
	var paths int
	for _, e := range stored.Round.Expected {
		paths += max(len(e.Targets), int(min(e.Paths, MaxBytes)))
	}
	var reported int
	for _, a := range stored.Round.Agents {
		if len(a.Sums) > 0 {
			return false
		}
		reported += len(a.Paths)
	}
	return max(paths, reported) <= MaxBytes/leastPath
}

// omitted says why the paths are not in the object, and where they are.
func omitted(task ReportedTask, stored verdict.StoredRound, figures *tally) string {
	name := RoundName(Name(task.Kind, task.Name), stored.Round.Key)
	text := fmt.Sprintf("The round has %d paths, too many for this object", figures.paths())
	if summed := figures.paths() - figures.listed; summed > 0 {
		text += fmt.Sprintf(" (%d of them are known by their sums alone)", summed)
	}
	return text + fmt.Sprintf(": kubectl kdoctor report %s/%s with --failed, --node, --target or --path shows single "+
		"paths, and kubectl get kdoctorpaths --field-selector report=%s lists them", strings.ToLower(task.Kind),
		task.Name, name)
}

// Lighten takes out of a report what makes it large, and says so in it. The report's lists are left as they are.
func Lighten(r *systemv1beta1.KdoctorReport) {
	r.Spec.Report = []systemv1beta1.Report{}
	r.Spec.ReportOmitted = "The list is too long for whole reports: kubectl get kdoctorreport " + r.Name +
		" -o yaml shows this one"
	r.Spec.NodesNotPassed, r.Spec.ZonePairsNotPassed, r.Spec.WorstPaths, r.Spec.LeftOut = nil, nil, nil, nil
	r.Spec.Findings, r.Spec.Churn, r.Spec.Outside, r.Spec.NotReported = nil, nil, nil, nil
	r.Spec.FailedReasons = r.Spec.FailedReasons[:min(1, len(r.Spec.FailedReasons))]
	r.Spec.Reasons = r.Spec.Reasons[:min(1, len(r.Spec.Reasons))]
}
