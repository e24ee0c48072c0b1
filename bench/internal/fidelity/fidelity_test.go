package fidelity

import (
	"math"
	"testing"
	"time"
)

func TestErrorIsTheDistanceToTheNearestOfThreeRanks(t *testing.T) {
	sorted := []time.Duration{100, 200, 400, 800, 1600}
	for _, c := range []struct {
		name     string
		q        float64
		estimate time.Duration
		want     float64
	}{
		{"exact", 0.5, 400, 0},
		{"the rank below is as good", 0.5, 200, 0},
		{"the rank above is as good", 0.5, 800, 0},
		{"a tenth off", 0.5, 440, 0.1},
		{"ranks further away do not count", 0.5, 1600, 1},
		{"at the edge", 0.99, 1760, 0.1},
	} {
		if got := off(sorted, c.q, c.estimate); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestHistogramIsMeasured(t *testing.T) {
	f, err := Measure(1)
	if err != nil {
		t.Fatal(err)
	}
	if f.Raw < 10 || f.Deflated <= 0 || f.Deflated >= f.Raw || f.Error50 <= 0 || f.Error99 <= 0 || f.MergeMillion <= 0 {
		t.Errorf("got %+v", f)
	}
	t.Logf("%+v", f)
}
