package chart

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"kdoctor.io/kdoctor/internal/workload"
)

const helmEnv = "KDOCTOR_TEST_HELM"

// helm runs helm and returns what it printed, and its error with what it complained about.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program := os.Getenv(helmEnv)
	if program == "" {
		t.Fatalf("these tests need helm: set %s to its path, or run 'make test-chart', which builds it", helmEnv)
	}
	command := exec.CommandContext(t.Context(), program, args...)
	home := t.TempDir()
	command.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var out, complaint bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaint
	if err := command.Run(); err != nil {
		return complaint.String(), err
	}
	return out.String(), nil
}

func render(t *testing.T, release string, settings ...string) string {
	t.Helper()
	args := []string{"template", release, folder, "--namespace", "kdoctor", "--kube-version", "1.37.0"}
	for _, setting := range settings {
		args = append(args, "--set", setting)
	}
	text, err := helm(t, args...)
	if err != nil {
		t.Fatalf("helm template: %v\n%s", err, text)
	}
	return text
}

func objects(t *testing.T, text string) []unstructured.Unstructured {
	t.Helper()
	var all []unstructured.Unstructured
	for _, part := range strings.Split("\n"+text, "\n---\n") {
		var object unstructured.Unstructured
		if err := yaml.UnmarshalStrict([]byte(part), &object.Object); err != nil {
			t.Fatalf("%v in:\n%s", err, part)
		}
		if len(object.Object) > 0 {
			all = append(all, object)
		}
	}
	return all
}

func TestTheKindsOfTasksAreRenderedToTheLetterAndKept(t *testing.T) {
	const policy = "    helm.sh/resource-policy: keep\n"
	want := string(read(t, filepath.Join(folder, "files", "crds", "kdoctor.io_netreaches.yaml")))
	want = strings.TrimPrefix(want, "---\n")
	if text := render(t, "kdoctor", "crds.keep=false"); !strings.Contains(text, want) || strings.Contains(text, policy) {
		t.Error("the chart does not hold the generated CRD as it is")
	}
	if text := render(t, "kdoctor"); !strings.Contains(text,
		"kind: CustomResourceDefinition\nmetadata:\n  annotations:\n"+policy) {
		t.Error("the CRD is not kept by default")
	}
	if text := render(t, "kdoctor", "crds.install=false"); strings.Contains(text, "kind: CustomResourceDefinition") {
		t.Error("crds.install=false installs the CRD all the same")
	}
}

func TestLintIsSatisfied(t *testing.T) {
	if text, err := helm(t, "lint", "--strict", folder); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestRenderedChartIsTheGoldenOne(t *testing.T) {
	for name, settings := range variants() {
		t.Run(name, func(t *testing.T) {
			// The CRD has tests of its own and would be most of the file.
			got, path := render(t, "kdoctor", append(settings, "crds.install=false")...),
				filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(read(t, path)), got); diff != "" {
				t.Errorf("run 'go test ./test/chart -update' if this is right (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryPodIsRestricted(t *testing.T) {
	pods := 0
	for _, object := range objects(t, render(t, "kdoctor")) {
		spec, found, _ := unstructured.NestedMap(object.Object, "spec", "template", "spec")
		if !found {
			continue
		}
		pods++
		container := spec["containers"].([]any)[0].(map[string]any)
		for path, want := range map[string]any{
			"runAsNonRoot": true, "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
			"runAsUser":      int64(65532),
			"capabilities":   map[string]any{"drop": []any{"ALL"}},
			"seccompProfile": map[string]any{"type": "RuntimeDefault"},
		} {
			got, _, _ := unstructured.NestedFieldNoCopy(container, "securityContext", path)
			if diff := cmp.Diff(want, normal(got)); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", object.GetName(), path, diff)
			}
		}
		for _, field := range []string{"hostNetwork", "hostPID", "hostIPC"} {
			if _, set := spec[field]; set {
				t.Errorf("%s sets %s", object.GetName(), field)
			}
		}
		if object.GetKind() == "DaemonSet" && spec["automountServiceAccountToken"] != false {
			t.Error("the agents carry a token")
		}
	}
	if pods != 2 {
		t.Errorf("%d workloads, want 2", pods)
	}
}

// normal makes the numbers of YAML those of Kubernetes.
func normal(v any) any {
	if number, ok := v.(float64); ok {
		return int64(number)
	}
	return v
}

func TestNoRightIsWiderThanItsUse(t *testing.T) {
	for _, object := range objects(t, render(t, "kdoctor")) {
		if object.GetKind() == "APIService" {
			spec, _, _ := unstructured.NestedMap(object.Object, "spec")
			for _, field := range []string{"caBundle", "insecureSkipTLSVerify"} {
				if _, set := spec[field]; set {
					t.Errorf("the APIService sets %s", field)
				}
			}
		}
		rules, _, _ := unstructured.NestedSlice(object.Object, "rules")
		for _, rule := range rules {
			if object.GetKind() == "Role" || object.GetKind() == "ClusterRole" {
				checkRule(t, object.GetName(), rule.(map[string]any))
			}
		}
	}
}

func checkRule(t *testing.T, role string, rule map[string]any) {
	t.Helper()
	list := func(field string) []string {
		all, _, _ := unstructured.NestedStringSlice(rule, field)
		return all
	}
	fields := []string{"apiGroups", "resources", "verbs"}
	if urls := list("nonResourceURLs"); len(urls) > 0 {
		if !slices.Equal(urls, []string{"/metrics"}) || !slices.Equal(list("verbs"), []string{"get"}) {
			t.Errorf("%s may %v the paths %v", role, list("verbs"), urls)
		}
		fields = []string{"verbs"}
	}
	for _, field := range fields {
		if slices.Contains(list(field), "*") || len(list(field)) == 0 {
			t.Errorf("%s: %s is %v", role, field, list(field))
		}
	}
	if slices.Contains(list("resources"), "secrets") && len(list("resourceNames")) == 0 &&
		!slices.Equal(list("verbs"), []string{"create"}) {
		t.Errorf("%s may %v every secret", role, list("verbs"))
	}
	for _, verb := range []string{"escalate", "bind", "impersonate", "deletecollection"} {
		if slices.Contains(list("verbs"), verb) {
			t.Errorf("%s may %s", role, verb)
		}
	}
}

func TestEveryNameFollowsTheRelease(t *testing.T) {
	names := map[string]bool{}
	for _, object := range objects(t, render(t, "other")) {
		names[object.GetKind()+" "+object.GetName()] = true
		if fixed := slices.Contains([]string{"APIService", "CustomResourceDefinition", "Lease"},
			object.GetKind()); !fixed && !strings.HasPrefix(object.GetName(), "other-kdoctor-") {
			t.Errorf("%s %s does not start with other-kdoctor-", object.GetKind(), object.GetName())
		}
	}
	for _, want := range []string{"DaemonSet other-kdoctor-agent", "ConfigMap other-kdoctor-agent-manifests",
		"Service other-kdoctor-controller"} {
		if !names[want] {
			t.Errorf("%s is missing", want)
		}
	}
	if long := render(t, strings.Repeat("a", 53)); len(long) == 0 {
		t.Error("nothing was rendered")
	} else {
		for _, object := range objects(t, long) {
			if object.GetKind() == "Service" && len(object.GetName()) > 63 {
				t.Errorf("Service %s has a name of %d characters", object.GetName(), len(object.GetName()))
			}
		}
	}
}

func TestBadValuesAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ setting, says string }{
		"a value that there is none of": {"agent.qps=3", "'qps' not allowed"},
		"an unknown type of Service": {"agent.service.type=ExternalName",
			"value must be one of 'ClusterIP', 'NodePort', 'LoadBalancer'"},
		"a family that may be": {"feature.enableIPv4=maybe", "value must be one of 'auto'"},
		"no family": {"feature.enableIPv4=false,feature.enableIPv6=false",
			"set at least one of them to true"},
		"a load balancer as a Service's type": {"agent.service.type=LoadBalancer",
			"use NodePort or ClusterIP, and agent.loadBalancer.mode: Always"},
		"a source range without a length": {"agent.loadBalancer.sourceRanges[0]=192.0.2.1",
			"/agent/loadBalancer/sourceRanges/0"},
		"an unknown time for load balancers": {"agent.loadBalancer.mode=Sometimes",
			"value must be one of 'OnDemand', 'Always', 'Never'"},
		"an unknown use of the condition of nodes": {"nodeCondition.mode=Off",
			"value must be one of 'Never', 'Set', 'Clear'"},
		"a claim without persistence": {"controller.reports.persistence.existingClaim=x",
			"set enabled to true, or leave existingClaim empty"},
		"an update that never goes on":  {"agent.maxUnavailable=0", "minimum: got 0, want 1"},
		"a size that is none":           {"controller.reports.size=big", "/controller/reports/size"},
		"reports in a store of no kind": {"controller.reports.url=gs://bucket", "/controller/reports/url"},
		"reports with their credentials": {"controller.reports.url=s3://key:secret@bucket",
			"/controller/reports/url"},
		"a Secret for no object store": {"controller.reports.existingSecret=minio",
			"set url, or leave existingSecret empty"},
		"reports in two places": {"controller.reports.url=s3://bucket,controller.reports.persistence.enabled=true",
			"reports are kept in one place"},
		"an age that is none": {"controller.reports.retention.maxAge=30d",
			"/controller/reports/retention/maxAge"},
		"no controller": {"controller.replicas=0", "/controller/replicas"},
		"two controllers for a volume of one node": {"controller.replicas=2,controller.reports.persistence.enabled=true",
			"reports lie on a volume that one node at a time can use"},
		"a port that is none": {"networkPolicy.apiServerPorts[0]=70000",
			"/networkPolicy/apiServerPorts/0"},
		"a limit below nothing":              {"limits.requestsPerSecond=-1", "/limits/requestsPerSecond"},
		"an unknown answer to too much load": {"limits.onExcess=Ignore", "value must be one of 'Reduce', 'Refuse'"},
		"a tag with a space":                 {"agent.image.tag=a b", "/agent/image/tag"},
		"a range of ports that is none":      {"agent.hostPorts=21000", "/agent/hostPorts"},
		"the same port for two uses":         {"agent.ports.health=8080", "agent.ports has the same port twice"},
		"the same port of the agents on the nodes": {"hostAgent.enabled=true,hostAgent.ports.health=5780",
			"hostAgent.ports has the same port twice; set http, control and health to ports that differ"},
		"a port on the nodes that is none":      {"hostAgent.ports.http=70000", "/hostAgent/ports/http"},
		"a DNS Service without a namespace":     {"diagnosis.dnsService=kube-dns", "/diagnosis/dnsService"},
		"the same port of the controller":       {"controller.apiPort=5722", "name the same port twice"},
		"a volume under a name of ours":         {"agent.extraVolumes[0].name=tls", "/agent/extraVolumes/0/name"},
		"a variable of ours":                    {"agent.extraEnv[0].name=POD_UID", "/agent/extraEnv/0/name"},
		"a digest that is none":                 {"agent.image.digest=sha256:1", "/agent/image/digest"},
		"a name that is too long":               {"fullnameOverride=" + strings.Repeat("a", 52), "/fullnameOverride"},
		"an unknown level of the log":           {"agent.logLevel=loud", "value must be one of 'debug'"},
		"a toleration with a slip":              {"agent.tolerations[0].operater=Exists", "'operater' not allowed"},
		"a host that is an address with a port": {"ingress.host=198.18.0.1:80", "/ingress/host"},
		"a host with a star in the middle":      {"ingress.host=a.*.example", "/ingress/host"},
		"a Secret that is a path":               {"ingress.tls.secretName=k/agents-tls", "/ingress/tls/secretName"},
		"a PodMonitor without a token":          {"metrics.podMonitor.enabled=true", "metrics.podMonitor needs"},
		"an interval without a unit": {"metrics.serviceMonitor.interval=30",
			"/metrics/serviceMonitor/interval"},
		"a pull secret that is only a name": {"imagePullSecrets[0]=mine", "/imagePullSecrets/0"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := helm(t, "template", "kdoctor", folder, "--kube-version", "1.37.0", "--set", tc.setting)
			if err == nil || !strings.Contains(text, tc.says) {
				t.Errorf("%v, and it does not say %q:\n%s", err, tc.says, text)
			}
		})
	}
}

// Nothing that others can reach, and nothing that costs money, is there before somebody asks for it.
func TestAnInstallationWithDefaultsPublishesNothing(t *testing.T) {
	for _, object := range objects(t, render(t, "kdoctor")) {
		kind, _, _ := unstructured.NestedString(object.Object, "spec", "type")
		if object.GetKind() == "Ingress" || object.GetKind() == "Service" && kind != "" && kind != "ClusterIP" {
			t.Errorf("%s %s of type %q is public", object.GetKind(), object.GetName(), kind)
		}
		if object.GetKind() == "Lease" {
			t.Error("the chart has a Lease, which GitOps tools do not apply")
		}
	}
}

// What is rendered without a cluster is what a cluster of any families takes.
func TestNothingRenderedNamesAFamily(t *testing.T) {
	for _, object := range objects(t, render(t, "kdoctor")) {
		if families, set, _ := unstructured.NestedSlice(object.Object, "spec", "ipFamilies"); set {
			t.Errorf("%s %s asks for %v", object.GetKind(), object.GetName(), families)
		}
	}
}

// The manifests are what the controller reads.
func TestTheManifestsAreReadByTheController(t *testing.T) {
	for name, settings := range variants() {
		for _, object := range objects(t, render(t, "kdoctor", settings...)) {
			if object.GetName() != "kdoctor-agent-manifests" {
				continue
			}
			data, _, _ := unstructured.NestedStringMap(object.Object, "data")
			folder := fstest.MapFS{}
			for file, text := range data {
				folder[file] = &fstest.MapFile{Data: []byte(text)}
			}
			m, err := workload.ReadManifests(folder)
			if err != nil || m.DaemonSet.Name != "kdoctor-agent" || m.Service.Name != "kdoctor-agent" ||
				m.DaemonSet.Spec.Template.Spec.NodeSelector["kubernetes.io/os"] != "linux" {
				t.Errorf("%s: %+v, %v", name, m, err)
			}
			lean := name == "ipv4-lean"
			if lean != (m.LoadBalancer == nil) || lean != (m.Ingress == nil) {
				t.Errorf("%s: a load balancer: %t, an Ingress: %t", name, m.LoadBalancer != nil, m.Ingress != nil)
			}
		}
	}
}
