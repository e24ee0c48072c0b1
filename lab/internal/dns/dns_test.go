package dns

import (
	"bytes"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"kdoctor.io/kdoctor/lab/internal/plan"
)

func TestServiceHasTheLabsFamilies(t *testing.T) {
	for families, want := range map[string]int{plan.DualStack: 2, plan.IPv4Only: 1, plan.IPv6Only: 1} {
		s := plan.Settings{Name: "x", Nodes: 1, Families: families}
		manifest, err := Manifest(s, "docker.io/x/y:1")
		if err != nil {
			t.Fatal(err)
		}
		parts := bytes.Split(manifest, []byte("\n---\n"))
		var svc corev1.Service
		if err := yaml.UnmarshalStrict(parts[len(parts)-1], &svc); err != nil {
			t.Fatal(err)
		}
		if len(svc.Spec.ClusterIPs) != want || len(svc.Spec.IPFamilies) != want ||
			svc.Spec.ClusterIP != s.DNS()[0].String() {
			t.Errorf("%s: addresses %v, families %v", families, svc.Spec.ClusterIPs, svc.Spec.IPFamilies)
		}
	}
}
