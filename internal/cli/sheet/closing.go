package sheet

import (
	"fmt"
	"slices"
	"strings"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/verdict"
)

// failure is one target that failed, or of which there is no data, seen from one source.
type failure struct {
	path
	from, to string
	// data tells that it failed; without data nothing is known against the target.
	data   bool
	reason string
	// persistent reports that only the requests over a persistent connection fail.
	persistent bool
}

// evidence is what failed among what was tested.
type evidence struct {
	total    figures
	failures []failure
	tested   []path
	// voidAgents is how many of the agents that reported are void.
	voidAgents int
	// hidden tells that there is something to know of although nothing failed: a finding, loss, or connections that did not stay open.
	hidden bool
	// void tells that something is void.
	void bool
	// limited are the nodes whose agents were the limit themselves: what they did not measure is no evidence about the network.
	limited []string
}

// withData are the failures without those of which there is no data, unless there are no others.
func (e evidence) withData() []failure {
	if e.total.targetsFailed() == 0 {
		return e.failures
	}
	return slices.DeleteFunc(slices.Clone(e.failures), func(f failure) bool { return !f.data })
}

// betweenPods is the part of the evidence that has a pod at either end.
func (e evidence) betweenPods() evidence {
	return evidence{
		failures: slices.DeleteFunc(slices.Clone(e.failures), func(f failure) bool { return f.to == "" }),
		tested: slices.DeleteFunc(slices.Clone(e.tested), func(p path) bool {
			return !p.kind.Traits().Direct
		}),
	}
}

// closing gives the totals of what is shown and says what to look at next.
func closing(r systemv1beta1.KdoctorReport, shown []source, missing []systemv1beta1.NotReported, o Options) []string {
	seen := survey(r, shown)
	total := seen.total
	silent, changed := apart(missing)
	where := ""
	if o.Node != "" {
		where = "From " + o.Node + ": "
	}
	text := fmt.Sprintf("%s%s, %d of %s succeeded", where, tally(total), total.ok, count(total.sent, "request"))
	if len(silent) > 0 {
		text += ", " + count(len(silent), "agent") + " did not report"
	}
	left := leftOut(seen.voidAgents+len(changed), total)
	text += left
	seen.void = left != ""
	advice, command := next(r, seen, silent, o)
	lines := append(wrap(text+".", o.Width, 0), wrap("Next: "+advice, o.Width, 0)...)
	if command != "" {
		lines = append(lines, "  "+command)
	}
	if len(seen.limited) > 0 && len(seen.failures) > 0 {
		lines = append(lines, wrap("Apart from that, "+limit(seen.limited), o.Width, 0)...)
	}
	return lines
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
			if !g.allVoid() {
				seen.tested = append(seen.tested, g.path)
			}
			for _, t := range g.targets {
				if t.outcome().fault() {
					seen.failures = append(seen.failures, failure{path: g.path, from: s.node, to: t.node, data: t.outcome() == failed, reason: t.reason,
						persistent: t.persistent})
				}
			}
		}
	}
	shortCircuit := func(n systemv1beta1.Note) bool { return n.Code == string(verdict.ShortCircuit) }
	seen.hidden = len(r.Spec.Findings) > 0 || len(loss(seen.total)) > 0 || slices.ContainsFunc(r.Spec.Notes, shortCircuit)
	return seen
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

// next is one sentence about where to look, drawn from nothing but which paths failed, and the command for it, empty when there is none.
func next(r systemv1beta1.KdoctorReport, seen evidence, silent []systemv1beta1.NotReported, o Options) (advice, command string) {
	again := "kubectl kdoctor report " + r.Spec.TaskName
	if o.Round > 0 {
		again += fmt.Sprintf(" --round %d", o.Round)
	}
	whole := again
	if o.Node != "" {
		again += " --node " + o.Node
	}
	describe := fmt.Sprintf("kubectl describe %s %s", strings.ToLower(r.Spec.TaskType), r.Spec.TaskName)
	switch {
	case len(seen.failures) > 0:
		advice = pattern(seen, o.Node == "") + idle(seen)
		if seen.total.targetsFailed() == 0 {
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
	case !Passed(r) && o.Node != "":
		return "nothing that this node measured failed, but the round failed:", whole
	case slices.ContainsFunc(reasonsOf(r.Spec), tooLittle):
		return "too little is left to judge: see the next round, or run the task once more.", ""
	case !Passed(r):
		return "see the reasons above, and the task's events:", describe
	case seen.hidden && o.Wide:
		return "nothing failed, but see the findings and notes above.", ""
	case seen.hidden:
		return "nothing failed, but see the findings and notes above. Each target by itself:", again + " --wide"
	}
	good := "nothing is wrong."
	if seen.void {
		good = "nothing failed; what is void was not judged."
	}
	if o.Wide {
		return good, ""
	}
	return good + " Each target by itself:", again + " --wide"
}

// ask says how to see why agents are silent.
func ask(silent []systemv1beta1.NotReported) (advice, command string) {
	const pods = "kubectl get pods -A -o wide "
	for _, n := range silent {
		if n.NodeName != "" {
			return fmt.Sprintf("see why the agent on %s is silent:", n.NodeName), pods + "--field-selector spec.nodeName=" + n.NodeName
		}
	}
	return "see why an agent has no node:", pods + "-l app.kubernetes.io/component=kdoctor-agent"
}

// limit says what to do where agents were the limit.
func limit(nodes []string) string {
	where := several(slices.Compact(slices.Sorted(slices.Values(nodes))))
	return fmt.Sprintf("an agent was the limit, not the network, in what %s measured: raise the agents' limits (chart value agent.resources) or lower qps.", where)
}

// pattern names what the failures have in common. Paths to pods come first: where these fail, a Service fails for the connections that it sends there.
func pattern(seen evidence, everyNode bool) string {
	seen.failures = seen.withData()
	failures, what := seen.failures, scope(seen)
	pods := seen.betweenPods().failures
	if ends := common(pods); len(ends) > 0 {
		advice := fmt.Sprintf("look at %s: every failing path%%s starts or ends there%%s.", ends[0])
		if len(ends) == 2 {
			advice = fmt.Sprintf("look at %s and %s: every failing path%%s runs between them%%s.", ends[0], ends[1])
		}
		if len(pods) == len(failures) {
			return fmt.Sprintf(advice, "", and(what))
		}
		return fmt.Sprintf(advice, " between pods", and(scope(seen.betweenPods()))) + " Paths through Services may fail for that alone."
	}
	if node := failures[0].from; everyNode && !slices.ContainsFunc(failures, func(f failure) bool { return f.from != node }) {
		return fmt.Sprintf("look at %s: no other node sees a failure%s.", node, and(what))
	}
	if what != "" {
		return "all that fails has this in common: " + what + "."
	}
	return "the failures have no node, path or family in common; begin with the first."
}

// idle is a further sentence where only persistent connections fail; it is empty elsewhere.
func idle(seen evidence) string {
	if slices.ContainsFunc(seen.withData(), func(f failure) bool { return !f.persistent }) {
		return ""
	}
	return " New connections are well: look for what ends idle ones on the way, such as connection tracking, NAT or a firewall."
}

func and(clause string) string {
	if clause == "" {
		return ""
	}
	return ", and " + clause
}

// common are the nodes, at most two, at which every failure starts or ends.
func common(failures []failure) []string {
	if len(failures) == 0 {
		return nil
	}
	var found []string
	for _, node := range []string{failures[0].from, failures[0].to} {
		elsewhere := func(f failure) bool { return f.from != node && f.to != node }
		if !slices.Contains(found, node) && !slices.ContainsFunc(failures, elsewhere) {
			found = append(found, node)
		}
	}
	return found
}

// scope tells, as a clause, that all failures are on one kind of path or in one family while others were tested and passed;
// empty when that cannot be said.
func scope(seen evidence) string {
	first := seen.failures[0].path
	differ := func(other func(path) bool) bool {
		return !slices.ContainsFunc(seen.failures, func(f failure) bool { return other(f.path) }) && slices.ContainsFunc(seen.tested, other)
	}
	kind := first.title()
	oneKind := differ(func(p path) bool { return p.title() != kind })
	if !oneKind {
		kind = path{kind: first.kind}.title()
		oneKind = differ(func(p path) bool { return p.kind != first.kind })
	}
	oneFamily := first.family != "" && differ(func(p path) bool { return p.family != first.family })
	switch {
	case oneKind && oneFamily:
		return fmt.Sprintf("it is only %s over %s", kind, first.family)
	case oneKind:
		return fmt.Sprintf("it is only %s", kind)
	case oneFamily:
		return fmt.Sprintf("it is only %s", first.family)
	default:
		return ""
	}
}
