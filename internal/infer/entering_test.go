package infer_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// ofService reports whether the observation's requests are led to one of several backends.
func ofService(o ladder.Observation) bool {
	return o.Rung == ladder.ClusterIP || o.Rung == ladder.HostClusterIP || o.Rung == ladder.NodePort
}

// intoPod is a filter at n1 for new connections that the node forwards to its pod, whoever asks.
func intoPod(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
	switch {
	case o.To == "n1" && o.From != "n1" && (o.Rung == ladder.PodToPod || o.Rung == ladder.HostToPod):
		return n, ladder.NoAnswer
	case o.Rung == ladder.HostClusterIP && o.From == "n1":
		return 0, ""
	case ofService(o):
		return away(o, "n1", n), ladder.NoAnswer
	}
	return 0, ""
}

// betweenPods is a filter at n1 and n2 for new connections between their pods, which sees who asks before the node puts
// its own address there.
func betweenPods(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
	other := map[string]string{"n1": "n2", "n2": "n1"}[o.From]
	switch {
	case other == "":
		return 0, ""
	case o.Rung == ladder.PodToPod && o.To == other:
		return n, ladder.NoAnswer
	case o.Rung == ladder.ClusterIP, o.Rung == ladder.NodePort && (o.At == o.From || o.At == other):
		return away(o, other, n), ladder.NoAnswer
	}
	return 0, ""
}

// withoutNeighbours is a node n1 that finds no other machine by IPv6, while pods' packets travel in a tunnel of IPv4.
func withoutNeighbours(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
	beyond := o.Rung == ladder.LoadBalancer || o.Rung == ladder.Ingress
	switch {
	case o.Family != topology.IPv6:
	case (o.Rung == ladder.HostToHost || o.Rung == ladder.PodToHost) && touches(o, "n1"),
		o.Rung == ladder.NodePort && o.At != "" && o.At != o.From && (o.At == "n1" || o.From == "n1"),
		beyond && o.From == "n1":
		return n, ladder.NoAnswer
	}
	return 0, ""
}

func TestWhatAKnownFaultDoesToNodePortsAndProxiesIsNoFurtherFault(t *testing.T) {
	for _, c := range []struct {
		name string
		is   broken
		want infer.Component
	}{
		{"filter for what is forwarded into one pod", intoPod, infer.Component{Part: infer.PolicyIn, Node: "n1"}},
		{"filter between two pods", betweenPods, infer.Component{Part: infer.PolicyPair, Node: "n1", Peer: "n2"}},
		{"no neighbours by IPv6", withoutNeighbours, infer.Component{Part: infer.NodeNetwork, Node: "n1"}},
		{"no neighbours by IPv6, but for pods that ask other hosts", func(o ladder.Observation, n uint64) (uint64,
			ladder.Failure) {
			if o.Rung == ladder.PodToHost && o.From == "n1" {
				return 0, ""
			}
			return withoutNeighbours(o, n)
		}, infer.Component{Part: infer.NodeNetwork, Node: "n1"}},
	} {
		s := cluster(3, true)
		in := counted(seen(s, c.is), s, 80, c.is)
		for _, rung := range []ladder.Rung{ladder.LoadBalancer, ladder.Ingress} {
			for _, from := range []string{"n0", "n1", "n2"} {
				for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
					o := ladder.Observation{Rung: rung, From: from, Service: string(rung), Family: family,
						Method: ladder.HTTP, Counted: true, Backends: []string{"n0", "n1", "n2"}}
					failed, how := c.is(o, 80)
					o.Counts = ladder.Counts{Sent: 80, Answered: 80 - failed}
					if failed > 0 {
						o.Failures = map[ladder.Failure]uint64{how: failed}
					}
					in.Observations = append(in.Observations, o)
				}
			}
		}
		found := infer.Find(in)
		if len(found) != 1 || found[0].Component != c.want {
			for _, f := range found {
				t.Logf("%s: found %+v %+v, %d of %d", c.name, f.Component, f.Aspect, f.Explained, f.Crossed)
			}
			t.Errorf("%s: want %+v alone", c.name, c.want)
		}
	}
}
