package load

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTallyCountsAsAMapDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		counted, want := tally[int]{bound: 1000}, map[int]uint64(nil)
		for range r.IntN(50) {
			key := r.IntN(1 + r.IntN(8))
			counted.add(key)
			if want == nil {
				want = map[int]uint64{}
			}
			want[key]++
			if diff := cmp.Diff(want, counted.counts()); diff != "" {
				t.Fatalf("counts (-want +got):\n%s", diff)
			}
		}
	}
}

func TestTallyTellsNoMoreKeysApartThanItsBound(t *testing.T) {
	counted := tally[int]{bound: 3}
	for range 2 {
		for key := range 5 {
			counted.add(key)
		}
	}
	if diff := cmp.Diff(map[int]uint64{0: 2, 1: 2, 2: 2}, counted.counts()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}
