// Package nodeport derives targets from the node ports of the agents' Services.
package nodeport

import (
	"fmt"
	"slices"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Targets returns one target per node port of the family, on the source's own node.
// A Service serves a family when it has a cluster address of that family.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	gap := func(format string, args ...any) []target.Gap {
		return []target.Gap{{Kind: target.NodePort, Family: q.Family, Node: q.Source.Node, Reason: fmt.Sprintf(format, args...)}}
	}
	node, _ := q.Snapshot.Node(q.Source.Node)
	addresses := target.Of(q.Family, node.Addresses)
	if len(addresses) == 0 {
		return nil, gap("node %s has no %s address", q.Source.Node, q.Family)
	}
	var targets []target.Target
	for _, service := range q.Snapshot.Services {
		if service.NodePort == 0 || !slices.Contains(topology.FamiliesOf(service.ClusterIPs), q.Family) {
			continue
		}
		targets = append(targets, target.Target{
			ID:       fmt.Sprintf("AgentNodePort%sIP_%s_%d", target.Short(q.Family), addresses[0], service.NodePort),
			Kind:     target.NodePort,
			Family:   q.Family,
			Protocol: target.HTTP,
			Address:  "http://" + target.HostPort(addresses[0], service.NodePort),
		})
	}
	if len(targets) == 0 {
		return nil, gap("no agent Service has a node port for %s", q.Family)
	}
	return targets, nil
}
