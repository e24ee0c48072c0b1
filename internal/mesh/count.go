package mesh

import (
	"slices"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Count returns how many agents are ready, and how many targets of the wanted kinds and families the agent with the
// most targets has. Its cost grows with the number of agents, not with the number of paths: targets are derived once
// for all agents, and node ports of the agent's own node once for each node.
func Count(snapshot topology.Snapshot, want Want) (agents, most int) {
	ready := slices.DeleteFunc(slices.Clone(snapshot.Agents), func(a topology.Agent) bool { return !a.Ready() })
	if len(ready) == 0 {
		return 0, 0
	}
	all := newPlanner(snapshot, want)
	var own []query
	alike := 0
	for _, q := range all.queries {
		if q.kind == target.NodePort && want.NodePorts == target.LocalNode {
			own = append(own, q)
			continue
		}
		// A Service that keeps traffic on the node changes who answers an agent, not how many targets the agent has.
		alike += distinct(all.ofQuery(q, ready[0]).targets)
	}
	if len(own) > 0 {
		most = mostOfOneNode(snapshot, want, own, ready)
	}
	return len(ready), alike + most
}

// mostOfOneNode returns how many targets the queries have for an agent of the node that has most of them, where the
// targets are those of the agent's own node.
func mostOfOneNode(snapshot topology.Snapshot, want Want, queries []query, ready []topology.Agent) (most int) {
	byNode := make(map[string]topology.Snapshot, len(snapshot.Nodes))
	for _, a := range ready {
		node := byNode[a.Node]
		node.Agents = append(node.Agents, a)
		byNode[a.Node] = node
	}
	for _, n := range snapshot.Nodes {
		if node, ok := byNode[n.Name]; ok {
			node.Nodes = append(node.Nodes, n)
			byNode[n.Name] = node
		}
	}
	for _, node := range byNode {
		node.Services = snapshot.Services
		alone, here := newPlanner(node, want), 0
		for _, q := range queries {
			here += distinct(alone.ofQuery(q, node.Agents[0]).targets)
		}
		most = max(most, here)
	}
	return most
}

// distinct returns how many of the targets are probed: of several with the same name only the first is.
func distinct(targets []target.Target) int {
	names := make(map[string]bool, len(targets))
	for _, t := range targets {
		names[t.ID] = true
	}
	return len(names)
}
