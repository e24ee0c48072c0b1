package ladder_test

import (
	"fmt"
	"net/netip"
	"testing"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

func TestACloserLookTakesInNodesThatDoNotHaveTheirTurn(t *testing.T) {
	s := cluster(1000)
	s.DNS = nil
	for i := range byte(12) {
		s.DNS = append(s.DNS, topology.DNSServer{Pod: fmt.Sprintf("dns-%d", i), Node: "n0001",
			Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 1, i}), 53)})
	}
	own, witnesses, servers := map[ladder.Rung]int{}, map[string]bool{}, map[string]bool{}
	look := ladder.Look{Nodes: []string{"n0600"}}
	for _, sender := range ladder.Further(s, ladder.Options{Families: both()[:1]}, look) {
		for _, p := range sender.Probes {
			switch {
			case p.Of.From != sender.Agent.Node:
				t.Errorf("the agent of %s sends %+v", sender.Agent.Node, p.Of)
			case p.Of.Rung == ladder.DNSPod:
				servers[p.Of.Service] = true
			case p.Of.From == "n0600":
				own[p.Of.Rung]++
			default:
				witnesses[p.Of.From] = true
			}
		}
	}
	for _, rung := range []ladder.Rung{ladder.HostToOwnPod, ladder.PodToOwnHost, ladder.PodToPod, ladder.HostToHost} {
		if own[rung] == 0 {
			t.Errorf("n0600 sends no %s", rung)
		}
	}
	if len(witnesses) != 4 || len(servers) != 10 {
		t.Errorf("%d other nodes probe it, want 4; it asks %d DNS servers, want 10", len(witnesses), len(servers))
	}
}

func TestPodsAreAskedAtTheirOwnAddresses(t *testing.T) {
	look := ladder.Look{Askers: []string{"n0001", "n0002"}, Pods: []string{"n0002", "n0003", "gone"}}
	for _, counted := range []bool{false, true} {
		var asked int
		for _, sender := range ladder.Further(cluster(5), ladder.Options{Families: both()[:1],
			Counted: map[ladder.Rung]bool{ladder.PodToPod: counted}}, look) {
			for _, p := range sender.Probes {
				if p.Of.Rung != ladder.PodToPod || p.Of.Method != ladder.HTTP || p.Of.To == p.Of.From {
					t.Errorf("%+v is sent", p.Of)
				}
				asked++
			}
		}
		if want := map[bool]int{false: 3, true: 0}[counted]; asked != want {
			t.Errorf("counted %v: %d requests, want %d", counted, asked, want)
		}
	}
}
