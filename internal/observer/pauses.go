package observer

import (
	"math"
	"runtime/metrics"
	"time"
)

// pausesMetric counts, by length, how long the whole process stood still for its garbage collector, from the request to
// stop to the restart.
const pausesMetric = "/sched/pauses/total/gc:seconds"

// Pauses counts stops by length: bucket i holds those from edge i to edge i+1, in seconds.
type Pauses struct {
	edges  []float64
	counts []uint64
}

// readPauses reads the runtime's own histogram; it is empty for a runtime without one.
func readPauses() Pauses {
	samples := []metrics.Sample{{Name: pausesMetric}}
	metrics.Read(samples)
	if samples[0].Value.Kind() != metrics.KindFloat64Histogram {
		return Pauses{}
	}
	h := samples[0].Value.Float64Histogram()
	return Pauses{edges: h.Buckets, counts: h.Counts}
}

// longestSince is an upper bound of the longest stop since the first reading, 0 when there was none: the end of its
// bucket, which is at most a quarter above what it was, or the beginning of a bucket without an end.
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

// maxSeconds is far beyond any stop and well within a duration.
const maxSeconds = 1e6
