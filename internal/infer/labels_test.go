package infer_test

import (
	"fmt"
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// threeZones returns a cluster of n nodes; node i is in zone i modulo 3.
func threeZones(n int) topology.Snapshot {
	s := cluster(n, true)
	for i := range s.Nodes {
		s.Nodes[i].Zone = fmt.Sprintf("z%d", i%3)
	}
	return s
}

// apart is an overlay that carries nothing between zones z0 and z1.
func apart(s topology.Snapshot) broken {
	zones := map[string]string{}
	for _, n := range s.Nodes {
		zones[n.Name] = n.Zone
	}
	return all(ladder.NoAnswer, func(o ladder.Observation) bool {
		ends := []string{zones[o.From], zones[o.To]}
		return overlay(o) && slices.Contains(ends, "z0") && slices.Contains(ends, "z1")
	})
}

func TestAWrongZoneLabelIsNoBrokenNode(t *testing.T) {
	between := infer.Component{Part: infer.ZonePodPair, Node: "z0", Peer: "z1"}
	whole := func(topology.Snapshot) broken { return all("", func(ladder.Observation) bool { return false }) }
	beside := func(is broken) func(topology.Snapshot) broken {
		return func(s topology.Snapshot) broken { return both(apart(s), is) }
	}
	network := infer.Component{Part: infer.NodeNetwork, Node: "n4"}
	for _, c := range []struct {
		name   string
		labels map[string]string
		is     func(topology.Snapshot) broken
		want   []infer.Component
		shown  []infer.Label
	}{
		{"labels are right", nil, apart, []infer.Component{between}, nil},
		{"a node beside the fault has the label of a zone away from it", map[string]string{"n4": "z2"}, apart,
			[]infer.Component{between}, []infer.Label{{Node: "n4", Says: "z2", Behaves: "z1"}}},
		{"a node beside the fault has the label of the zone behind it", map[string]string{"n4": "z0"}, apart,
			[]infer.Component{between}, []infer.Label{{Node: "n4", Says: "z0", Behaves: "z1"}}},
		{"a node beside the fault has no label", map[string]string{"n4": ""}, apart,
			[]infer.Component{between}, []infer.Label{{Node: "n4", Behaves: "z1"}}},
		{"a node away from the fault has the label of a zone beside it", map[string]string{"n5": "z1"}, apart,
			[]infer.Component{between}, []infer.Label{{Node: "n5", Says: "z1"}}},
		{"two labels are exchanged", map[string]string{"n3": "z2", "n4": "z0"}, apart, []infer.Component{between},
			[]infer.Label{{Node: "n3", Says: "z2", Behaves: "z0"}, {Node: "n4", Says: "z0", Behaves: "z1"}}},
		{"a broken node is no wrong label", nil, beside(dead("n4")), []infer.Component{network, between}, nil},
		{"a wrong label where nothing between zones is broken", map[string]string{"n4": "z2"}, whole, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := threeZones(18)
			in := seen(s, c.is(s))
			for node, zone := range c.labels {
				in.Zones[node] = zone
			}
			var found []infer.Component
			var shown []infer.Label
			for _, f := range infer.Find(in) {
				found, shown = append(found, f.Component), append(shown, f.Labels...)
			}
			slices.SortFunc(found, compare)
			if !slices.Equal(found, c.want) || !slices.Equal(shown, c.shown) {
				t.Errorf("found %+v with labels %+v, want %+v with labels %+v", found, shown, c.want, c.shown)
			}
		})
	}
}

// The controller is in z0, so that the nodes of z1 get no plan and ask nobody.
func TestAZoneThatIsCutOffAndAsksNobodyIsAZone(t *testing.T) {
	s := threeZones(8)
	in := seen(s, apart(s))
	in.Observations = slices.DeleteFunc(in.Observations,
		func(o ladder.Observation) bool { return in.Zones[o.From] == "z1" })
	want := infer.Component{Part: infer.ZonePodPair, Node: "z0", Peer: "z1"}
	if found := infer.Find(in); len(found) != 1 || found[0].Component != want {
		t.Errorf("found %+v, want %+v alone", found, want)
	}
}
