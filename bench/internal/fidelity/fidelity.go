// Package fidelity measures what the histogram costs and how far off it is, on delays such as networks have.
package fidelity

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/stats"
)

const (
	// samples is how many delays each pair of agent and target has, pairs how many pairs are looked at.
	samples = 600
	pairs   = 400
	// merges is how often a pair is merged for the measurement, million what the goal asks for.
	merges  = 100_000
	million = 1_000_000
)

// Figures is what came of it.
type Figures struct {
	// Raw and Deflated are bytes for one pair, the second when all are compressed together.
	Raw, Deflated float64
	// Error50 and Error99 are the largest relative errors of the median and the 99th percentile.
	Error50, Error99 float64
	// MergeMillion is how many CPU seconds it takes to read a million pairs from their wire form and add them up.
	MergeMillion float64
}

// Measure makes the histograms and looks at them. The seed decides which delays they hold.
func Measure(seed uint64) (Figures, error) {
	random := rand.New(rand.NewPCG(seed, seed)) // #nosec G404 -- a simulation, no secret
	var f Figures
	var wires [][]byte
	for range pairs {
		delays := make([]time.Duration, samples)
		var h stats.Histogram
		for i := range delays {
			delays[i] = delay(random)
			h.Record(delays[i])
		}
		slices.Sort(delays)
		f.Error50 = max(f.Error50, off(delays, 0.5, h.Quantile(0.5)))
		f.Error99 = max(f.Error99, off(delays, 0.99, h.Quantile(0.99)))
		wire, err := h.MarshalBinary()
		if err != nil {
			return Figures{}, fmt.Errorf("write a histogram: %w", err)
		}
		wires = append(wires, wire)
	}
	all := bytes.Join(wires, nil)
	f.Raw = float64(len(all)) / pairs
	deflated, err := deflate(all)
	if err != nil {
		return Figures{}, err
	}
	f.Deflated = float64(deflated) / pairs
	f.MergeMillion, err = merge(wires)
	return f, err
}

// delay is log-normal around 400 us; one of a hundred takes twenty times as long, one of a thousand a second longer, as
// a lost segment does.
func delay(random *rand.Rand) time.Duration {
	us := 400 * math.Exp(0.5*random.NormFloat64())
	switch p := random.Float64(); {
	case p < 0.001:
		us += 1e6
	case p < 0.011:
		us *= 20
	}
	return time.Duration(us * float64(time.Microsecond))
}

// off is how far the estimate is, relatively, from the nearest of the value of its rank and the two beside it.
func off(sorted []time.Duration, q float64, estimate time.Duration) float64 {
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	nearest := math.Inf(1)
	for i := max(0, rank-1); i <= min(len(sorted)-1, rank+1); i++ {
		nearest = min(nearest, math.Abs(float64(estimate-sorted[i]))/float64(sorted[i]))
	}
	return nearest
}

func deflate(all []byte) (int, error) {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err != nil {
		return 0, fmt.Errorf("compress: %w", err)
	}
	if _, err := w.Write(all); err != nil {
		return 0, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return 0, fmt.Errorf("compress: %w", err)
	}
	return out.Len(), nil
}

func merge(wires [][]byte) (float64, error) {
	var sum stats.Histogram
	before, err := cpu()
	if err != nil {
		return 0, err
	}
	for i := range merges {
		if err := sum.MergeBinary(wires[i%len(wires)]); err != nil {
			return 0, fmt.Errorf("merge a histogram: %w", err)
		}
	}
	after, err := cpu()
	if err != nil {
		return 0, err
	}
	if sum.Count() != merges*samples {
		return 0, fmt.Errorf("%d delays instead of %d after merging", sum.Count(), merges*samples)
	}
	return (after - before) * million / merges, nil
}

// cpu is the CPU time of this process, its garbage collector's included.
func cpu() (float64, error) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("read own CPU time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds(), nil
}
