package mesh

import (
	"maps"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// backends tells who ought to answer on the targets that any of several pods may answer on. Targets that lead to the same pods, for the
// same agents, are told together. The groups are sorted by their pods, then agents, targets and pods by name, whatever order the snapshot has.
func backends(snapshot topology.Snapshot, plans []Plan) []report.Backends {
	groups := map[string]*report.Backends{}
	add := func(t target.Target, sources []string) {
		pods := behind(snapshot, t)
		// No name of a pod has a slash or a line break in it.
		key := strings.Join(pods, "/") + "\n" + strings.Join(sources, "/")
		if groups[key] == nil {
			groups[key] = &report.Backends{Pods: pods, Sources: sources}
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
	var all []report.Backends
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

// shared are the targets that any of several pods may answer on, once each: those that lead all agents to the same pods, and the others.
func shared(plans []Plan) (same []target.Target, others []differing) {
	first := map[string]target.Target{}
	differ := map[string]bool{}
	for _, plan := range plans {
		for _, t := range plan.Targets {
			if t.Pod != "" {
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

// behind are the pods that the target's Service or Ingress chooses from: all agents that are ready, or those of the one node that the
// target leads to. An agent without an address of the target's family is no backend over that family; the Ingress's own way to the pods
// may be of the other family, so there all count.
func behind(snapshot topology.Snapshot, t target.Target) []string {
	var pods []string
	for _, agent := range snapshot.Agents {
		if !agent.Ready() || (t.OnlyNode != "" && agent.Node != t.OnlyNode) {
			continue
		}
		if t.Kind == target.Ingress || len(target.Of(t.Family, agent.Addresses)) > 0 {
			pods = append(pods, agent.Pod)
		}
	}
	slices.Sort(pods)
	return pods
}
