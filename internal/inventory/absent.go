package inventory

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"kdoctor.io/kdoctor/internal/topology"
)

// absent returns a placeholder for every agent that the workload wants and that has no pod.
func absent(ctx context.Context, wanted workload, pods []corev1.Pod, nodes []corev1.Node) []topology.Agent {
	if wanted.kind == topology.Deployment {
		return absentReplicas(wanted, len(pods))
	}
	occupied := map[string]bool{}
	for _, pod := range pods {
		if node := nodeOf(pod); node != "" {
			occupied[node] = true
		}
	}
	short := wanted.desired - len(occupied)
	if short <= 0 {
		return nil
	}
	var missing []topology.Agent
	for _, node := range nodes {
		if !occupied[node.Name] && shouldRun(ctx, wanted.template.Spec, node) {
			missing = append(missing, placeholder("on "+node.Name, node.Name, "no agent pod runs on the node"))
		}
	}
	// The DaemonSet counts more than we can name: say so, rather than lose them.
	for n := len(missing); n < short; n++ {
		missing = append(missing, placeholder(fmt.Sprintf("on unknown node %d", n+1), "", "no agent pod runs on a node that the DaemonSet wants"))
	}
	return missing
}

func absentReplicas(wanted workload, have int) []topology.Agent {
	var missing []topology.Agent
	for n := have; n < wanted.desired; n++ {
		reason := fmt.Sprintf("no agent pod exists: the Deployment wants %d and has %d", wanted.desired, have)
		missing = append(missing, placeholder(fmt.Sprintf("for replica %d", n+1), "", reason))
	}
	return missing
}

// shouldRun tells whether a DaemonSet with the template puts a pod on the node, by the rules of its controller: the template's node name,
// node selector and required affinity, and no taint that the pod does not tolerate.
func shouldRun(ctx context.Context, spec corev1.PodSpec, node corev1.Node) bool {
	if spec.NodeName != "" && spec.NodeName != node.Name {
		return false
	}
	fits, err := nodeaffinity.NewRequiredNodeAffinity(spec.NodeSelector, spec.Affinity).Match(&node)
	if err != nil || !fits {
		return false
	}
	keepsOut := func(t *corev1.Taint) bool {
		return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
	}
	tolerations := slices.Concat(spec.Tolerations, daemonTolerations(spec.HostNetwork))
	_, untolerated := scheduling.FindMatchingUntoleratedTaint(logr.FromContextOrDiscard(ctx), node.Spec.Taints, tolerations, keepsOut, false)
	return !untolerated
}

// daemonTolerations are those that the DaemonSet controller adds to every pod of its own accord.
func daemonTolerations(hostNetwork bool) []corev1.Toleration {
	tolerate := func(key string, effect corev1.TaintEffect) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: effect}
	}
	tolerations := []corev1.Toleration{
		tolerate(corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute),
		tolerate(corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute),
		tolerate(corev1.TaintNodeDiskPressure, corev1.TaintEffectNoSchedule),
		tolerate(corev1.TaintNodeMemoryPressure, corev1.TaintEffectNoSchedule),
		tolerate(corev1.TaintNodePIDPressure, corev1.TaintEffectNoSchedule),
		tolerate(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule),
	}
	if hostNetwork {
		tolerations = append(tolerations, tolerate(corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule))
	}
	return tolerations
}
