package inventory

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// removalMark is a mark on a node that announces that the node is about to be stopped or taken out of the cluster.
type removalMark struct {
	// taint, label or annotation is the key of the mark; the value must begin with value.
	taint, label, annotation string
	value                    string
	// cordoned restricts the mark to cordoned nodes: on others it announces no more than an intention.
	cordoned bool
	// clause says what happens to the node.
	clause string
}

// removalMarks is the table of marks, each as its owner documents it or has it in its source. A taint with the effect
// PreferNoSchedule announces nothing, such as DeletionCandidateOfClusterAutoscaler, weave.works/kured-node-reboot and
// node.cluster.x-k8s.io/outdated-revision.
func removalMarks() []removalMark {
	return []removalMark{
		// kubernetes/autoscaler, cluster-autoscaler/utils/taints; GKE, AKS and others use it.
		{taint: "ToBeDeletedByClusterAutoscaler", clause: "the cluster autoscaler removes it"},
		// kubernetes-sigs/karpenter, pkg/apis/v1/taints.go, and pkg/apis/v1beta1 before that.
		{taint: "karpenter.sh/disrupted", clause: "Karpenter removes it"},
		{taint: "karpenter.sh/disruption", clause: "Karpenter removes it"},
		{taint: "karpenter.sh/rebooting", clause: "Karpenter restarts it"},
		// k8s.io/cloud-provider, and the out-of-service taint of k8s.io/api/core/v1.
		{taint: "node.cloudprovider.kubernetes.io/shutdown", clause: "its machine is shut down"},
		{taint: corev1.TaintNodeOutOfService, clause: "somebody declared it out of service"},
		// aws/aws-node-termination-handler, pkg/node. Its rebalance-recommendation is a recommendation, see cordoned.
		{taint: "aws-node-termination-handler/spot-itn", clause: "AWS takes its spot instance back"},
		{taint: "aws-node-termination-handler/asg-lifecycle-termination",
			clause: "its Auto Scaling group terminates it"},
		{taint: "aws-node-termination-handler/scheduled-maintenance", clause: "AWS maintains its instance"},
		// Google's documentation of graceful termination and host maintenance.
		{taint: "cloud.google.com/impending-node-termination", clause: "Google Cloud terminates it"},
		{label: "cloud.google.com/active-node-maintenance", value: "ONGOING",
			clause: "Google Cloud maintains its host"},
		// Azure's documentation of node auto-drain and auto-repair; the second name is the older one.
		{taint: "remediator.kubernetes.azure.com/unschedulable", clause: "AKS drains it for an event of its machine"},
		{taint: "remediator.aks.microsoft.com/unschedulable", clause: "AKS drains it for an event of its machine"},
		// gardener/machine-controller-manager, pkg/util/provider/machineutils.
		{annotation: "node.machine.sapcloud.io/trigger-deletion-by-mcm", value: "true",
			clause: "the machine controller manager deletes its machine"},
		// medik8s/node-maintenance-operator, controllers/taint.go.
		{taint: "medik8s.io/drain", clause: "the node maintenance operator drains it"},
		// kubereboot/kured: the annotation is set when a reboot is due, and the node is cordoned for the reboot itself.
		{annotation: "weave.works/kured-reboot-in-progress", cordoned: true, clause: "kured restarts it"},
		// openshift/machine-config-operator, pkg/daemon/constants: the value is drain-<configuration> until the node is
		// uncordoned.
		{annotation: "machineconfiguration.openshift.io/desiredDrain", value: "drain-", cordoned: true,
			clause: "the machine config operator drains it"},
	}
}

// rebalance is the taint by which the AWS node termination handler cordons a node that may be taken back.
const rebalance = "aws-node-termination-handler/rebalance-recommendation"

// shuttingDown is what the kubelet writes into the node's Ready condition while its machine shuts down.
const shuttingDown = "node is shutting down"

// removedWhyOf returns why the node is about to be stopped or taken out of the cluster, as one clause; empty for a node
// that is to stay.
func removedWhyOf(node corev1.Node) string {
	for _, m := range removalMarks() {
		if m.marks(node) {
			return m.clause
		}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionFalse &&
			strings.Contains(c.Message, shuttingDown) {
			return "its machine shuts down"
		}
	}
	if node.DeletionTimestamp != nil {
		return "its Node object is being deleted"
	}
	return ""
}

func (m removalMark) marks(node corev1.Node) bool {
	if m.cordoned && !node.Spec.Unschedulable {
		return false
	}
	if m.taint != "" {
		return slices.ContainsFunc(node.Spec.Taints,
			func(t corev1.Taint) bool { return t.Key == m.taint && keepsOut(&t) })
	}
	marks, key := node.Labels, m.label
	if m.annotation != "" {
		marks, key = node.Annotations, m.annotation
	}
	value, ok := marks[key]
	return ok && strings.HasPrefix(value, m.value)
}

// cordoned reports whether somebody took the node out of use. Not everybody who removes a node cordons it: some mark it
// with taints of their own.
func cordoned(node corev1.Node) bool {
	return node.Spec.Unschedulable || removedWhyOf(node) != "" ||
		slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
			return (t.Key == corev1.TaintNodeUnschedulable || t.Key == rebalance) && keepsOut(&t)
		})
}

// keepsOut reports whether the taint keeps pods that do not tolerate it off the node.
func keepsOut(t *corev1.Taint) bool {
	return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
}
