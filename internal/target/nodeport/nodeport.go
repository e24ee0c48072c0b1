// Package nodeport derives targets from the node ports of the agents' Services.
package nodeport

import (
	"fmt"
	"net/netip"
	"slices"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Targets returns one target per node port and address of the family. A Service serves a family when it has a cluster
// address of the family.
//
// By default the targets are the primary addresses of all nodes, with an agent or without: a node port that answers on
// some nodes alone is a common fault. Some nodes are left out:
//   - a node that is not ready; there is a Gap for it unless an agent of the node, which is not ready either, shows it;
//   - a node without a ready agent of the family, when the Service's external traffic policy is Local: Kubernetes drops
//     requests there, as it ought to;
//   - a node for which Unprobed returns a reason, which the round's report has.
//
// There is a Gap for an address that several nodes have.
//
// With target.LocalNode the only node is the source's own, whatever its state.
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
	backed := backedBy(q, services)
	telling := silent(q.Snapshot)
	var offers []target.Offer
	var gaps []target.Gap
	for _, node := range q.Snapshot.Nodes {
		addresses := addressesOf(q, node)
		switch {
		case Unprobed(node) != "":
		case node.NotReady && telling[node.Name]:
		case node.NotReady:
			gaps = append(gaps, gap(q, "node %s is NotReady, so its node ports are not probed", node.Name))
		case len(addresses) == 0:
			gaps = append(gaps, gap(q, "%s", lacks(q, node)))
		default:
			offers = append(offers, on(q, node, addresses, services, backed)...)
		}
	}
	targets, shared := target.Distinct(offers,
		func(t target.Target, by []string) string { return sharedReason(hostOf(t), by) })
	gaps = append(gaps, shared...)
	if len(targets) == 0 && len(gaps) == 0 {
		gaps = append(gaps, gap(q, "no node that is ready has an agent that its node port may lead to over %s",
			q.Family))
	}
	return targets, gaps
}

// Unprobed returns why the node ports of a node are not probed although nothing is missing, as one clause; it is empty
// for most nodes.
func Unprobed(node topology.Node) string {
	switch {
	case node.NoNodePorts != "":
		return node.NoNodePorts
	case node.NotReady:
		// A node that is taken out of the cluster stops being ready at some time.
		return node.Removing
	}
	return ""
}

// local returns the targets and gaps of the source's own node.
func local(q target.Query, services []topology.Service) ([]target.Target, []target.Gap) {
	node, _ := q.Snapshot.Node(q.Source.Node)
	if node.NoNodePorts != "" {
		return nil, nil
	}
	node.Name = q.Source.Node
	addresses := addressesOf(q, node)
	missing := func(reason string) target.Gap {
		g := gap(q, "%s", reason)
		g.Node = q.Source.Node
		return g
	}
	if len(addresses) == 0 {
		return nil, []target.Gap{missing(lacks(q, node))}
	}
	var targets []target.Target
	for _, offer := range on(q, node, addresses, services, backedBy(q, services)) {
		targets = append(targets, offer.Target)
	}
	if len(targets) == 0 {
		return nil, []target.Gap{missing(fmt.Sprintf("node %s has no agent that its node port may lead to over %s",
			q.Source.Node, q.Family))}
	}
	var gaps []target.Gap
	for _, address := range addresses {
		var by []string
		for _, other := range q.Snapshot.Nodes {
			if other.Name != node.Name && (other.NotReady || Unprobed(other) != "") {
				continue
			}
			if slices.Contains(addressesOf(q, other), address) {
				by = append(by, other.Name)
			}
		}
		if len(by) > 1 {
			gaps = append(gaps, gap(q, "%s", sharedReason(address.String(), by)))
		}
	}
	return targets, gaps
}

// on returns the targets of one node. backed has, for each Service, the nodes with an agent that it may choose.
func on(q target.Query, node topology.Node, addresses []netip.Addr, services []topology.Service,
	backed []map[string]bool) []target.Offer {
	primary, _ := primaryOf(q.Family, node)
	var offers []target.Offer
	for i, service := range services {
		onlyNode := ""
		if service.ExternalLocal {
			if !backed[i][node.Name] {
				continue
			}
			// The node may treat traffic of pods like traffic of a client with the policy Cluster, and lead it to
			// agents of other nodes as well. The agents on the node are the backends that must answer.
			onlyNode = node.Name
		}
		for _, address := range addresses {
			offers = append(offers, target.Offer{By: node.Name, Target: target.Target{
				ID:       fmt.Sprintf("AgentNodePort%sIP_%s_%d", target.Short(q.Family), address, service.NodePort),
				Kind:     target.NodePort,
				Family:   q.Family,
				Protocol: target.HTTP,
				Answer:   target.Backends,
				Address:  "http://" + target.HostPort(address, service.NodePort),
				OnlyNode: onlyNode,
				Further:  address != primary,
				AtNode:   node.Name,
				External: slices.Contains(node.External, address),
			}})
		}
	}
	return offers
}

func backedBy(q target.Query, services []topology.Service) []map[string]bool {
	backed := make([]map[string]bool, len(services))
	for i, service := range services {
		if service.ExternalLocal {
			backed[i] = q.Snapshot.Backed(service, q.Family)
		}
	}
	return backed
}

// silent returns the nodes with an agent that is left out of the round: such an agent already fails the round.
func silent(snapshot topology.Snapshot) map[string]bool {
	nodes := map[string]bool{}
	for _, a := range snapshot.Agents {
		if !a.Ready() {
			nodes[a.Node] = true
		}
	}
	return nodes
}

func gap(q target.Query, format string, args ...any) target.Gap {
	return target.Gap{Kind: target.NodePort, Family: q.Family, Reason: fmt.Sprintf(format, args...)}
}
