package mesh

import (
	"maps"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// backends tells who ought to answer on the targets that any of several pods may answer on. Targets that lead to the
// same pods, for the same agents, are told together. The groups are sorted by their pods, then agents, targets and pods
// by name, whatever order the snapshot has.
func backends(snapshot topology.Snapshot, plans []Plan) []report.BackendSet {
	groups := map[string]*report.BackendSet{}
	behind := newBehind(snapshot)
	add := func(t target.Target, sources []string) {
		set := behind.of(t)
		key := set.key + "\n" + strings.Join(sources, "/")
		if groups[key] == nil {
			groups[key] = &report.BackendSet{Pods: set.pods, MayAlsoAnswer: set.also, UnevenWhy: set.uneven,
				Askers: sources}
		}
		groups[key].Targets = append(groups[key].Targets, t.ID)
	}
	same, differing := shared(plans)
	for _, t := range same {
		add(t, nil)
	}
	for _, d := range differing {
		slices.Sort(d.sources)
		add(d.target, d.sources)
	}
	var all []report.BackendSet
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		slices.Sort(groups[key].Targets)
		all = append(all, *groups[key])
	}
	return all
}

// differing is a target that leads agents of different nodes to different pods, with those that it leads alike.
type differing struct {
	target  target.Target
	sources []string
}

// shared are the targets that any of several pods may answer on, once each: those that lead all agents to the same
// pods, and the others.
func shared(plans []Plan) (same []target.Target, others []differing) {
	first := map[string]target.Target{}
	differ := map[string]bool{}
	for _, plan := range plans {
		for _, t := range plan.Targets {
			if t.MayAnswer() != target.Backends {
				continue
			}
			known, ok := first[t.ID]
			if !ok {
				first[t.ID] = t
			} else if known.OnlyNode != t.OnlyNode {
				differ[t.ID] = true
			}
		}
	}
	for id, t := range first {
		if !differ[id] {
			same = append(same, t)
		}
	}
	if len(differ) == 0 {
		return same, nil
	}
	at := map[[2]string]int{}
	for _, plan := range plans {
		for _, t := range plan.Targets {
			if !differ[t.ID] {
				continue
			}
			key := [2]string{t.ID, t.OnlyNode}
			i, ok := at[key]
			if !ok {
				i = len(others)
				at[key] = i
				others = append(others, differing{target: t})
			}
			others[i].sources = append(others[i].sources, plan.Agent.Pod)
		}
	}
	return same, others
}
