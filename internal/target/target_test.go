package target_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/target/clusterip"
	"kdoctor.io/kdoctor/internal/target/endpoint"
	"kdoctor.io/kdoctor/internal/target/loadbalancer"
	"kdoctor.io/kdoctor/internal/target/secondinterface"
	"kdoctor.io/kdoctor/internal/topology"
)

func addresses(texts ...string) []netip.Addr {
	var parsed []netip.Addr
	for _, text := range texts {
		parsed = append(parsed, netip.MustParseAddr(text))
	}
	return parsed
}

// dualStack is two ready agents and a Pending one, behind a Service and an Ingress of each family.
func dualStack() topology.Snapshot {
	return topology.Snapshot{
		Agents: []topology.Agent{
			{Pod: "a", Node: "n0", Addresses: addresses("198.19.0.2", "fd98:19::2"), HTTPPort: 8080,
				Interfaces: []topology.Interface{{Network: "net1", Name: "net1",
					Addresses: addresses("198.18.64.10", "fd98:64::10")}}},
			{Pod: "b", Node: "n1", Addresses: addresses("198.19.1.2", "fd98:19:0:1::2"), HTTPPort: 8080,
				Interfaces: []topology.Interface{{Network: "net1", Name: "net1",
					Addresses: addresses("198.18.64.11")}}},
			{Pod: "c", Node: "n2", NotReady: "pod is Pending"},
		},
		Nodes: []topology.Node{
			{Name: "n0", Addresses: addresses("198.18.0.10", "198.18.0.99", "fd98:18::a")},
			{Name: "n1", Addresses: addresses("198.18.0.11")},
		},
		Services: []topology.Service{
			{Namespace: "k", Name: "four", ClusterIPs: addresses("198.18.128.7"), Port: 80, NodePort: 30080,
				LoadBalancer: true,
				Ingress:      []topology.Entry{{Address: netip.MustParseAddr("198.18.1.1")}, {Hostname: "lb.example"}}},
			{Namespace: "k", Name: "six", ClusterIPs: addresses("fd98:18:128::7"), Port: 80, NodePort: 30081,
				LoadBalancer: true},
		},
		Ingresses: []topology.Ingress{{Namespace: "k", Name: "in", Rules: []topology.Rule{{Path: "/kdoctoragent"}},
			Entries: []topology.Entry{{Address: netip.MustParseAddr("198.18.0.3")},
				{Address: netip.MustParseAddr("fd98:18::3")}}}},
	}
}

// found is what a builder gave.
type found struct {
	Targets []target.Target
	Gaps    []target.Gap
}

func http(kind target.Kind, family topology.Family, id, url, pod, node string) target.Target {
	answer := target.Backends
	if pod != "" {
		answer = target.OnePod
	}
	return target.Target{ID: id, Kind: kind, Family: family, Protocol: target.HTTP, Address: url, Answer: answer,
		Pod: pod, Node: node}
}

// direct is a load balancer's address that the node of the asker answers for itself.
func direct(family topology.Family, id, url string) target.Target {
	made := http(target.LoadBalancer, family, id, url, "", "")
	made.ShortCircuit = true
	return made
}

func gap(kind target.Kind, family topology.Family, node, reason string) []target.Gap {
	return []target.Gap{{Kind: kind, Family: family, Node: node, Reason: reason}}
}

// testCase is what a builder makes of dualStack once it was changed, for the source and family.
type testCase struct {
	name   string
	build  target.Builder
	family topology.Family
	source int
	nodes  target.Nodes
	by     target.Addresses
	change func(*topology.Snapshot)
	want   found
}

func run(t *testing.T, cases []testCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			snapshot := dualStack()
			if c.change != nil {
				c.change(&snapshot)
			}
			targets, gaps := c.build(target.Query{Snapshot: snapshot, Source: snapshot.Agents[c.source],
				Family: c.family, NodePorts: c.nodes, NodeAddresses: c.by})
			if diff := cmp.Diff(c.want, found{targets, gaps}); diff != "" {
				t.Errorf("targets and gaps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTargetsOfEachKind(t *testing.T) {
	second := func(family topology.Family, id, url, pod, node, device string) target.Target {
		made := http(target.SecondInterface, family, id, url, pod, node)
		made.Interface = device
		return made
	}
	run(t, []testCase{
		{name: "every ready agent's pod address is a target, the source's own included", build: endpoint.Targets,
			family: topology.IPv4,
			want: found{Targets: []target.Target{
				http(target.Endpoint, topology.IPv4, "AgentPodV4IP_a_198.19.0.2", "http://198.19.0.2:8080", "a", "n0"),
				http(target.Endpoint, topology.IPv4, "AgentPodV4IP_b_198.19.1.2", "http://198.19.1.2:8080", "b",
					"n1")}}},
		{name: "an IPv6 address stands in brackets in the URL and without them in the name", build: endpoint.Targets,
			family: topology.IPv6,
			change: func(s *topology.Snapshot) { s.Agents = s.Agents[:1] },
			want: found{Targets: []target.Target{
				http(target.Endpoint, topology.IPv6, "AgentPodV6IP_a_fd98:19::2", "http://[fd98:19::2]:8080", "a",
					"n0")}}},
		{name: "an agent without an address of the family is a gap", build: endpoint.Targets, family: topology.IPv6,
			change: func(s *topology.Snapshot) {
				s.Agents = s.Agents[:1]
				s.Agents[0].Addresses = addresses(
					"198.19.0.2")
			},
			want: found{Gaps: gap(target.Endpoint, topology.IPv6, "", "pod a on node n0 has no IPv6 address")}},
		{name: "a second interface is a target that names its device and one that lacks the family a gap",
			build: secondinterface.Targets, family: topology.IPv6,
			want: found{
				Targets: []target.Target{second(topology.IPv6, "AgentPodV6IP_a_fd98:64::10",
					"http://[fd98:64::10]:8080", "a", "n0", "net1")},
				Gaps: gap(target.SecondInterface, topology.IPv6, "", "pod b on node n1 has no second interface with "+
					"an IPv6 address in its network-status annotation")}},
		{name: "every network and every address of it is a target", build: secondinterface.Targets,
			family: topology.IPv4,
			change: func(s *topology.Snapshot) {
				s.Agents = s.Agents[:1]
				s.Agents[0].Interfaces = []topology.Interface{{Network: "k/lan", Name: "net1",
					Addresses: addresses("198.18.64.10", "fd98:64::10", "198.18.64.20")},
					{Network: "k/wan", Name: "net2", Addresses: addresses("198.18.65.10")},
					{Network: "k/unnamed", Addresses: addresses("198.18.66.10")}}
			},
			want: found{Targets: []target.Target{
				second(topology.IPv4, "AgentPodV4IP_a_198.18.64.10", "http://198.18.64.10:8080", "a", "n0", "net1"),
				second(topology.IPv4, "AgentPodV4IP_a_198.18.64.20", "http://198.18.64.20:8080", "a", "n0", "net1"),
				second(topology.IPv4, "AgentPodV4IP_a_198.18.65.10", "http://198.18.65.10:8080", "a", "n0", "net2"),
				second(topology.IPv4, "AgentPodV4IP_a_198.18.66.10", "http://198.18.66.10:8080", "a", "n0", "")}}},
		{name: "a cluster address is named with its port", build: clusterip.Targets, family: topology.IPv6,
			want: found{Targets: []target.Target{
				http(target.ClusterIP, topology.IPv6, "AgentClusterV6IP_[fd98:18:128::7]:80",
					"http://[fd98:18:128::7]:80", "", "")}}},
		{name: "no Service of the family is a gap", build: clusterip.Targets, family: topology.IPv6,
			change: func(s *topology.Snapshot) { s.Services = s.Services[:1] },
			want: found{Gaps: gap(target.ClusterIP, topology.IPv6, "",
				"no agent Service has an IPv6 cluster address")}},
		{name: "a headless Service is a gap beside the address of another", build: clusterip.Targets,
			family: topology.IPv4,
			change: func(s *topology.Snapshot) {
				s.Services[1].ClusterIPs, s.Services[1].Headless = nil, []topology.Family{topology.IPv4}
			},
			want: found{
				Targets: []target.Target{http(target.ClusterIP, topology.IPv4, "AgentClusterV4IP_198.18.128.7:80",
					"http://198.18.128.7:80", "", "")},
				Gaps: gap(target.ClusterIP, topology.IPv4, "",
					"Service k/six is headless, so it has no cluster address")}},
		{name: "a headless Service of the other family is no gap", build: clusterip.Targets, family: topology.IPv4,
			change: func(s *topology.Snapshot) {
				s.Services[1].ClusterIPs, s.Services[1].Headless = nil, []topology.Family{topology.IPv6}
			},
			want: found{Targets: []target.Target{
				http(target.ClusterIP, topology.IPv4, "AgentClusterV4IP_198.18.128.7:80", "http://198.18.128.7:80", "",
					"")}}},
		{name: "a dual-stack Service has a cluster address of each family", build: clusterip.Targets,
			family: topology.IPv6,
			change: func(s *topology.Snapshot) {
				s.Services = s.Services[:1]
				s.Services[0].ClusterIPs = addresses("198.18.128.7", "fd98:18:128::8")
			},
			want: found{Targets: []target.Target{
				http(target.ClusterIP, topology.IPv6, "AgentClusterV6IP_[fd98:18:128::8]:80",
					"http://[fd98:18:128::8]:80", "", "")}}},
		{name: "with an internal traffic policy of Local the agents of the source's node alone stand behind it",
			build: clusterip.Targets, family: topology.IPv4, source: 1,
			change: func(s *topology.Snapshot) { s.Services[0].InternalLocal = true },
			want: found{Targets: []target.Target{{ID: "AgentClusterV4IP_198.18.128.7:80", Kind: target.ClusterIP,
				Family: topology.IPv4, Protocol: target.HTTP, Answer: target.Backends,
				Address: "http://198.18.128.7:80", OnlyNode: "n1"}}}},
		{name: "every load balancer entry is a target, a host name too", build: loadbalancer.Targets,
			family: topology.IPv4,
			want: found{Targets: []target.Target{
				direct(topology.IPv4, "AgentLoadbalancerV4IP_198.18.1.1:80", "http://198.18.1.1:80"),
				http(target.LoadBalancer, topology.IPv4, "AgentLoadbalancerV4IP_lb.example:80", "http://lb.example:80",
					"", "")}}},
		{name: "a load balancer without an address is a gap that names the Service", build: loadbalancer.Targets,
			family: topology.IPv6,
			want: found{Gaps: gap(target.LoadBalancer, topology.IPv6, "",
				"Service k/six has no IPv6 load balancer address in status.loadBalancer.ingress")}},
		{name: "no Service of type LoadBalancer is a gap", build: loadbalancer.Targets, family: topology.IPv4,
			change: func(s *topology.Snapshot) { s.Services[0].LoadBalancer = false },
			want: found{Gaps: gap(target.LoadBalancer, topology.IPv4, "",
				"no agent Service of type LoadBalancer serves IPv4")}},
		{name: "an address is of its own family, whichever its Service has", build: loadbalancer.Targets,
			family: topology.IPv6,
			change: func(s *topology.Snapshot) {
				s.Services[0].Ingress = []topology.Entry{{Address: netip.MustParseAddr("fd98:18:1::1")}}
				s.Services[1].Ingress = []topology.Entry{{Address: netip.MustParseAddr("198.18.1.2")},
					{Address: netip.MustParseAddr("fd98:18:1::2")}}
			},
			want: found{Targets: []target.Target{
				direct(topology.IPv6, "AgentLoadbalancerV6IP_[fd98:18:1::1]:80", "http://[fd98:18:1::1]:80"),
				direct(topology.IPv6, "AgentLoadbalancerV6IP_[fd98:18:1::2]:80", "http://[fd98:18:1::2]:80")}}},
		{name: "a host name of a dual-stack Service is a target of each family", build: loadbalancer.Targets,
			family: topology.IPv6,
			change: func(s *topology.Snapshot) {
				s.Services = s.Services[:1]
				s.Services[0].ClusterIPs = addresses("198.18.128.7", "fd98:18:128::8")
			},
			want: found{Targets: []target.Target{
				http(target.LoadBalancer, topology.IPv6, "AgentLoadbalancerV6IP_lb.example:80", "http://lb.example:80",
					"", "")}}},
		{name: "a Service without an entry is a gap beside one that has some", build: loadbalancer.Targets,
			family: topology.IPv4,
			change: func(s *topology.Snapshot) {
				s.Services[0].Ingress = s.Services[0].Ingress[:1]
				s.Services[1].ClusterIPs = addresses("198.18.128.9")
			},
			want: found{
				Targets: []target.Target{direct(topology.IPv4, "AgentLoadbalancerV4IP_198.18.1.1:80",
					"http://198.18.1.1:80")},
				Gaps: gap(target.LoadBalancer, topology.IPv4, "", "Service k/six has no IPv4 load balancer address "+
					"in status.loadBalancer.ingress")}},
		{name: "with an external traffic policy of Local all agents stand behind a load balancer, which knows where " +
			"they are", build: loadbalancer.Targets, family: topology.IPv4,
			change: func(s *topology.Snapshot) {
				s.Services[0].Ingress, s.Services[0].ExternalLocal = s.Services[0].Ingress[:1], true
			},
			want: found{Targets: []target.Target{direct(topology.IPv4, "AgentLoadbalancerV4IP_198.18.1.1:80",
				"http://198.18.1.1:80")}}},
	})
}
