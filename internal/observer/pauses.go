package observer

import (
	"math"
	"runtime/metrics"
	"time"
)

// pausesMetric counts, by length, how long the whole process stood still for its garbage collector, from the request to
// stop to the restart.
const pausesMetric = "/sched/pauses/total/gc:seconds"

// Pauses counts stops by length: bucket i counts the stops from edge i to edge i+1, in seconds.
type Pauses struct {
	edges  []float64
	counts []uint64
}

// readPauses returns the runtime's own histogram, empty when the runtime has none.
func readPauses() Pauses {
	samples := []metrics.Sample{{Name: pausesMetric}}
	metrics.Read(samples)
	if samples[0].Value.Kind() != metrics.KindFloat64Histogram {
		return Pauses{}
	}
	h := samples[0].Value.Float64Histogram()
	return Pauses{edges: h.Buckets, counts: h.Counts}
}

// longestSince returns an upper bound of the longest stop since the first reading, 0 when there was no stop. The bound
// is the end of the stop's bucket, at most a quarter above its length. For a bucket without an end it is the beginning.
func (p Pauses) longestSince(first Pauses) time.Duration {
	if len(p.edges) != len(p.counts)+1 || len(first.counts) != len(p.counts) {
		return 0
	}
	for i := len(p.counts) - 1; i >= 0; i-- {
		if p.counts[i] <= first.counts[i] {
			continue
		}
		edge := p.edges[i+1]
		if math.IsInf(edge, 0) {
			edge = p.edges[i]
		}
		return time.Duration(min(max(edge, 0), maxSeconds) * float64(time.Second))
	}
	return 0
}

// maxSeconds is far beyond any stop and well within the range of time.Duration.
const maxSeconds = 1e6
