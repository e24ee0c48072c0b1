package inventory

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"kdoctor.io/kdoctor/internal/topology"
)

// nodesOf returns all nodes, sorted by name. Those that are cordoned count like others: what runs there goes on.
func nodesOf(nodes []corev1.Node) []topology.Node {
	found := make([]topology.Node, 0, len(nodes))
	for _, node := range nodes {
		found = append(found, topology.Node{Name: node.Name, Zone: node.Labels[corev1.LabelTopologyZone],
			Addresses: nodeAddresses(node), NotReady: !nodeReady(node), Cordoned: cordoned(node)})
	}
	slices.SortFunc(found, func(a, b topology.Node) int { return cmp.Compare(a.Name, b.Name) })
	return found
}

// cordoned tells whether somebody took the node out of use. The cluster autoscaler does not cordon a node that it is about to remove;
// it marks it with a taint of its own.
func cordoned(node corev1.Node) bool {
	return node.Spec.Unschedulable || slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "ToBeDeletedByClusterAutoscaler" })
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
