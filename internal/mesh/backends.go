package mesh

import (
	"maps"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// backends returns the backend sets of all targets on which any of several pods may answer. Targets that lead the same
// agents to the same pods share a set. Sets are sorted by their pods and then by their agents; targets and pods within
// a set are sorted by name. The order of the snapshot does not matter.
func backends(snapshot topology.Snapshot, plans []Plan) []report.BackendSet {
	groups := map[string]*report.BackendSet{}
	finder := newBackendFinder(snapshot)
	add := func(t target.Target, sources []string) {
		set := finder.backendsOf(t)
		key := set.key + "\n" + strings.Join(sources, "/")
		if groups[key] == nil {
			groups[key] = &report.BackendSet{Pods: set.pods, MayAlsoAnswer: set.also, UnevenWhy: set.uneven,
				Askers: sources}
		}
		groups[key].Targets = append(groups[key].Targets, t.ID)
	}
	same, differing := backendTargets(plans)
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

// targetBySource is a target that leads agents of different nodes to different pods. sources are the agents that it
// leads to the same pods.
type targetBySource struct {
	target  target.Target
	sources []string
}

// backendTargets returns the targets on which any of several pods may answer, each once: the targets that lead all
// agents to the same pods, and the others.
func backendTargets(plans []Plan) (same []target.Target, others []targetBySource) {
	first := map[string]target.Target{}
	differ := map[string]bool{}
	for i, plan := range plans {
		// Agents with the same targets share them.
		if i > 0 && sameTargets(plan.Targets, plans[i-1].Targets) {
			continue
		}
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
				others = append(others, targetBySource{target: t})
			}
			others[i].sources = append(others[i].sources, plan.Agent.Pod)
		}
	}
	return same, others
}
