package inventory

import (
	"fmt"
	"strings"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
)

// maxMessage bounds what a cluster's message adds to a reason, in bytes.
const maxMessage = 200

// notReady returns why the pod cannot take part, as one clause, empty when it can. The pod's own condition decides: a
// pod that is Ready on a node that is NotReady still measures, and its measurements are the interesting ones.
func notReady(pod corev1.Pod, nodes map[string]corev1.Node) string {
	if pod.DeletionTimestamp != nil {
		return "pod is terminating"
	}
	if phase := pod.Status.Phase; phase != corev1.PodRunning {
		return "pod is " + string(orUnknown(phase)) + withDetail(pendingDetail(pod))
	}
	if condition(pod, corev1.PodReady).Status == corev1.ConditionTrue {
		return ""
	}
	if node, ok := nodes[pod.Spec.NodeName]; ok && !nodeReady(node) {
		return fmt.Sprintf("node %s is NotReady", node.Name)
	}
	if detail := containerDetail(pod); detail != "" {
		return detail
	}
	return "pod is not Ready" + withDetail(condition(pod, corev1.PodReady).Reason)
}

// pendingDetail returns the most helpful detail on a pod that does not run.
func pendingDetail(pod corev1.Pod) string {
	if pod.Status.Reason != "" {
		return pod.Status.Reason
	}
	if scheduled := condition(pod, corev1.PodScheduled); scheduled.Status == corev1.ConditionFalse {
		return scheduled.Reason + withDetail(short(scheduled.Message))
	}
	return containerDetail(pod)
}

// containerDetail names the first container that keeps the pod from being ready, init containers before the others.
func containerDetail(pod corev1.Pod) string {
	for _, s := range pod.Status.InitContainerStatuses {
		if done := s.State.Terminated != nil && s.State.Terminated.ExitCode == 0; !done && !s.Ready {
			return containerReason(s)
		}
	}
	for _, s := range pod.Status.ContainerStatuses {
		if !s.Ready {
			return containerReason(s)
		}
	}
	return ""
}

func containerReason(s corev1.ContainerStatus) string {
	text := fmt.Sprintf("container %s is not ready", s.Name)
	switch {
	case s.State.Waiting != nil:
		return text + withDetail(s.State.Waiting.Reason)
	case s.State.Terminated != nil:
		return text + withDetail(fmt.Sprintf("%s, exit code %d", s.State.Terminated.Reason,
			s.State.Terminated.ExitCode))
	default:
		return text
	}
}

func condition(pod corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

func nodeReady(node corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// withDetail returns the detail after a colon, empty for no detail.
func withDetail(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + detail
}

func orUnknown(phase corev1.PodPhase) corev1.PodPhase {
	if phase == "" {
		return corev1.PodUnknown
	}
	return phase
}

// short cuts a message at the bound, on a character's edge, and drops its final stop.
func short(message string) string {
	message = strings.TrimSuffix(message, ".")
	if len(message) <= maxMessage {
		return message
	}
	cut := maxMessage
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut]
}
