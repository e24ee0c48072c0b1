package infer_test

import (
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// asked has the observations of n requests from each node to the cluster address of a Service with a backend on each,
// of which some are lost, and of as many probes between all pairs of nodes, which are all answered.
func asked(lost []uint64, n, between uint64, how ladder.Failure) infer.Input {
	nodes := []string{"n0", "n1", "n2"}
	in := infer.Input{}
	for i, from := range nodes {
		o := ladder.Observation{Rung: ladder.ClusterIP, From: from, Service: ladder.Agents, Family: topology.IPv4,
			Method: ladder.HTTP, Counted: true, Backends: nodes,
			Counts: ladder.Counts{Sent: n, Answered: n - lost[i]}}
		if lost[i] > 0 {
			o.Failures = map[ladder.Failure]uint64{how: lost[i]}
		}
		in.Observations = append(in.Observations, o)
		for _, to := range nodes {
			if to != from {
				in.Observations = append(in.Observations, ladder.Observation{Rung: ladder.PodToPod, From: from, To: to,
					Family: topology.IPv4, Method: ladder.UDP, Counts: ladder.Counts{Sent: between, Answered: between}})
			}
		}
	}
	return in
}

func TestASlightLossOfAServiceMayBeOfANodesNetworkUnlessProbesExcludeIt(t *testing.T) {
	node := infer.Component{Part: infer.NodeNetwork, Node: "n1"}
	service := infer.Component{Part: infer.Service, Service: ladder.Agents}
	for _, c := range []struct {
		name    string
		in      infer.Input
		network bool
	}{
		{"few probes", asked([]uint64{3, 9, 3}, 300, 10, ladder.NoAnswer), true},
		{"many probes", asked([]uint64{3, 9, 3}, 300, 2000, ladder.NoAnswer), false},
		{"few probes, and answers that no loss gives", asked([]uint64{3, 9, 3}, 300, 10, ladder.Refused), false},
		{"few probes, and a third of all requests", asked([]uint64{100, 100, 100}, 300, 10, ladder.NoAnswer), false},
	} {
		found := infer.Find(c.in)
		if len(found) != 1 {
			t.Errorf("%s: %d faults, want one: %+v", c.name, len(found), found)
			continue
		}
		named := append([]infer.Component{found[0].Component}, found[0].Group...)
		if slices.Contains(named, node) != c.network || !c.network && found[0].Component == node {
			t.Errorf("%s: found %+v; want the network of n1 among it: %v", c.name, named, c.network)
		}
		if c.network && slices.Contains(named, service) && found[0].Component == service {
			t.Errorf("%s: the Service stands first, though it loses most at n1: %+v", c.name, named)
		}
	}
}
