package sheet

import (
	"cmp"
	"slices"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/api/v1beta1"
)

// one is one target as one source measured it.
type one struct {
	place
	// node is the node of the target's pod, or the one that has the address; empty when any agent may answer.
	node   string
	reason string
	// byNode reports that the asking agent's own node answered for a load balancer.
	byNode bool
	// measured are all figures of the report, for what only the wide form shows.
	measured systemv1beta1.HTTPMetrics
	figures
}

// group is what one source measured on one path.
type group struct {
	path
	targets []one
	figures
}

// source is what one agent measured. Its groups are in the order of kinds, then families.
type source struct {
	node, pod string
	groups    []group
	// notes are remarks about the agent itself.
	notes []string
	// observer is how well the agent could observe, empty when it does not tell.
	observer string
	// failed is true when the agent's round failed, whatever its targets say; void when nothing is left of it to judge.
	failed, void bool
}

// limited reports whether the agent itself was the limit on one of its targets.
func (s source) limited() bool { return s.any(func(o outcome) bool { return o == toolLimited }) }

// outcome is how the agent's round ended.
func (s source) outcome() outcome {
	switch {
	case s.void:
		return void
	case s.limited() && !s.any(outcome.fault):
		return toolLimited
	default:
		return outcomeIf(!s.failed)
	}
}

// any reports whether one of the targets has such an outcome.
func (s source) any(such func(outcome) bool) bool {
	return slices.ContainsFunc(s.groups, func(g group) bool {
		return slices.ContainsFunc(g.targets, func(t one) bool { return such(t.outcome()) })
	})
}

// sources reads the report, sorted by node, then pod: those of the targets that the options choose.
func sources(spec systemv1beta1.KdoctorReportSpec, o Options) []source {
	var all []source
	for _, r := range spec.Report {
		s := source{node: r.NodeName, pod: r.PodName, void: r.RoundResult == systemv1beta1.ResultVoid}
		s.failed = !s.void && r.RoundResult != string(v1beta1.Succeed)
		if r.Task() != nil {
			s.groups = groups(r, o)
		}
		if s.void || (s.failed && !s.any(outcome.fails)) {
			s.notes = append(s.notes, reasonOf(r.FailedReason))
		}
		if r.Task() != nil && r.Task().Observer != nil {
			s.observer = health(*r.Task().Observer)
		}
		if r.FetchedBy != "" {
			s.notes = append(s.notes, "its report came by "+r.FetchedBy+
				": the controller could not reach its pod directly")
		}
		if o.some() {
			// They may be about paths that are not shown.
			s.notes = nil
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all,
		func(a, b source) int { return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.pod, b.pod)) })
	return all
}

func groups(r systemv1beta1.Report, o Options) []group {
	byPath := map[path]*group{}
	for _, d := range r.Task().Detail {
		if !o.chooses(d) {
			continue
		}
		t := oneOf(d)
		g := byPath[t.path]
		if g == nil {
			g = &group{path: t.path}
			byPath[t.path] = g
		}
		g.targets = append(g.targets, t)
		g.add(t.figures)
	}
	all := make([]group, 0, len(byPath))
	for _, g := range byPath {
		slices.SortStableFunc(g.targets, func(a, b one) int {
			return cmp.Or(cmp.Compare(standing(a), standing(b)), cmp.Compare(a.node, b.node), cmp.Compare(a.pod, b.pod),
				cmp.Compare(a.address, b.address))
		})
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b group) int { return comparePaths(a.path, b.path) })
	return all
}

// Chosen reports whether only a part of the report is shown.
func (o Options) Chosen() bool { return o.Node != "" || o.Failed || o.some() }

// some reports whether only some paths of an agent are shown.
func (o Options) some() bool { return o.Kind != "" || o.Target != "" }

// chooses reports whether the options ask for paths to the target.
func (o Options) chooses(d systemv1beta1.TargetDetail) bool {
	return (o.Kind == "" || string(o.Kind) == d.TargetKind) &&
		(o.Target == "" || slices.Contains([]string{d.TargetName, d.TargetPodName, d.TargetNodeName}, o.Target))
}

func oneOf(d systemv1beta1.TargetDetail) one {
	t := one{place: placeOf(d), node: d.TargetNodeName, byNode: d.AnsweredBy == systemv1beta1.AnsweredByNode,
		measured: d.Metrics, figures: figuresOf(d)}
	if !d.Succeed {
		t.reason = reasonOf(d.FailureReason)
	}
	return t
}

// standing is where a target stands among the others of its path: what fails comes first.
func standing(t one) int {
	switch {
	case t.outcome().fails():
		return 0
	case t.outcome() == void:
		return 1
	default:
		return 2
	}
}

func comparePaths(a, b path) int {
	order := kinds()
	return cmp.Or(cmp.Compare(slices.Index(order, a.kind), slices.Index(order, b.kind)),
		cmp.Compare(a.device, b.device), cmp.Compare(a.family, b.family))
}

func reasonOf(reason *string) string {
	if reason == nil || *reason == "" {
		return "it failed, and the report does not say why"
	}
	return *reason
}
