package workload

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/topology"
)

var update = flag.Bool("update", false, "write the golden files anew")

func replicas(n int32) *int32 { return &n }

// everything is an agentSpec with all that there is to set.
func everything(kind string) v1beta1.AgentSpec {
	return v1beta1.AgentSpec{
		Kind: kind, DeploymentReplicas: replicas(2), HostNetwork: true,
		Annotation: map[string]string{"k8s.v1.cni.cncf.io/networks": "net-a"},
		Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "rack", Operator: corev1.NodeSelectorOpIn, Values: []string{"r1"}}}}}}}},
		Env: []corev1.EnvVar{{Name: "GODEBUG", Value: "a=1"}, {Name: "POD_NAME", Value: "somebody"},
			{Name: "GODEBUG", Value: "a=2"}},
		Resources: &corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(
			"1Gi")}},
	}
}

func longTask() string { return strings.Repeat("long-", 12) + "end" }

type buildCase struct {
	name  string
	task  string
	spec  v1beta1.AgentSpec
	ports *Ports
}

func buildCases() []buildCase {
	ports := &Ports{HTTP: 21000, Control: 21001, Health: 21002}
	return []buildCase{
		{"an agentSpec without anything", "t", v1beta1.AgentSpec{}, nil},
		{"a DaemonSet with everything", "t", everything(topology.DaemonSet), ports},
		{"a Deployment with everything", "t", everything(topology.Deployment), ports},
		{"a Deployment without anything is spread over nodes", "t", v1beta1.AgentSpec{Kind: topology.Deployment}, nil},
		{"on the nodes' network", "t", v1beta1.AgentSpec{HostNetwork: true}, ports},
		{"a name with dots", "shop.example.com", v1beta1.AgentSpec{}, nil},
		{"a long name", longTask(), v1beta1.AgentSpec{}, nil},
	}
}

func TestWhatIsBuiltIsTheGoldenOne(t *testing.T) {
	for _, c := range buildCases() {
		t.Run(c.name, func(t *testing.T) {
			wish := wishFor(c.task, "task-uid", c.spec)
			set, err := build(manifests().DaemonSet, wish, c.ports, []metav1.OwnerReference{{APIVersion: "apps/v1",
				Kind: "Deployment", Name: "kdoctor-controller", UID: "controller-uid"}})
			if err != nil {
				t.Fatal(err)
			}
			of := front{names: wish.Names, annotations: wish.Spec.Annotation, owner: metav1.OwnerReference{
				APIVersion: "apps/v1", Kind: wish.Names.Kind, Name: wish.Names.Name, UID: "workload-uid"}}
			var text strings.Builder
			for _, object := range []client.Object{set,
				of.serviceOf(manifests().Service, wish.Names.Services[0], topology.IPv4),
				of.serviceOf(manifests().LoadBalancer, wish.Names.Services[1], topology.IPv6),
				of.ingressOf(manifests().Ingress)} {
				patch, err := patchOf(object)
				if err != nil {
					t.Fatal(err)
				}
				one, err := yaml.Marshal(patch.Object)
				if err != nil {
					t.Fatal(err)
				}
				text.WriteString("---\n" + string(one))
			}
			golden(t, filepath.Join("testdata", strings.ReplaceAll(c.name, " ", "_")+".yaml"), text.String())
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run 'go test ./internal/workload -update' if this is right (-want +got):\n%s", diff)
	}
}

func TestPodsCarryTheInstallationsAnnotationsAndTheTasksAboveThem(t *testing.T) {
	standard := manifests().DaemonSet
	standard.Spec.Template.Annotations = map[string]string{"linkerd.io/inject": "disabled", "a": "z"}
	set, err := build(standard, wishFor("t", "u", v1beta1.AgentSpec{Annotation: map[string]string{"a": "b"}}), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"linkerd.io/inject": "disabled", "a": "b"}
	if diff := cmp.Diff(want, templateIn(set).Annotations); diff != "" {
		t.Errorf("annotations of the pods (-want +got):\n%s", diff)
	}
	want = map[string]string{"a": "b", taskAnnotation: "NetReach/t", taskUIDAnnotation: "u"}
	if diff := cmp.Diff(want, set.GetAnnotations()); diff != "" {
		t.Errorf("annotations of the workload (-want +got):\n%s", diff)
	}
}

// Kubernetes refuses a pod that is on the node's network and has a user namespace of its own.
func TestAgentsOnTheNodesNetworkHaveNoUserNamespaceOfTheirOwn(t *testing.T) {
	own := false
	standard := manifests().DaemonSet
	standard.Spec.Template.Spec.HostUsers = &own
	for _, ports := range []*Ports{nil, {HTTP: 21000, Control: 21001, Health: 21002}} {
		wish := DesiredAgents{Names: topology.Workload{Kind: topology.DaemonSet, Name: "kdoctor-netreach-t"},
			Spec: v1beta1.AgentSpec{HostNetwork: ports != nil}}
		object, err := build(standard, wish, ports, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := object.(*appsv1.DaemonSet).Spec.Template.Spec.HostUsers
		if inherits := got != nil && !*got; inherits != (ports == nil) {
			t.Errorf("with ports %v hostUsers is %v", ports, got)
		}
	}
}

func TestNoSelectorMatchesAgentsOfAnotherTask(t *testing.T) {
	pods := map[string]map[string]string{"the default agents": standardSet().Spec.Template.Labels}
	selectors := map[string]map[string]string{"the default agents": standardLabels()}
	for _, task := range []string{"a", "b", "agent"} {
		wish := wishFor(task, "u", v1beta1.AgentSpec{})
		set, err := build(manifests().DaemonSet, wish, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		pods[task] = templateIn(set).Labels
		selectors[task] = front{names: wish.Names}.serviceOf(manifests().Service, wish.Names.Services[0],
			topology.IPv4).Spec.Selector
	}
	for whose, selector := range selectors {
		for pod, labels := range pods {
			if got := klabels.SelectorFromSet(selector).Matches(klabels.Set(labels)); got != (whose == pod) {
				t.Errorf("the Service of %s selects the pods of %s: %t", whose, pod, got)
			}
		}
	}
}

func TestADaemonSetThatIsNoAgentsIsNotCopied(t *testing.T) {
	set := standardSet()
	set.Spec.Template.Spec.Containers[0].Ports = nil
	if _, err := build(set, wishFor("t", "u", v1beta1.AgentSpec{}), nil, nil); err == nil {
		t.Error("a template without the agents' ports was taken")
	}
}

func TestNames(t *testing.T) {
	cases := []struct {
		name, task, want string
	}{
		{"a short name stays as it is", "web", "kdoctor-netreach-web"},
		{"the longest name that a Service can have stays as it is", strings.Repeat("x", 41), "kdoctor-netreach-" +
			strings.Repeat("x", 41)},
		{"one character more is cut and hashed", strings.Repeat("x", 42), "kdoctor-netreach-" +
			strings.Repeat("x", 32) + "-8645a4e5"},
		{"dots become hyphens, with a hash", "a.b", "kdoctor-netreach-a-b-f9d1ff0b"},
		{"a name that looks like the one with dots is another", "a-b", "kdoctor-netreach-a-b"},
		{"a cut leaves no two hyphens in a row", strings.Repeat("x", 31) + "-" + strings.Repeat("y", 30),
			"kdoctor-netreach-" + strings.Repeat("x", 31) + "-e17b3f13"},
		{"the longest name that there can be", strings.Repeat("x.", 126) + "x", "kdoctor-netreach-" +
			strings.Repeat("x-", 15) + "x-580ddc02"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			names := Names("NetReach", c.task, "", standard(), true)
			want := topology.Workload{Kind: topology.DaemonSet, Name: c.want,
				Services: []string{c.want + "-ipv4", c.want + "-ipv6"}, Ingress: c.want + "-ipv4"}
			if diff := cmp.Diff(want, names); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			for _, name := range append(slices.Clone(names.Services), names.Name) {
				if wrong := validation.IsDNS1035Label(name); len(wrong) > 0 {
					t.Errorf("%s is no name of a Service: %v", name, wrong)
				}
			}
			if wrong := validation.IsValidLabelValue(names.Name); len(wrong) > 0 {
				t.Errorf("%s is no label: %v", names.Name, wrong)
			}
		})
	}
	only := standard()
	only.Services = []string{"kdoctor-agent-ipv6"}
	if names := Names("NetReach", "t", "", only, true); names.Ingress != "kdoctor-netreach-t-ipv6" ||
		len(names.Services) != 1 {
		t.Errorf("without IPv4: %+v, want one Service and an Ingress of its name", names)
	}
	for name, names := range map[string]topology.Workload{"not asked for": Names("NetReach", "t", "", standard(),
		false),
		"none to copy": Names("NetReach", "t", "", topology.Workload{Services: standard().Services}, true)} {
		if names.Ingress != "" {
			t.Errorf("an Ingress that is %s is named %s", name, names.Ingress)
		}
	}
}

func TestHostPorts(t *testing.T) {
	small := Range{First: 21000, Last: 21006}
	all := func(from, to int32) map[int32]bool {
		taken := map[int32]bool{}
		for port := from; port <= to; port++ {
			taken[port] = true
		}
		return taken
	}
	cases := []struct {
		name  string
		taken map[int32]bool
		want  Ports
		fails bool
	}{
		{"the only three ports that are free are taken", all(21000, 21002),
			Ports{HTTP: 21003, Control: 21004, Health: 21005}, false},
		{"one port that is taken rules its neighbours out", map[int32]bool{21004: true},
			Ports{HTTP: 21000, Control: 21001, Health: 21002}, false},
		{"without three free ports there are none", map[int32]bool{21000: true, 21005: true}, Ports{}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []string{"a", "b", "c"} {
				got, err := small.pick(name, c.taken)
				if (err != nil) != c.fails || got != c.want {
					t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
				}
			}
		})
	}
	wide := Range{First: 21000, Last: 21999}
	first, _ := wide.pick("kdoctor-netreach-a", nil)
	again, _ := wide.pick("kdoctor-netreach-a", nil)
	other, _ := wide.pick("kdoctor-netreach-b", nil)
	if first != again || first == other || !wide.holds(first, nil) ||
		wide.holds(first, map[int32]bool{first.Health: true}) ||
		wide.holds(Ports{HTTP: 8080, Control: 5710, Health: 5711}, nil) {
		t.Errorf("the ports of a workload are %v, then %v; those of another %v", first, again, other)
	}
}

func TestRanges(t *testing.T) {
	for text, want := range map[string]Range{"21000-21999": {21000, 21999}, "1024-1026": {1024, 1026}} {
		if got, err := ParseRange(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "21000", "21000-", "-21000", "a-b", "80-21000", "21000-21001", "21999-21000",
		"65000-65536", "4294988296-4294989295"} {
		if got, err := ParseRange(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}
