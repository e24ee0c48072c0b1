package infer_test

import (
	"math/rand/v2"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// A network that loses a part of half of everything has no faults that would explain it, and the report does not wait
// for the search to learn that.
func TestTheEffortIsBoundedWhereANetworkLosesSomeOfEverything(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := cluster(8, true)
	some := func(_ ladder.Observation, n uint64) (lost uint64, how ladder.Failure) {
		if r.Float64() > 0.5 {
			return 0, ""
		}
		share := r.Float64()
		for range n {
			if r.Float64() < share {
				lost++
			}
		}
		return lost, ladder.NoAnswer
	}
	in := counted(seen(s, some), s, 80, some)
	if effort := infer.Effort(in); effort > 3*infer.Improving {
		t.Errorf("%d failures were looked at, want at most %d", effort, 3*infer.Improving)
	}
}
