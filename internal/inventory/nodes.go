package inventory

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kdoctor.io/kdoctor/internal/topology"
)

// nodesOf returns the nodes that run an agent or ought to, sorted by name.
func nodesOf(agents []topology.Agent, nodes []corev1.Node) []topology.Node {
	used := map[string]bool{}
	for _, agent := range agents {
		used[agent.Node] = true
	}
	var found []topology.Node
	for _, node := range nodes {
		if used[node.Name] {
			found = append(found, topology.Node{Name: node.Name, Zone: node.Labels[corev1.LabelTopologyZone], Addresses: nodeAddresses(node)})
		}
	}
	slices.SortFunc(found, func(a, b topology.Node) int { return cmp.Compare(a.Name, b.Name) })
	return found
}

func nodeAddresses(node corev1.Node) []netip.Addr {
	var addresses []netip.Addr
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range node.Status.Addresses {
			if address, ok := addressOf(a.Address); ok && a.Type == kind && !slices.Contains(addresses, address) {
				addresses = append(addresses, address)
			}
		}
	}
	return addresses
}
