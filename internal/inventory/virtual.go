package inventory

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// virtualMark is a mark of nodes on which nothing answers on node ports.
type virtualMark struct {
	// key and value are of a label, an annotation or a taint; an empty value matches any.
	key, value string
	clause     string
}

// virtualMarks is the table of marks.
func virtualMarks() []virtualMark {
	return []virtualMark{
		// virtual-kubelet/virtual-kubelet, cmd: the taint that it puts on its nodes unless it is told otherwise. AKS
		// and others keep it.
		{"virtual-kubelet.io/provider", "", "it is a virtual node, which runs no Service proxy"},
		{"type", "virtual-kubelet", "it is a virtual node, which runs no Service proxy"},
		{"azure.com/aci", "", "it is a virtual node, which runs no Service proxy"},
		// EKS: a Fargate node is one pod, which Services reach by its own address alone.
		{"eks.amazonaws.com/compute-type", "fargate", "it is a Fargate node, which answers on no node ports"},
		// liqotech/liqo: nodes that stand for another cluster.
		{"liqo.io/type", "virtual-node", "it stands for another cluster"},
		{"virtual-node.liqo.io/not-allowed", "", "it stands for another cluster"},
		// kubernetes-sigs/kwok.
		{"kwok.x-k8s.io/node", "fake", "it is a fake node"},
	}
}

// noNodePorts returns why the node cannot answer on node ports, as one clause; empty for a node that can.
func noNodePorts(node corev1.Node) string {
	for _, m := range virtualMarks() {
		if m.marks(node) {
			return m.clause
		}
	}
	return ""
}

func (m virtualMark) marks(node corev1.Node) bool {
	for _, marks := range []map[string]string{node.Labels, node.Annotations} {
		if value, ok := marks[m.key]; ok && (m.value == "" || m.value == value) {
			return true
		}
	}
	return slices.ContainsFunc(node.Spec.Taints,
		func(t corev1.Taint) bool { return t.Key == m.key && (m.value == "" || m.value == t.Value) })
}
