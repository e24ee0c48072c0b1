package inventory

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// slimNode returns what this package reads of a node, and nothing else. marks are the annotations that it reads. Most
// of a node is its images and the notes of who wrote what.
func slimNode(node *corev1.Node, marks []string) corev1.Node {
	return corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, Labels: node.Labels,
			Annotations: only(node.Annotations, marks), DeletionTimestamp: node.DeletionTimestamp},
		Spec: corev1.NodeSpec{Unschedulable: node.Spec.Unschedulable, Taints: node.Spec.Taints},
		Status: corev1.NodeStatus{Addresses: node.Status.Addresses,
			Conditions: conditionsOf(node.Status.Conditions, corev1.NodeReady)},
	}
}

// nodeAnnotations returns the annotations of nodes that are marks.
func nodeAnnotations() []string {
	var keys []string
	for _, m := range removalMarks() {
		if m.annotation != "" {
			keys = append(keys, m.annotation)
		}
	}
	for _, m := range virtualMarks() {
		keys = append(keys, m.key)
	}
	return keys
}

// only returns the annotations with the keys, nil for none.
func only(annotations map[string]string, keys []string) map[string]string {
	var found map[string]string
	for _, key := range keys {
		if value, ok := annotations[key]; ok {
			if found == nil {
				found = map[string]string{}
			}
			found[key] = value
		}
	}
	return found
}

func conditionsOf(all []corev1.NodeCondition, kind corev1.NodeConditionType) []corev1.NodeCondition {
	for _, c := range all {
		if c.Type == kind {
			return []corev1.NodeCondition{c}
		}
	}
	return nil
}

// slimPod returns what this package reads of a pod, and nothing else.
func slimPod(pod *corev1.Pod) corev1.Pod {
	slim := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID, Labels: pod.Labels,
			Annotations:     only(pod.Annotations, []string{networkStatus, olderNetworkStatus}),
			OwnerReferences: pod.OwnerReferences, CreationTimestamp: pod.CreationTimestamp,
			DeletionTimestamp: pod.DeletionTimestamp, DeletionGracePeriodSeconds: pod.DeletionGracePeriodSeconds},
		Spec: corev1.PodSpec{NodeName: pod.Spec.NodeName, HostNetwork: pod.Spec.HostNetwork},
		Status: corev1.PodStatus{Phase: pod.Status.Phase, Reason: pod.Status.Reason, PodIP: pod.Status.PodIP,
			PodIPs: pod.Status.PodIPs, Conditions: pod.Status.Conditions,
			ContainerStatuses:     pod.Status.ContainerStatuses,
			InitContainerStatuses: pod.Status.InitContainerStatuses},
	}
	for _, c := range pod.Spec.Containers {
		slim.Spec.Containers = append(slim.Spec.Containers, corev1.Container{Name: c.Name, Ports: c.Ports})
	}
	if pod.Spec.NodeName == "" {
		slim.Spec.Affinity = pod.Spec.Affinity
	}
	return slim
}
