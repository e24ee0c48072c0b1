package inventory

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kdoctor.io/kdoctor/internal/topology"
)

// nodesOf returns all nodes, sorted by name. Cordoned nodes count like others, because their pods go on. outside says,
// by node, why the node is outside.
func nodesOf(nodes []corev1.Node, outside map[string]string) []topology.Node {
	found := make([]topology.Node, 0, len(nodes))
	for _, node := range nodes {
		addresses, external := nodeAddresses(node)
		found = append(found, topology.Node{Name: node.Name, Zone: node.Labels[corev1.LabelTopologyZone],
			Addresses: addresses, External: external, NotReady: !nodeReady(node), Cordoned: cordoned(node),
			Removing: removedWhyOf(node), Outside: outside[node.Name], NoNodePorts: noNodePorts(node)})
	}
	slices.SortFunc(found, func(a, b topology.Node) int { return cmp.Compare(a.Name, b.Name) })
	return found
}

// nodeAddresses returns all addresses of the node, InternalIPs first, and the addresses that are ExternalIPs alone.
func nodeAddresses(node corev1.Node) (all, external []netip.Addr) {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range node.Status.Addresses {
			address, ok := addressOf(a.Address)
			if !ok || a.Type != kind || slices.Contains(all, address) {
				continue
			}
			all = append(all, address)
			if kind == corev1.NodeExternalIP {
				external = append(external, address)
			}
		}
	}
	return all, external
}
