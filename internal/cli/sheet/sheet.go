// Package sheet turns a KdoctorReport into what a person reads: the verdict with its most important reason, a table per
// node and path, and what to look at next. It is pure: the same report and options give the same text.
package sheet

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Options say how a report is shown.
type Options struct {
	// Node shows only what this node's agents measured; empty shows all.
	Node string
	// Target shows only paths to the node, the pod or the target of this name; empty shows all.
	Target string
	// Kind shows only paths of this kind; empty shows all.
	Kind target.Kind
	// Round is the round that was asked for by its number; 0 is the last one. Commands that the sheet names ask for it
	// again.
	Round int64
	// Failed leaves out what passed, and what is void.
	Failed bool
	// Wide gives each target a row of its own and cuts nothing.
	Wide bool
	// Color paints results with terminal escapes.
	Color bool
	// Width is the number of columns to fill at most, in characters; 0 is without a limit.
	Width int
	// Now is what the age of the report is counted from; the zero time leaves the age out.
	Now time.Time
}

// Passed reports whether the report shows a round that succeeded. Anything missing is no success.
func Passed(r systemv1beta1.KdoctorReport) bool {
	s := r.Spec
	if len(s.FailedReasons) > 0 || slices.Contains(s.FailedRoundNumber, s.ReportRoundNumber) {
		return false
	}
	if Omitted(r) {
		a := s.Summary.Agents
		return a.Passed > 0 && a.Failed+a.Explained == 0 && a.Reported+a.NotReportedVoid >= a.Expected
	}
	return slices.ContainsFunc(s.Report,
		func(a systemv1beta1.Report) bool { return a.RoundResult == string(v1beta1.Succeed) }) &&
		!slices.ContainsFunc(s.NotReported, func(n systemv1beta1.NotReported) bool { return !n.Void }) &&
		!slices.ContainsFunc(s.Report, func(a systemv1beta1.Report) bool {
			return a.RoundResult != string(v1beta1.Succeed) && a.RoundResult != systemv1beta1.ResultVoid
		})
}

// Empty reports whether the report is about no round at all, because none is over yet.
func Empty(r systemv1beta1.KdoctorReport) bool {
	return !Omitted(r) && len(r.Spec.Report) == 0 && len(r.Spec.NotReported) == 0 && len(r.Spec.FailedReasons) == 0 &&
		r.Spec.FinishedRoundNumber == 0
}

// Nodes are the nodes that the report knows, sorted.
func Nodes(r systemv1beta1.KdoctorReport) []string {
	var all []string
	for _, a := range r.Spec.Report {
		all = append(all, a.NodeName)
	}
	for _, n := range r.Spec.NotReported {
		// A pod may have no node yet.
		if n.NodeName != "" {
			all = append(all, n.NodeName)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Write shows the report. The error is the writer's.
func Write(w io.Writer, r systemv1beta1.KdoctorReport, o Options) error {
	if o.Wide {
		o.Width = 0
	}
	if Omitted(r) {
		return writeSummary(w, r, o)
	}
	all := sources(r.Spec, Options{})
	shown := all
	if o.some() {
		shown = slices.DeleteFunc(sources(r.Spec, o), func(s source) bool { return len(s.groups) == 0 })
	}
	missing := slices.Clone(r.Spec.NotReported)
	if o.some() {
		missing = nil
	}
	if o.Node != "" {
		shown = slices.DeleteFunc(slices.Clone(shown), func(s source) bool { return s.node != o.Node })
		missing = slices.DeleteFunc(missing, func(n systemv1beta1.NotReported) bool { return n.NodeName != o.Node })
	}
	var text page
	section := text.section
	section(header(r, survey(r, all), o))
	silent, changed := apart(missing)
	section(listed("Agents that did not report", failed, silent, o))
	if !o.Failed {
		section(listed("Agents without a report because they were changed (void)", void, changed, o))
	}
	section(others(r.Spec, o))
	section(table(shown, o))
	section(findings(r.Spec, o))
	section(diagnosed(r.Spec.Diagnosis, o))
	text.lines(closing(r, survey(r, shown), missing, o))
	_, err := io.WriteString(w, text.String())
	return err
}

// page is text in the making.
type page struct{ strings.Builder }

func (p *page) lines(lines []string) {
	for _, l := range lines {
		p.WriteString(l + "\n")
	}
}

// section adds lines with an empty one behind them; no lines add nothing.
func (p *page) section(lines []string) {
	if len(lines) > 0 {
		p.lines(append(slices.Clone(lines), ""))
	}
}

// apart tells the agents that owe a report from those whose want of one is void.
func apart(missing []systemv1beta1.NotReported) (silent, changed []systemv1beta1.NotReported) {
	for _, n := range missing {
		if n.Void {
			changed = append(changed, n)
			continue
		}
		silent = append(silent, n)
	}
	return silent, changed
}

// listed lists agents that gave no report.
func listed(title string, as outcome, agents []systemv1beta1.NotReported, o Options) []string {
	if len(agents) == 0 {
		return nil
	}
	lines := []string{paint(title, as, o.Color)}
	if len(agents) > manySources && !o.Wide {
		return append(lines, listedByReason(agents, o)...)
	}
	for _, n := range agents {
		lines = append(lines, "  "+strings.TrimSpace(n.NodeName+"  "+n.PodName))
		lines = append(lines, wrap(n.Reason, o.Width, 4)...)
	}
	return lines
}

// listedByReason lists many agents once for all that have the same reason, the most frequent first.
func listedByReason(agents []systemv1beta1.NotReported, o Options) []string {
	nodes := map[string][]string{}
	for _, n := range agents {
		nodes[n.Reason] = append(nodes[n.Reason], cmp.Or(n.NodeName, n.PodName))
	}
	order := slices.SortedFunc(maps.Keys(nodes), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(nodes[b]), len(nodes[a])), strings.Compare(a, b))
	})
	var lines []string
	shown := 0
	for i, reason := range order {
		if i == manySources {
			return append(lines, fmt.Sprintf("  and %s for other reasons: --wide shows all",
				count(len(agents)-shown, "more agent")))
		}
		shown += len(nodes[reason])
		lines = append(lines, wrap(several(nodes[reason]), o.Width, 2)...)
		lines = append(lines, wrap(reason, o.Width, 4)...)
	}
	return lines
}

// others lists the reasons that neither the table nor the list of silent agents shows, such as a target that was asked
// for and does not exist.
func others(spec systemv1beta1.KdoctorReportSpec, o Options) []string {
	var lines []string
	for _, reason := range reasonsOf(spec) {
		if !told(reason, spec) && !located(reason, spec) {
			lines = append(lines, wrap(reason.Message, o.Width, 2)...)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return append([]string{paint("The round failed because", failed, o.Color)}, lines...)
}

// located reports whether the reason is a finding, which stands among the findings.
func located(reason systemv1beta1.Reason, spec systemv1beta1.KdoctorReportSpec) bool {
	return reason.Code == string(verdict.Located) && slices.ContainsFunc(spec.Findings,
		func(f systemv1beta1.Finding) bool { return f.Message == reason.Message })
}

// reasonsOf are the reasons of a failure; those of an earlier release are sentences alone.
func reasonsOf(spec systemv1beta1.KdoctorReportSpec) []systemv1beta1.Reason {
	if len(spec.Reasons) > 0 || len(spec.FailedReasons) == 0 {
		return slices.Clone(spec.Reasons)
	}
	var reasons []systemv1beta1.Reason
	for _, message := range spec.FailedReasons {
		reasons = append(reasons, systemv1beta1.Reason{Message: message})
	}
	return reasons
}

// told reports whether the reason is about one agent that the report shows, and so stands beside that agent.
func told(reason systemv1beta1.Reason, spec systemv1beta1.KdoctorReportSpec) bool {
	return reason.PodName != "" &&
		(slices.ContainsFunc(spec.NotReported,
			func(n systemv1beta1.NotReported) bool { return n.PodName == reason.PodName }) ||
			slices.ContainsFunc(spec.Report, func(a systemv1beta1.Report) bool {
				return a.PodName == reason.PodName && a.RoundResult != string(v1beta1.Succeed)
			}) ||
			slices.ContainsFunc(spec.NodesNotPassed,
				func(n systemv1beta1.NodeSummary) bool { return n.PodName == reason.PodName }))
}

// nothingLeft reports whether the round failed because changes excuse everything.
func nothingLeft(reason systemv1beta1.Reason) bool { return reason.Code == string(verdict.NothingLeft) }

// tooLittle reports whether the round failed because too little of it could be judged.
func tooLittle(reason systemv1beta1.Reason) bool {
	return nothingLeft(reason) || reason.Code == string(verdict.FewAgents) || reason.Code == string(verdict.FewPaths)
}
