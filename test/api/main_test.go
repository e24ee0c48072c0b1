// Package api tests the CRD and the controller against a real kube-apiserver: defaults, refusals and their sentences,
// what kubectl shows, and how status, events and rounds follow a task.
package api

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

const (
	kubeconfigEnv = "KDOCTOR_TEST_KUBECONFIG"
	crdFile       = "../../charts/kdoctor/files/crds/kdoctor.io_netreaches.yaml"
)

func TestMain(m *testing.M) {
	if os.Getenv(kubeconfigEnv) == "" {
		fmt.Fprintf(os.Stderr, "these tests need a kube-apiserver: set %s to its kubeconfig, or run 'make test-api', "+
			"which starts one\n", kubeconfigEnv)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// cluster is the API server under test, with the CRD as it stands in the chart.
type cluster struct {
	config  *rest.Config
	dynamic dynamic.Interface
	tasks   dynamic.ResourceInterface
}

func connect(t *testing.T) cluster {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv(kubeconfigEnv))
	if err != nil {
		t.Fatalf("read the kubeconfig in %s: %v", kubeconfigEnv, err)
	}
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	gvr := schema.GroupVersionResource{Group: "kdoctor.io", Version: "v1beta1", Resource: "netreaches"}
	c := cluster{config: config, dynamic: client, tasks: client.Resource(gvr)}
	c.applyCRD(t)
	return c
}

func (c cluster) applyCRD(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(crdFile)
	if err != nil {
		t.Fatal(err)
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(text, &crd.Object); err != nil {
		t.Fatal(err)
	}
	crds := c.dynamic.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1",
		Resource: "customresourcedefinitions"})
	if _, err := crds.Apply(t.Context(), crd.GetName(), crd,
		metav1.ApplyOptions{FieldManager: "test", Force: true}); err != nil {
		t.Fatalf("apply the CRD: %v", err)
	}
	// The API server says "established" a little before every part of it serves the kind.
	eventually(t, "the API server serves NetReach", func(ctx context.Context) (bool, error) {
		if _, err := discovery.NewDiscoveryClientForConfigOrDie(c.config).ServerResourcesForGroupVersion(
			"kdoctor.io/v1beta1"); err != nil {
			return false, nil
		}
		_, err := c.tasks.List(ctx, metav1.ListOptions{})
		return err == nil, nil
	})
}

func eventually(t *testing.T, what string, condition wait.ConditionWithContextFunc) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, condition); err != nil {
		t.Fatalf("waited for: %s: %v", what, err)
	}
}

// create asks the API server to take a NetReach with the spec, without keeping it.
func (c cluster) create(ctx context.Context, spec any) (*unstructured.Unstructured, error) {
	task := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kdoctor.io/v1beta1", "kind": "NetReach", "metadata": map[string]any{"generateName": "test-"},
	}}
	if spec != nil {
		task.Object["spec"] = spec
	}
	return c.tasks.Create(ctx, task,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
}

// parse reads YAML; empty text is no value at all.
func parse(t *testing.T, text string) any {
	t.Helper()
	if text == "" {
		return nil
	}
	json, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	wrapped := &unstructured.Unstructured{}
	if err := wrapped.UnmarshalJSON(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"X","spec":%s}`, json)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return wrapped.Object["spec"]
}
