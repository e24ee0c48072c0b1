package inventory

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What is not read of a node and a pod is dropped, and what is read stays; that is compared field by field.
func TestWhatIsKeptOfANode(t *testing.T) {
	deleted := metav1.NewTime(time.Unix(100, 0))
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Message: shuttingDown}
	meta := metav1.ObjectMeta{Name: "n", UID: "uid", Labels: map[string]string{"zone": "a"},
		DeletionTimestamp: &deleted}
	full := corev1.Node{ObjectMeta: meta, Spec: corev1.NodeSpec{Unschedulable: true, PodCIDR: "198.18.0.0/24",
		Taints: []corev1.Taint{{Key: "t", Effect: corev1.TaintEffectNoSchedule}}}}
	want := corev1.Node{ObjectMeta: meta, Spec: corev1.NodeSpec{Unschedulable: true, Taints: full.Spec.Taints}}
	full.Annotations = map[string]string{"kwok.x-k8s.io/node": "fake", "weave.works/kured-reboot-in-progress": "x",
		"other.example.com/long": "text"}
	want.Annotations = map[string]string{"kwok.x-k8s.io/node": "fake", "weave.works/kured-reboot-in-progress": "x"}
	full.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
	full.Status.Images = []corev1.ContainerImage{{Names: []string{"image"}}}
	full.Status.Capacity = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")}
	full.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "198.18.0.1"}}
	full.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeDiskPressure}, ready}
	want.Status.Addresses, want.Status.Conditions = full.Status.Addresses, []corev1.NodeCondition{ready}
	if diff := cmp.Diff(want, slimNode(&full, nodeAnnotations())); diff != "" {
		t.Errorf("node (-want +got):\n%s", diff)
	}
	if removedWhyOf(want) == "" || noNodePorts(want) == "" {
		t.Error("the node's marks are of no use")
	}
}

func TestWhatIsKeptOfAPod(t *testing.T) {
	at, grace, controller := metav1.NewTime(time.Unix(100, 0)), int64(30), true
	affinity := &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}
	ports := []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}
	meta := metav1.ObjectMeta{Name: "a", Namespace: "k", UID: "uid", Labels: map[string]string{"app": "agent"},
		Annotations:       map[string]string{networkStatus: "[]", olderNetworkStatus: "[{}]"},
		OwnerReferences:   []metav1.OwnerReference{{UID: "set", Controller: &controller}},
		CreationTimestamp: at, DeletionTimestamp: &at, DeletionGracePeriodSeconds: &grace}
	status := corev1.PodStatus{Phase: corev1.PodRunning, Reason: "Evicted", PodIP: "198.19.0.2",
		PodIPs:                []corev1.PodIP{{IP: "198.19.0.2"}},
		Conditions:            []corev1.PodCondition{{Type: corev1.PodReady}, {Type: corev1.PodScheduled}},
		ContainerStatuses:     []corev1.ContainerStatus{{Name: "agent", RestartCount: 2}},
		InitContainerStatuses: []corev1.ContainerStatus{{Name: "init"}}}
	full := corev1.Pod{ObjectMeta: *meta.DeepCopy(), Status: *status.DeepCopy()}
	full.Annotations["other.example.com/long"] = "text"
	full.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}}
	full.Spec = corev1.PodSpec{Affinity: affinity, ServiceAccountName: "agent",
		Volumes: []corev1.Volume{{Name: "tls"}},
		Containers: []corev1.Container{{Name: "agent", Image: "image", Env: []corev1.EnvVar{{Name: "A"}},
			Ports: ports}}}
	full.Status.Message, full.Status.QOSClass = "text", corev1.PodQOSBurstable
	want := corev1.Pod{ObjectMeta: meta, Status: status, Spec: corev1.PodSpec{Affinity: affinity,
		Containers: []corev1.Container{{Name: "agent", Ports: ports}}}}
	if diff := cmp.Diff(want, slimPod(&full)); diff != "" {
		t.Errorf("a pod that is not scheduled (-want +got):\n%s", diff)
	}
	full.Spec.NodeName, want.Spec.NodeName, want.Spec.Affinity = "n", "n", nil
	if diff := cmp.Diff(want, slimPod(&full)); diff != "" {
		t.Errorf("a pod that runs on a node (-want +got):\n%s", diff)
	}
}
