package infer_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// between adds n counted requests from each pod to each pod on another node.
func between(in infer.Input, s topology.Snapshot, n uint64, is broken) infer.Input {
	for _, from := range s.Nodes {
		for _, to := range s.Nodes {
			for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
				o := ladder.Observation{Rung: ladder.PodToPod, From: from.Name, To: to.Name, Family: family,
					Method: ladder.HTTP, Counted: true}
				o.Sent = n
				if from.Name == to.Name {
					continue
				}
				failed, how := is(o, n)
				if o.Answered = n - failed; failed > 0 {
					o.Failures = map[ladder.Failure]uint64{how: failed}
				}
				in.Observations = append(in.Observations, o)
			}
		}
	}
	return in
}

// duplicated is a node whose address another machine answers for now and then: no request gets in, and two of five
// probes to and from the node are lost.
func duplicated(node string) broken {
	return func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		switch {
		case len(o.Backends) > 0 || o.Rung == ladder.SecondInterface || !touches(o, node):
			return 0, ""
		case o.Counted && o.To == node:
			return n, ladder.NoAnswer
		case o.Counted:
			return 0, ""
		}
		return 2 * n / 5, ladder.NoAnswer
	}
}

func TestNodesBesideOneThatRequestsDoNotReachAreNotBlamed(t *testing.T) {
	for _, nodes := range []int{3, 4, 8} {
		s := cluster(nodes, true)
		is := duplicated("n1")
		found := infer.Find(counted(between(seen(s, is), s, 80, is), s, 80, is))
		if len(found) == 0 {
			t.Errorf("%d nodes: nothing is found", nodes)
		}
		for _, f := range found {
			if f.Component.Node != "n1" && f.Component.Peer != "n1" {
				t.Errorf("%d nodes: found %+v, %d of %d; only n1 is broken", nodes, f.Component, f.Explained, f.Crossed)
			}
		}
	}
}
