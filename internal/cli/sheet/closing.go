package sheet

import (
	"fmt"
	"slices"
	"strings"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/verdict"
)

// evidence is what failed among what was tested.
type evidence struct {
	total figures
	// faults are the reasons of the targets that failed or have no data, in the order of sources and
	// paths.
	faults []string
	// voidAgents is how many of the agents that reported are void.
	voidAgents int
	// hidden reports that there is something to know of although nothing failed: a finding, loss, or connections that
	// did not stay open.
	hidden bool
	// void reports that something is void.
	void bool
	// limited are the nodes whose agents were the limit themselves: what they did not measure is no evidence about the
	// network.
	limited []string
}

// conclusion is the totals of what is shown, and what to look at next.
type conclusion struct {
	total, advice string
	// command is empty where no command helps, apart where agents were the limit beside nothing else.
	command, apart string
}

// closing shows the conclusion.
func closing(r systemv1beta1.KdoctorReport, seen evidence, missing []systemv1beta1.NotReported, o Options) []string {
	c := conclude(r, seen, missing, o)
	lines := append(wrap(c.total, o.Width, 0), wrap("Next: "+c.advice, o.Width, 0)...)
	if c.command != "" {
		lines = append(lines, "  "+c.command)
	}
	if c.apart != "" {
		lines = append(lines, wrap("Apart from that, "+c.apart, o.Width, 0)...)
	}
	return lines
}

// conclude gives the totals of what is shown and says what to look at next.
func conclude(r systemv1beta1.KdoctorReport, seen evidence, missing []systemv1beta1.NotReported, o Options) conclusion {
	total := seen.total
	silent, changed := apart(missing)
	silentAgents, changedAgents := len(silent), len(changed)
	where := ""
	if o.Node != "" {
		where = "From " + o.Node + ": "
	}
	text := fmt.Sprintf("%s%s, %d of %s succeeded", where, tally(total), total.ok, count(total.sent, "request"))
	if Omitted(r) && o.Node == "" && !o.some() {
		// Not all of them are in the lists.
		silentAgents, changedAgents = agentsOf(r.Spec).silent(), agentsOf(r.Spec).changed
	}
	if silentAgents > 0 {
		text += ", " + count(silentAgents, "agent") + " did not report"
	}
	left := leftOut(seen.voidAgents+changedAgents, total)
	text += left
	seen.void = left != ""
	c := conclusion{total: text + "."}
	c.advice, c.command = next(r, seen, silent, o)
	if len(seen.limited) > 0 && len(seen.faults) > 0 {
		c.apart = limit(seen.limited)
	}
	return c
}

// survey gathers what sources measured.
func survey(r systemv1beta1.KdoctorReport, shown []source) evidence {
	var seen evidence
	for _, s := range shown {
		if s.void {
			seen.voidAgents++
		}
		if s.limited() {
			seen.limited = append(seen.limited, s.node)
		}
		for _, g := range s.groups {
			seen.total.add(g.figures)
			for _, t := range g.targets {
				if t.outcome().fault() {
					seen.faults = append(seen.faults, t.reason)
				}
			}
		}
	}
	seen.hidden = hidden(r, seen.total)
	return seen
}

// hidden reports whether there is something to know of although nothing failed.
func hidden(r systemv1beta1.KdoctorReport, total figures) bool {
	shortCircuit := func(n systemv1beta1.Note) bool { return n.Code == string(verdict.ShortCircuit) }
	return len(r.Spec.Findings) > 0 || len(loss(total)) > 0 || slices.ContainsFunc(r.Spec.Notes, shortCircuit)
}

// tally says how many targets passed, and what became of the others.
func tally(total figures) string {
	text := fmt.Sprintf("%d of %s passed", total.targetsOK, count(total.judged(), "target"))
	if others := total.others(); others != "" {
		text += " (" + others + ")"
	}
	return text
}

// leftOut says, as a clause, how much is void, and how many requests are excused.
func leftOut(agents int, total figures) string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{agents, "agent"}, {total.targetsVoid, "target"}} {
		if part.n > 0 {
			parts = append(parts, count(part.n, part.what))
		}
	}
	text := ""
	if len(parts) > 0 {
		text = "; void because of changes: " + strings.Join(parts, ", ")
	}
	if total.void > 0 {
		text += "; excused: " + count(total.void, "request")
	}
	return text
}

// next is one sentence about where to look, and the command for it; the command is empty where no command helps.
func next(r systemv1beta1.KdoctorReport, seen evidence, silent []systemv1beta1.NotReported, o Options) (advice,
	command string) {
	again := commandFor(r, o)
	whole := again
	if o.Node != "" {
		again += " --node " + o.Node
	}
	if o.Target != "" {
		again += " --target " + o.Target
	}
	if o.Kind != "" {
		again += " --path " + string(o.Kind)
	}
	describe := fmt.Sprintf("kubectl describe %s %s", strings.ToLower(r.Spec.TaskType), r.Spec.TaskName)
	switch {
	case len(seen.faults) > 0:
		advice = begin(r.Spec.Findings)
		if seen.total.targetsFailed()+seen.total.targetsUnknown == 0 {
			advice = "what was not measured says nothing about the network; the reasons above say why it was not."
		}
		if !o.Failed {
			command = again + " --failed"
		}
		return advice, command
	case len(seen.limited) > 0:
		if !o.Failed {
			command = again + " --failed"
		}
		return limit(seen.limited), command
	case len(silent) > 0:
		return ask(silent)
	case !Passed(r) && o.some():
		return "nothing that is shown failed, but the round failed:", whole
	case !Passed(r) && o.Node != "":
		return "nothing that this node measured failed, but the round failed:", whole
	case slices.ContainsFunc(reasonsOf(r.Spec), tooLittle):
		return "too little is left to judge: see the next round, or run the task once more.", ""
	case !Passed(r):
		return "see the reasons above, and the task's events:", describe
	case seen.hidden && (o.Wide || Omitted(r)):
		return "nothing failed, but see the findings and notes above.", ""
	case seen.hidden:
		return "nothing failed, but see the findings and notes above. Each target by itself:", again + " --wide"
	}
	good := "nothing is wrong."
	if seen.void {
		good = "nothing failed; what is void was not judged."
	}
	switch {
	case Omitted(r) && o.Node == "":
		return good + " What one node measured:", again + " --node NODE"
	case o.Wide || Omitted(r):
		return good, ""
	}
	return good + " Each target by itself:", again + " --wide"
}

// commandFor is the command that shows the whole report.
func commandFor(r systemv1beta1.KdoctorReport, o Options) string {
	command := "kubectl kdoctor report " + r.Spec.TaskName
	if o.Round > 0 {
		command += fmt.Sprintf(" --round %d", o.Round)
	}
	return command
}

// ask says how to see why agents are silent.
func ask(silent []systemv1beta1.NotReported) (advice, command string) {
	const pods = "kubectl get pods -A -o wide "
	for _, n := range silent {
		if n.NodeName != "" {
			return fmt.Sprintf("see why the agent on %s is silent:", n.NodeName), pods +
				"--field-selector spec.nodeName=" + n.NodeName
		}
	}
	return "see why an agent has no node:", pods + "-l app.kubernetes.io/component=kdoctor-agent"
}

// limit says what to do where agents were the limit.
func limit(nodes []string) string {
	where := several(slices.Compact(slices.Sorted(slices.Values(nodes))))
	return fmt.Sprintf("an agent was the limit, not the network, in what %s measured: raise the agents' limits "+
		"(chart value agent.resources) or lower qps.", where)
}

// begin says where to begin when paths failed. The surest finding is the first.
func begin(findings []systemv1beta1.Finding) string {
	switch len(findings) {
	case 0:
		return unrelated
	case 1:
		return "begin with the finding above."
	}
	return "begin with the first of the findings above."
}

// unrelated is said where paths failed and no finding says what they have in common.
const unrelated = "the failures have no node, kind of path or family in common; begin with the first."
