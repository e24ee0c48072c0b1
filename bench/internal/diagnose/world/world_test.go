package world

import (
	"testing"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

func TestEveryNodeIsAskedAsOftenAsItAsks(t *testing.T) {
	for _, c := range []struct {
		name         string
		nodes, zones int
		peers        int
	}{
		{"nine nodes ask all others", 9, 3, 8},
		{"four nodes in one zone ask all others", 4, 1, 3},
		{"ten nodes ask eight", 10, 3, 8},
		{"many nodes ask eight", 200, 3, 8},
		{"many nodes in one zone ask eight", 100, 1, 8},
	} {
		w := New(Config{Nodes: c.nodes, Zones: c.zones, Seed: 1})
		for number := range 3 {
			asks, asked := make([]int, c.nodes), make([]int, c.nodes)
			w.Each(number, func(p *Probe) {
				if p.Rung == ladder.PodToPod && p.Large && p.Family == topology.IPv4 {
					asks[p.From]++
					asked[p.To]++
				}
			})
			for i := range c.nodes {
				if asks[i] != c.peers || asked[i] != c.peers {
					t.Errorf("%s: in round %d node %d asks %d and is asked by %d; expected %d", c.name, number, i,
						asks[i], asked[i], c.peers)
				}
			}
		}
	}
}

func TestPeersAreInTheOwnZoneAndInOthers(t *testing.T) {
	w := New(Config{Nodes: 300, Zones: 3, Seed: 1})
	own, other := 0, map[int]bool{}
	w.EachOf(7, w.Offsets(0), func(p *Probe) {
		if p.Rung != ladder.SecondInterface {
			return
		}
		if w.Zone[p.To] == w.Zone[7] {
			own++
			return
		}
		other[w.Zone[p.To]] = true
	})
	if own != 4 || len(other) != 2 {
		t.Errorf("%d peers are in the own zone and the rest in %d others; expected 4 and 2", own, len(other))
	}
}

func TestPeersChangeWithTheRound(t *testing.T) {
	w := New(Config{Nodes: 100, Zones: 3, Seed: 1})
	first := map[int]bool{}
	for _, o := range w.Offsets(0) {
		first[o] = true
	}
	for _, o := range w.Offsets(1) {
		if first[o] {
			t.Errorf("distance %d is in the rounds 0 and 1", o)
		}
	}
}

func TestProbesOfANode(t *testing.T) {
	count := func(hosts bool) map[ladder.Rung]int {
		w := New(Config{Nodes: 50, Zones: 3, Seed: 1, WithoutHosts: !hosts})
		sent := map[ladder.Rung]int{}
		w.EachOf(3, w.Offsets(0), func(p *Probe) { sent[p.Rung] += p.Sent })
		return sent
	}
	full := count(true)
	for rung, want := range map[ladder.Rung]int{
		ladder.Self:            2 * 2 * Passes,
		ladder.HostToOwnPod:    2 * (2 + 1 + 1) * Passes,
		ladder.PodToOwnHost:    2 * Passes,
		ladder.PodToPod:        2 * 8 * (5*Passes + Counted),
		ladder.HostToHost:      2 * 8 * 4 * Passes,
		ladder.HostToPod:       2 * 8 * Passes,
		ladder.PodToHost:       2 * 8 * Passes,
		ladder.ClusterIP:       2 * 4 * Passes,
		ladder.HostClusterIP:   2 * 2 * Passes,
		ladder.NodePort:        2 * 3 * 2 * Passes,
		ladder.DNSService:      3 * Passes,
		ladder.DNSPod:          2 * Passes,
		ladder.APIServer:       2 * Passes,
		ladder.LoadBalancer:    2 * Passes,
		ladder.Ingress:         2 * Passes,
		ladder.SecondInterface: 8 * 2 * Passes,
	} {
		if full[rung] != want {
			t.Errorf("%s: %d probes, expected %d", rung, full[rung], want)
		}
	}
	pods := count(false)
	for _, rung := range []ladder.Rung{ladder.HostToOwnPod, ladder.PodToOwnHost, ladder.HostToHost, ladder.HostToPod,
		ladder.PodToHost, ladder.HostClusterIP} {
		if pods[rung] != 0 {
			t.Errorf("without agents in host networks there are %d probes of %s", pods[rung], rung)
		}
	}
	if pods[ladder.PodToPod] != full[ladder.PodToPod] {
		t.Errorf("without agents in host networks there are %d probes between pods", pods[ladder.PodToPod])
	}
}
