// Package stats holds the mergeable latency histogram.
//
// The histogram is log-linear: values below 16 us have a bucket each, and above that every power of two is cut into 16
// equal buckets, up to 2^26 us (67.1 s). A bucket's width is at most 1/16 of its lower bound, so that the middle of the
// bucket is off by at most 1/32 (3.2 %). Counts, sum, minimum and maximum are exact.
package stats

import (
	"iter"
	"math"
	"math/bits"
	"slices"
	"time"
)

const (
	perOctave   = 16
	linearBits  = 4
	highestBits = 26
	// Buckets is the number of buckets; the last one takes everything at and above 67.1 s.
	Buckets = perOctave + (highestBits-linearBits)*perOctave + 1
)

// Histogram counts durations. The zero value is empty and ready for use. A histogram grows with the range of its
// values: one with a few values close together takes some hundred bytes. A Histogram is not safe for concurrent use.
type Histogram struct {
	counts   counts
	n        uint64
	sum      uint64
	min, max uint64
}

// Record counts one duration; a negative duration counts as zero. The resolution is 1 us.
func (h *Histogram) Record(d time.Duration) {
	us := uint64(max(d, 0) / time.Microsecond)
	i := bucket(us)
	if !h.counts.has(i) {
		h.counts.grow(i, i)
	}
	h.counts.add(i, 1)
	if h.n == 0 || us < h.min {
		h.min = us
	}
	h.max = max(h.max, us)
	h.n++
	h.sum += us
}

// makeRoom allocates the buckets of the two values and all between them.
func (h *Histogram) makeRoom(least, most uint64) {
	if h.n == 0 || least < h.min {
		h.min = least
	}
	h.max = max(h.max, most)
	h.counts.grow(bucket(h.min), bucket(h.max))
}

// Merge adds the other histogram's counts.
func (h *Histogram) Merge(other Histogram) {
	if other.n == 0 {
		return
	}
	h.makeRoom(other.min, other.max)
	other.counts.forEach(h.counts.add)
	h.n += other.n
	h.sum += other.sum
}

// Equal reports whether both histograms have the same counts.
func (h Histogram) Equal(other Histogram) bool {
	return h.n == other.n && h.sum == other.sum && h.min == other.min && h.max == other.max &&
		h.counts.low == other.counts.low &&
		slices.Equal(h.counts.narrow, other.counts.narrow) && slices.Equal(h.counts.wide, other.counts.wide)
}

// Count returns the number of recorded durations.
func (h Histogram) Count() uint64 { return h.n }

// Sum returns the sum of all durations.
func (h Histogram) Sum() time.Duration { return micro(h.sum) }

// Min returns the shortest duration, 0 when empty.
func (h Histogram) Min() time.Duration { return micro(h.min) }

// Max returns the longest duration, 0 when empty.
func (h Histogram) Max() time.Duration { return micro(h.max) }

// Mean returns the exact mean, 0 when empty: Count tells an empty histogram from a mean of 0.
func (h Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(float64(h.sum) / float64(h.n) * float64(time.Microsecond))
}

// Quantile returns the q-quantile (0 < q <= 1) by the nearest-rank method: the middle of the bucket that holds the
// value of rank ceil(q*n), never outside [Min, Max]; 0 when empty.
func (h Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := min(max(uint64(math.Ceil(q*float64(h.n)-1e-9)), 1), h.n)
	if rank == h.n {
		return micro(h.max)
	}
	return micro(min(max(middle(h.counts.bucketOfRank(rank)), h.min), h.max))
}

// All yields the middle of each bucket that is not empty, never outside [Min, Max], and its count, the lowest first.
func (h Histogram) All() iter.Seq2[time.Duration, uint64] {
	return func(yield func(time.Duration, uint64) bool) {
		more := true
		h.counts.forEach(func(bucket int, n uint64) {
			more = more && yield(micro(min(max(middle(bucket), h.min), h.max)), n)
		})
	}
}

func micro(us uint64) time.Duration {
	return time.Duration(min(us, math.MaxInt64/uint64(time.Microsecond))) * time.Microsecond
}

func bucket(us uint64) int {
	if us < perOctave {
		return int(us)
	}
	top := bits.Len64(us) - 1
	if top >= highestBits {
		return Buckets - 1
	}
	within := us>>(top-linearBits) - perOctave
	return perOctave + (top-linearBits)*perOctave + int(within)
}

func middle(i int) uint64 {
	if i < perOctave {
		return uint64(i)
	}
	if i == Buckets-1 {
		return 1 << highestBits
	}
	shift := uint((i - perOctave) / perOctave)
	low := uint64(perOctave+(i-perOctave)%perOctave) << shift
	return low + (uint64(1)<<shift)/2
}
