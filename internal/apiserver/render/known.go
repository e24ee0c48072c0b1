package render

import (
	"cmp"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// known is what the whole round tells of the paths of one agent.
type known struct {
	// expected are the IDs of the targets that each agent was to measure, by pod.
	expected map[string][]string
	// nodes are the nodes of pods, targets what agents measured, by ID.
	nodes    map[string]string
	targets  map[string]*target.Target
	backends backends
}

func newKnown(round report.Round) known {
	k := known{expected: map[string][]string{}, nodes: map[string]string{}, targets: map[string]*target.Target{},
		backends: expectedBackends(round)}
	for _, e := range round.Expected {
		k.expected[e.Pod], k.nodes[e.Pod] = e.Targets, e.Node
	}
	for i := range round.Agents {
		a := &round.Agents[i]
		k.nodes[a.Pod] = a.Node
		for j := range a.Paths {
			k.targets[a.Paths[j].Target.ID] = &a.Paths[j].Target
		}
	}
	return k
}

// target is the target of the ID as any agent measured it, and nothing but its ID where none did.
func (k known) target(id string) target.Target {
	if t, ok := k.targets[id]; ok {
		return *t
	}
	return target.Target{ID: id}
}

// node is the node of the pod that has the target's address, or the node that has it; empty where several may answer.
func (k known) node(t *target.Target) string { return cmp.Or(t.Node, k.nodes[t.Pod], t.AtNode) }
