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

// agents returns the agent pods that count, with a placeholder for each that ought to be there and is not, those that
// nobody misses, and why nodes without an agent are outside.
func agents(ctx context.Context, wanted workload, pods []corev1.Pod, nodes []corev1.Node) (found,
	leave []topology.Agent, outer map[string]string) {
	byName := make(map[string]corev1.Node, len(nodes))
	for _, node := range nodes {
		byName[node.Name] = node
	}
	places := sitesOf(ctx, wanted, nodes)
	counts := map[types.UID]bool{}
	for _, pod := range withoutReplaced(wanted, pods) {
		counts[pod.UID] = true
	}
	occupied, all := map[string]bool{}, map[string]bool{}
	for _, pod := range pods {
		agent := agentOf(pod, byName)
		if agent.Node != "" {
			all[agent.Node] = true
		}
		if !counts[pod.UID] || unmissed(wanted, pod, agent, places.at(agent.Node)) {
			leave = append(leave, agent)
			continue
		}
		found = append(found, agent)
		if agent.Node != "" {
			occupied[agent.Node] = true
		}
	}
	found = append(found, absent(wanted, len(found), occupied, all, places)...)
	sortAgents(found)
	sortAgents(leave)
	return found, leave, outside(wanted, occupied, places)
}

// unmissed reports whether nobody misses the agent, which takes no part: one on a node that goes or has gone, and one
// that is going or is not even there on a node where the DaemonSet wants none any more. A pod that runs there counts
// like others. So does one on a virtual node: a DaemonSet that tolerates everything makes pods for these too, but not
// all of them run such pods.
func unmissed(wanted workload, pod corev1.Pod, agent topology.Agent, place site) bool {
	switch {
	case agent.Ready() || wanted.kind == topology.Deployment:
		return false
	case place.removing != "":
		return true
	case place.keptOut != "":
		return leaving(pod) || pod.Spec.NodeName == ""
	}
	if place.virtual != "" && agent.Started.IsZero() && agent.Ended.IsZero() {
		return true
	}
	return place.gone && leaving(pod)
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
	lived(pod, &agent)
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

// lived fills in when the pod and the agent's container came and went. The deletion timestamp of a pod is when its time
// for an orderly end runs out; its deletion was asked for that much earlier.
func lived(pod corev1.Pod, agent *topology.Agent) {
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

// agentContainer is the name of the container with the control port.
func agentContainer(pod corev1.Pod) string {
	for _, container := range pod.Spec.Containers {
		if slices.ContainsFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == controlPort }) {
			return container.Name
		}
	}
	return ""
}

// nodeOf is where the pod runs or, as long as it is not scheduled, the one node that a DaemonSet made it for.
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

// withoutReplaced leaves out pods that are going or gone and whose work another pod has taken over:
// on the same node for a DaemonSet, anywhere for a Deployment.
func withoutReplaced(wanted workload, pods []corev1.Pod) []corev1.Pod {
	living := map[string]int{}
	total := 0
	for _, pod := range pods {
		if !leaving(pod) {
			living[nodeOf(pod)]++
			total++
		}
	}
	// Of several that are going on one node, only the newest speaks for it.
	newest := map[string]corev1.Pod{}
	for _, pod := range pods {
		if other, ok := newest[nodeOf(pod)]; leaving(pod) && (!ok || younger(pod, other)) {
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

func leaving(pod corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed ||
		pod.Status.Phase == corev1.PodSucceeded
}

func younger(a, b corev1.Pod) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return b.CreationTimestamp.Before(&a.CreationTimestamp)
	}
	return a.Name > b.Name
}

// placeholder stands for a pod that does not exist. Reports are kept by pod, so each has a name of its own, which no
// pod can have.
func placeholder(name, node, reason string) topology.Agent {
	return topology.Agent{Pod: fmt.Sprintf("(none %s)", name), Node: node, NotReady: reason}
}
