package diagnose_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// task is a task whose rounds come one after the other.
type task struct {
	cluster topology.Snapshot
	past    diagnose.Past
}

// round returns what a round that sees this finds, and keeps what it was like for the ten rounds that follow.
func (k *task) round(seen []ladder.Observation, judged verdict.Verdict) (*report.Ladder, []diagnose.Finding) {
	spent, found := diagnose.LocateAfter(k.past, report.Round{}, judged, seen, diagnose.ClusterOf(k.cluster))
	if len(spent.Usual) > 0 {
		k.past = append(diagnose.Past{spent.Usual}, k.past[:min(len(k.past), 9)]...)
	}
	return spent, found
}

// losing has each probe and counted request lost with the probability that loss says, and probes what was lost again.
func losing(seen []ladder.Observation, seed uint64, loss func(*ladder.Observation) float64) []ladder.Observation {
	random := rand.New(rand.NewPCG(seed, 2))
	lose := func(o *ladder.Observation, n uint64) (lost uint64) {
		for range n {
			if random.Float64() < loss(o) {
				lost++
			}
		}
		return lost
	}
	for i := range seen {
		o := &seen[i]
		lost := uint64(0)
		if o.Counted {
			lost = lose(o, o.Sent)
		} else {
			each := o.Sent / uint64(o.Passes)
			for range o.Passes {
				if n := lose(o, each); n > 0 {
					lost, o.FailedPasses = lost+n, o.FailedPasses+1
				}
			}
			if lost > 0 {
				o.Passes, o.Sent = o.Passes+1, o.Sent+3
				if n := lose(o, 3); n > 0 {
					lost, o.FailedPasses = lost+n, o.FailedPasses+1
				}
			}
		}
		if o.Answered = o.Sent - lost; lost > 0 {
			o.Failures = map[ladder.Failure]uint64{ladder.NoAnswer: lost}
		}
	}
	return seen
}

// overTheNetwork is a loss of every way from one node to another.
func overTheNetwork(share float64) func(*ladder.Observation) float64 {
	return func(o *ladder.Observation) float64 {
		if o.To == o.From || o.Rung == ladder.HostToOwnPod || o.Rung == ladder.PodToOwnHost {
			return 0
		}
		return share
	}
}

func TestALossyNetworkIsBlamedInItsFirstRoundsAlone(t *testing.T) {
	datagrams := func(o *ladder.Observation) float64 {
		if o.Method == ladder.HTTP || o.Method == ladder.TCP {
			return 0
		}
		return overTheNetwork(0.02)(o)
	}
	for _, c := range []struct {
		name            string
		nodes           int
		loss            func(*ladder.Observation) float64
		learned, rounds uint64
	}{
		{"3 nodes, 1 % of all", 3, overTheNetwork(0.01), 8, 14},
		{"4 nodes, 1 % of all", 4, overTheNetwork(0.01), 8, 14},
		{"8 nodes, 1 % of all", 8, overTheNetwork(0.01), 8, 14},
		{"4 nodes, 2 % of the datagrams, which connections send again", 4, datagrams, 8, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			claims := 0
			for seed := range uint64(3) {
				k := task{cluster: dual(c.nodes)}
				for r := range c.rounds {
					seen := timed(k.cluster, 1000*seed+r, busy{}, onTime)
					_, found := k.round(losing(seen, 1000*seed+r, c.loss), verdict.Verdict{})
					if r >= c.learned && len(found) > 0 {
						t.Errorf("seed %d, round %d finds %+v, want nothing any more", seed, r, found)
					}
					claims += len(found)
				}
			}
			if claims == 0 {
				t.Error("nothing was claimed before the loss was known, so this proves nothing")
			}
		})
	}
}

func TestInALossyNetworkAHardFaultIsFound(t *testing.T) {
	k := task{cluster: dual(4)}
	for r := range uint64(10) {
		k.round(losing(timed(k.cluster, r, busy{}, onTime), r, overTheNetwork(0.01)), verdict.Verdict{})
	}
	for _, share := range []float64{0.6, 1} {
		spent, found := k.round(losing(timed(k.cluster, 50, busy{}, onTime), 50, func(o *ladder.Observation) float64 {
			if o.To != "" && at(*o, "n2") {
				return share
			}
			return overTheNetwork(0.01)(o)
		}), verdict.Verdict{})
		if len(found) != 1 || found[0].Where != "node n2" {
			t.Errorf("n2 loses %v: found %+v, want its network alone", share, found)
		}
		for _, b := range spent.SmallestLoss {
			if b.Loss < 0.1 {
				t.Errorf("in a network that loses 1 %%, a loss of %v on %s is said to be seen", b.Loss, b.Rung)
			}
		}
	}
}

func TestAFaultOfAllPastRoundsIsStillFound(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes int
		share float64
		at    []string
		learn bool
	}{
		{"a node of three loses all", 3, 1, []string{"n1"}, true},
		{"a node of three loses a little", 3, 0.015, []string{"n2"}, true},
		{"two nodes of four lose a little", 4, 0.015, []string{"n1", "n2"}, true},
		{"one of two nodes loses a little", 2, 0.015, []string{"n1"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := task{cluster: dual(c.nodes)}
			for r := range uint64(15) {
				seen := timed(k.cluster, r, busy{}, onTime)
				for i := range seen {
					if seen[i].Counted {
						seen[i].Sent, seen[i].Answered = 600, 600
					}
				}
				_, found := k.round(losing(seen, r, func(o *ladder.Observation) float64 {
					if o.To == "" || !slices.ContainsFunc(c.at, func(node string) bool { return at(*o, node) }) {
						return 0
					}
					return c.share
				}), verdict.Verdict{})
				if len(found) < len(c.at) {
					t.Errorf("round %d finds %+v, want a fault at each of %v", r, found, c.at)
				}
			}
			if learned := len(k.past) > 0; learned != c.learn {
				t.Errorf("%d rounds are compared with, want some: %v", len(k.past), c.learn)
			}
			for _, rows := range k.past {
				for _, u := range rows {
					if u.Lost > 0 {
						t.Errorf("lost probes became usual: %+v", u)
					}
				}
			}
		})
	}
}
