package chart

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

const (
	limitsNamespace = "kdoctor-limits"
	limitsName      = "kdoctor-limits"
)

// guarded is an API server with a release that refuses tasks above its limits.
type guarded struct {
	tasks dynamic.ResourceInterface
	// limits are the parameters of the policy, as the controller reaches them.
	limits dynamic.ResourceInterface
}

// release has helm do something with the release of this test.
func release(t *testing.T, args ...string) {
	t.Helper()
	if text, err := helm(t,
		append(args, "--namespace", limitsNamespace, "--kubeconfig", os.Getenv(kubeconfigEnv))...); err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, text)
	}
}

// guard installs the chart and says, as the controller would, that the limits are 100 requests a second for an agent
// and 900 for all, and that there are three agents.
func guard(t *testing.T) guarded {
	t.Helper()
	config, client := connect(t)
	const settings = "limits.onExcess=Refuse,crds.keep=false"
	release(t, "install", "kdoctor", folder, "--create-namespace", "--take-ownership", "--set", settings)
	as := rest.CopyConfig(config)
	as.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + limitsNamespace +
		":kdoctor-controller", Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	controller, err := dynamic.NewForConfig(as)
	if err != nil {
		t.Fatal(err)
	}
	kind := resource("kdoctor.io", "v1beta1", "loadlimits")
	g := guarded{tasks: client.Resource(resource("kdoctor.io", "v1beta1", "netreaches")),
		limits: controller.Resource(kind)}
	object := map[string]any{"apiVersion": "kdoctor.io/v1beta1", "kind": "LoadLimit",
		"metadata": map[string]any{"name": limitsName}, "spec": map[string]any{
			"requestsPerSecondPerAgent": 100, "requestsPerSecond": 900, "agents": 3, "targetsPerAgent": map[string]any{
				"endpoint.ipv4": 3, "endpoint.ipv6": 3, "clusterIP.ipv4": 1, "nodePort.ipv4": 6,
				"nodePortLocal.ipv4": 1, "nodePortAll.ipv4": 9, "nodePortAllLocal.ipv4": 3}}}
	// The authorizer learns of new roles a moment after they were made, and the API server serves a kind a moment after
	// it was told of it.
	soon(t, "the controller may write the limits", func(ctx context.Context) bool {
		_, err := g.limits.Apply(ctx, limitsName, &unstructured.Unstructured{Object: object},
			metav1.ApplyOptions{FieldManager: "kdoctor-controller", Force: true})
		return err == nil
	})
	if _, err := g.limits.Apply(t.Context(), "another",
		&unstructured.Unstructured{Object: map[string]any{"apiVersion": "kdoctor.io/v1beta1", "kind": "LoadLimit",
			"spec": map[string]any{}}},
		metav1.ApplyOptions{FieldManager: "kdoctor-controller"}); !apierrors.IsForbidden(err) {
		t.Errorf("the controller writes limits of another name: %v", err)
	}
	release(t, "upgrade", "kdoctor", folder, "--set", settings, "--set", "agent.logLevel=debug")
	soon(t, "the policy is in force", func(ctx context.Context) bool {
		_, err := g.apply(ctx, t, "request: {qps: 1000}")
		return err != nil && strings.Contains(err.Error(), "the limit is 100")
	})
	return g
}

// set changes the parameters.
func (g guarded) set(t *testing.T, spec string) {
	t.Helper()
	if _, err := g.limits.Patch(t.Context(), limitsName, types.MergePatchType, []byte(`{"spec":`+spec+`}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func soon(t *testing.T, what string, reached func(context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true,
		func(ctx context.Context) (bool, error) { return reached(ctx), nil })
	if err != nil {
		t.Fatalf("waited until %s: %v", what, err)
	}
}

// apply asks the API server to take a task with the spec, without keeping it.
func (g guarded) apply(ctx context.Context, t *testing.T, spec string) (*unstructured.Unstructured, error) {
	t.Helper()
	return g.tasks.Create(ctx, g.task(t, spec), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

func (guarded) task(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	task := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "kdoctor.io/v1beta1", "kind": "NetReach",
		"metadata": map[string]any{"generateName": "test-"}}}
	var content map[string]any
	if err := yaml.UnmarshalStrict([]byte("{"+spec+"}"), &content); err != nil {
		t.Fatal(err)
	}
	task.Object["spec"] = content
	return task
}

func TestTasksAboveTheLimitsAreRefusedWhenTheyAreApplied(t *testing.T) {
	// A cleanup would come too late: the test's context is over by then.
	defer release(t, "uninstall", "kdoctor", "--wait")
	g := guard(t)
	for name, c := range map[string]struct{ spec, says string }{
		"the defaults fit": {"", ""},
		"a task above the limit of an agent": {"request: {qps: 20, connection: new}",
			"spec.request.qps is 20: with 10 targets that is 200 requests a second from each agent, and the limit is " +
				"100; use at most 10"},
		"as much as fits":                  {"request: {qps: 10, connection: new}", ""},
		"one more than fits":               {"request: {qps: 11, connection: new}", "use at most 10"},
		"connections that stay open count": {"request: {qps: 11, connection: keepalive}", "use at most 10"},
		"the kept stream counts a tenth": {"request: {qps: 10, connection: both, durationInSecond: 60}, " +
			"schedule: {roundTimeoutMinute: 2}", "that is 110 requests a second from each agent, and the limit is " +
			"100; use at most 9"},
		"the kept stream fits": {"request: {qps: 9, connection: both, durationInSecond: 60}, " +
			"schedule: {roundTimeoutMinute: 2}", ""},
		"the kept stream has three at least": {"request: {qps: 9, connection: both, durationInSecond: 1}",
			"that is 120 requests a second from each agent, and the limit is 100; use at most 7"},
		"fewer kinds leave room for more": {"request: {qps: 100, connection: new}, target: {endpoint: false, " +
			"nodePort: false}", ""},
		"local node ports are fewer": {"request: {qps: 20, connection: new}, target: {nodePortNodes: Local}",
			""},
		"node ports by all addresses are more": {"request: {qps: 10, connection: new}, target: {nodePortAddresses: All}", "with 13 targets that is 130 requests a second from each agent, and the limit is 100; use at most 7"},
		"but not those of the agent's own node": {"request: {qps: 14, connection: new}, target: {nodePortAddresses: " +
			"All, nodePortNodes: Local}", ""},
		"both families are more": {"request: {qps: 10, connection: new}, target: {ipv6: true}",
			"with 13 targets that is 130 requests a second from each agent, and the limit is 100; use at most 7"},
		"kinds without targets load nothing": {"request: {qps: 1000}, target: {endpoint: false, clusterIP: false, " +
			"nodePort: false, ingress: true}", ""},
		"agents of a task's own are not judged": {"request: {qps: 1000}, agentSpec: {}", ""},
	} {
		t.Run(name, func(t *testing.T) { g.expect(t, c.spec, c.says) })
	}

	t.Run("a task that became too large can be suspended and run, and not be made larger", g.applied)

	// The limit of an agent is 1000 from here on, so that the one for all agents counts.
	g.set(t, `{"requestsPerSecondPerAgent":1000}`)
	soon(t, "the limit is raised", func(ctx context.Context) bool {
		_, err := g.apply(ctx, t, "request: {qps: 30, connection: new}")
		return err == nil
	})
	for name, c := range map[string]struct{ spec, says string }{
		"a task above the limit of all agents": {"request: {qps: 31, connection: new}",
			"spec.request.qps is 31: with 30 targets of all agents that is 930 requests a second together, and the " +
				"limit is 900; use at most 30"},
		"the lower of both limits is advised": {"request: {qps: 500, connection: new}", "use at most 30"},
	} {
		t.Run(name, func(t *testing.T) { g.expect(t, c.spec, c.says) })
	}

	g.set(t, `{"requestsPerSecondPerAgent":5}`)
	soon(t, "even one is too much", func(ctx context.Context) bool {
		_, err := g.apply(ctx, t, "request: {qps: 1, connection: new}")
		return err != nil && strings.Contains(err.Error(), "even 1 is above it: probe fewer kinds or families in "+
			"spec.target")
	})
}

func (g guarded) expect(t *testing.T, spec, says string) {
	t.Helper()
	_, err := g.apply(t.Context(), t, spec)
	switch {
	case says == "" && err != nil:
		t.Errorf("refused: %v", err)
	case says != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), says)):
		t.Errorf("got %v, want a refusal that says %q", err, says)
	}
}

// applied has a task grow beyond the limit after it was applied.
func (g guarded) applied(t *testing.T) {
	task, err := g.tasks.Create(t.Context(), g.task(t, "request: {qps: 10, connection: new}"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g.set(t, `{"targetsPerAgent":{"endpoint.ipv4":4}}`)
	soon(t, "the cluster has grown", func(ctx context.Context) bool {
		_, err := g.apply(ctx, t, "request: {qps: 10, connection: new}")
		return err != nil
	})
	patch := func(text string) error {
		_, err := g.tasks.Patch(t.Context(), task.GetName(), types.MergePatchType, []byte(text), metav1.PatchOptions{})
		return err
	}
	for what, text := range map[string]string{"suspended": `{"spec":{"suspend":true}}`,
		"run":          `{"metadata":{"annotations":{"kdoctor.io/run-now":"1"}}}`,
		"made smaller": `{"spec":{"request":{"qps":9}}}`} {
		if err := patch(text); err != nil {
			t.Errorf("it cannot be %s: %v", what, err)
		}
	}
	if err := patch(`{"spec":{"request":{"qps":10}}}`); !apierrors.IsInvalid(err) {
		t.Errorf("it is made larger: %v", err)
	}
	g.set(t, `{"targetsPerAgent":{"endpoint.ipv4":3}}`)
	soon(t, "the cluster is as before", func(ctx context.Context) bool {
		_, err := g.apply(ctx, t, "request: {qps: 10, connection: new}")
		return err == nil
	})
}

func TestPolicyIsThereOnlyWhereTasksAreRefused(t *testing.T) {
	kinds := func(settings ...string) map[string]int {
		count := map[string]int{}
		for _, object := range objects(t, render(t, "kdoctor", settings...)) {
			count[object.GetKind()]++
		}
		return count
	}
	for setting, want := range map[string]int{"limits.onExcess=Reduce": 0, "limits.onExcess=Refuse": 1} {
		got := kinds(setting, "controller.admissionPolicy.enabled=false")
		for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} {
			if got[kind] != want {
				t.Errorf("with %s there are %d objects of kind %s, want %d", setting, got[kind], kind, want)
			}
		}
	}
	text, err := helm(t, "template", "kdoctor", folder, "--kube-version", "1.29.4", "--set", "limits.onExcess=Refuse")
	if err == nil || !strings.Contains(text, "needs Kubernetes 1.30 or later") {
		t.Errorf("on Kubernetes 1.29: %v\n%s", err, text)
	}
}
