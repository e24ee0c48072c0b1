package oracle_test

import (
	"math"
	"testing"

	"kdoctor.io/kdoctor/internal/oracle"
)

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name         string
		k, n         int
		lower, upper float64
	}{
		{"none of 0 tells nothing", 0, 0, 0, 1},
		{"none of 20,000 is bounded by 3.7 in n", 0, 20_000, 0, 1.844e-4},
		{"1 of 10", 1, 10, 0.00253, 0.44502},
		{"5 of 10", 5, 10, 0.18709, 0.81291},
		{"all of 10", 10, 10, 0.69150, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			lower, upper := oracle.Bounds(c.k, c.n)
			if math.Abs(lower-c.lower) > 1e-5 || math.Abs(upper-c.upper) > 1e-5 {
				t.Errorf("%v to %v, want %v to %v", lower, upper, c.lower, c.upper)
			}
		})
	}
}
