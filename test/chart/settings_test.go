package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// renderFile renders the chart with a file of values.
func renderFile(t *testing.T, text string, settings ...string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return helm(t, append([]string{"template", "kdoctor", folder, "--namespace", "kdoctor", "--kube-version", "1.37.0",
		"--values", file}, settings...)...)
}

// requiredValues are the paths that the schema wants, and those of the others that are no group.
func requiredValues(t *testing.T) (required, optional []string) {
	t.Helper()
	type node struct {
		Properties map[string]*node `json:"properties"`
		Required   []string         `json:"required"`
	}
	var root node
	if err := json.Unmarshal(read(t, filepath.Join(folder, "values.schema.json")), &root); err != nil {
		t.Fatal(err)
	}
	for _, v := range values(t) {
		at, wanted := &root, true
		for _, part := range strings.Split(v.path, ".") {
			wanted = wanted && slices.Contains(at.Required, part)
			at = at.Properties[part]
		}
		if wanted {
			required = append(required, v.path)
		} else {
			optional = append(optional, v.path)
		}
	}
	return required, optional
}

// nulls is a file of values that unsets all of the paths.
func nulls(t *testing.T, paths []string) string {
	t.Helper()
	object := map[string]any{}
	for _, path := range paths {
		if err := unstructured.SetNestedField(object, nil, strings.Split(path, ".")...); err != nil {
			t.Fatal(err)
		}
	}
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatIsOptionalIsUnsetByNull(t *testing.T) {
	required, optional := requiredValues(t)
	if len(optional) < 60 || len(required) > 60 {
		t.Fatalf("%d values are optional and %d are needed", len(optional), len(required))
	}
	sets := []string{}
	for _, path := range optional {
		sets = append(sets, "--set", path+"=null")
	}
	file, err := renderFile(t, nulls(t, optional))
	if err != nil {
		t.Fatalf("%v: %s", err, file)
	}
	flags, err := renderFile(t, "{}", sets...)
	if err != nil {
		t.Fatalf("%v: %s", err, flags)
	}
	if file != flags {
		t.Error("null in a file and null in --set differ")
	}
	for _, object := range objects(t, file) {
		text, err := json.Marshal(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		for _, trace := range []string{"null", "<nil>", "%!", "map["} {
			if object.GetKind() != "CustomResourceDefinition" && strings.Contains(string(text), trace) {
				t.Errorf("%s %s has a %s where a value was unset:\n%s", object.GetKind(), object.GetName(), trace, text)
			}
		}
	}
}

// Helm drops a value that is null before it looks at the schema, so a needed one is a property that is missing.
func TestANeededValueThatIsNullIsRefused(t *testing.T) {
	required, _ := requiredValues(t)
	text, err := renderFile(t, nulls(t, required))
	if err == nil {
		t.Fatal("they are taken")
	}
	for _, path := range required {
		name := path[strings.LastIndex(path, ".")+1:]
		if !strings.Contains(text, "'"+name+"'") {
			t.Errorf("null for %s is not told of:\n%s", path, text)
		}
	}
}

func TestEntriesOfTablesAreUnsetByNull(t *testing.T) {
	text := render(t, "kdoctor", "agent.resources.limits.memory=null", "controller.resources.requests=null",
		"agent.podSecurityContext.runAsUser=null", "agent.securityContext.capabilities=null",
		"agent.podLabels.app=null", "agent.livenessProbe.initialDelaySeconds=null")
	agents := objectNamed(t, text, "DaemonSet", "kdoctor-agent")
	pod := podOf(t, agents)
	container := pod.Containers[0]
	if container.Resources.Limits != nil || len(container.Resources.Requests) != 2 {
		t.Errorf("resources of the agent: %+v", container.Resources)
	}
	if pod.SecurityContext.RunAsUser != nil || pod.SecurityContext.RunAsGroup == nil ||
		!*pod.SecurityContext.RunAsNonRoot || container.SecurityContext.Capabilities != nil {
		t.Errorf("security contexts of the agent: %+v, %+v", pod.SecurityContext, container.SecurityContext)
	}
	if container.LivenessProbe.InitialDelaySeconds != 0 || container.LivenessProbe.PeriodSeconds != 10 {
		t.Errorf("liveness of the agent: %+v", container.LivenessProbe)
	}
	controller := podOf(t, objectNamed(t, text, "Deployment", "kdoctor-controller")).Containers[0]
	if controller.Resources.Requests != nil || len(controller.Resources.Limits) != 1 {
		t.Errorf("resources of the controller: %+v", controller.Resources)
	}
}

func objectNamed(t *testing.T, text, kind, name string) unstructured.Unstructured {
	t.Helper()
	for _, object := range objects(t, text) {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return unstructured.Unstructured{}
}

func podOf(t *testing.T, workload unstructured.Unstructured) corev1.PodSpec {
	t.Helper()
	spec, _, err := unstructured.NestedMap(workload.Object, "spec", "template", "spec")
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.PodSpec
	if err := yaml.UnmarshalStrict(text, &pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// quantities are written as they would stand in a file of values; those in quotes are texts.
func quantities() []string {
	return []string{`65536Ki`, `1e3`, `0.5`, `500m`, `1E`, `"1E"`, `+1`, `"+1"`, `.5`, `".5"`, `"5."`, `128974848`,
		`"128974848"`, `129e6`, `"129e6"`, `"1.5e3"`, `"1E3"`, `"1e+3"`, `"1e-3"`, `129M`, `123Mi`, `1.5Gi`, `100u`,
		`"100n"`, `2Pi`, `3Ei`, `1T`, `0`, `"0"`, `1099511627776`, `7k`,
		`""`, `-1`, `"-1"`, `1K`, `1ki`, `1KiB`, `1 Gi`, `" 1"`, `.`, `Ki`, `1.2.3`, `1mi`, `"1e"`, `"1e3Mi"`, `"1Ki1"`, `0x10Mi`,
		`"1,5"`, `much`, `true`}
}

// The API server's own parser says what is a quantity, and a container may ask for no less than nothing. That parser
// also takes quantities without a digit, such as "Ki", for 0: these are slips and are refused.
func TestQuantitiesAreThoseOfKubernetes(t *testing.T) {
	good, bad, want := map[string]any{}, map[string]any{}, map[string]quantity.Quantity{}
	for i, text := range quantities() {
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("example.com/r%d", i)
		q, err := quantity.ParseQuantity(strings.Trim(string(raw), `"`))
		if err != nil || q.Sign() < 0 || !strings.ContainsAny(string(raw), "0123456789") {
			bad[name] = value
			continue
		}
		good[name], want[name] = value, q
	}
	if len(good) < 25 || len(bad) < 15 {
		t.Fatalf("%d good and %d bad quantities", len(good), len(bad))
	}
	for _, program := range []string{"agent", "controller"} {
		for _, kind := range []string{"requests", "limits"} {
			takesQuantities(t, program, kind, want, good, bad)
		}
	}
}

func takesQuantities(t *testing.T, program, kind string, want map[string]quantity.Quantity, good, bad map[string]any) {
	t.Helper()
	file := func(table map[string]any) string {
		text, err := yaml.Marshal(map[string]any{program: map[string]any{"resources": map[string]any{kind: table}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	text, err := renderFile(t, file(good))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	workload := map[string]string{"agent": "DaemonSet", "controller": "Deployment"}[program]
	container := podOf(t, objectNamed(t, text, workload, "kdoctor-"+program)).Containers[0]
	got := container.Resources.Limits
	if kind == "requests" {
		got = container.Resources.Requests
	}
	for name, q := range want {
		if found, ok := got[corev1.ResourceName(name)]; !ok || found.Cmp(q) != 0 {
			t.Errorf("%s %s %v is rendered as %v", program, kind, good[name], found.String())
		}
	}
	text, err = renderFile(t, file(bad))
	if err == nil {
		t.Fatal("bad quantities are taken")
	}
	for name, value := range bad {
		if !strings.Contains(text, strings.ReplaceAll(name, "/", "~1")+"'") {
			t.Errorf("%s %s: %q is not refused", program, kind, value)
		}
	}
}

// People write labels as "true" and as true, and ports as 80 and as "80".
func TestNumbersTextsAndBooleansStandForEachOther(t *testing.T) {
	text, err := renderFile(t, `
agent:
  podLabels: {a: true, b: 1000000, c: 1.5, d: "x"}
  podAnnotations: {sidecar.istio.io/inject: false}
  nodeSelector: {example.com/gpu: true}
  service: {port: "8088", annotations: {example.com/idle: 60}}
  ports: {http: "18080"}
  maxUnavailable: "3"
  image: {tag: 1.5}
  extraEnv: [{name: GOMAXPROCS, value: 2}]
controller:
  apiPort: "10250"
  reports: {size: 1073741824, retention: {maxRounds: "20", maxAge: 0}}
limits: {requestsPerSecond: "20000"}
`)
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	agents := objectNamed(t, text, "DaemonSet", "kdoctor-agent")
	labels, _, err := unstructured.NestedStringMap(agents.Object, "spec", "template", "metadata", "labels")
	if err != nil || labels["a"] != "true" || labels["b"] != "1000000" || labels["c"] != "1.5" || labels["d"] != "x" {
		t.Errorf("labels of the agents' pods are %v, %v", labels, err)
	}
	pod := podOf(t, agents)
	if pod.NodeSelector["example.com/gpu"] != "true" || pod.Containers[0].Image != "kdoctor/agent:1.5" ||
		pod.Containers[0].Ports[0].ContainerPort != 18080 {
		t.Errorf("the agents' pods are %+v", pod)
	}
	for _, want := range []string{"example.com/idle: \"60\"", "port: 8088,", "--api-port=10250", "--max-requests=20000",
		"--report-max-size=1073741824", "--report-max-rounds=20", "--report-max-age=0", "maxUnavailable: 3\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not rendered", want)
		}
	}
}

// objects reads strictly: a key that stands there twice is an error.
func TestNoKeyOfOursStandsTwice(t *testing.T) {
	own := map[string]any{"app.kubernetes.io/name": "mine", "app.kubernetes.io/instance": "mine",
		"app.kubernetes.io/component": "mine", "app.kubernetes.io/part-of": "mine", "app.kubernetes.io/version": "9",
		"app.kubernetes.io/managed-by": "me", "helm.sh/chart": "mine", "sidecar.istio.io/inject": "true",
		"istio.io/dataplane-mode": "ambient", "kuma.io/sidecar-injection": "enabled", "team": "net"}
	annotations := map[string]any{"kubectl.kubernetes.io/default-container": "mine", "checksum/agent-manifests": "mine",
		"linkerd.io/inject": "enabled", "sidecar.istio.io/inject": "true",
		"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": "tmp"}
	program := map[string]any{"podLabels": own, "podAnnotations": annotations}
	for _, key := range []string{"kdoctor.io/metrics", "rbac.authorization.k8s.io/aggregate-to-view"} {
		own[key] = "mine"
	}
	scraped := map[string]any{"enabled": true, "labels": own}
	text, err := yaml.Marshal(map[string]any{"agent": program, "controller": program, "commonLabels": own,
		"metrics": map[string]any{"serviceMonitor": scraped, "prometheusRule": scraped, "dashboard": scraped}})
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := renderFile(t, string(text))
	if err != nil {
		t.Fatalf("%v: %s", err, rendered)
	}
	for _, object := range objects(t, rendered) {
		if data, _, _ := unstructured.NestedStringMap(object.Object, "data"); data["daemonset.yaml"] != "" {
			for name, file := range data {
				if err := yaml.UnmarshalStrict([]byte(file), &map[string]any{}); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		labels, isPod, _ := unstructured.NestedStringMap(object.Object, "spec", "template", "metadata", "labels")
		if !isPod {
			continue
		}
		selector, _, _ := unstructured.NestedStringMap(object.Object, "spec", "selector", "matchLabels")
		for key, value := range selector {
			if labels[key] != value {
				t.Errorf("%s %s selects %s=%s, and its pods have %q", object.GetKind(), object.GetName(), key, value,
					labels[key])
			}
		}
		if labels["sidecar.istio.io/inject"] != "true" || labels["team"] != "net" {
			t.Errorf("%s %s: what the values say is not above the opting out of meshes: %v", object.GetKind(),
				object.GetName(), labels)
		}
	}
}

// What a task's own agents inherit is the DaemonSet among the manifests, so it has to be the one that Helm installs.
func TestTheManifestOfTheAgentsIsTheirDaemonSet(t *testing.T) {
	for name, settings := range variants() {
		text := render(t, "kdoctor", settings...)
		for _, object := range objects(t, text) {
			data, _, _ := unstructured.NestedStringMap(object.Object, "data")
			if data["daemonset.yaml"] == "" {
				continue
			}
			var manifest unstructured.Unstructured
			if err := yaml.UnmarshalStrict([]byte(data["daemonset.yaml"]), &manifest.Object); err != nil {
				t.Fatal(err)
			}
			live := objectNamed(t, text, "DaemonSet", manifest.GetName())
			if want, got := podOf(t, live), podOf(t, manifest); want.String() != got.String() {
				t.Errorf("%s: agents of tasks' own would have %v, the default ones have %v", name, got, want)
			}
			labels, _, _ := unstructured.NestedStringMap(manifest.Object, "spec", "template", "metadata", "labels")
			annotations, _, _ := unstructured.NestedStringMap(manifest.Object, "spec", "template", "metadata",
				"annotations")
			out := labels["sidecar.istio.io/inject"] == "false" && labels["istio.io/dataplane-mode"] == "none" &&
				labels["kuma.io/sidecar-injection"] == "disabled" && annotations["linkerd.io/inject"] == "disabled" &&
				annotations["consul.hashicorp.com/connect-inject"] == "false"
			if out == (name == "everything-off") {
				t.Errorf("%s: are the agents kept out of meshes? labels %v, annotations %v", name, labels, annotations)
			}
		}
	}
}

// A policy that lets the controller reach another port than the agents' own would end every round.
func TestThePolicyLetsTheControllerReachTheAgents(t *testing.T) {
	text := render(t, "kdoctor", "networkPolicy.enabled=true", "agent.ports.control=15710", "hostAgent.enabled=true",
		"hostAgent.ports.control=15781")
	policy := objectNamed(t, text, "NetworkPolicy", "kdoctor-controller")
	rules, _, _ := unstructured.NestedSlice(policy.Object, "spec", "egress")
	var open []int64
	for _, rule := range rules {
		ports, _, _ := unstructured.NestedSlice(rule.(map[string]any), "ports")
		for _, port := range ports {
			number, _ := normal(port.(map[string]any)["port"]).(int64)
			open = append(open, number)
		}
	}
	for _, port := range []int64{15710, 15781} {
		if !slices.Contains(open, port) {
			t.Errorf("the controller may reach ports %v, and %d is not among them", open, port)
		}
	}
}
