package target_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/target/clusterip"
	"kdoctor.io/kdoctor/internal/target/endpoint"
	"kdoctor.io/kdoctor/internal/target/ingress"
	"kdoctor.io/kdoctor/internal/target/loadbalancer"
	"kdoctor.io/kdoctor/internal/target/secondinterface"
	"kdoctor.io/kdoctor/internal/topology"
)

func TestWhatNobodyCanReachIsAGap(t *testing.T) {
	four, six := topology.IPv4, topology.IPv6
	entries := func(texts ...string) []topology.Entry {
		var all []topology.Entry
		for _, a := range addresses(texts...) {
			all = append(all, topology.Entry{Address: a, Proxy: true})
		}
		return all
	}
	onlyA := func(change func(*topology.Agent)) func(*topology.Snapshot) {
		return func(s *topology.Snapshot) { s.Agents = s.Agents[:1]; change(&s.Agents[0]) }
	}
	second := http(target.SecondInterface, four, "AgentPodV4IP_a_198.18.64.10", "http://198.18.64.10:8080", "a", "n0")
	second.Interface = "net1"
	run(t, []testCase{
		{name: "a pod takes its next address", build: endpoint.Targets, family: four,
			change: onlyA(func(a *topology.Agent) { a.Addresses = addresses("169.254.0.1", "198.19.0.2") }),
			want: found{Targets: []target.Target{http(target.Endpoint, four, "AgentPodV4IP_a_198.19.0.2",
				"http://198.19.0.2:8080", "a", "n0")}}},
		{name: "a pod without one is a gap that names what it has", build: endpoint.Targets, family: six,
			change: onlyA(func(a *topology.Agent) { a.Addresses = addresses("198.19.0.2", "fe80::1") }),
			want: found{Gaps: gap(target.Endpoint, six, "", "pod a on node n0 has no IPv6 address that other nodes "+
				"can reach: fe80::1 is a link-local address")}},
		{name: "a second interface takes its next address", build: secondinterface.Targets, family: four,
			change: onlyA(func(a *topology.Agent) {
				a.Interfaces[0].Addresses = addresses("224.0.0.1",
					"198.18.64.10")
			}), want: found{Targets: []target.Target{second}}},
		{name: "a second interface without one is a gap beside another", build: secondinterface.Targets, family: four,
			change: onlyA(func(a *topology.Agent) {
				a.Interfaces = append(a.Interfaces,
					topology.Interface{Network: "k/wan", Addresses: addresses("127.0.0.1")})
			}),
			want: found{Targets: []target.Target{second},
				Gaps: gap(target.SecondInterface, four, "", "pod a on node n0, network k/wan has no IPv4 address "+
					"that other nodes can reach: 127.0.0.1 is a loopback address")}},
		{name: "and alone it is the only gap", build: secondinterface.Targets, family: four,
			change: onlyA(func(a *topology.Agent) { a.Interfaces[0].Addresses = addresses("0.0.0.0") }),
			want: found{Gaps: gap(target.SecondInterface, four, "", "pod a on node n0, interface net1 has no IPv4 "+
				"address that other nodes can reach: 0.0.0.0 is the unspecified address")}},
		{name: "a cluster address is a gap beside another", build: clusterip.Targets, family: four,
			change: func(s *topology.Snapshot) {
				s.Services = s.Services[:1]
				s.Services[0].ClusterIPs = addresses("0.0.0.0", "198.18.128.7")
			},
			want: found{Targets: []target.Target{http(target.ClusterIP, four, "AgentClusterV4IP_198.18.128.7:80",
				"http://198.18.128.7:80", "", "")},
				Gaps: gap(target.ClusterIP, four, "", "Service k/four has a cluster address that agents cannot "+
					"reach: 0.0.0.0 is the unspecified address")}},
		{name: "a load balancer's address is a gap beside another", build: loadbalancer.Targets, family: four,
			change: func(s *topology.Snapshot) {
				s.Services = s.Services[:1]
				s.Services[0].Ingress = entries("127.0.0.1", "198.18.1.1", "fe80::1")
			},
			want: found{Targets: []target.Target{http(target.LoadBalancer, four, "AgentLoadbalancerV4IP_198.18.1.1:80",
				"http://198.18.1.1:80", "", "")},
				Gaps: gap(target.LoadBalancer, four, "", "Service k/four has a load balancer address that agents "+
					"cannot reach: 127.0.0.1 is a loopback address")}},
		{name: "a load balancer's name may be the asker's own", build: loadbalancer.Targets, family: four,
			change: func(s *topology.Snapshot) {
				s.Services = s.Services[:1]
				s.Services[0].Ingress = []topology.Entry{{Hostname: "localhost"}}
			},
			want: found{Gaps: gap(target.LoadBalancer, four, "", "Service k/four has a load balancer address that "+
				"agents cannot reach: localhost is a name of the asker itself")}},
		{name: "an Ingress's address is a gap beside another", build: ingress.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Ingresses[0].Entries = entries("::ffff:198.18.0.3", "198.18.0.3") },
			want: found{Targets: []target.Target{http(target.Ingress, four,
				"AgentIngress_http://198.18.0.3/kdoctoragent", "http://198.18.0.3/kdoctoragent", "", "")},
				Gaps: gap(target.Ingress, four, "", "Ingress k/in has an address that agents cannot reach: "+
					"::ffff:198.18.0.3 is an IPv4-mapped address")}},
		{name: "an Ingress whose only address nobody can reach is one gap", build: ingress.Targets, family: six,
			change: func(s *topology.Snapshot) { s.Ingresses[0].Entries = entries("ff02::1") },
			want: found{Gaps: gap(target.Ingress, six, "", "Ingress k/in has an address that agents cannot reach: "+
				"ff02::1 is a multicast address")}},
	})
}

func TestWhatSeveralHaveIsAGap(t *testing.T) {
	four := topology.IPv4
	pod := func(kind target.Kind, name, address, node, device string) target.Target {
		made := http(kind, four, "AgentPodV4IP_"+name+"_"+address, "http://"+address+":8080", name, node)
		made.Interface = device
		return made
	}
	service := func(kind target.Kind, id, url string) target.Target { return http(kind, four, id, url, "", "") }
	run(t, []testCase{
		{name: "a pod address of two pods", build: endpoint.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Agents[1].Addresses = addresses("198.19.0.2") },
			want: found{Targets: []target.Target{pod(target.Endpoint, "a", "198.19.0.2", "n0", ""),
				pod(target.Endpoint, "b", "198.19.0.2", "n1", "")},
				Gaps: gap(target.Endpoint, four, "", "pod a on node n0 and pod b on node n1 have the same address "+
					"198.19.0.2, so nobody can tell which of them answers there")}},
		{name: "a pod address of two pods on different ports is no gap", build: endpoint.Targets,
			family: four,
			change: func(s *topology.Snapshot) {
				s.Agents = s.Agents[:2]
				s.Agents[1].Addresses, s.Agents[0].HTTPPort = addresses("198.19.0.2"), 8081
			},
			want: found{Targets: []target.Target{http(target.Endpoint, four, "AgentPodV4IP_a_198.19.0.2",
				"http://198.19.0.2:8081", "a", "n0"), pod(target.Endpoint, "b", "198.19.0.2", "n1", "")}}},
		{name: "an address of the second interfaces of two pods", build: secondinterface.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Agents[1].Interfaces[0].Addresses = addresses("198.18.64.10") },
			want: found{Targets: []target.Target{pod(target.SecondInterface, "a", "198.18.64.10", "n0", "net1"),
				pod(target.SecondInterface, "b", "198.18.64.10", "n1", "net1")},
				Gaps: gap(target.SecondInterface, four, "", "pod a on node n0 and pod b on node n1 have the same "+
					"address 198.18.64.10 on a second interface, so nobody can tell which of them answers there")}},
		{name: "an address of two interfaces of one pod", build: secondinterface.Targets, family: four,
			change: func(s *topology.Snapshot) {
				s.Agents = s.Agents[:1]
				s.Agents[0].Interfaces = append(s.Agents[0].Interfaces,
					topology.Interface{Name: "net2", Addresses: addresses("198.18.64.10")})
			},
			want: found{Targets: []target.Target{pod(target.SecondInterface, "a", "198.18.64.10", "n0", "net1")},
				Gaps: gap(target.SecondInterface, four, "", "pod a on node n0 has the same IPv4 address on interface "+
					"net1 and interface net2, and only the first of them is probed")}},
		{name: "a cluster address of two Services", build: clusterip.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Services[1].ClusterIPs = addresses("198.18.128.7") },
			want: found{Targets: []target.Target{service(target.ClusterIP, "AgentClusterV4IP_198.18.128.7:80",
				"http://198.18.128.7:80")},
				Gaps: gap(target.ClusterIP, four, "", "Service k/four and Service k/six have the same cluster "+
					"address http://198.18.128.7:80, so nobody can tell which of them answers there")}},
		{name: "a load balancer's address of two Services", build: loadbalancer.Targets, family: four,
			change: func(s *topology.Snapshot) {
				s.Services[0].Ingress = []topology.Entry{{Address: netip.MustParseAddr("198.18.1.1"), Proxy: true}}
				s.Services[1].Ingress = s.Services[0].Ingress
			},
			want: found{Targets: []target.Target{service(target.LoadBalancer, "AgentLoadbalancerV4IP_198.18.1.1:80",
				"http://198.18.1.1:80")},
				Gaps: gap(target.LoadBalancer, four, "", "Service k/four and Service k/six have the same load "+
					"balancer address http://198.18.1.1:80, so nobody can tell which of them answers there")}},
		{name: "a load balancer's address of two Services with different ports is no gap", build: loadbalancer.Targets,
			family: four,
			change: func(s *topology.Snapshot) {
				s.Services[0].Ingress = []topology.Entry{{Address: netip.MustParseAddr("198.18.1.1"), Proxy: true}}
				s.Services[1].Ingress, s.Services[1].Port = s.Services[0].Ingress, 81
			},
			want: found{Targets: []target.Target{service(target.LoadBalancer, "AgentLoadbalancerV4IP_198.18.1.1:80",
				"http://198.18.1.1:80"),
				service(target.LoadBalancer, "AgentLoadbalancerV4IP_198.18.1.1:81", "http://198.18.1.1:81")}}},
		{name: "a URL that two rules lead to", build: ingress.Targets, family: four,
			change: func(s *topology.Snapshot) {
				s.Ingresses[0].Rules = []topology.Rule{{Path: "/a b"}, {Path: "/a%20b"}, {Path: "/a b"}}
			},
			want: found{Targets: []target.Target{service(target.Ingress, "AgentIngress_http://198.18.0.3/a%20b",
				"http://198.18.0.3/a%20b")},
				Gaps: gap(target.Ingress, four, "", "the rules /a b of Ingress k/in and /a%20b of Ingress k/in lead "+
					"to the same URL http://198.18.0.3/a%20b, so nobody can tell which of them answers there")}},
	})
}

func TestWhatCouldNotBeReadOfAPodsInterfacesIsAGap(t *testing.T) {
	four := topology.IPv4
	second := http(target.SecondInterface, four, "AgentPodV4IP_a_198.18.64.10", "http://198.18.64.10:8080", "a", "n0")
	second.Interface = "net1"
	run(t, []testCase{
		{name: "beside what could be read", build: secondinterface.Targets, family: four,
			change: func(s *topology.Snapshot) {
				s.Agents = s.Agents[:1]
				s.Agents[0].Unreadable = []string{"an entry is odd", "another is"}
			},
			want: found{Targets: []target.Target{second},
				Gaps: append(gap(target.SecondInterface, four, "", "pod a on node n0: an entry is odd"),
					gap(target.SecondInterface, four, "", "pod a on node n0: another is")...)}},
		{name: "instead of that there is none", build: secondinterface.Targets, family: four,
			change: func(s *topology.Snapshot) {
				s.Agents = s.Agents[:1]
				s.Agents[0].Unreadable, s.Agents[0].Interfaces = []string{"it is odd"}, nil
			},
			want: found{Gaps: gap(target.SecondInterface, four, "", "pod a on node n0: it is odd")}},
	})
}

func TestLoadBalancerAddressesThatNodesAnswerFor(t *testing.T) {
	four := topology.IPv4
	address := netip.MustParseAddr("198.18.1.1")
	through := func(all ...topology.Entry) func(*topology.Snapshot) {
		return func(s *topology.Snapshot) { s.Services = s.Services[:1]; s.Services[0].Ingress = all }
	}
	left := http(target.LoadBalancer, four, "AgentLoadbalancerV4IP_198.18.1.1:80", "http://198.18.1.1:80", "", "")
	run(t, []testCase{
		{name: "an address that is not left to the load balancer", build: loadbalancer.Targets, family: four,
			change: through(topology.Entry{Address: address}),
			want:   found{Targets: []target.Target{direct(four, left.ID, left.Address)}}},
		{name: "an address that is", build: loadbalancer.Targets, family: four,
			change: through(topology.Entry{Address: address, Proxy: true}),
			want:   found{Targets: []target.Target{left}}},
		{name: "an address that is there with both", build: loadbalancer.Targets, family: four,
			change: through(topology.Entry{Address: address, Proxy: true}, topology.Entry{Address: address}),
			want:   found{Targets: []target.Target{direct(four, left.ID, left.Address)}}},
		{name: "a name is no address", build: loadbalancer.Targets, family: four,
			change: through(topology.Entry{Hostname: "lb.example"}),
			want: found{Targets: []target.Target{http(target.LoadBalancer, four,
				"AgentLoadbalancerV4IP_lb.example:80", "http://lb.example:80", "", "")}}},
		{name: "an Ingress's address is no Service's", build: ingress.Targets, family: four,
			want: found{Targets: []target.Target{http(target.Ingress, four,
				"AgentIngress_http://198.18.0.3/kdoctoragent", "http://198.18.0.3/kdoctoragent", "", "")}}},
	})
}

func TestListsAreShort(t *testing.T) {
	for _, c := range []struct {
		names []string
		want  string
	}{
		{nil, ""}, {[]string{"a"}, "a"}, {[]string{"a", "b"}, "a and b"}, {[]string{"a", "b", "c"}, "a, b and c"},
		{[]string{"a", "b", "c", "d", "e", "f", "g", "h"}, "a, b, c, d, e, f, g and h"},
		{[]string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}, "a, b, c, d, e, f, g, h and 1 other"},
		{[]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}, "a, b, c, d, e, f, g, h and 2 others"},
	} {
		if diff := cmp.Diff(c.want, target.List(c.names)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.names, diff)
		}
	}
}

func TestAddressesOfNoUseAreListedUpToABound(t *testing.T) {
	var all []netip.Addr
	for i := range 9 {
		all = append(all, netip.AddrFrom4([4]byte{127, 0, 0, byte(i)}))
	}
	for n, want := range map[int]int{0: 0, 1: 1, 8: 8, 9: 8} {
		if got := len(target.Instead(topology.IPv4, all[:n])); got != want {
			t.Errorf("of %d addresses %d are listed, want %d", n, got, want)
		}
	}
	if got := target.Instead(topology.IPv6, all); got != nil {
		t.Errorf("IPv6 addresses %v", got)
	}
	if got := target.Instead(topology.IPv6, []netip.Addr{{}}); got != nil {
		t.Errorf("no address is listed as %v", got)
	}
}

func TestOffersThatDisagreeAreLeftOut(t *testing.T) {
	offer := func(by, onlyNode string) target.Offer {
		return target.Offer{By: by,
			Target: target.Target{ID: "x", Kind: target.NodePort, Family: topology.IPv4, OnlyNode: onlyNode}}
	}
	for name, c := range map[string]struct {
		offers []target.Offer
		want   int
		by     string
	}{
		"one":                     {[]target.Offer{offer("a", "n1")}, 1, ""},
		"one that is there twice": {[]target.Offer{offer("a", "n1"), offer("a", "n1")}, 1, ""},
		"two that agree":          {[]target.Offer{offer("a", "n1"), offer("b", "n1")}, 1, "a and b"},
		"two that disagree":       {[]target.Offer{offer("a", "n1"), offer("b", "n2")}, 0, "a and b"},
		"one that disagrees among three": {[]target.Offer{offer("a", "n1"), offer("b", "n2"), offer("c", "n1")}, 0,
			"a, b and c"},
		"one who disagrees with itself":   {[]target.Offer{offer("a", "n1"), offer("a", "n2")}, 0, "a"},
		"one who does not know of a node": {[]target.Offer{offer("a", ""), offer("b", "n2")}, 0, "a and b"},
	} {
		t.Run(name, func(t *testing.T) {
			targets, gaps := target.Distinct(c.offers,
				func(_ target.Target, by []string) string { return target.List(by) })
			var want []target.Gap
			if c.by != "" {
				want = []target.Gap{{Kind: target.NodePort, Family: topology.IPv4, Reason: c.by}}
			}
			if len(targets) != c.want || !cmp.Equal(want, gaps) {
				t.Errorf("%d targets, gaps %v; want %d, %v", len(targets), gaps, c.want, want)
			}
		})
	}
}
