package inventory

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"kdoctor.io/kdoctor/internal/topology"
)

// controlPort is the name of the control server's port on the agent's container.
const controlPort = "control"

// agents returns the agents that take part, with a placeholder for each agent that ought to exist and does not. leave
// has the pods that take no part. outer says, by node, why a node without an agent is outside.
func agents(ctx context.Context, wanted workload, pods []corev1.Pod, nodes []corev1.Node) (found,
	leave []topology.Agent, outer map[string]string) {
	byName := make(map[string]corev1.Node, len(nodes))
	for _, node := range nodes {
		byName[node.Name] = node
	}
	states := nodeStatesOf(ctx, wanted, nodes)
	counts := map[types.UID]bool{}
	for _, pod := range withoutReplaced(wanted, pods) {
		counts[pod.UID] = true
	}
	covered, all := map[string]bool{}, map[string]bool{}
	for _, pod := range pods {
		agent := agentOf(pod, byName)
		if agent.Node != "" {
			all[agent.Node] = true
		}
		if !counts[pod.UID] || mayBeIgnored(wanted, pod, agent, states.at(agent.Node)) {
			leave = append(leave, agent)
			continue
		}
		found = append(found, agent)
		if agent.Node != "" {
			covered[agent.Node] = true
		}
	}
	found = append(found, missingAgents(wanted, len(found), covered, all, states)...)
	sortAgents(found)
	sortAgents(leave)
	return found, leave, outside(wanted, covered, states)
}

// mayBeIgnored reports whether the agent takes no part although its pod is the workload's. Three kinds of agents that
// are not ready take none: on a node that is removed or has gone; on a node that the DaemonSet no longer wants, when
// the pod is leaving or not scheduled; and on a virtual node, when the pod never ran. A DaemonSet that tolerates
// everything makes pods for virtual nodes too, and not all of these nodes run them.
func mayBeIgnored(wanted workload, pod corev1.Pod, agent topology.Agent, state nodeState) bool {
	switch {
	case agent.Ready() || wanted.kind == topology.Deployment:
		return false
	case state.removedWhy != "":
		return true
	case state.unwantedWhy != "":
		return leaving(pod) || pod.Spec.NodeName == ""
	}
	if state.runsNothingWhy != "" && agent.Started.IsZero() && agent.Ended.IsZero() {
		return true
	}
	return state.gone && leaving(pod)
}

func agentOf(pod corev1.Pod, nodes map[string]corev1.Node) topology.Agent {
	agent := topology.Agent{
		Pod: pod.Name, Namespace: pod.Namespace, UID: string(pod.UID), Node: nodeOf(pod),
		Addresses: podAddresses(pod),
		HTTPPort:  containerPort(pod, httpPort), ControlPort: containerPort(pod, controlPort),
	}
	if text := statusAnnotation(pod.Annotations); text != "" {
		agent.Interfaces, agent.Unreadable = parseInterfaces(text, agent.Addresses)
	}
	setLifetime(pod, &agent)
	agent.NotReady = notReady(pod, nodes)
	switch {
	case agent.NotReady != "":
	case len(agent.Addresses) == 0:
		agent.NotReady = "pod has no address"
	case agent.HTTPPort == 0 || agent.ControlPort == 0:
		agent.NotReady = "pod has no container ports named http and control"
	}
	return agent
}

// setLifetime sets when the pod and the agent's container started and ended. The deletion timestamp of a pod is when
// its grace period ends, so the deletion was asked for one grace period earlier.
func setLifetime(pod corev1.Pod, agent *topology.Agent) {
	if pod.DeletionTimestamp != nil {
		agent.Deleted = pod.DeletionTimestamp.Time
		if grace := pod.DeletionGracePeriodSeconds; grace != nil {
			agent.Deleted = agent.Deleted.Add(-time.Duration(*grace) * time.Second)
		}
	}
	name := agentContainer(pod)
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name != name {
			continue
		}
		agent.Restarts = status.RestartCount
		if status.State.Running != nil {
			agent.Started = status.State.Running.StartedAt.Time
		}
		ended := status.State.Terminated
		if ended == nil {
			ended = status.LastTerminationState.Terminated
		}
		if ended != nil {
			agent.Ended, agent.EndReason = ended.FinishedAt.Time, ended.Reason
		}
	}
}

// agentContainer returns the name of the container with the control port, empty when there is none.
func agentContainer(pod corev1.Pod) string {
	for _, container := range pod.Spec.Containers {
		if slices.ContainsFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == controlPort }) {
			return container.Name
		}
	}
	return ""
}

// nodeOf returns the node on which the pod runs. For a pod that is not scheduled yet it returns the node for which a
// DaemonSet made the pod.
func nodeOf(pod corev1.Pod) string {
	affinity := pod.Spec.Affinity
	if pod.Spec.NodeName != "" || affinity == nil || affinity.NodeAffinity == nil ||
		affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return pod.Spec.NodeName
	}
	for _, term := range affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, field := range term.MatchFields {
			if field.Key == "metadata.name" && field.Operator == corev1.NodeSelectorOpIn && len(field.Values) == 1 {
				return field.Values[0]
			}
		}
	}
	return ""
}

func podAddresses(pod corev1.Pod) []netip.Addr {
	texts := make([]string, 0, len(pod.Status.PodIPs))
	for _, ip := range pod.Status.PodIPs {
		texts = append(texts, ip.IP)
	}
	if len(texts) == 0 {
		texts = append(texts, pod.Status.PodIP)
	}
	return addressesOf(texts)
}

func containerPort(pod corev1.Pod, name string) uint16 {
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name {
				return portOf(port.ContainerPort)
			}
		}
	}
	return 0
}

// withoutReplaced leaves out pods that are leaving and that another pod has replaced: on the same node for a DaemonSet,
// on any node for a Deployment.
func withoutReplaced(wanted workload, pods []corev1.Pod) []corev1.Pod {
	living := map[string]int{}
	total := 0
	for _, pod := range pods {
		if !leaving(pod) {
			living[nodeOf(pod)]++
			total++
		}
	}
	// Of several leaving pods on one node only the newest counts.
	newest := map[string]corev1.Pod{}
	for _, pod := range pods {
		if other, ok := newest[nodeOf(pod)]; leaving(pod) && (!ok || newer(pod, other)) {
			newest[nodeOf(pod)] = pod
		}
	}
	return slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool {
		switch {
		case !leaving(pod):
			return false
		case wanted.kind == topology.Deployment:
			return total >= wanted.desired
		default:
			return living[nodeOf(pod)] > 0 || newest[nodeOf(pod)].UID != pod.UID
		}
	})
}

// leaving reports whether the pod is being deleted or has ended.
func leaving(pod corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed ||
		pod.Status.Phase == corev1.PodSucceeded
}

func newer(a, b corev1.Pod) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return b.CreationTimestamp.Before(&a.CreationTimestamp)
	}
	return a.Name > b.Name
}

// placeholder returns an agent in place of a pod that does not exist. Reports are kept by pod name, so every
// placeholder has a name of its own, which no pod can have.
func placeholder(name, node, reason string) topology.Agent {
	return topology.Agent{Pod: fmt.Sprintf("(none %s)", name), Node: node, NotReady: reason}
}
