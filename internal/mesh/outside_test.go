package mesh_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// ports is the mesh of the snapshot with node ports over IPv4.
func ports(s topology.Snapshot, nodes target.Nodes, kinds ...target.Kind) mesh.Mesh {
	return mesh.New(schedule.Key{}, report.TaskRef{}, s,
		mesh.Want{Kinds: kinds, NodePorts: nodes, Families: []topology.Family{topology.IPv4}})
}

func TestNodesThatTheRoundDoesNotLookAt(t *testing.T) {
	both := []target.Kind{target.Endpoint, target.NodePort}
	for name, c := range map[string]struct {
		change func([]topology.Node)
		nodes  target.Nodes
		kinds  []target.Kind
		want   []report.Outside
	}{
		"none, where all have an agent or ought to": {func([]topology.Node) {}, "", both, nil},
		"those that are outside, in the order of their names": {func(n []topology.Node) {
			n[0].Outside, n[2].Outside,
				n[0].Name, n[2].Name = "x", "y", "n9", "n3"
		}, "", both,
			[]report.Outside{{Node: "n3", Reason: "y"}, {Node: "n9", Reason: "x"}}},
		"one without node ports": {func(n []topology.Node) { n[1].NoNodePorts = "it is virtual" }, "", both,
			[]report.Outside{{Node: "n2", Reason: "its node ports are not probed, because it is virtual"}}},
		"one without node ports that is outside, too": {func(n []topology.Node) {
			n[2].NoNodePorts, n[2].Outside = "it is virtual", "its taint is not tolerated"
		}, "", both,
			[]report.Outside{{Node: "n3", Reason: "its taint is not tolerated; its node ports are not probed, " +
				"because it is virtual"}}},
		"one that stopped because it is removed": {func(n []topology.Node) {
			n[2].Removing, n[2].Outside,
				n[2].NotReady = "it goes", "it goes", true
		}, "", both,
			[]report.Outside{{Node: "n3", Reason: "it goes, so its node ports are not probed either"}}},
		"one that stopped because it is removed, with an agent": {func(n []topology.Node) {
			n[1].Removing,
				n[1].NotReady = "it goes", true
		}, "", both,
			[]report.Outside{{Node: "n2", Reason: "its node ports are not probed, because it goes"}}},
		"not one that is removed and goes on": {func(n []topology.Node) { n[1].Removing = "it goes" },
			"", both, nil},
		"not one without node ports where nobody asks for them": {func(
			n []topology.Node) {
			n[1].NoNodePorts = "it is virtual"
		}, "", []target.Kind{target.Endpoint}, nil},
		"an agent's own, where those alone are probed": {func(n []topology.Node) { n[1].NoNodePorts = "it is virtual" },
			target.LocalNode, both,
			[]report.Outside{{Node: "n2", Reason: "its node ports are not probed, because it is virtual"}}},
		"not one without an agent there": {func(
			n []topology.Node) {
			n[2].NoNodePorts = "it is virtual"
		}, target.LocalNode, both, nil},
		"not one there whose agent takes no part": {func(n []topology.Node) {
			n[2].NoNodePorts,
				n[2].Name = "it is virtual", "n4"
		}, target.LocalNode, both, nil},
		"not one that stopped there, whose agent measures it": {func(n []topology.Node) {
			n[1].Removing,
				n[1].NotReady = "it goes", true
		}, target.LocalNode, both, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := twoNodes()
			s.Agents = append(s.Agents, topology.Agent{Pod: "d", Node: "n4", NotReady: "pod is Pending"})
			c.change(s.Nodes)
			if diff := cmp.Diff(c.want, ports(s, c.nodes, c.kinds...).Outside); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNodesThatShareAnAddressAreAGap(t *testing.T) {
	s := twoNodes()
	s.Nodes[1].Addresses = s.Nodes[0].Addresses
	m := ports(s, "", target.NodePort)
	want := []target.Gap{{Kind: target.NodePort, Family: topology.IPv4,
		Reason: "nodes n1 and n2 have the same address 198.51.100.1, so nobody can tell whose node port answers there"}}
	if diff := cmp.Diff(want, m.Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	if got := len(m.Plans[0].Targets); got != 2 {
		t.Errorf("%d node ports are probed, want those of the two addresses", got)
	}
}

func TestTargetsOfOneNameAreAGap(t *testing.T) {
	s := twoNodes()
	s.Agents = s.Agents[:1]
	s.Agents[0].Interfaces = []topology.Interface{{Name: "net1",
		Addresses: []netip.Addr{s.Agents[0].Addresses[0], netip.MustParseAddr("192.0.2.9")}}}
	m := ports(s, "", target.Endpoint, target.SecondInterface)
	want := []target.Gap{{Kind: target.SecondInterface, Family: topology.IPv4,
		Reason: "there are two targets named AgentPodV4IP_a_192.0.2.1, and only the first of them is probed"}}
	if diff := cmp.Diff(want, m.Gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"AgentPodV4IP_a_192.0.2.1", "AgentPodV4IP_a_192.0.2.9"},
		m.Expected[0].Targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

func TestNodePortsAreProbedByTheAddressesThatAreAskedFor(t *testing.T) {
	for by, want := range map[target.Addresses]int{"": 3, target.PrimaryAddress: 3, target.InternalAddresses: 4,
		target.AllAddresses: 5} {
		s := twoNodes()
		outer := netip.MustParseAddr("203.0.113.5")
		s.Nodes[0].Addresses = append(s.Nodes[0].Addresses, netip.MustParseAddr("198.51.100.9"), outer)
		s.Nodes[0].External = []netip.Addr{outer}
		m := mesh.New(schedule.Key{}, report.TaskRef{}, s,
			mesh.Want{Kinds: []target.Kind{target.NodePort}, NodeAddresses: by,
				Families: []topology.Family{topology.IPv4}})
		if got := len(m.Plans[0].Targets); got != want {
			t.Errorf("by %q %d node ports are probed, want %d", by, got, want)
		}
	}
}

func TestPlansShareTheirTargetsAndNothingThatOneOfThemMayGrow(t *testing.T) {
	m := ports(twoNodes(), "", target.Endpoint)
	if &m.Plans[0].Targets[0] != &m.Plans[1].Targets[0] || &m.Expected[0].Targets[0] != &m.Expected[1].Targets[0] {
		t.Error("the same targets are made for each plan")
	}
	if n := len(m.Plans[1].Targets); cap(m.Plans[1].Targets) != n || cap(m.Expected[1].Targets) != n {
		t.Errorf("plans of %d targets have room for %d, names for %d", n, cap(m.Plans[1].Targets),
			cap(m.Expected[1].Targets))
	}
}
