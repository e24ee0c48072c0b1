package mesh_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// twoNodes has agents a and b on n1 and c on n2, and a node without an agent.
func twoNodes() topology.Snapshot {
	agent := func(pod, node, address string) topology.Agent {
		return topology.Agent{Pod: pod, Node: node, HTTPPort: 80, Addresses: []netip.Addr{netip.MustParseAddr(address)}}
	}
	node := func(name, address string) topology.Node {
		return topology.Node{Name: name, Addresses: []netip.Addr{netip.MustParseAddr(address)}}
	}
	return topology.Snapshot{
		Agents: []topology.Agent{agent("a", "n1", "192.0.2.1"), agent("b", "n1", "192.0.2.2"),
			agent("c", "n2", "192.0.2.3")},
		Nodes: []topology.Node{node("n1", "198.51.100.1"), node("n2", "198.51.100.2"), node("n3", "198.51.100.3")},
		Services: []topology.Service{{Port: 80, NodePort: 30080,
			ClusterIPs: []netip.Addr{netip.MustParseAddr("203.0.113.1")}}},
		Ingresses: []topology.Ingress{{Rules: []topology.Rule{{Host: "h.example", Path: "/", TLS: true, Trust: "t"}},
			Entries:     []topology.Entry{{Address: netip.MustParseAddr("203.0.113.9")}},
			Authorities: map[string][]byte{"t": []byte("PEM"), "unused": []byte("PEM")}}},
	}
}

func TestBackendsFollowTrafficPolicies(t *testing.T) {
	const cluster, port1, port2, port3 = "AgentClusterV4IP_203.0.113.1:80", "AgentNodePortV4IP_198.51.100.1_30080",
		"AgentNodePortV4IP_198.51.100.2_30080", "AgentNodePortV4IP_198.51.100.3_30080"
	const second = "AgentClusterV4IP_203.0.113.2:80"
	cases := []struct {
		name   string
		change func(*topology.Snapshot, *mesh.Want)
		want   []report.BackendSet
	}{
		{"all agents are behind all addresses, for all agents", func(*topology.Snapshot, *mesh.Want) {},
			[]report.BackendSet{{Pods: []string{"a", "b", "c"}, Targets: []string{cluster, port1, port2, port3}}}},
		{"an internal policy of Local leads each agent to those on its own node",
			func(s *topology.Snapshot, _ *mesh.Want) { s.Services[0].InternalLocal = true },
			[]report.BackendSet{{Pods: []string{"a", "b"}, Askers: []string{"a", "b"}, Targets: []string{cluster}},
				{Pods: []string{"a", "b", "c"}, Targets: []string{port1, port2, port3}},
				{Pods: []string{"c"}, Askers: []string{"c"}, Targets: []string{cluster}}}},
		{"an external policy of Local leads all agents to those on the port's node",
			func(s *topology.Snapshot, _ *mesh.Want) { s.Services[0].ExternalLocal = true },
			[]report.BackendSet{{Pods: []string{"a", "b"}, MayAlsoAnswer: []string{"c"}, Targets: []string{port1}},
				{Pods: []string{"a", "b", "c"}, Targets: []string{cluster}},
				{Pods: []string{"c"}, MayAlsoAnswer: []string{"a", "b"}, Targets: []string{port2}}}},
		{"whatever the order of kinds is", func(s *topology.Snapshot, w *mesh.Want) {
			s.Services[0].InternalLocal = true
			slices.Reverse(w.Kinds)
		},
			[]report.BackendSet{{Pods: []string{"a", "b"}, Askers: []string{"a", "b"}, Targets: []string{cluster}},
				{Pods: []string{"a", "b", "c"}, Targets: []string{port1, port2, port3}},
				{Pods: []string{"c"}, Askers: []string{"c"}, Targets: []string{cluster}}}},
		{"both policies", func(s *topology.Snapshot, _ *mesh.Want) {
			s.Services[0].InternalLocal, s.Services[0].ExternalLocal = true, true
		},
			[]report.BackendSet{{Pods: []string{"a", "b"}, Askers: []string{"a", "b"}, Targets: []string{cluster}},
				{Pods: []string{"a", "b"}, MayAlsoAnswer: []string{"c"}, Targets: []string{port1}},
				{Pods: []string{"c"}, Askers: []string{"c"}, Targets: []string{cluster}},
				{Pods: []string{"c"}, MayAlsoAnswer: []string{"a", "b"}, Targets: []string{port2}}}},
		{"an agent that is not ready may answer where the Service leads to it all the same",
			func(s *topology.Snapshot, _ *mesh.Want) {
				s.Services[0].NotReadyToo, s.Agents[1].NotReady = true, "pod is not Ready"
			},
			[]report.BackendSet{{Pods: []string{"a", "c"}, MayAlsoAnswer: []string{"b"},
				Targets: []string{cluster, port1, port2, port3}}}},
		{"on its node alone, where the policy says so", func(s *topology.Snapshot, _ *mesh.Want) {
			s.Services[0].NotReadyToo, s.Services[0].InternalLocal, s.Agents[2].NotReady = true, true,
				"pod is not Ready"
		},
			[]report.BackendSet{{Pods: []string{"a", "b"}, Targets: []string{cluster}},
				{Pods: []string{"a", "b"}, MayAlsoAnswer: []string{"c"}, Targets: []string{port1, port2, port3}}}},
		{"an agent that does not exist is nobody", func(s *topology.Snapshot, _ *mesh.Want) {
			s.Services[0].NotReadyToo = true
			s.Agents = append(s.Agents,
				topology.Agent{Pod: "(none on n3)", Node: "n3", NotReady: "no agent pod runs on the node"})
		},
			[]report.BackendSet{{Pods: []string{"a", "b", "c"}, Targets: []string{cluster, port1, port2, port3}}}},
		{"an agent that the selector leaves out is no backend",
			func(s *topology.Snapshot, _ *mesh.Want) { s.Services[0].Unselected = []string{"b"} },
			[]report.BackendSet{{Pods: []string{"a", "c"}, Targets: []string{cluster, port1, port2, port3}}}},
		{"and its node has no node port with an external policy of Local", func(s *topology.Snapshot, _ *mesh.Want) {
			s.Services[0].ExternalLocal, s.Services[0].Unselected = true, []string{"c"}
		},
			[]report.BackendSet{{Pods: []string{"a", "b"}, Targets: []string{cluster, port1}}}},
		{"what the Service says of its choice is told",
			func(s *topology.Snapshot, _ *mesh.Want) { s.Services[0].Uneven = "it is so" },
			[]report.BackendSet{{Pods: []string{"a", "b", "c"}, UnevenWhy: "it is so",
				Targets: []string{cluster, port1, port2, port3}}}},
		{"for its own targets alone", func(s *topology.Snapshot, _ *mesh.Want) {
			s.Services = append(s.Services,
				topology.Service{Port: 80, ClusterIPs: []netip.Addr{netip.MustParseAddr("203.0.113.2")},
					Uneven: "it is so"})
		},
			[]report.BackendSet{{Pods: []string{"a", "b", "c"}, Targets: []string{cluster, port1, port2, port3}},
				{Pods: []string{"a", "b", "c"}, UnevenWhy: "it is so",
					Targets: []string{"AgentClusterV4IP_203.0.113.2:80"}}}},
		{"two Services with an internal policy of Local lead to the same pods",
			func(s *topology.Snapshot, w *mesh.Want) {
				s.Services[0].InternalLocal, w.Kinds = true, []target.Kind{target.ClusterIP}
				s.Services = append(s.Services, s.Services[0])
				s.Services[1].ClusterIPs = []netip.Addr{netip.MustParseAddr("203.0.113.2")}
			},
			[]report.BackendSet{
				{Pods: []string{"a", "b"}, Askers: []string{"a", "b"}, Targets: []string{cluster, second}},
				{Pods: []string{"c"}, Askers: []string{"c"}, Targets: []string{cluster, second}}}},
		{"with local nodes only the agents of a node meet its port",
			func(_ *topology.Snapshot, w *mesh.Want) { w.NodePorts = target.LocalNode },
			[]report.BackendSet{{Pods: []string{"a", "b", "c"}, Targets: []string{cluster, port1, port2}}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			snapshot, want := twoNodes(),
				mesh.Want{Kinds: []target.Kind{target.ClusterIP, target.NodePort},
					Families: []topology.Family{topology.IPv4}}
			c.change(&snapshot, &want)
			for range 2 {
				if diff := cmp.Diff(c.want,
					mesh.New(schedule.Key{}, report.TaskRef{}, snapshot, want).Backends); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				slices.Reverse(snapshot.Agents)
			}
		})
	}
}

func TestBackendsOfLoadBalancersAndIngresses(t *testing.T) {
	const balancer, byName, in = "AgentLoadbalancerV4IP_203.0.113.8:80", "AgentLoadbalancerV4IP_lb.example:80",
		"AgentIngress_https://h.example/"
	for name, c := range map[string]struct {
		change func(*topology.Snapshot)
		want   []report.BackendSet
	}{
		"all agents are behind them": {func(*topology.Snapshot) {},
			[]report.BackendSet{{Pods: []string{"a", "b", "c"}, Targets: []string{in, balancer, byName}}}},
		"an external policy of Local is the load balancer's to know": {func(
			s *topology.Snapshot) {
			s.Services[0].ExternalLocal = true
		},
			[]report.BackendSet{{Pods: []string{"a", "b", "c"}, Targets: []string{in, balancer, byName}}}},
		"what the Service says of its choice may hold for both": {func(
			s *topology.Snapshot) {
			s.Services[0].Uneven = "it is so"
		},
			[]report.BackendSet{{Pods: []string{"a", "b", "c"}, UnevenWhy: "it is so",
				Targets: []string{in, balancer, byName}}}},
		"an Ingress may lead to what one of several Services selects": {func(s *topology.Snapshot) {
			s.Services[0].Unselected = []string{"a", "b"}
			s.Services = append(s.Services,
				topology.Service{Unselected: []string{"a"}, NotReadyToo: true, Uneven: "it is so"})
			s.Agents[2].NotReady = "pod is not Ready"
		},
			[]report.BackendSet{{Pods: nil, Targets: []string{balancer, byName}},
				{Pods: []string{"b"}, MayAlsoAnswer: []string{"c"}, UnevenWhy: "it is so", Targets: []string{in}}}},
		"an Ingress leads to agents of the other family": {func(
			s *topology.Snapshot) {
			s.Agents[0].Addresses = []netip.Addr{netip.MustParseAddr("2001:db8::1")}
		},
			[]report.BackendSet{{Pods: []string{"a", "b", "c"}, Targets: []string{in}},
				{Pods: []string{"b", "c"}, Targets: []string{balancer, byName}}}},
		"an Ingress may lead to agents that are not ready, as the first of several Services does": {func(
			s *topology.Snapshot) {
			s.Services[0].NotReadyToo, s.Services[0].Uneven = true, "it is so"
			s.Services = append(s.Services, topology.Service{Uneven: "it is otherwise"})
			s.Agents[2].NotReady = "pod is not Ready"
		},
			[]report.BackendSet{{Pods: []string{"a", "b"}, MayAlsoAnswer: []string{"c"}, UnevenWhy: "it is so",
				Targets: []string{in, balancer, byName}}}},
		"what no Service selects no Ingress leads to": {func(s *topology.Snapshot) {
			s.Services[0].Unselected = []string{"a"}
			s.Services = append(s.Services, topology.Service{Unselected: []string{"a", "b"}})
		},
			[]report.BackendSet{{Pods: []string{"b", "c"}, Targets: []string{in, balancer, byName}}}},
		"an Ingress may lead to what the second of several Services selects": {func(s *topology.Snapshot) {
			s.Services[0].Unselected = []string{"a"}
			s.Services = append(s.Services, topology.Service{})
		},
			[]report.BackendSet{{Pods: []string{"a", "b", "c"}, Targets: []string{in}},
				{Pods: []string{"b", "c"}, Targets: []string{balancer, byName}}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := twoNodes()
			s.Services[0].LoadBalancer = true
			s.Services[0].Ingress = []topology.Entry{{Address: netip.MustParseAddr("203.0.113.8")},
				{Hostname: "lb.example"}}
			c.change(&s)
			m := mesh.New(schedule.Key{}, report.TaskRef{}, s,
				mesh.Want{Kinds: []target.Kind{target.LoadBalancer, target.Ingress},
					Families: []topology.Family{topology.IPv4}})
			if diff := cmp.Diff(c.want, m.Backends); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlansHoldTheAuthoritiesThatTheirTargetsTrustAndNoOthers(t *testing.T) {
	for name, c := range map[string]struct {
		kinds []target.Kind
		want  map[string][]byte
	}{
		"a target with an authority of its own": {[]target.Kind{target.Ingress},
			map[string][]byte{"t": []byte("PEM")}},
		"targets without one": {[]target.Kind{target.Endpoint}, nil},
		"a target with one after some without it": {[]target.Kind{target.Endpoint, target.Ingress},
			map[string][]byte{"t": []byte("PEM")}},
	} {
		t.Run(name, func(t *testing.T) {
			m := mesh.New(schedule.Key{}, report.TaskRef{}, twoNodes(),
				mesh.Want{Kinds: c.kinds, Families: []topology.Family{topology.IPv4}})
			for _, plan := range m.Plans {
				if diff := cmp.Diff(c.want, plan.Authorities); diff != "" {
					t.Errorf("plan of %s (-want +got):\n%s", plan.Agent.Pod, diff)
				}
			}
		})
	}
}
