package inventory_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// serviceOf is how a Service is seen that the change is made to, beside the agents a and b, of which b alone has the
// label version.
func serviceOf(t *testing.T, change func(*corev1.Service)) topology.Service {
	t.Helper()
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "s"},
		Spec: corev1.ServiceSpec{ClusterIPs: []string{"10.0.0.1"}, Selector: labels(),
			Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}
	change(s)
	b := pod("b", "n2", "workload", func(p *corev1.Pod) { p.Labels["version"] = "2" })
	objects := []client.Object{daemonSet(2), node("n1"), node("n2"), pod("a", "n1", "workload"), b, s}
	return snapshot(t, topology.Workload{Kind: topology.DaemonSet, Name: "agents", Services: []string{"s"}},
		objects...).Services[0]
}

func TestWhoAnswersForAService(t *testing.T) {
	distribution := func(value string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Spec.TrafficDistribution = &value }
	}
	annotation := func(key, value string) func(*corev1.Service) {
		return func(s *corev1.Service) { s.Annotations = map[string]string{key: value} }
	}
	const mode, hints = "service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"
	for name, c := range map[string]struct {
		change func(*corev1.Service)
		want   topology.Service
	}{
		"all alike where nothing says otherwise": {func(*corev1.Service) {}, topology.Service{}},
		"near ones by the first name": {distribution("PreferClose"),
			topology.Service{Uneven: "trafficDistribution is PreferClose"}},
		"near ones by zone": {distribution("PreferSameZone"),
			topology.Service{Uneven: "trafficDistribution is PreferSameZone"}},
		"near ones by node": {distribution("PreferSameNode"),
			topology.Service{Uneven: "trafficDistribution is PreferSameNode"}},
		"an empty distribution says nothing": {distribution(""), topology.Service{}},
		"the topology mode": {annotation(mode, "Auto"),
			topology.Service{Uneven: "annotation " + mode + " is Auto"}},
		"the topology mode in small letters": {annotation(mode, "auto"),
			topology.Service{Uneven: "annotation " + mode + " is auto"}},
		"a topology mode that is off": {annotation(mode, "Disabled"), topology.Service{}},
		"hints, the older name": {annotation(hints, "auto"),
			topology.Service{Uneven: "annotation " + hints + " is auto"}},
		"each client's own": {func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP },
			topology.Service{Uneven: "sessionAffinity is ClientIP"}},
		"no affinity": {func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityNone },
			topology.Service{}},
		"both": {func(s *corev1.Service) {
			distribution("PreferClose")(s)
			s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		}, topology.Service{Uneven: "sessionAffinity is ClientIP and trafficDistribution is PreferClose"}},
		"those that are not ready too": {func(
			s *corev1.Service) {
			s.Spec.PublishNotReadyAddresses = true
		}, topology.Service{NotReadyToo: true}},
		"not those that the selector leaves out": {func(s *corev1.Service) { s.Spec.Selector["version"] = "2" },
			topology.Service{Unselected: []string{"a"}}},
		"nobody knows whom, where there is no selector": {func(s *corev1.Service) { s.Spec.Selector = nil },
			topology.Service{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := serviceOf(t, c.change)
			if diff := cmp.Diff(c.want,
				topology.Service{Uneven: got.Uneven, NotReadyToo: got.NotReadyToo,
					Unselected: got.Unselected}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatALoadBalancerPublished(t *testing.T) {
	vip, proxy := corev1.LoadBalancerIPModeVIP, corev1.LoadBalancerIPModeProxy
	address := netip.MustParseAddr("192.0.2.1")
	for name, c := range map[string]struct {
		in   corev1.LoadBalancerIngress
		want []topology.Entry
	}{
		"an address whose mode is not told": {corev1.LoadBalancerIngress{IP: "192.0.2.1"},
			[]topology.Entry{{Address: address}}},
		"an address that nodes answer for": {corev1.LoadBalancerIngress{IP: "192.0.2.1",
			IPMode: &vip}, []topology.Entry{{Address: address}}},
		"an address that is left to the balancer": {corev1.LoadBalancerIngress{IP: "192.0.2.1",
			IPMode: &proxy}, []topology.Entry{{Address: address, Proxy: true}}},
		"an address and a name": {corev1.LoadBalancerIngress{IP: "192.0.2.1",
			Hostname: "lb.example"}, []topology.Entry{{Address: address}, {Hostname: "lb.example"}}},
		"an address of no use is for the targets to tell of": {corev1.LoadBalancerIngress{IP: "::ffff:192.0.2.1"},
			[]topology.Entry{{Address: netip.MustParseAddr("::ffff:192.0.2.1")}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := serviceOf(t, func(
				s *corev1.Service) {
				s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{c.in}
			}).Ingress
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
