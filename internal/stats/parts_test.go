package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/stats"
)

func TestAHistogramIsMadeOfItsParts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		var want stats.Histogram
		for range random.IntN(40) * (i % 3) {
			d := time.Duration(random.Int64N(1 << (10 + random.IntN(53))))
			for range 1 + random.IntN(3) {
				want.Record(d)
			}
		}
		parts := want.AppendParts(stats.Parts{})
		got, err := parts.Histogram()
		if err != nil || !got.Equal(want) {
			t.Fatalf("%+v: got %+v, %v; want %+v", parts, got, err, want)
		}
		total := uint64(0)
		for _, n := range parts.Counts {
			total += n
		}
		if total != want.Count() || len(parts.Gaps) != max(0, len(parts.Counts)-2) {
			t.Fatalf("%+v: the counts add up to %d of %d", parts, total, want.Count())
		}
	}
}

func TestPartsThatNoHistogramHasAreRefused(t *testing.T) {
	for name, parts := range map[string]stats.Parts{
		"nothing, with a maximum":   {Max: 1},
		"nothing, with a count":     {Counts: []uint64{1}},
		"no counts":                 {N: 1, Min: 5, Max: 5},
		"counts that do not add up": {N: 3, Min: 5, Max: 6, Counts: []uint64{1, 1}},
		"an empty bucket":           {N: 1, Min: 5, Max: 6, Counts: []uint64{1, 0}},
		"a gap too many":            {N: 2, Min: 5, Max: 6, Counts: []uint64{1, 1}, Gaps: []uint64{1}},
		"a gap too few":             {N: 3, Min: 5, Max: 9, Counts: []uint64{1, 1, 1}},
		"a gap of nothing":          {N: 3, Min: 5, Max: 9, Counts: []uint64{1, 1, 1}, Gaps: []uint64{0}},
		"a gap beyond the maximum":  {N: 3, Min: 5, Max: 9, Counts: []uint64{1, 1, 1}, Gaps: []uint64{4}},
		"a gap beyond all buckets": {N: 3, Min: 5, Max: 9, Counts: []uint64{1, 1, 1},
			Gaps: []uint64{math.MaxUint64}},
		"a minimum above the maximum": {N: 2, Min: 100, Max: 6, Counts: []uint64{1, 1}},
		"one count for two buckets":   {N: 1, Min: 5, Max: 600, Counts: []uint64{1}},
		"a sum that is too large":     {N: 1, Min: 5, Max: 5, Off: 1, Counts: []uint64{1}},
		"a sum that is too small":     {N: 1, Min: 5, Max: 5, Off: -1, Counts: []uint64{1}},
		"more counts than buckets": {N: 1000, Min: 5, Max: 600, Counts: make([]uint64, 1000),
			Gaps: make([]uint64, 998)},
		"a maximum beyond every duration": {N: 1, Min: math.MaxUint64, Max: math.MaxUint64, Counts: []uint64{1}},
	} {
		if got, err := parts.Histogram(); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
