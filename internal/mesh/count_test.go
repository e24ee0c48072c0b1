package mesh_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// drawn returns a small cluster at random: nodes without agents, agents that are not ready or share a node, nodes
// without an address, and Services of all policies.
func drawn(r *rand.Rand) topology.Snapshot {
	address := func(net, n int) []netip.Addr {
		all := []netip.Addr{netip.AddrFrom4([4]byte{198, 18, byte(net), byte(n)}),
			netip.MustParseAddr(fmt.Sprintf("fd98:%d::%d", net, n+1))}
		return all[:r.IntN(3)]
	}
	var s topology.Snapshot
	for n := range r.IntN(6) {
		s.Nodes = append(s.Nodes, topology.Node{Name: fmt.Sprint("n", n), Addresses: address(1, r.IntN(5)),
			NotReady: r.IntN(4) == 0})
		if r.IntN(5) == 0 {
			s.Nodes[n].NoNodePorts = "it is a virtual node"
		}
		for a := range r.IntN(3) {
			agent := topology.Agent{Pod: fmt.Sprintf("a%d-%d", n, a), Node: s.Nodes[n].Name, HTTPPort: 80, ControlPort: 81,
				Addresses: address(2, 10*n+a)}
			if r.IntN(4) == 0 {
				agent.NotReady = "pod is Pending"
			}
			s.Agents = append(s.Agents, agent)
		}
	}
	if r.IntN(4) == 0 {
		s.Agents = append(s.Agents, topology.Agent{Pod: "lost", Node: "gone", HTTPPort: 80, ControlPort: 81,
			Addresses: address(3, 1)})
	}
	for n := range r.IntN(3) {
		s.Services = append(s.Services, topology.Service{Name: fmt.Sprint("s", n), Port: 80,
			NodePort: uint16(30000 + r.IntN(2)*(n+1)), ClusterIPs: address(4, r.IntN(2)), InternalLocal: r.IntN(2) == 0,
			ExternalLocal: r.IntN(2) == 0})
	}
	return s
}

func TestCountIsWhatThePlansHave(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	counted := map[int]bool{}
	for round := range 3000 {
		s := drawn(r)
		want := mesh.Want{Families: []topology.Family{topology.IPv4, topology.IPv6}[r.IntN(2):],
			NodeAddresses: target.AllAddresses}
		for _, row := range target.Kinds() {
			if r.IntN(2) == 0 {
				want.Kinds = append(want.Kinds, row.Kind, row.Kind)
			}
		}
		if r.IntN(2) == 0 {
			want.NodePorts = target.LocalNode
		}
		ready, most := 0, 0
		for _, a := range s.Agents {
			if a.Ready() {
				ready++
			}
		}
		for _, p := range mesh.New(schedule.Key{}, report.TaskRef{}, s, want).Plans {
			most = max(most, len(p.Targets))
		}
		agents, targets := mesh.Count(s, want)
		if agents != ready || targets != most {
			t.Fatalf("round %d: %d agents have up to %d targets, want %d with %d; %+v of %+v", round, agents, targets,
				ready, most, want, s)
		}
		counted[targets] = true
	}
	if len(counted) < 10 {
		t.Errorf("the numbers of targets were only %v", counted)
	}
}

// BenchmarkCount counts the node ports of the agents' own nodes at 5,000 nodes, the kind that differs between agents.
func BenchmarkCount(b *testing.B) {
	var s topology.Snapshot
	for n := range 5000 {
		name, address := fmt.Sprintf("node-%04d", n), netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
		s.Nodes = append(s.Nodes, topology.Node{Name: name, Addresses: []netip.Addr{address}})
		s.Agents = append(s.Agents, topology.Agent{Pod: "agent-" + name, Node: name, HTTPPort: 80, ControlPort: 81,
			Addresses: []netip.Addr{address}})
	}
	s.Services = []topology.Service{{Name: "s", Port: 80, NodePort: 30080, ExternalLocal: true,
		ClusterIPs: []netip.Addr{netip.MustParseAddr("203.0.113.1")}}}
	want := mesh.Want{Kinds: []target.Kind{target.Endpoint, target.NodePort}, NodePorts: target.LocalNode,
		Families: []topology.Family{topology.IPv4}}
	for b.Loop() {
		if agents, most := mesh.Count(s, want); agents != 5000 || most != 5001 {
			b.Fatalf("%d agents have up to %d targets", agents, most)
		}
	}
}
