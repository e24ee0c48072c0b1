package baseline

import (
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// cluster is what five nodes in one zone see between their host networks and to their own pods, if lost says how many
// of ten probes get lost.
func cluster(lost func(rung ladder.Rung, from, to string) uint64) infer.Input {
	nodes := []string{"a", "b", "c", "d", "e"}
	in := infer.Input{Zones: map[string]string{}}
	add := func(rung ladder.Rung, from, to string) {
		o := ladder.Observation{Rung: rung, From: from, To: to, Family: topology.IPv4, Method: ladder.UDP}
		o.Sent = 10
		o.Answered = 10 - lost(rung, from, to)
		in.Observations = append(in.Observations, o)
	}
	for _, from := range nodes {
		in.Zones[from] = "zone"
		add(ladder.Self, from, from)
		add(ladder.HostToOwnPod, from, from)
		for _, to := range nodes {
			if to != from {
				add(ladder.HostToHost, from, to)
				add(ladder.PodToPod, from, to)
			}
		}
	}
	return in
}

func TestBaselinesOnCasesByHand(t *testing.T) {
	remote := func(r ladder.Rung) bool { return r == ladder.HostToHost || r == ladder.PodToPod }
	dead := cluster(func(r ladder.Rung, from, to string) uint64 {
		if remote(r) && (from == "c" || to == "c") {
			return 10
		}
		return 0
	})
	gray := cluster(func(r ladder.Rung, from, to string) uint64 {
		if remote(r) && (from == "c" || to == "c") {
			return 2
		}
		return 0
	})
	healthy := cluster(func(ladder.Rung, string, string) uint64 { return 0 })
	network := infer.Component{Part: infer.NodeNetwork, Node: "c"}
	for _, c := range []struct {
		name   string
		in     infer.Input
		method interface {
			Find(in infer.Input) []infer.Fault
		}
		want []infer.Component
	}{
		{"threshold: a dead node is named", dead, Threshold{Loss: 0.5, Share: 0.9}, []infer.Component{network}},
		{"threshold: a gray node is not", gray, Threshold{Loss: 0.5, Share: 0.9}, nil},
		{"threshold: a gray node is with a low threshold", gray, Threshold{Loss: 0, Share: 0.9},
			[]infer.Component{network}},
		{"threshold: a healthy cluster has none", healthy, Threshold{}, nil},
		{"007: a dead node is named", dead, Votes{Share: 0.05, Least: 4}, []infer.Component{network}},
		{"007: a gray node is named", gray, Votes{Share: 0.05, Least: 4}, []infer.Component{network}},
		{"007: few failures are not enough", gray, Votes{Share: 0.05, Least: 1000}, nil},
		{"007: a healthy cluster has none", healthy, Votes{Share: 0.05}, nil},
		{"set cover: a dead node is named", dead, Cover{Ratio: 0.6, Least: 2}, []infer.Component{network}},
		{"set cover: a gray node is not where paths may lose a third", gray,
			Cover{Ratio: 0.6, Loss: 0.3, Least: 2}, nil},
		{"set cover: a healthy cluster has none", healthy, Cover{Least: 1}, nil},
		{"NetBouncer: a dead node is named", dead, Bounce{Weight: 10, Loss: 0.5}, []infer.Component{network}},
		{"NetBouncer: a gray node is named", gray, Bounce{Weight: 1, Loss: 0.1}, []infer.Component{network}},
		{"NetBouncer: a healthy cluster has none", healthy, Bounce{Weight: 1, Loss: 0.01}, nil},
	} {
		var got []infer.Component
		for _, f := range c.method.Find(c.in) {
			got = append(got, f.Component)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, expected %+v", c.name, got, c.want)
		}
	}
}

func TestComponentsWithTheSamePathsAreOneGroup(t *testing.T) {
	in := cluster(func(r ladder.Rung, from, to string) uint64 {
		if r == ladder.PodToPod && (from == "a" && to == "b" || from == "b" && to == "a") {
			return 10
		}
		return 0
	})
	faults := Cover{Ratio: 0.6, Least: 2}.Find(in)
	if len(faults) != 1 {
		t.Fatalf("%+v", faults)
	}
	named := append([]infer.Component{faults[0].Component}, faults[0].Group...)
	for _, part := range []infer.Part{infer.PodPair, infer.PolicyPair} {
		if !slices.Contains(named, infer.Component{Part: part, Node: "a", Peer: "b"}) {
			t.Errorf("%s is not among %+v", part, named)
		}
	}
	if faults[0].Severity != 1 || faults[0].Crossed != 20 || faults[0].Explained != 20 {
		t.Errorf("%+v", faults[0])
	}
}

func TestWhatASuspectAsksDoesNotCount(t *testing.T) {
	in := cluster(func(_ ladder.Rung, from, _ string) uint64 {
		if from == "c" {
			return 5
		}
		return 0
	})
	in.Suspect = map[string]bool{"c": true}
	for _, method := range []interface {
		Name() string
		Find(in infer.Input) []infer.Fault
	}{Threshold{}, Votes{}, Cover{Least: 1}, Bounce{Weight: 1, Loss: 0.01}} {
		if faults := method.Find(in); len(faults) != 0 {
			t.Errorf("%s: %+v", method.Name(), faults)
		}
	}
}

func TestMatrix(t *testing.T) {
	m := newMatrix(cluster(func(ladder.Rung, string, string) uint64 { return 1 }))
	if len(m.sent) != 50 || len(m.start) != 51 {
		t.Errorf("%d rows", len(m.sent))
	}
	crossing := 0
	for c, place := range m.places {
		crossing += len(m.rows[c])
		if place.Part == infer.ZonePair {
			t.Errorf("one zone has a pair: %+v", place)
		}
	}
	if crossing != len(m.cross) {
		t.Errorf("%d crossings by columns and %d by rows", crossing, len(m.cross))
	}
}
