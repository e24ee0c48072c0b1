package infer_test

import (
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// joins reports whether the observation is of packets between the two nodes, in either direction.
func joins(o ladder.Observation, a, b string) bool {
	return o.From == a && o.To == b || o.From == b && o.To == a
}

// What one fault explains in part does not hide another.
func TestTwoFaultsOfWhichOneExplainsAPartOfTheOther(t *testing.T) {
	pods := func(o ladder.Observation) bool { return o.Rung == ladder.PodToPod }
	tunnel := func(o ladder.Observation) bool { return pods(o) || o.Rung == ladder.HostToPod }
	for _, c := range []struct {
		name  string
		nodes int
		fails func(o ladder.Observation) bool
		want  []infer.Component
	}{
		{"the DNS Service, and the node of one of two DNS servers", 12, func(o ladder.Observation) bool {
			return o.Rung == ladder.DNSService || o.To == "n0" || o.At == "n0"
		}, []infer.Component{{Part: infer.NodeNetwork, Node: "n0"}, {Part: infer.DNSService}}},
		{"two pairs at one node, one of them in one direction", 6, func(o ladder.Observation) bool {
			return tunnel(o) && joins(o, "n1", "n2") || pods(o) && o.From == "n2" && o.To == "n5"
		}, []infer.Component{{Part: infer.PodPair, Node: "n1", Peer: "n2"},
			{Part: infer.PolicyPair, Node: "n2", Peer: "n5"}}},
		{"a pair at a node whose tunnel loses IPv6", 10, func(o ladder.Observation) bool {
			elsewhere := o.From != "n4" && o.To != "n4"
			return tunnel(o) && (joins(o, "n1", "n4") || !elsewhere && o.Family == topology.IPv6)
		}, []infer.Component{{Part: infer.Overlay, Node: "n4"}, {Part: infer.PodPair, Node: "n1", Peer: "n4"}}},
		{"two pairs whose filters lie between the same zones", 4, func(o ladder.Observation) bool {
			return pods(o) && (joins(o, "n0", "n1") || joins(o, "n2", "n3"))
		}, []infer.Component{{Part: infer.PolicyPair, Node: "n0", Peer: "n1"},
			{Part: infer.PolicyPair, Node: "n2", Peer: "n3"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := seen(cluster(c.nodes, true), func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
				if o.From != o.To && c.fails(o) {
					return n, ladder.NoAnswer
				}
				return 0, ""
			})
			in.Observations = slices.DeleteFunc(in.Observations,
				func(o ladder.Observation) bool { return c.want[0].Part == infer.NodeNetwork && o.From == "n0" })
			var got []infer.Component
			for _, f := range infer.Find(in) {
				got = append(got, f.Component)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %+v, want %+v", got, c.want)
			}
		})
	}
}

// Two machines with one pod's address take it from some nodes wholly, and from others not at all.
func TestTwoBrokenWaysBetweenPodsAtOneNodeAreTheNodes(t *testing.T) {
	found := infer.Find(seen(cluster(10, true), func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		toPod := o.Rung == ladder.PodToPod || o.Rung == ladder.HostToPod
		if toPod && (joins(o, "n1", "n8") || joins(o, "n2", "n8")) {
			return n, ladder.NoAnswer
		}
		return 0, ""
	}))
	if len(found) != 1 || found[0].Component.Node != "n8" || found[0].Component.Peer != "" {
		t.Errorf("found %+v, want n8 alone", found)
	}
}

// Two machines with one node's address take it from some nodes wholly, and from others in part.
func TestAPairBesideAPartOfANodesNetworkIsTheNode(t *testing.T) {
	network := func(o ladder.Observation) bool {
		switch o.Rung {
		case ladder.PodToPod, ladder.HostToPod, ladder.HostToHost, ladder.PodToHost:
			return true
		}
		return false
	}
	found := infer.Find(seen(cluster(10, true), func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		host := o.Rung == ladder.HostToHost || o.Rung == ladder.PodToHost
		if network(o) && (joins(o, "n0", "n1") || host && o.From == "n8" && o.To == "n1") {
			return n, ladder.NoAnswer
		}
		return 0, ""
	}))
	if len(found) != 1 || found[0].Component != (infer.Component{Part: infer.NodeNetwork, Node: "n1"}) {
		t.Errorf("found %+v, want the network of n1 alone", found)
	}
}
