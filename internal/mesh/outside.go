package mesh

import (
	"cmp"
	"slices"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/target/nodeport"
	"kdoctor.io/kdoctor/internal/topology"
)

// outside returns the nodes that the round does not probe, or does not probe in all ways that are asked for, sorted by
// name, each once.
func outside(snapshot topology.Snapshot, want Want) []report.Outside {
	var nodes []report.Outside
	for _, node := range snapshot.Nodes {
		reason := node.Outside
		if why := nodeport.Unprobed(node); why != "" && wantsNodePorts(snapshot, node, want) {
			switch reason {
			case "":
				reason = "its node ports are not probed, because " + why
			case why:
				reason += ", so its node ports are not probed either"
			default:
				reason += "; its node ports are not probed, because " + why
			}
		}
		if reason != "" {
			nodes = append(nodes, report.Outside{Node: node.Name, Reason: reason})
		}
	}
	slices.SortFunc(nodes, func(a, b report.Outside) int { return cmp.Compare(a.Node, b.Node) })
	return nodes
}

// wantsNodePorts reports whether the round would probe the node ports of the node if it could.
func wantsNodePorts(snapshot topology.Snapshot, node topology.Node, want Want) bool {
	switch {
	case !slices.Contains(want.Kinds, target.NodePort):
		return false
	case want.NodePorts != target.LocalNode:
		return true
	}
	return node.NoNodePorts != "" &&
		slices.ContainsFunc(snapshot.Agents, func(a topology.Agent) bool { return a.Ready() && a.Node == node.Name })
}
