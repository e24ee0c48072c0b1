package inventory_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/inventory"
	"kdoctor.io/kdoctor/internal/topology"
)

// dns is an EndpointSlice of the cluster's DNS with three servers: one is ready, one is not, and one is being deleted.
func dns() *discoveryv1.EndpointSlice {
	udp, tcp, port, no, yes, node := corev1.ProtocolUDP, corev1.ProtocolTCP, int32(53), false, true, "n0"
	return &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4,
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "dns-1",
			Labels: map[string]string{discoveryv1.LabelServiceName: "kube-dns"}},
		Ports: []discoveryv1.EndpointPort{{Port: &port, Protocol: &tcp}, {Port: &port, Protocol: &udp}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"198.19.0.9"}, NodeName: &node,
				TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: "coredns-1"}},
			{Addresses: []string{"198.19.1.9"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}},
			{Addresses: []string{"198.19.2.9"}, Conditions: discoveryv1.EndpointConditions{Ready: &no, Terminating: &yes}},
		}}
}

func TestASnapshotHasWhatTheLadderNeeds(t *testing.T) {
	set, hosts := daemonSet(2), daemonSet(2)
	hosts.Name, hosts.UID = "hosts", "host-set"
	hosts.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "host"}}
	host := func(name, node, address string, change ...func(*corev1.Pod)) *corev1.Pod {
		return pod(name, node, hosts.UID, append(change, func(p *corev1.Pod) {
			p.Labels = map[string]string{"app": "host"}
			p.Status.PodIPs = []corev1.PodIP{{IP: address}}
		})...)
	}
	api := netip.MustParseAddrPort("198.18.128.1:443")
	all := inventory.Ladder{Hosts: "hosts", DNSNamespace: "kube-system", DNSService: "kube-dns", APIServer: api}
	type ladder struct {
		Hosts, HostPods, DNSPods []string
		DNS                      []topology.DNSServer
		APIServer                netip.AddrPort
	}
	server := topology.DNSServer{Pod: "coredns-1", Node: "n0", Address: netip.MustParseAddrPort("198.19.0.9:53")}
	for name, c := range map[string]struct {
		asked inventory.Ladder
		want  ladder
	}{
		"all of it": {all, ladder{Hosts: []string{"h0"}, HostPods: []string{"h0", "h1"},
			DNS: []topology.DNSServer{server}, DNSPods: []string{"198.19.1.9", "coredns-1"}, APIServer: api}},
		"nothing": {inventory.Ladder{}, ladder{}},
		"what is not there": {inventory.Ladder{Hosts: "others", DNSNamespace: "dns", DNSService: "dns"},
			ladder{DNSPods: []string{}}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []client.Object{set.DeepCopy(), hosts.DeepCopy(), node("n0"), node("n1"), dns(),
				pod("a", "n0", set.UID), host("h0", "n0", "198.18.0.10"), host("h1", "n1", "198.18.0.11", unready)}
			from := inventory.New(reader(t, objects), namespace).WithLadder(c.asked)
			snapshot, err := from.Snapshot(t.Context(), topology.Workload{Kind: topology.DaemonSet, Name: "agents"})
			if err != nil {
				t.Fatal(err)
			}
			got := ladder{HostPods: snapshot.HostPods, DNS: snapshot.DNS, DNSPods: snapshot.DNSPods,
				APIServer: snapshot.APIServer}
			for _, h := range snapshot.Hosts {
				got.Hosts = append(got.Hosts, h.Pod)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
