package paths

import (
	"math/rand/v2"
	"slices"
	"testing"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

func TestWhatAComponentTakesWithIt(t *testing.T) {
	w := world.New(world.Config{Nodes: 12, Zones: 3, Seed: 1})
	const x = 4
	name := w.Nodes[x]
	// Of each part at node x: which rungs fail from x wholly, which to x, and which do not fail there.
	for _, c := range []struct {
		part           infer.Part
		from, to, pass []ladder.Rung
	}{
		{infer.Agent, []ladder.Rung{ladder.Self, ladder.PodToPod, ladder.PodToHost, ladder.ClusterIP},
			[]ladder.Rung{ladder.PodToPod, ladder.HostToPod, ladder.HostToOwnPod}, []ladder.Rung{ladder.HostToHost}},
		{infer.PodNetwork, []ladder.Rung{ladder.HostToOwnPod, ladder.PodToPod, ladder.APIServer},
			[]ladder.Rung{ladder.HostToPod}, []ladder.Rung{ladder.Self, ladder.HostToHost}},
		{infer.Forwarding, []ladder.Rung{ladder.PodToPod, ladder.PodToHost}, []ladder.Rung{ladder.HostToPod},
			[]ladder.Rung{ladder.HostToHost, ladder.HostToOwnPod, ladder.PodToOwnHost}},
		{infer.Overlay, []ladder.Rung{ladder.PodToPod, ladder.HostToPod}, []ladder.Rung{ladder.PodToPod},
			[]ladder.Rung{ladder.HostToHost, ladder.PodToHost, ladder.HostToOwnPod}},
		{infer.NodeNetwork, []ladder.Rung{ladder.PodToPod, ladder.HostToHost, ladder.PodToHost},
			[]ladder.Rung{ladder.HostToHost, ladder.HostToPod}, []ladder.Rung{ladder.Self, ladder.HostToOwnPod}},
		{infer.PolicyIn, nil, []ladder.Rung{ladder.PodToPod}, []ladder.Rung{ladder.HostToPod, ladder.HostToOwnPod}},
		{infer.PolicyOut, []ladder.Rung{ladder.PodToPod, ladder.ClusterIP}, nil,
			[]ladder.Rung{ladder.PodToHost, ladder.HostToPod}},
		{infer.ProbePort, []ladder.Rung{ladder.PodToOwnHost}, []ladder.Rung{ladder.HostToHost, ladder.PodToHost},
			[]ladder.Rung{ladder.PodToPod}},
		{infer.HostRoute, []ladder.Rung{ladder.HostClusterIP}, nil, []ladder.Rung{ladder.ClusterIP}},
		{infer.SecondInterface, []ladder.Rung{ladder.SecondInterface}, []ladder.Rung{ladder.SecondInterface},
			[]ladder.Rung{ladder.PodToPod}},
	} {
		trial := play(w, Make(w, Place{c.part, x, world.None}, infer.Aspect{}, 1))
		for _, o := range trial.Input.Observations {
			broken := slices.Contains(c.from, o.Rung) && o.From == name || slices.Contains(c.to, o.Rung) && o.To == name
			if broken && o.Answered != 0 {
				t.Errorf("%s: answered in spite of it: %+v", c.part, o)
			}
			if slices.Contains(c.pass, o.Rung) && (o.From == name || o.To == name) && o.Failed() != 0 {
				t.Errorf("%s: failed without reason: %+v", c.part, o)
			}
			if o.From != name && o.To != name && o.At != name && len(o.Backends) == 0 && o.Failed() != 0 {
				t.Errorf("%s: failed elsewhere: %+v", c.part, o)
			}
		}
	}
}

func play(w *world.World, faults ...round.Fault) *round.Trial {
	return round.Play(w, faults, round.Conditions{Noise: 1e-9, Burst: 1}, 0, rand.New(rand.NewPCG(1, 1)))
}

func TestAStaleEndpointIsNeverSeen(t *testing.T) {
	w := world.New(world.Config{Nodes: 10, Zones: 2, Seed: 1})
	trial := play(w, Make(w, Place{infer.Endpoint, 3, world.None}, infer.Aspect{}, 1))
	failed, sent := 0.0, 0.0
	for _, o := range trial.Input.Observations {
		if o.Peers[w.Nodes[3]] != 0 {
			t.Errorf("the stale endpoint answered: %+v", o)
		}
		if len(o.Backends) == 0 && o.Failed() != 0 {
			t.Errorf("a path to one pod failed: %+v", o)
		}
		if o.Rung == ladder.ClusterIP {
			failed, sent = failed+float64(o.Failed()), sent+float64(o.Sent)
		}
	}
	if share := failed / sent; share < 0.05 || share > 0.15 {
		t.Errorf("%v of the requests to the Service failed, expected about a tenth", share)
	}
}

func TestAspects(t *testing.T) {
	w := world.New(world.Config{Nodes: 10, Zones: 2, Seed: 1})
	for _, a := range []infer.Aspect{{Family: "IPv6"}, {Large: true}, {Method: "TCP"}, {Method: "UDP"}} {
		trial := play(w, Make(w, Place{infer.Overlay, 3, world.None}, a, 1))
		failed := 0
		for _, o := range trial.Input.Observations {
			if o.Failed() == 0 {
				continue
			}
			failed++
			tcp := o.Method == ladder.HTTP || o.Method == ladder.TCP
			if a.Family != "" && string(o.Family) != a.Family || a.Large && !o.Large || a.Method == "TCP" && !tcp ||
				a.Method == "UDP" && tcp {
				t.Errorf("%+v took %+v", a, o)
			}
		}
		if failed == 0 {
			t.Errorf("%+v took nothing", a)
		}
	}
}

func TestEveryKindIsDrawnAndCanBeSeen(t *testing.T) {
	w := world.New(world.Config{Nodes: 30, Zones: 3, Seed: 1})
	random := rand.New(rand.NewPCG(1, 1))
	drawn := map[string]bool{}
	for range 400 {
		faults := Generator{}.Draw(w, 1, round.Hard, random)
		kind := faults[0].Truth.Kind
		if drawn[kind] {
			continue
		}
		drawn[kind] = true
		if trial := play(w, faults...); !trial.Seen(false) {
			t.Errorf("%s: lost %d probes", kind, trial.Lost[0])
		}
	}
	if len(drawn) != len(kinds()) {
		t.Errorf("%d of %d kinds were drawn", len(drawn), len(kinds()))
	}
}

func TestFaultsOfATrialAreDifferent(t *testing.T) {
	w := world.New(world.Config{Nodes: 4, Zones: 1, Seed: 1, WithoutHosts: true})
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		faults := Generator{}.Draw(w, 3, round.Gray, random)
		for i, f := range faults {
			switch part := f.Truth.Accept[0].Part; part {
			case infer.HostAgent, infer.ProbePort, infer.HostRoute, infer.ZonePair, infer.ZonePodPair, infer.Endpoint:
				t.Errorf("%s was drawn in a cluster that cannot show it", part)
			default:
			}
			for _, g := range faults[:i] {
				if f.Truth.Accept[0] == g.Truth.Accept[0] {
					t.Errorf("%+v was drawn twice", f.Truth.Accept[0])
				}
			}
		}
	}
}
