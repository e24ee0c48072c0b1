package inventory_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/topology"
)

// slice is an EndpointSlice of the Service agents-ipv4 with the addresses.
func slice(name string, ready *bool, addresses ...string) *discoveryv1.EndpointSlice {
	port := int32(8080)
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4,
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name,
			Labels: map[string]string{discoveryv1.LabelServiceName: "agents-ipv4"}},
		Ports: []discoveryv1.EndpointPort{{Port: &port}}}
	for _, address := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{address},
			Conditions: discoveryv1.EndpointConditions{Ready: ready}})
	}
	return s
}

func TestEndpointSlicesAreComparedWithTheAgents(t *testing.T) {
	yes, no := true, false
	const first, second = "198.19.0.2", "198.19.1.2"
	set := daemonSet(2)
	a, b := pod("a", "n0", set.UID), pod("b", "n1", set.UID, func(p *corev1.Pod) {
		p.Status.PodIPs = []corev1.PodIP{{IP: second}}
	})
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "agents-ipv4"},
		Spec: corev1.ServiceSpec{ClusterIP: "198.18.0.1", ClusterIPs: []string{"198.18.0.1"}}}
	for name, c := range map[string]struct {
		slices []client.Object
		want   topology.Slices
	}{
		"as it ought to be": {[]client.Object{slice("s", &yes, first, second)}, topology.Slices{}},
		"in two slices": {[]client.Object{slice("s", &yes, first), slice("t", nil, second)},
			topology.Slices{}},
		"with an address of nobody's": {[]client.Object{slice("s", nil, first, second, "192.0.2.9")},
			topology.Slices{Strange: []string{"192.0.2.9:8080"}}},
		"with one that is not ready": {[]client.Object{slice("s", &yes, first, second), slice("t", &no,
			"192.0.2.9")}, topology.Slices{}},
		"without an agent":  {[]client.Object{slice("s", &yes, first)}, topology.Slices{Left: []string{"b"}}},
		"without any slice": {nil, topology.Slices{}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := append([]client.Object{set.DeepCopy(), node("n0"), node("n1"), a.DeepCopy(), b.DeepCopy(),
				service.DeepCopy()}, c.slices...)
			got := snapshot(t, topology.Workload{Kind: topology.DaemonSet, Name: "agents",
				Services: []string{"agents-ipv4"}}, objects...)
			if diff := cmp.Diff(c.want, got.Services[0].Slices); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestASnapshotKnowsTheEndpointsThatEarlierOnesHad(t *testing.T) {
	yes := true
	set := daemonSet(1)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "agents-ipv4"},
		Spec: corev1.ServiceSpec{ClusterIP: "198.18.0.1", ClusterIPs: []string{"198.18.0.1"}}}
	old := slice("old", &yes, "192.0.2.9")
	api := reader(t, []client.Object{set, node("n0"), pod("a", "n0", set.UID), service, slice("s", &yes, "198.19.0.2"),
		old})
	all := inventory.New(api, namespace)
	of := topology.Workload{Kind: topology.DaemonSet, Name: "agents", Services: []string{"agents-ipv4"}}
	first, err := all.Snapshot(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	second, err := all.Snapshot(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"192.0.2.9:8080"}
	if diff := cmp.Diff([][]string{nil, want}, [][]string{first.Services[0].Slices.Gone,
		second.Services[0].Slices.Gone}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
