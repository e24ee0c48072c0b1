package infer_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// Of zones a, b, c with the nodes n0 and n3, n1, and n2, what n1 loses to zone a alone is the network between zones.
func TestTheOnlyNodeOfAZoneIsNotBlamedForTheWayToAnotherZone(t *testing.T) {
	zones := map[string]string{"n0": "a", "n1": "b", "n2": "c", "n3": "a"}
	between := func(o ladder.Observation, a, b string) bool {
		from, to := zones[o.From], zones[o.To]
		return from == a && to == b || from == b && to == a
	}
	large := func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		if o.Large && between(o, "a", "b") {
			return n, ladder.NoAnswer
		}
		return 0, ""
	}
	for _, c := range []struct {
		name string
		is   broken
		want infer.Component
	}{
		{"full-size packets between two zones", large, infer.Component{Part: infer.ZonePair, Node: "a", Peer: "b"}},
		{"full-size packets of the node everywhere", func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
			if o.Large && o.From != o.To && (o.From == "n1" || o.To == "n1") {
				return n, ladder.NoAnswer
			}
			return 0, ""
		}, infer.Component{Part: infer.NodeNetwork, Node: "n1"}},
		{"pods between two zones", func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
			if (o.Rung == ladder.PodToPod || o.Rung == ladder.HostToPod) && between(o, "a", "b") {
				return n, ladder.NoAnswer
			}
			return 0, ""
		}, infer.Component{Part: infer.ZonePodPair, Node: "a", Peer: "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := seen(cluster(4, true), c.is)
			in.Zones = zones
			found := infer.Find(in)
			if len(found) != 1 || found[0].Component != c.want {
				t.Errorf("found %+v, want %+v", found, c.want)
			}
		})
	}
}
