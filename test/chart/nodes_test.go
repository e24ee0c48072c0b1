package chart

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kdoctor "kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/verdict"
)

// nodesKeepTheirStatus has the controller's account keep the condition of a node, and try to change more of the node.
func nodesKeepTheirStatus(t *testing.T, config *rest.Config) {
	admin, err := kube.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	limited := rest.CopyConfig(config)
	limited.Impersonate = rest.ImpersonationConfig{UserName: account,
		Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	controller, err := kube.NewClient(limited)
	if err != nil {
		t.Fatal(err)
	}
	node := aNode(t, admin)
	change := func(api client.Client, of map[string]any) error {
		body, err := json.Marshal(of)
		if err != nil {
			t.Fatal(err)
		}
		return api.Status().Patch(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node.Name}},
			client.RawPatch(types.StrategicMergePatchType, body), client.DryRunAll)
	}
	status := func(field string, value any) map[string]any {
		return map[string]any{"status": map[string]any{field: value}}
	}
	unready := status("conditions", []any{map[string]any{"type": "Ready", "status": "False"}})
	soon(t, "the policy is in force", func(context.Context) bool { return change(controller, unready) != nil })
	if err := change(admin, unready); err != nil {
		t.Errorf("the policy judges others than the controller: %v", err)
	}
	for name, of := range map[string]map[string]any{
		"a condition of the kubelet": unready,
		"a condition more":           status("conditions", []any{map[string]any{"type": "Mine", "status": "True"}}),
		"a condition less": status("conditions", []any{map[string]any{"$patch": "delete",
			"type": "Ready"}}),
		"another address": status("addresses", []any{map[string]any{"type": "InternalIP",
			"address": "192.0.2.66"}}),
		"more pods":          status("capacity", map[string]any{"pods": "999"}),
		"a device":           status("allocatable", map[string]any{"example.com/gpu": "8"}),
		"another port":       status("daemonEndpoints", map[string]any{"kubeletEndpoint": map[string]any{"Port": 666}}),
		"another release":    status("nodeInfo", map[string]any{"kubeletVersion": "v0.0.0"}),
		"an image":           status("images", []any{map[string]any{"names": []any{"example.com/a"}, "sizeBytes": 1}}),
		"a label":            {"metadata": map[string]any{"labels": map[string]any{"bank": "yes"}}},
		"an annotation":      {"metadata": map[string]any{"annotations": map[string]any{"bank": "yes"}}},
		"a finalizer":        {"metadata": map[string]any{"finalizers": []any{"example.com/keep"}}},
		"a volume in use":    status("volumesInUse", []any{"example.com/volume"}),
		"an attached volume": status("volumesAttached", []any{map[string]any{"name": "a", "devicePath": "/dev/a"}}),
	} {
		if err := change(controller, of); !refusedByPolicy(err) {
			t.Errorf("%s: %v; want the policy's refusal", name, err)
		}
	}
	keepsCondition(t, admin, controller, node)
}

func aNode(t *testing.T, admin client.Client) *corev1.Node {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n0", Labels: map[string]string{"zone": "a"}}}
	status := corev1.NodeStatus{
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}},
		Capacity:  corev1.ResourceList{corev1.ResourcePods: quantity.MustParse("110")},
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue,
			Reason: "KubeletReady"}},
	}
	if err := admin.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Delete(context.WithoutCancel(t.Context()), node); err != nil {
			t.Error(err)
		}
	})
	node.Status = status
	if err := admin.Status().Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	return node
}

// keepsCondition has the controller's own code write the condition of the node, and take it away.
func keepsCondition(t *testing.T, admin, controller client.Client, node *corev1.Node) {
	keep := func(clear bool, want bool) {
		ctx, cancel := context.WithCancel(t.Context())
		conditions := kdoctor.NewNodeConditions(kdoctor.NodeConditionsConfig{Client: controller, Clear: clear,
			Log: logr.Discard(), Nodes: func(context.Context) (map[string]types.UID, error) {
				return map[string]types.UID{node.Name: node.UID}, nil
			}})
		conditions.Observe("web", kdoctor.Summary{Result: verdict.Pass, Succeeded: []string{node.Name}}, time.Minute)
		over := make(chan error, 1)
		go func() { over <- conditions.Start(ctx) }()
		soon(t, "the node's condition is kept", func(ctx context.Context) bool {
			var now corev1.Node
			if err := admin.Get(ctx, client.ObjectKeyFromObject(node), &now); err != nil {
				return false
			}
			return want == slices.ContainsFunc(now.Status.Conditions, func(c corev1.NodeCondition) bool {
				return c.Type == kdoctor.NodeCondition
			})
		})
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
	keep(false, true)
	keep(true, false)
}
