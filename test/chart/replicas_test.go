package chart

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// standing is how the controller runs.
type standing struct {
	Replicas int64
	Strategy string
	Budget   bool
	Apart    string
	// Required reports that two controllers never run on one node.
	Required  bool
	Tolerates int64
}

func standingOf(t *testing.T, settings ...string) standing {
	t.Helper()
	var found standing
	for _, object := range objects(t, render(t, "kdoctor", settings...)) {
		switch object.GetKind() {
		case "PodDisruptionBudget":
			found.Budget = true
		case "Deployment":
			replicas, _, _ := unstructured.NestedFieldNoCopy(object.Object, "spec", "replicas")
			found.Replicas, _ = normal(replicas).(int64)
			found.Strategy, _, _ = unstructured.NestedString(object.Object, "spec", "strategy", "type")
			pod := []string{"spec", "template", "spec"}
			terms, _, _ := unstructured.NestedSlice(object.Object, append(pod, "affinity", "podAntiAffinity",
				"preferredDuringSchedulingIgnoredDuringExecution")...)
			for _, term := range terms {
				found.Apart, _, _ = unstructured.NestedString(term.(map[string]any), "podAffinityTerm", "topologyKey")
			}
			required, _, _ := unstructured.NestedSlice(object.Object, append(pod, "affinity", "podAntiAffinity",
				"requiredDuringSchedulingIgnoredDuringExecution")...)
			for _, term := range required {
				found.Apart, _, _ = unstructured.NestedString(term.(map[string]any), "topologyKey")
				found.Required = true
			}
			tolerations, _, _ := unstructured.NestedSlice(object.Object, append(pod, "tolerations")...)
			for _, toleration := range tolerations {
				if one := toleration.(map[string]any); one["key"] == "node.kubernetes.io/unreachable" {
					found.Tolerates, _ = normal(one["tolerationSeconds"]).(int64)
				}
			}
		}
	}
	return found
}

func TestHowManyControllersRun(t *testing.T) {
	const hostname = "kubernetes.io/hostname"
	two := standing{Replicas: 2, Strategy: "RollingUpdate", Budget: true, Apart: hostname, Tolerates: 30}
	one := standing{Replicas: 1, Strategy: "Recreate", Apart: hostname, Tolerates: 30}
	with := func(s standing, change func(*standing)) standing {
		change(&s)
		return s
	}
	const claim, shared = "controller.reports.persistence.enabled=true",
		"controller.reports.persistence.accessModes[0]=ReadWriteMany"
	for _, test := range []struct {
		name     string
		settings []string
		want     standing
	}{
		{"folders of the pods' own", nil, two},
		{"an object store", []string{"controller.reports.url=s3://bucket"}, two},
		{"a volume of one node", []string{claim}, one},
		{"a volume of one node, said to be for one", []string{claim, "controller.replicas=1"}, one},
		{"a shared volume", []string{claim, shared}, two},
		{"three are asked for", []string{"controller.replicas=3"}, with(two, func(s *standing) { s.Replicas = 3 })},
		{"one is asked for: no budget holds a drain back", []string{"controller.replicas=1"},
			with(two, func(s *standing) { s.Replicas, s.Budget = 1, false })},
		{"no budget", []string{"controller.podDisruptionBudget.enabled=false"},
			with(two, func(s *standing) { s.Budget = false })},
		{"an affinity of the user's", []string{"controller.affinity.nodeAffinity.a=b"},
			with(two, func(s *standing) { s.Apart = "" })},
		{"the nodes' own network, where two would have the same ports", []string{"controller.hostNetwork=true"},
			with(two, func(s *standing) { s.Required = true })},
		{"the nodes' own network, and an affinity of the user's",
			[]string{"controller.hostNetwork=true", "controller.affinity.nodeAffinity.a=b"},
			with(two, func(s *standing) { s.Apart = "" })},
		{"Kubernetes' own time on a dead node", []string{"controller.tolerationSeconds=null"},
			with(two, func(s *standing) { s.Tolerates = 0 })},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, standingOf(t, test.settings...)); diff != "" {
				t.Errorf("the controller (-want +got):\n%s", diff)
			}
		})
	}
}

// The Service selects what the controller that leads gives to its own pod, and no pod has from the chart.
func TestTheServiceLeadsToTheLeaderAlone(t *testing.T) {
	const label = "kdoctor.io/leader"
	services := 0
	for _, object := range objects(t, render(t, "kdoctor")) {
		if object.GetKind() == "Service" && object.GetName() == "kdoctor-controller" {
			services++
			if got, _, _ := unstructured.NestedString(object.Object, "spec", "selector", label); got != "true" {
				t.Errorf("the Service selects the label %s with %q", label, got)
			}
		}
		labels, _, _ := unstructured.NestedStringMap(object.Object, "spec", "template", "metadata", "labels")
		if _, set := labels[label]; set {
			t.Errorf("pods of %s %s have the label from the beginning", object.GetKind(), object.GetName())
		}
	}
	if services != 1 {
		t.Errorf("%d Services of the aggregated API", services)
	}
}

func TestThePolicyNeedsAnAPIServerThatHasIt(t *testing.T) {
	count := func(args ...string) (n int) {
		t.Helper()
		text, err := helm(t, append([]string{"template", "kdoctor", folder, "--namespace", "kdoctor"}, args...)...)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, object := range objects(t, text) {
			if object.GetKind() == "ValidatingAdmissionPolicy" {
				n++
			}
		}
		return n
	}
	for name, test := range map[string]struct {
		args []string
		want int
	}{
		"Kubernetes 1.30":                 {[]string{"--kube-version", "1.30.0"}, 4},
		"a vendor's version":              {[]string{"--kube-version", "1.31.4-gke.100"}, 4},
		"Kubernetes 1.29 has only a beta": {[]string{"--kube-version", "1.29.0"}, 0},
		"switched off": {[]string{"--kube-version", "1.37.0", "--set", "controller.admissionPolicy.enabled=false"},
			0},
	} {
		if got := count(test.args...); got != test.want {
			t.Errorf("%s: %d policies, want %d", name, got, test.want)
		}
	}
}
