package infer_test

import (
	"math/rand/v2"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// journey draws one probe: the node where its Service was translated, if any, and the node at which it ended.
func journey(o ladder.Observation, chance *rand.Rand) (at, end string) {
	if len(o.Backends) == 0 {
		return o.From, o.To
	}
	at = o.From
	if o.Rung == ladder.NodePort && o.At != "" {
		at = o.At
	}
	return at, o.Backends[chance.IntN(len(o.Backends))]
}

// lossyWithHairpin is a node n2 that loses a fifth of what crosses its network, and a node n1 whose pod does not reach
// itself through the Service.
func lossyWithHairpin(chance *rand.Rand) broken {
	crosses := func(from, to string) bool { return from != to && (from == "n2" || to == "n2") }
	return func(o ladder.Observation, n uint64) (lost uint64, how ladder.Failure) {
		for range n {
			at, end := journey(o, chance)
			fails := o.Rung == ladder.ClusterIP && o.From == "n1" && end == "n1" ||
				o.Rung == ladder.NodePort && o.From == "n1" && at == "n1" && end == "n1"
			for _, part := range [][2]string{{o.From, at}, {at, end}} {
				fails = fails || end != "" && crosses(part[0], part[1]) && chance.IntN(5) == 0
			}
			if fails {
				lost++
			}
		}
		return lost, ladder.NoAnswer
	}
}

func TestAFaultIsFoundBesideALossyNodeThatExplainsSomeOfItsFailures(t *testing.T) {
	const rounds, least = 10, 6
	both := 0
	for seed := range uint64(rounds) {
		s := cluster(4, true)
		is := lossyWithHairpin(rand.New(rand.NewPCG(seed, seed)))
		found := infer.Find(counted(seen(s, is), s, 80, is))
		want := []infer.Component{{Part: infer.NodeNetwork, Node: "n2"}, {Part: infer.KubeProxy, Node: "n1"}}
		for i, f := range found {
			if i >= len(want) || f.Component != want[i] {
				t.Errorf("seed %d: found %+v, %d of %d; nothing is broken there", seed, f.Component, f.Explained, f.Crossed)
			}
		}
		if len(found) == len(want) {
			both++
		}
	}
	if both < least {
		t.Errorf("both faults were found in %d of %d rounds, want at least %d", both, rounds, least)
	}
}
