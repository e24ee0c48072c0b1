package target_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/target/nodeport"
	"kdoctor.io/kdoctor/internal/topology"
)

func TestNodePorts(t *testing.T) {
	four, six := topology.IPv4, topology.IPv6
	at := func(family topology.Family, id, url, onlyNode string) target.Target {
		made := http(target.NodePort, family, id, url, "", "")
		made.OnlyNode = onlyNode
		return made
	}
	n0 := at(four, "AgentNodePortV4IP_198.18.0.10_30080", "http://198.18.0.10:30080", "")
	n0Further := at(four, "AgentNodePortV4IP_198.18.0.99_30080", "http://198.18.0.99:30080", "")
	n1 := at(four, "AgentNodePortV4IP_198.18.0.11_30080", "http://198.18.0.11:30080", "")
	n0Six := at(six, "AgentNodePortV6IP_fd98:18::a_30081", "http://[fd98:18::a]:30081", "")
	only := func(made target.Target, node string) target.Target {
		made.OnlyNode = node
		return made
	}
	run(t, []testCase{
		{name: "every address of every node is a target", build: nodeport.Targets, family: four, want: found{Targets: []target.Target{n0, n0Further, n1}}},
		{name: "all nodes are what is meant when they are named", build: nodeport.Targets, family: four, nodes: target.AllNodes, want: found{Targets: []target.Target{n0, n0Further, n1}}},
		{name: "another source has the same targets", build: nodeport.Targets, family: four, source: 1, want: found{Targets: []target.Target{n0, n0Further, n1}}},
		{name: "a node without an agent is a target too", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Agents = s.Agents[:1] }, want: found{Targets: []target.Target{n0, n0Further, n1}}},
		{name: "a node without an address of the family is a gap that all agents have", build: nodeport.Targets, family: six,
			want: found{Targets: []target.Target{n0Six}, Gaps: gap(target.NodePort, six, "", "node n1 has no IPv6 address")}},
		{name: "a node that is not ready is left out where its agent tells of it", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Nodes[1].NotReady, s.Agents[1].NotReady = true, "node n1 is NotReady" },
			want:   found{Targets: []target.Target{n0, n0Further}}},
		{name: "a node that is not ready is a gap where its agent is ready", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Nodes[1].NotReady = true },
			want:   found{Targets: []target.Target{n0, n0Further}, Gaps: gap(target.NodePort, four, "", "node n1 is NotReady, so its node ports are not probed")}},
		{name: "a node that is not ready is a gap where it has no agent", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Nodes[1].NotReady, s.Agents = true, s.Agents[:1] },
			want:   found{Targets: []target.Target{n0, n0Further}, Gaps: gap(target.NodePort, four, "", "node n1 is NotReady, so its node ports are not probed")}},
		{name: "a node that is ready stays a target when its agent is not", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Agents[1].NotReady = "pod is Pending" },
			want:   found{Targets: []target.Target{n0, n0Further, n1}}},
		{name: "a Service without a node port is a gap that all agents have", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Services[0].NodePort = 0 },
			want:   found{Gaps: gap(target.NodePort, four, "", "no agent Service has a node port for IPv4")}},
		{name: "with an external traffic policy of Local the agents of the node alone stand behind its port", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Services[0].ExternalLocal = true },
			want:   found{Targets: []target.Target{only(n0, "n0"), only(n0Further, "n0"), only(n1, "n1")}}},
		{name: "and a node without a ready agent is none, without a word", build: nodeport.Targets, family: four,
			change: func(s *topology.Snapshot) { s.Services[0].ExternalLocal, s.Agents[1].NotReady = true, "pod is Pending" },
			want:   found{Targets: []target.Target{only(n0, "n0"), only(n0Further, "n0")}}},
		{name: "nor is one whose agent lacks the family", build: nodeport.Targets, family: six,
			change: func(s *topology.Snapshot) {
				s.Services[1].ExternalLocal = true
				s.Nodes[0], s.Nodes[1] = topology.Node{Name: "n0", Addresses: addresses("fd98:18::a")}, topology.Node{Name: "n1", Addresses: addresses("fd98:18::b")}
				s.Agents[1].Addresses = addresses("198.19.1.2")
			},
			want: found{Targets: []target.Target{only(n0Six, "n0")}}},
		{name: "but no node at all is a gap", build: nodeport.Targets, family: six,
			change: func(s *topology.Snapshot) {
				s.Services[1].ExternalLocal, s.Nodes = true, s.Nodes[:1]
				s.Agents[0].Addresses = addresses("198.19.0.2")
			},
			want: found{Gaps: gap(target.NodePort, six, "", "no node that is ready has an agent that its node port may lead to over IPv6")}},
		{name: "with local nodes it is the first address of the source's own", build: nodeport.Targets, family: four, nodes: target.LocalNode,
			want: found{Targets: []target.Target{n0}}},
		{name: "and of another source another", build: nodeport.Targets, family: four, nodes: target.LocalNode, source: 1,
			want: found{Targets: []target.Target{n1}}},
		{name: "also on a node that is not ready, whose agent measures all the same", build: nodeport.Targets, family: four, nodes: target.LocalNode, source: 1,
			change: func(s *topology.Snapshot) { s.Nodes[1].NotReady = true },
			want:   found{Targets: []target.Target{n1}}},
		{name: "with local nodes one without an address of the family is a gap of that node", build: nodeport.Targets, family: six, nodes: target.LocalNode, source: 1,
			want: found{Gaps: gap(target.NodePort, six, "n1", "node n1 has no IPv6 address")}},
		{name: "with local nodes and a policy of Local one whose agent lacks the family is a gap of that node", build: nodeport.Targets, family: six, nodes: target.LocalNode,
			change: func(s *topology.Snapshot) {
				s.Services[1].ExternalLocal, s.Agents[0].Addresses = true, addresses("198.19.0.2")
			},
			want: found{Gaps: gap(target.NodePort, six, "n0", "node n0 has no agent that its node port may lead to over IPv6")}},
	})
}
