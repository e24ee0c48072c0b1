package cloud

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func testService(change func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec: corev1.ServiceSpec{
			Type:       corev1.ServiceTypeLoadBalancer,
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
			Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 30080},
				{Protocol: corev1.ProtocolTCP, Port: 443, NodePort: 30443}},
		},
	}
	if change != nil {
		change(svc)
	}
	return svc
}

func testNode(name string, addresses ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, a := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return n
}

func TestPlanRefusesWhatItCannotForward(t *testing.T) {
	tests := []struct {
		name   string
		change func(*corev1.Service)
	}{
		{"a UDP port", func(s *corev1.Service) { s.Spec.Ports[1].Protocol = corev1.ProtocolUDP }},
		{"a port without a node port", func(s *corev1.Service) { s.Spec.Ports[0].NodePort = 0 }},
		{"a port beyond the last one", func(s *corev1.Service) { s.Spec.Ports[0].Port = 65536 }},
		{"a negative node port", func(s *corev1.Service) { s.Spec.Ports[0].NodePort = -1 }},
		{"an address asked for that is none", func(s *corev1.Service) { s.Spec.LoadBalancerIP = "nowhere" }},
		{"an address asked for of a family that the Service lacks", func(s *corev1.Service) {
			s.Spec.IPFamilies, s.Spec.LoadBalancerIP = s.Spec.IPFamilies[:1], "fd98:18:1::1"
		}},
		{"a source range that is none",
			func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = []string{"everybody"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if p, err := planOf(testService(tt.change)); err == nil {
				t.Errorf("got %+v, want an error", p)
			}
		})
	}
}

func TestStatusKeepsKubeProxyOutOfThePath(t *testing.T) {
	mode := corev1.LoadBalancerIPModeProxy
	addrs := []netip.Addr{netip.MustParseAddr("198.18.1.1"), netip.MustParseAddr("fd98:18:1::1")}
	want := &corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "198.18.1.1", IPMode: &mode},
		{IP: "fd98:18:1::1", IPMode: &mode}}}
	got := statusOf(addrs)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if back := addressesIn(*got); len(back) != 2 || back[0] != addrs[0] || back[1] != addrs[1] {
		t.Errorf("read back %v", back)
	}
}

func TestRenderGolden(t *testing.T) {
	nodes := []*corev1.Node{testNode("n1", "198.18.0.11", "fd98:18::11"), testNode("n0", "198.18.0.10", "fd98:18::10"),
		testNode("n2", "198.18.0.12")}
	local := testService(func(s *corev1.Service) {
		s.Name, s.Spec.Ports = "local", s.Spec.Ports[:1]
		s.Spec.ExternalTrafficPolicy, s.Spec.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyLocal, 31000
		s.Spec.LoadBalancerSourceRanges = []string{"198.19.0.0/16", " 198.18.0.0/24"}
	})
	tests := []struct {
		name     string
		golden   string
		services []*corev1.Service
		nodes    []*corev1.Node
	}{
		{"nothing to forward is still a whole configuration", "empty.cfg", nil, nodes},
		{"a dual-stack Service has a listener per port and family with the nodes of that family", "dual.cfg",
			[]*corev1.Service{testService(nil)}, nodes},
		{"policy Local asks the health port, source ranges are kept, order is stable", "local.cfg",
			[]*corev1.Service{testService(nil), local}, nodes[:1]},
		{"a Service without nodes refuses connections", "nodeless.cfg", []*corev1.Service{testService(nil)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var frontends []frontend
			for i, svc := range tt.services {
				p, err := planOf(svc)
				if err != nil {
					t.Fatal(err)
				}
				pair := []netip.Addr{netip.AddrFrom4([4]byte{198, 18, 1, byte(i + 1)}),
					netip.MustParseAddr("fd98:18:1::1")}
				for range i {
					pair[1] = pair[1].Next()
				}
				for _, addr := range pair {
					frontends = append(frontends, frontendOf(p, addr, tt.nodes))
				}
			}
			got := render("/state", frontends)
			golden := filepath.Join("testdata", tt.golden)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			if again := render("/state", reversed(frontends)); again != got {
				t.Error("the order of frontends changes the configuration")
			}
		})
	}
}

func reversed(in []frontend) []frontend {
	out := make([]frontend, 0, len(in))
	for i := range in {
		out = append(out, in[len(in)-1-i])
	}
	return out
}
