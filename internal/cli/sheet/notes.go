package sheet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/probe"
)

// mostFindings is how many findings are shown but in the wide form.
const mostFindings = 5

// findings lists what was found, the wide form with the figures behind it.
func findings(spec systemv1beta1.KdoctorReportSpec, o Options) []string {
	shown := spec.Findings
	if !o.Wide && len(shown) > mostFindings {
		shown = shown[:mostFindings]
	}
	var lines []string
	const label = "Finding: "
	for _, f := range shown {
		text := wrap(fmt.Sprintf("%s%s (%s; %s).", label, f.Message, f.Component, sureness(f)), o.Width, 0)
		text[0] = paint(strings.TrimSpace(label), failed, o.Color) +
			strings.TrimPrefix(text[0], strings.TrimSpace(label))
		lines = append(lines, text...)
		if o.Wide {
			for _, e := range more(f) {
				lines = append(lines, wrap(e, o.Width, 2)...)
			}
		}
	}
	if more := len(spec.Findings) - len(shown); more > 0 {
		lines = append(lines, count(more, "more finding")+": --wide shows all.")
	}
	if spec.LeftOut != nil && spec.LeftOut.Findings > 0 {
		lines = append(lines, count(spec.LeftOut.Findings, "more finding")+" that the report leaves out.")
	}
	return lines
}

// sureness is how sure a finding is: its probability where one was computed.
func sureness(f systemv1beta1.Finding) string {
	if f.Probability > 0 {
		return fmt.Sprintf("probability %.2f", f.Probability)
	}
	return "confidence " + f.Confidence
}

// more is what the wide form says of a finding: its figures, what else it might be, and how to check it.
func more(f systemv1beta1.Finding) []string {
	all := append([]string{}, f.Evidence...)
	for _, against := range f.Against {
		all = append(all, "against it: "+against)
	}
	if f.RunnerUp != "" {
		all = append(all, "next best explanation: "+f.RunnerUp)
	}
	if f.Falsify != "" {
		all = append(all, "it is wrong if "+f.Falsify)
	}
	if f.Command != "" {
		all = append(all, "try: "+f.Command)
	}
	return all
}

// diagnosed says what the probes beside the requests cost and, in the wide form, what loss the round could have seen.
func diagnosed(d *systemv1beta1.Diagnosis, o Options) []string {
	if d == nil {
		return nil
	}
	text := fmt.Sprintf("Diagnosis: %s from %s beside the requests", count(d.Probes, "probe"), count(d.Agents, "agent"))
	if d.Failed > 0 {
		text += fmt.Sprintf(", %d failed", d.Failed)
	}
	if d.HostAgents == 0 {
		text += "; without agents in the nodes' host networks (hostAgent.enabled in the chart) some components cannot be " +
			"told apart"
	}
	lines := wrap(text+".", o.Width, 0)
	if !o.Wide {
		return lines
	}
	var seen []string
	for _, l := range d.SmallestLoss {
		seen = append(seen, l.Path+" "+lossPercent(l))
	}
	if len(seen) > 0 {
		lines = append(lines, wrap("The smallest loss at one node that would have shown: "+strings.Join(seen, ", ")+".",
			o.Width, 2)...)
	}
	return lines
}

func lossPercent(l systemv1beta1.SmallestLoss) string { return fmt.Sprintf("%.2g%%", l.Percent) }

// several names the first few.
func several(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// noted makes notes of texts.
func noted(texts []string) []line {
	var notes []line
	for _, text := range texts {
		notes = append(notes, line{note: text})
	}
	return notes
}

// loss tells of what a row's success hides: segments that were sent again, and a connection that did not stay open.
func loss(f figures) []string {
	var texts []string
	if f.resent > 0 {
		texts = append(texts,
			fmt.Sprintf("%s sent again, in %d of %s", count(f.resent, "segment"), f.resentIn, count(f.sent, "request")))
	}
	if f.persistentOK < f.persistentSent {
		text := fmt.Sprintf("%d of %s failed over persistent connections", f.persistentSent-f.persistentOK,
			count(f.persistentSent, "request"))
		if f.persistentClosed > 0 {
			text += fmt.Sprintf(", %d because the other side had closed them", f.persistentClosed)
		}
		texts = append(texts, text)
	}
	if f.idleReset+f.idleClosed > 0 {
		texts = append(texts,
			fmt.Sprintf("the other side ended %s while idle, %d by a reset",
				count(f.idleReset+f.idleClosed, "persistent connection"), f.idleReset))
	}
	return texts
}

// excused tells of what counts for neither side because agents were deleted, drained or restarted.
func excused(f figures) []string {
	var parts []string
	if f.targetsVoid > 0 {
		parts = append(parts, "void: "+count(f.targetsVoid, "target"))
	}
	if f.void > 0 {
		parts = append(parts, fmt.Sprintf("excused: %d of %s", f.void, count(f.sent+f.void, "request")))
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{strings.Join(parts, "; ")}
}

// wide tells in the wide form what the table has no columns for.
func wide(t one, o Options) []line {
	if !o.Wide {
		return nil
	}
	m := t.measured
	texts := loss(t.figures)
	if t.byNode {
		texts = append(texts, "answered by the node itself (ipMode VIP): this proves nothing about the load balancer")
	}
	switch {
	case len(m.Excuses) > 0:
		for _, e := range m.Excuses {
			texts = append(texts, "excused: "+e.Message)
		}
	case t.outcome() != void:
		texts = append(texts, excused(t.figures)...)
	}
	if times := times(m); times != "" {
		texts = append(texts, times)
	}
	if m.BackendsExpected > 0 {
		texts = append(texts, backends(m))
	}
	if k := m.KeptConnection; k != nil {
		text := fmt.Sprintf("persistent connection: %s succeeded, %d reused",
			ratio(k.SuccessCounts, counted(k.RequestCounts, k.VoidRequests)), k.Reused)
		if k.VoidRequests > 0 {
			text += fmt.Sprintf(", %d excused", k.VoidRequests)
		}
		if k.Latencies != nil {
			text += ", mean/p99/max ms: " + three(k.Latencies.MeanInMs, k.Latencies.P99InMs, k.Latencies.MaxInMs)
		}
		texts = append(texts, text)
	}
	return noted(texts)
}

// times tells where the time went: on the way, phase by phase, and at the agent's own end.
func times(m systemv1beta1.HTTPMetrics) string {
	var parts []string
	if phases := phasesOf(m); phases != "" {
		parts = append(parts, "phases, mean/max ms: "+phases)
	}
	if m.LagInMs != nil {
		parts = append(parts, "own lag, mean/p99/max ms: "+three(m.LagInMs.Mean, m.LagInMs.P99, m.LagInMs.Max))
	}
	if m.Response != nil {
		parts = append(parts, "from when due: "+three(m.Response.MeanInMs, m.Response.P99InMs, m.Response.MaxInMs))
	}
	if m.ClockSource != "" {
		parts = append(parts, m.ClockSource+" clock")
	}
	return strings.Join(parts, "; ")
}

func three(a, b, c float64) string {
	return milliseconds(a) + "/" + milliseconds(b) + "/" + milliseconds(c)
}

// tooShort is the length in milliseconds below which nobody measures a phase; see the rendering of reports, which
// leaves these out too.
const tooShort = 0.001

// phasesOf lists the phases in their order; those of a later release come last. Those that no request had for long
// enough are left out.
func phasesOf(m systemv1beta1.HTTPMetrics) string {
	place := map[string]int{}
	for p := range probe.Phases {
		place[p.String()] = int(p)
	}
	rank := func(name string) int {
		if at, ok := place[name]; ok {
			return at
		}
		return len(place)
	}
	phases := maps.Clone(m.PhasesInMs)
	maps.DeleteFunc(phases, func(_ string, p systemv1beta1.Phase) bool { return p.Max < tooShort })
	names := slices.SortedFunc(maps.Keys(phases),
		func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %s/%s", name, milliseconds(phases[name].Mean), milliseconds(phases[name].Max))
	}
	return strings.Join(names, ", ")
}

// backends tells who answered, the most frequent first.
func backends(m systemv1beta1.HTTPMetrics) string {
	text := fmt.Sprintf("answered by %d of %s", m.BackendsAnswered, count(m.BackendsExpected, "pod"))
	names := slices.SortedFunc(maps.Keys(m.Backends),
		func(a, b string) int { return cmp.Or(cmp.Compare(m.Backends[b], m.Backends[a]), cmp.Compare(a, b)) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, m.Backends[name])
	}
	if len(names) > 0 {
		text += ": " + strings.Join(names, ", ")
	}
	if len(m.SilentBackends) > 0 {
		text += "; silent: " + strings.Join(m.SilentBackends, ", ")
	}
	return text
}

// agentNotes are what is to be known about the agent itself. How well it could observe matters where it was the limit;
// the wide form always tells it.
func agentNotes(s source, o Options) []string {
	if o.Failed && !s.failed {
		return nil
	}
	if s.observer != "" && (o.Wide || s.limited()) {
		return append(slices.Clone(s.notes), s.observer)
	}
	return s.notes
}

// health tells how well an agent could observe.
func health(o systemv1beta1.Observer) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if o.CPULimit > 0 {
		add("limit of %g cores, stopped by it in %.0f%% of periods, %s ms in all", o.CPULimit, 100*o.ThrottledShare,
			milliseconds(o.ThrottledInMs))
	}
	if o.LongestPauseInMs > 0 {
		add("longest pause %s ms", milliseconds(o.LongestPauseInMs))
	}
	if o.Files > 0 {
		add("descriptors %s", ratio(o.Files, o.FileLimit))
	}
	if o.Conntrack > 0 {
		add("tracked connections %s", ratio(o.Conntrack, o.ConntrackLimit))
	}
	if o.Mode != "" {
		add("mode %s", o.Mode)
	}
	return strings.Join(parts, ", ")
}
