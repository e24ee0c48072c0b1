package target_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/target/nodeport"
	"kdoctor.io/kdoctor/internal/topology"
)

// port is a node port at an address of the node.
func port(family topology.Family, node, id, url string) target.Target {
	made := http(target.NodePort, family, id, url, "", "")
	made.AtNode = node
	return made
}

// port4 is the node port 30080 at an IPv4 address of the node.
func port4(node, address string) target.Target {
	return port(topology.IPv4, node, "AgentNodePortV4IP_"+address+"_30080", "http://"+address+":30080")
}

func TestNodePorts(t *testing.T) {
	four, six := topology.IPv4, topology.IPv6
	n0 := port(four, "n0", "AgentNodePortV4IP_198.18.0.10_30080", "http://198.18.0.10:30080")
	n1 := port(four, "n1", "AgentNodePortV4IP_198.18.0.11_30080", "http://198.18.0.11:30080")
	n0Six := port(six, "n0", "AgentNodePortV6IP_fd98:18::a_30081", "http://[fd98:18::a]:30081")
	only := func(made target.Target, node string) target.Target {
		made.OnlyNode = node
		return made
	}
	run(t, []testCase{
		{name: "the primary address of every node is a target", build: nodeport.Targets, family: four,
			want: found{Targets: []target.Target{n0, n1}}},
		{name: "all nodes are what is meant when they are named", build: nodeport.Targets, family: four,
			nodes: target.AllNodes, want: found{Targets: []target.Target{n0, n1}}},
		{name: "another source has the same targets", build: nodeport.Targets, family: four, source: 1,
			want: found{Targets: []target.Target{n0, n1}}},
		{name: "a node without an agent is a target too", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Agents = s.Agents[:1] },
			want:   found{Targets: []target.Target{n0, n1}}},
		{name: "a node without an address of the family is a gap that all agents have", build: nodeport.Targets,
			family: six,
			want: found{Targets: []target.Target{n0Six},
				Gaps: gap(target.NodePort, six, "", "node n1 has no IPv6 address")}},
		{name: "a node that is not ready is left out where its agent tells of it", build: nodeport.Targets,
			family: four,
			change: func(s *topology.Snapshot) {
				s.Nodes[1].NotReady, s.Agents[1].NotReady = true,
					"node n1 is NotReady"
			},
			want: found{Targets: []target.Target{n0}}},
		{name: "a node that is not ready is a gap where its agent is ready", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Nodes[1].NotReady = true },
			want: found{Targets: []target.Target{n0},
				Gaps: gap(target.NodePort, four, "", "node n1 is NotReady, so its node ports are not probed")}},
		{name: "a node that is not ready is a gap where it has no agent", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Nodes[1].NotReady, s.Agents = true, s.Agents[:1] },
			want: found{Targets: []target.Target{n0},
				Gaps: gap(target.NodePort, four, "", "node n1 is NotReady, so its node ports are not probed")}},
		{name: "a node that is ready stays a target when its agent is not", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Agents[1].NotReady = "pod is Pending" },
			want:   found{Targets: []target.Target{n0, n1}}},
		{name: "a Service without a node port is a gap that all agents have", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Services[0].NodePort = 0 },
			want:   found{Gaps: gap(target.NodePort, four, "", "no agent Service has a node port for IPv4")}},
		{name: "with an external traffic policy of Local the agents of the node alone stand behind its port",
			build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Services[0].ExternalLocal = true },
			want:   found{Targets: []target.Target{only(n0, "n0"), only(n1, "n1")}}},
		{name: "and a node without a ready agent is left out, without a gap", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) {
				s.Services[0].ExternalLocal, s.Agents[1].NotReady = true,
					"pod is Pending"
			},
			want: found{Targets: []target.Target{only(n0, "n0")}}},
		{name: "nor is one whose agent lacks the family", build: nodeport.Targets, family: six,
			change: func(s *topology.Snapshot) {
				s.Services[1].ExternalLocal = true
				s.Nodes[0], s.Nodes[1] = topology.Node{Name: "n0", Addresses: addresses("fd98:18::a")},
					topology.Node{Name: "n1", Addresses: addresses("fd98:18::b")}
				s.Agents[1].Addresses = addresses("198.19.1.2")
			},
			want: found{Targets: []target.Target{only(n0Six, "n0")}}},
		{name: "but no node at all is a gap", build: nodeport.Targets, family: six,
			change: func(s *topology.Snapshot) {
				s.Services[1].ExternalLocal, s.Nodes = true, s.Nodes[:1]
				s.Agents[0].Addresses = addresses("198.19.0.2")
			},
			want: found{Gaps: gap(target.NodePort, six, "", "no node that is ready has an agent that its node port "+
				"may lead to over IPv6")}},
		{name: "with local nodes it is the primary address of the source's own", build: nodeport.Targets, family: four,
			nodes: target.LocalNode,
			want:  found{Targets: []target.Target{n0}}},
		{name: "and of another source another", build: nodeport.Targets, family: four, nodes: target.LocalNode,
			source: 1,
			want:   found{Targets: []target.Target{n1}}},
		{name: "also on a node that is not ready, whose agent measures all the same", build: nodeport.Targets,
			family: four, nodes: target.LocalNode, source: 1,
			change: func(s *topology.Snapshot) { s.Nodes[1].NotReady = true },
			want:   found{Targets: []target.Target{n1}}},
		{name: "with local nodes one without an address of the family is a gap of that node", build: nodeport.Targets,
			family: six, nodes: target.LocalNode, source: 1,
			want: found{Gaps: gap(target.NodePort, six, "n1", "node n1 has no IPv6 address")}},
		{name: "with local nodes and a policy of Local one whose agent lacks the family is a gap of that node",
			build: nodeport.Targets, family: six, nodes: target.LocalNode,
			change: func(s *topology.Snapshot) {
				s.Services[1].ExternalLocal, s.Agents[0].Addresses = true, addresses("198.19.0.2")
			},
			want: found{Gaps: gap(target.NodePort, six, "n0", "node n0 has no agent that its node port may lead to "+
				"over IPv6")}},
	})
}

func TestNodePortsByAddress(t *testing.T) {
	four := topology.IPv4
	at := func(address string, further, external bool) target.Target {
		made := port4("n0", address)
		made.Further, made.External = further, external
		return made
	}
	// one is a node with the addresses in their order, of which external ones are ExternalIPs.
	one := func(all []string, external ...string) func(*topology.Snapshot) {
		return func(s *topology.Snapshot) {
			s.Nodes = []topology.Node{{Name: "n0", Addresses: addresses(all...), External: addresses(external...)}}
		}
	}
	several := one([]string{"198.18.0.10", "198.18.0.99", "203.0.113.5"}, "203.0.113.5")
	outer := one([]string{"203.0.113.5", "203.0.113.6"}, "203.0.113.5", "203.0.113.6")
	primary, further, external := at("198.18.0.10", false, false), at("198.18.0.99", true, false),
		at("203.0.113.5", true, true)
	run(t, []testCase{
		{name: "what is missing is the primary address", build: nodeport.Targets, family: four, change: several,
			want: found{Targets: []target.Target{primary}}},
		{name: "Primary is the first InternalIP", build: nodeport.Targets, family: four, by: target.PrimaryAddress,
			change: several, want: found{Targets: []target.Target{primary}}},
		{name: "Primary is the first InternalIP, wherever it stands", build: nodeport.Targets, family: four,
			change: one([]string{"203.0.113.5", "198.18.0.10"}, "203.0.113.5"),
			want:   found{Targets: []target.Target{primary}}},
		{name: "Primary is the first ExternalIP where there is no InternalIP", build: nodeport.Targets, family: four,
			change: outer,
			want:   found{Targets: []target.Target{at("203.0.113.5", false, true)}}},
		{name: "Internal is every InternalIP", build: nodeport.Targets, family: four, by: target.InternalAddresses,
			change: several, want: found{Targets: []target.Target{primary, further}}},
		{name: "Internal without an InternalIP is a gap", build: nodeport.Targets, family: four,
			by: target.InternalAddresses, change: outer,
			want: found{Gaps: gap(target.NodePort, four, "", "node n0 has no IPv4 InternalIP")}},
		{name: "All is every address", build: nodeport.Targets, family: four, by: target.AllAddresses, change: several,
			want: found{Targets: []target.Target{primary, further, external}}},
		{name: "All of the agent's own node", build: nodeport.Targets, family: four, by: target.AllAddresses,
			nodes: target.LocalNode, change: several,
			want: found{Targets: []target.Target{primary, further, external}}},
		{name: "Internal of the agent's own node, which has none, is a gap of that node", build: nodeport.Targets,
			family: four, by: target.InternalAddresses, nodes: target.LocalNode, change: outer,
			want: found{Gaps: gap(target.NodePort, four, "n0", "node n0 has no IPv4 InternalIP")}},
		{name: "an address that nobody can reach is left out for the next", build: nodeport.Targets, family: four,
			change: one([]string{"169.254.0.1", "198.18.0.10"}),
			want:   found{Targets: []target.Target{primary}}},
		{name: "addresses of which nobody can reach any are a gap that names them", build: nodeport.Targets,
			family: four, by: target.AllAddresses,
			change: one([]string{"224.0.0.1", "127.0.0.1", "::ffff:198.18.0.10"}),
			want: found{Gaps: gap(target.NodePort, four, "",
				"node n0 has no IPv4 address that other nodes can reach: 224.0.0.1 is a multicast address, 127.0.0.1 "+
					"is a loopback address, ::ffff:198.18.0.10 is an IPv4-mapped address")}},
		{name: "an address of the other family is left out", build: nodeport.Targets, family: four,
			change: one([]string{"fe80::1"}),
			want:   found{Gaps: gap(target.NodePort, four, "", "node n0 has no IPv4 address")}},
	})
}

func TestNodePortsOfNodesThatShareAnAddress(t *testing.T) {
	four := topology.IPv4
	twins := func(change func([]topology.Node)) func(*topology.Snapshot) {
		return func(s *topology.Snapshot) {
			s.Nodes = []topology.Node{{Name: "n0", Addresses: addresses("198.18.0.10", "198.18.0.99")},
				{Name: "n1", Addresses: addresses("198.18.0.10", "198.18.0.99")},
				{Name: "n2", Addresses: addresses("198.18.0.12", "198.18.0.99")}}
			if change != nil {
				change(s.Nodes)
			}
		}
	}
	both := gap(target.NodePort, four, "", "nodes n0 and n1 have the same address 198.18.0.10, so nobody can tell "+
		"whose node port answers there")
	further := port4("n0", "198.18.0.99")
	further.Further = true
	run(t, []testCase{
		{name: "an address of two nodes is probed once and is a gap that names both", build: nodeport.Targets,
			family: four, change: twins(nil),
			want: found{Targets: []target.Target{port4("n0", "198.18.0.10"), port4("n2", "198.18.0.12")}, Gaps: both}},
		{name: "every shared address is", build: nodeport.Targets, family: four, by: target.AllAddresses,
			change: twins(nil),
			want: found{Targets: []target.Target{port4("n0", "198.18.0.10"), further, port4("n2", "198.18.0.12")},
				Gaps: append(both[:1:1],
					gap(target.NodePort, four, "", "nodes n0, n1 and n2 have the same address 198.18.0.99, so nobody "+
						"can tell whose node port answers there")...)}},
		{name: "two node ports at it are one gap", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) {
				twins(nil)(s)
				s.Nodes = s.Nodes[:2]
				s.Services = append(s.Services[:1:1], s.Services[0])
				s.Services[1].NodePort = 30081
			},
			want: found{Targets: []target.Target{port4("n0", "198.18.0.10"),
				port(four, "n0", "AgentNodePortV4IP_198.18.0.10_30081", "http://198.18.0.10:30081")}, Gaps: both}},
		{name: "with a policy of Local nobody knows who ought to answer, so it is not probed", build: nodeport.Targets,
			family: four,
			change: func(s *topology.Snapshot) {
				twins(nil)(s)
				s.Services[0].ExternalLocal = true
			},
			want: found{Gaps: both}},
		{name: "a node that is not ready shares nothing", build: nodeport.Targets, family: four,
			change: twins(func(n []topology.Node) { n[1].NotReady, n[1].Removing = true, "it goes" }),
			want:   found{Targets: []target.Target{port4("n0", "198.18.0.10"), port4("n2", "198.18.0.12")}}},
		{name: "of the agent's own node it is a gap too", build: nodeport.Targets, family: four,
			nodes: target.LocalNode, source: 1, change: twins(nil),
			want: found{Targets: []target.Target{port4("n1", "198.18.0.10")}, Gaps: both}},
		{name: "also of one that is not ready", build: nodeport.Targets, family: four, nodes: target.LocalNode,
			change: twins(func(n []topology.Node) { n[0].NotReady = true }),
			want:   found{Targets: []target.Target{port4("n0", "198.18.0.10")}, Gaps: both}},
		{name: "but not beside one that is not ready", build: nodeport.Targets, family: four, nodes: target.LocalNode,
			change: twins(func(n []topology.Node) { n[1].NotReady = true }),
			want:   found{Targets: []target.Target{port4("n0", "198.18.0.10")}}},
	})
}

func TestNodesWhoseNodePortsAreNotProbed(t *testing.T) {
	four := topology.IPv4
	n0 := port4("n0", "198.18.0.10")
	run(t, []testCase{
		{name: "a virtual node is left out", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Nodes[1].NoNodePorts = "it is virtual" },
			want:   found{Targets: []target.Target{n0}}},
		{name: "a virtual node that is not ready, too", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Nodes[1].NoNodePorts, s.Nodes[1].NotReady = "it is virtual", true },
			want:   found{Targets: []target.Target{n0}}},
		{name: "a node that stopped because it is removed, too", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Nodes[1].Removing, s.Nodes[1].NotReady = "it goes", true },
			want:   found{Targets: []target.Target{n0}}},
		{name: "a node that is removed and ready is a target", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Nodes = s.Nodes[:1]; s.Nodes[0].Removing = "it goes" },
			want:   found{Targets: []target.Target{n0}}},
		{name: "no other node at all is a gap", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Nodes = s.Nodes[:1]; s.Nodes[0].NoNodePorts = "it is virtual" },
			want: found{Gaps: gap(target.NodePort, four, "", "no node that is ready has an agent that its node "+
				"port may lead to over IPv4")}},
		{name: "the agent's own virtual node has no target", build: nodeport.Targets, family: four,
			nodes:  target.LocalNode,
			change: func(s *topology.Snapshot) { s.Nodes[0].NoNodePorts = "it is virtual" }},
	})
}
