// Package arrival is a server that knows when requests reached it, by the kernel's clock and not by its own, and that
// can stall on purpose.
package arrival

import (
	"math"
	"slices"
	"time"

	"kdoctor.io/kdoctor/bench/internal/message"
)

// settle is the part at the beginning that is left out: connections are opened then.
const settle = 300 * time.Millisecond

// Grid measures how far arrivals, in nanoseconds of one clock, are from an even grid of the rate. The grid is laid
// where it fits best (by the median of all distances), which is in favour of whoever sent them; arrival i belongs to
// the grid's line i, so requests that were left out shift all that follow.
func Grid(arrivals []int64, perSecond int) message.Quantiles {
	sorted := slices.Sorted(slices.Values(arrivals))
	for i, a := range sorted {
		if a-sorted[0] >= int64(settle) {
			sorted = sorted[i:]
			break
		}
	}
	if len(sorted) < 2 || perSecond <= 0 {
		return message.Quantiles{}
	}
	interval := float64(time.Second) / float64(perSecond)
	distance := make([]float64, len(sorted))
	for i, a := range sorted {
		distance[i] = float64(a-sorted[0]) - float64(i)*interval
	}
	middle := slices.Sorted(slices.Values(distance))[len(distance)/2]
	for i, d := range distance {
		distance[i] = math.Abs(d-middle) / float64(time.Second)
	}
	return Ranks(distance)
}

// Ranks are the quantiles of the values by nearest rank.
func Ranks(values []float64) message.Quantiles {
	if len(values) == 0 {
		return message.Quantiles{}
	}
	sorted := slices.Sorted(slices.Values(values))
	at := func(q float64) float64 { return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)] }
	return message.Quantiles{P50: at(0.5), P90: at(0.9), P95: at(0.95), P99: at(0.99), Max: sorted[len(sorted)-1]}
}

// Stalled is the q-quantile of response times, in seconds, that an even load of the given length shows when the server
// stalls once and answers at once otherwise: of all requests the share stall/length waits, each time between 0 and the
// stall being equally frequent.
func Stalled(q float64, stall, length time.Duration) float64 {
	later := (1 - q) * length.Seconds()
	return max(0, stall.Seconds()-later)
}
