// Package nodeport derives targets from the node ports of the agents' Services.
package nodeport

import (
	"fmt"
	"net/netip"
	"slices"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Targets returns one target per node port and address of the family. A Service serves a family when it has a cluster address of it.
//
// By default these are all addresses of every node, with an agent or without: that a node port answers on some nodes alone is a common
// fault. Left out is a node that is not ready: its agents, which are not ready either, tell of it, and where none does, a Gap does.
// Left out without a word is a node without a ready agent of the family where the Service's external traffic policy is Local,
// because Kubernetes drops what arrives there, and is meant to.
//
// With target.LocalNode it is the first address of the source's own node, whatever its state: what a source measures there counts.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	services := slices.DeleteFunc(slices.Clone(q.Snapshot.Services), func(s topology.Service) bool {
		return s.NodePort == 0 || !s.Serves(q.Family)
	})
	if len(services) == 0 {
		return nil, []target.Gap{gap(q, "no agent Service has a node port for %s", q.Family)}
	}
	if q.NodePorts == target.LocalNode {
		return local(q, services)
	}
	var targets []target.Target
	var gaps []target.Gap
	for _, node := range q.Snapshot.Nodes {
		addresses := target.Of(q.Family, node.Addresses)
		switch {
		case node.NotReady && told(q.Snapshot, node.Name):
		case node.NotReady:
			gaps = append(gaps, gap(q, "node %s is NotReady, so its node ports are not probed", node.Name))
		case len(addresses) == 0:
			gaps = append(gaps, gap(q, "node %s has no %s address", node.Name, q.Family))
		default:
			targets = append(targets, on(q, node, addresses, services)...)
		}
	}
	if len(targets) == 0 && len(gaps) == 0 {
		gaps = append(gaps, gap(q, "no node that is ready has an agent that its node port may lead to over %s", q.Family))
	}
	return targets, gaps
}

// local is the source's own node, by its first address.
func local(q target.Query, services []topology.Service) ([]target.Target, []target.Gap) {
	node, _ := q.Snapshot.Node(q.Source.Node)
	addresses := target.Of(q.Family, node.Addresses)
	missing := func(format string, args ...any) []target.Gap {
		g := gap(q, format, args...)
		g.Node = q.Source.Node
		return []target.Gap{g}
	}
	if len(addresses) == 0 {
		return nil, missing("node %s has no %s address", q.Source.Node, q.Family)
	}
	targets := on(q, node, addresses[:1], services)
	if len(targets) == 0 {
		return nil, missing("node %s has no agent that its node port may lead to over %s", q.Source.Node, q.Family)
	}
	return targets, nil
}

// on returns the targets of one node.
func on(q target.Query, node topology.Node, addresses []netip.Addr, services []topology.Service) []target.Target {
	var targets []target.Target
	for _, service := range services {
		onlyNode := ""
		if service.ExternalLocal {
			if !q.Snapshot.Backs(node.Name, q.Family) {
				continue
			}
			// The node may treat traffic of pods like that of a client with the policy Cluster and lead it to other agents as well,
			// which is for it to choose: those on the node are the ones that must do.
			onlyNode = node.Name
		}
		for _, address := range addresses {
			targets = append(targets, target.Target{
				ID:       fmt.Sprintf("AgentNodePort%sIP_%s_%d", target.Short(q.Family), address, service.NodePort),
				Kind:     target.NodePort,
				Family:   q.Family,
				Protocol: target.HTTP,
				Answer:   target.Backends,
				Address:  "http://" + target.HostPort(address, service.NodePort),
				OnlyNode: onlyNode,
			})
		}
	}
	return targets
}

// told tells whether an agent of the node is left out of the round, which fails it already.
func told(snapshot topology.Snapshot, node string) bool {
	return slices.ContainsFunc(snapshot.Agents, func(a topology.Agent) bool { return a.Node == node && !a.Ready() })
}

func gap(q target.Query, format string, args ...any) target.Gap {
	return target.Gap{Kind: target.NodePort, Family: q.Family, Reason: fmt.Sprintf(format, args...)}
}
