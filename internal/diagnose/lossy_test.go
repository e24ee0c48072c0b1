package diagnose_test

import (
	"fmt"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/verdict"
)

// firstRound is what the first round of a task finds in a network that loses.
func firstRound(nodes int, seed uint64, loss func(*ladder.Observation) float64) (*task, []diagnose.Finding) {
	k := &task{cluster: dual(nodes)}
	_, found := k.round(losing(timed(k.cluster, seed, busy{}, onTime), seed, loss), verdict.Verdict{})
	return k, found
}

func TestALossBetweenAllNodesIsNoNodes(t *testing.T) {
	for _, c := range []struct {
		nodes int
		share float64
	}{{3, 0.05}, {4, 0.01}, {4, 0.02}, {4, 0.05}, {8, 0.01}, {8, 0.02}, {8, 0.05}, {40, 0.01}, {40, 0.05}} {
		t.Run(fmt.Sprintf("%d nodes, %.2f", c.nodes, c.share), func(t *testing.T) {
			for seed := range uint64(40 / c.nodes) {
				k, found := firstRound(c.nodes, seed, overTheNetwork(c.share))
				if len(found) != 1 || found[0].Where != "all nodes" || found[0].Cause != "PacketLoss" {
					t.Errorf("seed %d finds %+v, want one loss of all nodes", seed, found)
				}
				if learned := len(k.past) > 0; c.share != 0.02 && learned != (c.share < 0.02) {
					t.Errorf("seed %d: what the round was like is kept: %t", seed, learned)
				}
			}
		})
	}
}

func TestWhereAllNodesLoseAHardFaultComesFirst(t *testing.T) {
	for seed := range uint64(5) {
		_, found := firstRound(8, seed, func(o *ladder.Observation) float64 {
			if o.To != "" && o.To != o.From && at(*o, "n2") {
				return 1
			}
			return overTheNetwork(0.02)(o)
		})
		if len(found) != 2 || found[0].Where != "node n2" || found[1].Where != "all nodes" {
			t.Errorf("seed %d finds %+v, want n2 and then a loss of all nodes", seed, found)
		}
	}
}

// What hosts do not lose of each other is lost in the network between pods.
func TestALossBetweenAllPodsIsTheOverlays(t *testing.T) {
	for seed := range uint64(5) {
		_, found := firstRound(8, seed, func(o *ladder.Observation) float64 {
			if o.Rung != ladder.PodToPod && o.Rung != ladder.HostToPod {
				return 0
			}
			return overTheNetwork(0.03)(o)
		})
		if len(found) != 1 || found[0].Component != "overlay" ||
			!strings.HasPrefix(found[0].Message, "overlay of all nodes: packets are lost, ") {
			t.Errorf("seed %d finds %+v, want the overlay of all nodes", seed, found)
		}
	}
}

func TestTwoNodesThatLoseLittleAreNotAllNodes(t *testing.T) {
	for seed := range uint64(5) {
		_, found := firstRound(8, seed, func(o *ladder.Observation) float64 {
			if at(*o, "n1") || at(*o, "n5") {
				return overTheNetwork(0.05)(o)
			}
			return 0
		})
		if len(found) != 2 || strings.Contains(found[0].Where+found[1].Where, "all") {
			t.Errorf("seed %d finds %+v, want n1 and n5", seed, found)
		}
	}
}
