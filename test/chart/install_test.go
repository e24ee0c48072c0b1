package chart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	kubeconfigEnv = "KDOCTOR_TEST_KUBECONFIG"
	namespace     = "kdoctor-chart"
	account       = "system:serviceaccount:" + namespace + ":kdoctor-controller"
	// heartbeat is a task among the values, which is suspended: nothing runs here.
	heartbeat = "tasks.heartbeat.spec.suspend=true"
	// anyBundle is a caBundle that the API server takes: it wants PEM.
	anyBundle = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCi0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K"
)

func connect(t *testing.T) (*rest.Config, dynamic.Interface) {
	t.Helper()
	path := os.Getenv(kubeconfigEnv)
	if path == "" {
		t.Fatalf("this test needs a kube-apiserver: set %s to its kubeconfig, or run 'make test-chart', which starts one", kubeconfigEnv)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return config, client
}

func resource(group, version, plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: plural}
}

// TestReleaseLives installs the chart, checks what came of it, upgrades it in both of Helm's ways, and removes it: the
// order matters.
func TestReleaseLives(t *testing.T) {
	config, client := connect(t)
	makeRestrictedNamespace(t, client)
	run := func(args ...string) {
		t.Helper()
		args = append(args, "--namespace", namespace, "--kubeconfig", os.Getenv(kubeconfigEnv))
		if text, err := helm(t, args...); err != nil {
			t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, text)
		}
	}
	// The API server does not know the kind of the task before this.
	run("install", "kdoctor", folder, "--set", heartbeat)
	uid := uidOfTask(t, client)
	t.Run("the namespace admits the pods", func(t *testing.T) { podsAreAdmitted(t, client) })
	t.Run("the controller has the rights that it needs and no others", func(t *testing.T) { rightsFit(t, client) })
	t.Run("the controller can make and remove agents of a task's own", func(t *testing.T) { ownAgents(t, config) })
	t.Run("the controller cannot make what has more rights than agents", func(t *testing.T) { policyHolds(t, config) })

	apiServices := client.Resource(resource("apiregistration.k8s.io", "v1", "apiservices"))
	const name = "v1beta1.system.kdoctor.io"
	patch := fmt.Sprintf(`{"spec":{"caBundle":%q}}`, anyBundle)
	if _, err := apiServices.Patch(t.Context(), name, types.MergePatchType, []byte(patch),
		metav1.PatchOptions{FieldManager: "controller"}); err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"--server-side=true", "--server-side=false"} {
		run("upgrade", "kdoctor", folder, way, "--set", heartbeat+",agent.logLevel=debug,controller.podAnnotations.way="+
			way[2:13])
		got, err := apiServices.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if bundle, _, _ := unstructured.NestedString(got.Object, "spec", "caBundle"); bundle != anyBundle {
			t.Errorf("after an upgrade with %s the caBundle is %q", way, bundle)
		}
	}
	if now := uidOfTask(t, client); now != uid {
		t.Errorf("the upgrades made the task again: its UID was %s and is %s", uid, now)
	}
	run("upgrade", "kdoctor", folder, "--reset-values", "--set", "nodeCondition.mode=Set")
	t.Run("the controller changes nothing of a node but its condition", func(t *testing.T) {
		nodesKeepTheirStatus(t, config)
	})
	run("upgrade", "kdoctor", folder, "--reset-values")
	if _, err := client.Resource(tasks()).Get(t.Context(), "heartbeat", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the task that went from the values is still there: %v", err)
	}
	// To a volume that one controller alone can use, and back.
	for _, way := range []string{"--server-side=true", "--server-side=false"} {
		run("upgrade", "kdoctor", folder, way, "--set",
			"controller.reports.persistence.enabled=true,controller.reports.persistence.existingClaim=mine")
		run("upgrade", "kdoctor", folder, way)
	}
	keepsTasks(t, client, run)
	run("uninstall", "kdoctor", "--wait")
	nothingIsLeft(t, config, client)
}

// keepsTasks uninstalls the chart and installs it under another name, which takes over the kind of tasks that stayed.
func keepsTasks(t *testing.T, client dynamic.Interface, run func(...string)) {
	t.Helper()
	task := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "kdoctor.io/v1beta1", "kind": "NetReach",
		"metadata": map[string]any{"name": "kept"}}}
	if _, err := client.Resource(tasks()).Create(t.Context(), task, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	run("uninstall", "kdoctor", "--wait")
	if text, err := helm(t, "install", "another", folder, "--namespace", namespace, "--kubeconfig",
		os.Getenv(kubeconfigEnv)); err == nil || !strings.Contains(text, "invalid ownership metadata") {
		t.Errorf("another release takes the kind of tasks without being told to: %v, %s", err, text)
	}
	run("install", "another", folder, "--take-ownership")
	if _, err := client.Resource(tasks()).Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
		t.Errorf("the task did not outlive the release: %v", err)
	}
	run("uninstall", "another", "--wait")
	run("install", "kdoctor", folder, "--take-ownership", "--set", "crds.keep=false")
}

func tasks() schema.GroupVersionResource { return resource("kdoctor.io", "v1beta1", "netreaches") }

func uidOfTask(t *testing.T, client dynamic.Interface) types.UID {
	t.Helper()
	task, err := client.Resource(tasks()).Get(t.Context(), "heartbeat", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return task.GetUID()
}

func makeRestrictedNamespace(t *testing.T, client dynamic.Interface) {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{
			"name": namespace, "labels": map[string]any{"pod-security.kubernetes.io/enforce": "restricted"},
		}}}
	_, err := client.Resource(resource("", "v1", "namespaces")).Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

func podsAreAdmitted(t *testing.T, client dynamic.Interface) {
	for plural, name := range map[string]string{"daemonsets": "kdoctor-agent", "deployments": "kdoctor-controller"} {
		workload, err := client.Resource(resource("apps", "v1", plural)).Namespace(namespace).Get(t.Context(), name,
			metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		spec, _, _ := unstructured.NestedMap(workload.Object, "spec", "template", "spec")
		pod := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{"name": "try"}, "spec": spec}}
		_, err = client.Resource(resource("", "v1", "pods")).Namespace(namespace).Create(t.Context(), pod,
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			t.Errorf("a pod of %s is refused: %v", name, err)
		}
	}
}

// neededRights are what the controller's calls need: each read is a list or a get without a watch, but for tasks, nodes
// and the controller's own namespace.
func neededRights() []right {
	return []right{
		{"list", "kdoctor.io", "netreaches", "", ""}, {"watch", "kdoctor.io", "netreaches", "", ""},
		{"patch", "kdoctor.io", "netreaches/status", "", "task"},
		{"list", "", "nodes", "", ""}, {"watch", "", "nodes", "", ""},
		{"get", "", "namespaces", "kube-system", "kube-system"},
		{"list", "", "namespaces", namespace, namespace}, {"watch", "", "namespaces", namespace, namespace},
		{"get", "apiregistration.k8s.io", "apiservices", "", "v1beta1.system.kdoctor.io"},
		{"patch", "apiregistration.k8s.io", "apiservices", "", "v1beta1.system.kdoctor.io"},
		{"delete", "apiregistration.k8s.io", "apiservices", "", "v1beta1.system.kdoctor.io"},
		{"list", "", "pods", namespace, ""}, {"patch", "", "pods", namespace, "kdoctor-controller-x"},
		{"create", "", "pods/portforward", namespace, "kdoctor-agent-x"},
		{"get", "", "pods/portforward", namespace, "kdoctor-agent-x"},
		{"list", "", "services", namespace, ""}, {"get", "", "services", namespace, "kdoctor-controller"},
		{"get", "apps", "daemonsets", namespace, "kdoctor-agent"},
		{"get", "apps", "deployments", namespace, "kdoctor-controller"},
		{"list", "networking.k8s.io", "ingresses", namespace, ""}, {"list", "apps", "replicasets", namespace, ""},
		{"list", "discovery.k8s.io", "endpointslices", namespace, ""},
		{"list", "networking.k8s.io", "networkpolicies", namespace, ""},
		{"list", "policy.networking.k8s.io", "clusternetworkpolicies", "", ""},
		{"list", "policy.networking.k8s.io", "adminnetworkpolicies", "", ""},
		{"list", "policy.networking.k8s.io", "baselineadminnetworkpolicies", "", ""},
		{"create", "", "secrets", namespace, ""}, {"update", "", "secrets", namespace, "kdoctor-ca"},
		{"get", "", "secrets", namespace, "kdoctor-api-tls"},
		{"create", "coordination.k8s.io", "leases", namespace, ""},
		{"update", "coordination.k8s.io", "leases", namespace, "kdoctor-controller"},
		{"create", "", "events", "default", ""},
		{"create", "authorization.k8s.io", "subjectaccessreviews", "", ""},
		{"create", "authentication.k8s.io", "tokenreviews", "", ""},
		{"get", "", "configmaps", "kube-system", "extension-apiserver-authentication"},
	}
}

// refusedRights are what a controller that was taken over may not do, and what nothing uses.
func refusedRights() []right {
	refused := []right{
		{"get", "", "secrets", namespace, "another"}, {"list", "", "secrets", namespace, ""},
		{"delete", "", "secrets", namespace, "kdoctor-ca"}, {"patch", "", "secrets", namespace, "kdoctor-ca"},
		{"get", "", "secrets", "kube-system", "kdoctor-ca"}, {"update", "kdoctor.io", "netreaches", "", "task"},
		{"get", "kdoctor.io", "netreaches/status", "", "task"},
		{"update", "kdoctor.io", "netreaches/status", "", "task"},
		{"delete", "kdoctor.io", "netreaches", "", "task"}, {"patch", "kdoctor.io", "netreaches", "", "task"},
		{"patch", "apiregistration.k8s.io", "apiservices", "", "v1.apps"},
		{"delete", "apiregistration.k8s.io", "apiservices", "", "v1.apps"},
		{"list", "apiregistration.k8s.io", "apiservices", "", ""},
		{"create", "apiregistration.k8s.io", "apiservices", "", ""},
		{"list", "networking.k8s.io", "networkpolicies", "kube-system", ""},
		{"get", "networking.k8s.io", "networkpolicies", namespace, "x"},
		{"patch", "networking.k8s.io", "networkpolicies", namespace, "x"},
		{"delete", "policy.networking.k8s.io", "adminnetworkpolicies", "", "x"},
		{"list", "", "namespaces", "", ""}, {"watch", "", "namespaces", "", ""},
		{"list", "", "namespaces", "kube-system", "kube-system"}, {"delete", "", "namespaces", namespace, namespace},
		{"patch", "", "namespaces", namespace, namespace},
		{"create", "", "pods", namespace, ""}, {"update", "", "pods", namespace, "x"},
		{"delete", "", "pods", namespace, "x"}, {"watch", "", "pods", namespace, ""},
		{"create", "", "pods/exec", namespace, "x"}, {"create", "", "pods/attach", namespace, "x"},
		{"patch", "", "pods/ephemeralcontainers", namespace, "x"}, {"patch", "", "pods/status", namespace, "x"},
		{"create", "", "pods/eviction", namespace, "x"}, {"patch", "", "pods", "kube-system", "x"},
		{"list", "", "pods", "kube-system", ""}, {"create", "", "pods/portforward", "kube-system", "x"},
		{"get", "", "nodes", "", "x"}, {"update", "", "nodes", "", "x"}, {"create", "", "nodes/proxy", "", "x"},
		{"create", "", "serviceaccounts/token", namespace, "kdoctor-controller"},
		{"update", "coordination.k8s.io", "leases", namespace, "another"},
		{"patch", "coordination.k8s.io", "leases", namespace, "kdoctor-controller"},
		{"delete", "coordination.k8s.io", "leases", namespace, "kdoctor-controller"},
		{"create", "apps", "daemonsets", "kube-system", ""}, {"delete", "", "services", "default", "kubernetes"},
		{"create", "apps", "replicasets", namespace, ""}, {"get", "apps", "replicasets", namespace, "x"},
		{"create", "apps", "statefulsets", namespace, ""}, {"create", "batch", "jobs", namespace, ""},
		{"create", "", "configmaps", namespace, ""}, {"patch", "", "configmaps", namespace, "kdoctor-agent-manifests"},
		{"create", "rbac.authorization.k8s.io", "rolebindings", namespace, ""},
		{"patch", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", "kdoctor-controller-workloads"},
		{"delete", "admissionregistration.k8s.io", "validatingadmissionpolicybindings", "",
			"kdoctor-controller-workloads"},
	}
	for _, r := range []struct{ group, plural string }{{"apps", "daemonsets"}, {"apps", "deployments"},
		{"", "services"}, {"networking.k8s.io", "ingresses"}} {
		for _, verb := range []string{"watch", "update", "deletecollection"} {
			refused = append(refused, right{verb, r.group, r.plural, namespace, ""})
		}
	}
	return refused
}

// right is one question to the API server's authorizer; where is the namespace.
type right struct{ verb, group, resource, where, name string }

func rightsFit(t *testing.T, client dynamic.Interface) {
	needed, refused := neededRights(), refusedRights()
	for _, r := range needed {
		// The authorizer learns of new roles a moment after they were made.
		err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true,
			func(ctx context.Context) (bool, error) {
				return allowed(ctx, client, r)
			})
		if err != nil {
			t.Errorf("the controller may not %+v: %v", r, err)
		}
	}
	for _, r := range refused {
		if may, err := allowed(t.Context(), client, r); err != nil || may {
			t.Errorf("the controller may %+v (%v)", r, err)
		}
	}
}

func allowed(ctx context.Context, client dynamic.Interface, r right) (bool, error) {
	plural, sub, _ := strings.Cut(r.resource, "/")
	review := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
		"spec": map[string]any{"user": account, "groups": []any{"system:serviceaccounts", "system:authenticated"},
			"resourceAttributes": map[string]any{
				"verb": r.verb, "group": r.group, "resource": plural, "subresource": sub, "namespace": r.where,
				"name": r.name,
			}},
	}}
	answer, err := client.Resource(resource("authorization.k8s.io", "v1", "subjectaccessreviews")).Create(ctx, review,
		metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	may, _, err := unstructured.NestedBool(answer.Object, "status", "allowed")
	return may, err
}

// nothingIsLeft looks at every kind that the API server knows for objects of the release.
func nothingIsLeft(t *testing.T, config *rest.Config, client dynamic.Interface) {
	t.Helper()
	var failed *discovery.ErrGroupDiscoveryFailed
	lists, err := discovery.NewDiscoveryClientForConfigOrDie(config).ServerPreferredResources()
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	looked := 0
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			if !strings.Contains(r.Verbs.String(), "list") {
				continue
			}
			looked++
			found, err := client.Resource(version.WithResource(r.Name)).List(t.Context(),
				metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=kdoctor"})
			if err != nil {
				t.Errorf("list %s: %v", r.Name, err)
				continue
			}
			for _, object := range found.Items {
				// Where the garbage collector runs, as it does not here, an object goes with its owner.
				if object.GetDeletionTimestamp() == nil && len(object.GetOwnerReferences()) == 0 {
					t.Errorf("%s %s is left behind", object.GetKind(), object.GetName())
				}
			}
		}
	}
	if looked < 30 {
		t.Errorf("looked at %d kinds only", looked)
	}
}
