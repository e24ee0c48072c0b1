package infer

import (
	"fmt"
	"testing"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// halves is a cluster in two zones, where no node reaches the other zone. Each node asks sixteen others, half of them
// in its own zone, and n0 is reached by nobody.
func halves() Input {
	const nodes, peers = 7000, 16
	in := Input{Zones: map[string]string{}}
	name := func(i int) string { return fmt.Sprintf("n%d", i%nodes) }
	for i := range nodes {
		in.Zones[name(i)] = fmt.Sprintf("z%d", i%2)
		for k := 1; k <= peers; k++ {
			o := ladder.Observation{Rung: ladder.HostToHost, From: name(i), To: name(i + k), Family: topology.IPv4,
				Method: ladder.UDP}
			o.Sent, o.Passes, o.Answered = 9, 3, 9
			if k%2 == 1 || i == 0 || (i+k)%nodes == 0 {
				o.Answered, o.FailedPasses, o.Failures = 0, 3, map[ladder.Failure]uint64{ladder.NoAnswer: 9}
			}
			in.Observations = append(in.Observations, o)
		}
	}
	return in
}

func TestWhatIsLostInBulkBetweenZonesIsHeldAgainstNodesOnlyWhereMoreFails(t *testing.T) {
	in := halves()
	cut := newFinder(in).cut(direct)
	for i := range in.Observations {
		o := &in.Observations[i]
		broken := o.From == "n0" || o.To == "n0"
		across := in.Zones[o.From] != in.Zones[o.To]
		// The partners of n0 in its own zone fail there as well, and may be broken.
		if cut.has(o) && (broken || !across) || !cut.has(o) && across && !broken && i > 1000 && i < 100_000 {
			t.Fatalf("from %s to %s: held against zones alone is %t", o.From, o.To, cut.has(o))
		}
	}
	want := []Component{{Part: ZonePair, Node: "z0", Peer: "z1"}, {Part: NodeNetwork, Node: "n0"}}
	found := Find(in)
	for i, f := range found {
		if i >= len(want) || f.Component != want[i] {
			t.Errorf("found %+v, want %+v", f.Component, want)
		}
	}
	if len(found) != len(want) {
		t.Errorf("%d faults, want %d", len(found), len(want))
	}
}
