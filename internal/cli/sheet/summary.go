package sheet

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// How much is shown of a report without single paths. All of it together is a page that a person can read.
const (
	mostOthers  = 5
	mostNodes   = 8
	mostZones   = 3
	mostWorst   = 4
	mostSlowest = 3
	mostSilent  = 3
)

// first returns the first few, or all in the wide form.
func first[T any](all []T, most int, o Options) []T {
	if o.Wide {
		return all
	}
	return all[:min(len(all), most)]
}

// writeSummary shows a report whose paths are omitted: its figures, what did not pass by node and zone, and the worst
// paths.
func writeSummary(w io.Writer, r systemv1beta1.KdoctorReport, o Options) error {
	s := r.Spec
	seen := surveySummary(r)
	var text page
	text.section(header(r, seen, o))
	silent, changed := apart(s.NotReported)
	text.section(listedInShort("Agents that did not report", failed, silent, agentsOf(s).silent(), o))
	text.section(listedInShort("Agents without a report because they were changed (void)", void, changed,
		agentsOf(s).changed, o))
	text.section(firstFew(others(s, o), mostOthers+1, s.LeftOut != nil && s.LeftOut.Reasons > 0))
	text.section(summaryTable(s, o))
	text.section(nodesNotPassed(s, o))
	text.section(zonesNotPassed(s, o))
	text.section(worstPaths(s, o))
	text.section(findings(s, o))
	text.section(diagnosed(s.Diagnosis, o))
	text.lines(closing(r, seen, s.NotReported, o))
	_, err := io.WriteString(w, text.String())
	return err
}

// firstFew bounds the lines, and says that there are more.
func firstFew(lines []string, most int, more bool) []string {
	if len(lines) > most {
		return append(slices.Clone(lines[:most]), "  and more: -o yaml shows the first hundred")
	}
	if more && len(lines) > 0 {
		return append(slices.Clone(lines), "  and more, which the report leaves out")
	}
	return lines
}

// listedInShort lists the first few agents without a report; all is how many there are.
func listedInShort(title string, as outcome, agents []systemv1beta1.NotReported, all int, o Options) []string {
	if all == 0 || (as == void && o.Failed) {
		return nil
	}
	shown := first(agents, mostSilent, o)
	lines := listed(title, as, shown, o)
	if more := all - len(shown); more > 0 {
		lines = append(lines, "  and "+count(more, "more agent"))
	}
	return lines
}

// surveySummary gathers what the summary has.
func surveySummary(r systemv1beta1.KdoctorReport) evidence {
	s := r.Spec
	seen := evidence{voidAgents: int(s.Summary.Agents.Void)}
	for _, p := range s.Summary.Paths {
		seen.total.add(figuresOfSummary(p))
	}
	for _, p := range s.WorstPaths {
		switch p.Result {
		case string(verdict.Fail), noData.String():
			seen.faults = append(seen.faults, p.FailureReason)
		case toolLimited.String():
			seen.limited = append(seen.limited, p.NodeName)
		}
	}
	bad := seen.total.targetsFailed() + seen.total.targetsUnknown + seen.total.targetsNoData
	if bad > 0 && len(seen.faults) == 0 {
		seen.faults = []string{"see the paths that did not pass"}
	}
	seen.hidden = hidden(r, seen.total)
	return seen
}

// figuresOfSummary reads paths of which the summary has the sums.
func figuresOfSummary(p systemv1beta1.PathSummary) figures {
	f := figures{targets: int(p.Paths), targetsOK: int(p.Passed), targetsVoid: int(p.Void),
		targetsNoData: int(p.NoData), targetsLimited: int(p.ToolLimited), targetsUnknown: int(p.NotPassed),
		sent: counted(p.RequestCounts, p.VoidRequests), ok: p.SuccessCounts, void: p.VoidRequests,
		resent: p.Retransmits, resentIn: p.RetransmittedRequests}
	if l := p.Latencies; l != nil {
		f.mean, f.p50, f.p99, f.max = l.MeanInMs, l.P50InMs, l.P99InMs, l.MaxInMs
	}
	for _, class := range []struct {
		n  int
		as outcome
	}{{f.targetsVoid, void}, {f.targetsNoData, noData}, {f.targetsLimited, toolLimited},
		{f.targetsFailed() + f.targetsUnknown, failed}} {
		if class.n > 0 {
			f.worst = class.as
		}
	}
	if k := p.KeptConnection; k != nil {
		f.persistentSent, f.persistentOK = counted(k.RequestCounts, k.VoidRequests), k.SuccessCounts
		f.idleReset, f.idleClosed = k.ResetWhileIdle, k.ClosedWhileIdle
		f.persistentClosed = max(0, min(k.ClosedByOtherSide, f.persistentSent-f.persistentOK))
	}
	return f
}

// summaryTable shows each kind of path and family in a row.
func summaryTable(s systemv1beta1.KdoctorReportSpec, o Options) []string {
	var rows []line
	for i, g := range summaryGroups(s) {
		row := summaryLine(g)
		if i == 0 {
			row.cells[colNode] = count(int(s.Summary.Agents.Reported), "node")
		}
		rows = append(rows, row)
		rows = append(rows, noted(loss(g.figures))...)
		rows = append(rows, noted(excused(g.figures))...)
	}
	return tableOf(rows, o)
}

// summaryGroups are the kinds of path and families of the summary.
func summaryGroups(s systemv1beta1.KdoctorReportSpec) []group {
	var all []group
	for _, p := range s.Summary.Paths {
		way := path{kind: target.Kind(p.TargetKind), family: topology.Family(p.IPFamily)}
		if p.TargetKind == "" {
			way.kind = unknown
		}
		all = append(all, group{path: way, figures: figuresOfSummary(p)})
	}
	slices.SortStableFunc(all, func(a, b group) int { return comparePaths(a.path, b.path) })
	return all
}

func summaryLine(g group) line {
	row := groupLine(g)
	if g.kind == unknown {
		row.cells[colPath] = "(not measured)"
	}
	return row
}

// nodesNotPassed shows the nodes with the most paths that did not pass.
func nodesNotPassed(s systemv1beta1.KdoctorReportSpec, o Options) []string {
	all := s.NodesNotPassed
	if len(all) == 0 {
		return nil
	}
	rows := [][]string{{"NODE", "NOT PASSED TO IT", "NOT PASSED FROM IT", "ITS AGENT"}}
	shown := all
	if !o.Wide {
		shown = all[:min(mostNodes, worthShowing(all))]
	}
	for _, n := range shown {
		rows = append(rows, nodeCells(n, s.NotReported))
	}
	lines := append([]string{paint("Nodes that did not pass", failed, o.Color)}, grid(rows, o.Width)...)
	if more := len(all) - len(shown) + leftOutNodes(s); more > 0 {
		text := fmt.Sprintf("  and %s", count(more, "more node"))
		if len(all) > len(shown) {
			text += fmt.Sprintf(", with at most %s each", count(badPaths(all[len(shown)]), "such path"))
		}
		lines = append(lines, text)
	}
	return lines
}

// badPaths is how many paths to the node and from it did not pass.
func badPaths(n systemv1beta1.NodeSummary) int64 { return n.NotPassedTo + n.NotPassedFrom }

// worthShowing is how many nodes have a row. The first one has the most paths that did not pass. Where one
// node is dead, every other has a path or two that did not pass: nodes with less than a tenth of what the first has are
// counted only.
func worthShowing(all []systemv1beta1.NodeSummary) int {
	few := slices.IndexFunc(all, func(n systemv1beta1.NodeSummary) bool { return 10*badPaths(n) < badPaths(all[0]) })
	if few < 0 {
		return len(all)
	}
	return few
}

// nodeCells are what is said of a node: its name, what did not pass to it and from it, and its agent.
func nodeCells(n systemv1beta1.NodeSummary, missing []systemv1beta1.NotReported) []string {
	return []string{n.NodeName, share(n.NotPassedTo, n.PathsTo), share(n.NotPassedFrom, n.PathsFrom),
		agentOf(n, missing)}
}

// zoneCells are what is said of a pair of zones.
func zoneCells(z systemv1beta1.ZonePair) []string {
	return []string{zoneName(z.FromZone), zoneName(z.ToZone), share(z.NotPassed, z.Paths)}
}

func leftOutNodes(s systemv1beta1.KdoctorReportSpec) int {
	if s.LeftOut == nil {
		return 0
	}
	return int(s.LeftOut.NodesNotPassed)
}

func leftOutZones(s systemv1beta1.KdoctorReportSpec) int {
	if s.LeftOut == nil {
		return 0
	}
	return int(s.LeftOut.ZonePairsNotPassed)
}

// share is a part of a whole, of which the whole may be unknown.
func share(part, whole int64) string {
	switch {
	case part == 0 && whole == 0:
		return "-"
	case whole == 0:
		return strconv.FormatInt(part, 10)
	}
	return ratio(part, whole)
}

// agentOf says how the node's agent came off.
func agentOf(n systemv1beta1.NodeSummary, missing []systemv1beta1.NotReported) string {
	switch {
	case slices.ContainsFunc(missing, func(m systemv1beta1.NotReported) bool { return m.NodeName == n.NodeName }):
		return "did not report"
	case n.RoundResult == "":
		return "-"
	case n.NotPassedFrom == 0 && n.FailedReason != "":
		return "FAIL: " + n.FailedReason
	}
	return failed.String()
}

// zonesNotPassed shows the pairs of zones with the most paths that did not pass.
func zonesNotPassed(s systemv1beta1.KdoctorReportSpec, o Options) []string {
	all := s.ZonePairsNotPassed
	if len(all) == 0 {
		return nil
	}
	rows := [][]string{{"FROM ZONE", "TO ZONE", "NOT PASSED"}}
	shown := first(all, mostZones, o)
	for _, z := range shown {
		rows = append(rows, zoneCells(z))
	}
	lines := append([]string{paint("Zones between which paths did not pass", failed, o.Color)}, grid(rows, o.Width)...)
	if more := len(all) - len(shown) + leftOutZones(s); more > 0 {
		lines = append(lines, "  and "+count(more, "more pair"))
	}
	return lines
}

func zoneName(zone string) string {
	if zone == "" {
		return "(unknown)"
	}
	return zone
}

// worstPaths shows the paths with the most failures, or a few of the slowest where all passed.
func worstPaths(s systemv1beta1.KdoctorReportSpec, o Options) []string {
	title, as, all := worst(s)
	most := mostWorst
	if as == passed {
		most = mostSlowest
	}
	shown := first(all, most, o)
	if len(shown) == 0 || (as == passed && o.Failed) {
		return nil
	}
	if as == failed {
		title = paint(title, as, o.Color)
	}
	var rows singles
	for _, p := range shown {
		rows.add(p.NodeName, worstOf(p))
	}
	return append([]string{title}, rows.take(o)...)
}

// worst are the paths that did not pass, or the slowest where all passed, under a title.
func worst(s systemv1beta1.KdoctorReportSpec) (title string, as outcome, paths []systemv1beta1.WorstPath) {
	bad := slices.DeleteFunc(slices.Clone(s.WorstPaths), func(p systemv1beta1.WorstPath) bool {
		return p.Result == string(verdict.Pass) || p.Result == systemv1beta1.ResultVoid
	})
	if len(bad) == 0 {
		return "Slowest paths", passed, s.WorstPaths
	}
	return "Worst paths", failed, bad
}

// worstOf reads one of the worst paths.
func worstOf(p systemv1beta1.WorstPath) one {
	d := systemv1beta1.TargetDetail{TargetName: p.TargetName, TargetUrl: p.TargetUrl, TargetKind: p.TargetKind,
		IPFamily: p.IPFamily, TargetPodName: p.TargetPodName, TargetNodeName: p.TargetNodeName,
		Succeed: p.Result == string(verdict.Pass), Result: p.Result, FailureReason: &p.FailureReason,
		MeanDelay: p.MeanInMs}
	d.Metrics.RequestCounts, d.Metrics.SuccessCounts, d.Metrics.VoidRequests = p.RequestCounts, p.SuccessCounts,
		p.VoidRequests
	d.Metrics.Latencies.P99InMs, d.Metrics.Latencies.MaxInMs = p.P99InMs, p.MaxInMs
	return oneOf(d)
}
