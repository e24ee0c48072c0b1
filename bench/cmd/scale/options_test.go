package main

import (
	"slices"
	"testing"

	"kdoctor.io/kdoctor/bench/internal/fleet"
)

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name   string
		args   []string
		nodes  []int
		faults int
		memory int64
		bad    bool
	}{
		{"all of it by default", nil, []int{50, 150, 300, 1000, 2000, 5000}, len(fleet.Faults()), 0, false},
		{"some of it", []string{"-nodes=150,3", "-faults=loss", "-memory=300Mi"}, []int{150, 3}, 1, 300 << 20, false},
		{"without a limit of memory", []string{"-nodes=3", "-memory=none"}, []int{3}, len(fleet.Faults()), -1, false},
		{"fewer nodes than zones", []string{"-nodes=2"}, nil, 0, 0, true},
		{"more nodes than addresses", []string{"-nodes=25001"}, nil, 0, 0, true},
		{"no number", []string{"-nodes=many"}, nil, 0, 0, true},
		{"an unknown fault", []string{"-faults=fire"}, nil, 0, 0, true},
		{"memory of no size", []string{"-memory=large"}, nil, 0, 0, true},
		{"memory of nothing", []string{"-memory=0"}, nil, 0, 0, true},
		{"too little time", []string{"-limit=1s"}, nil, 0, 0, true},
		{"words behind the flags", []string{"now"}, nil, 0, 0, true},
	} {
		o, err := parse(c.args)
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !c.bad && (!slices.Equal(o.nodes, c.nodes) || len(o.faults) != c.faults || o.memory != c.memory) {
			t.Errorf("%s: %+v", c.name, o)
		}
	}
}
