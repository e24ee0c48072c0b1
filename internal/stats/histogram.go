// Package stats holds the mergeable latency histogram.
//
// It is log-linear: values below 16 us have a bucket each, above that every power of two is cut into 16 equal buckets,
// up to 2^26 us (67.1 s). A bucket's width is thus at most 1/16 of its lower bound, and reporting its middle
// is off by at most 1/32 (3.2 %). Counts, sum, minimum and maximum are exact.
package stats

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"
)

const (
	perOctave   = 16
	linearBits  = 4
	highestBits = 26
	// Buckets is the number of buckets; the last one takes everything at and above 67.1 s.
	Buckets = perOctave + (highestBits-linearBits)*perOctave + 1
)

// Histogram counts durations. The zero value is empty and ready. It is not safe for concurrent use.
type Histogram struct {
	counts   []uint64
	n        uint64
	sum      uint64
	min, max uint64
}

// Record counts one duration; negative ones count as zero. The resolution is 1 us.
func (h *Histogram) Record(d time.Duration) {
	us := uint64(max(d, 0) / time.Microsecond)
	if h.counts == nil {
		h.counts = make([]uint64, Buckets)
	}
	h.counts[bucket(us)]++
	if h.n == 0 || us < h.min {
		h.min = us
	}
	h.max = max(h.max, us)
	h.n++
	h.sum += us
}

// Merge adds the other histogram's counts.
func (h *Histogram) Merge(other Histogram) {
	if other.n == 0 {
		return
	}
	if h.counts == nil {
		h.counts = make([]uint64, Buckets)
	}
	for i, c := range other.counts {
		h.counts[i] += c
	}
	if h.n == 0 || other.min < h.min {
		h.min = other.min
	}
	h.max = max(h.max, other.max)
	h.n += other.n
	h.sum += other.sum
}

// Count is how many durations were recorded.
func (h Histogram) Count() uint64 { return h.n }

// Sum is the sum of all durations.
func (h Histogram) Sum() time.Duration { return micro(h.sum) }

// Min is the shortest duration, 0 when empty.
func (h Histogram) Min() time.Duration { return micro(h.min) }

// Max is the longest duration, 0 when empty.
func (h Histogram) Max() time.Duration { return micro(h.max) }

// Mean is the exact mean, 0 when empty: ask Count first where that matters.
func (h Histogram) Mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(float64(h.sum) / float64(h.n) * float64(time.Microsecond))
}

// Quantile is the q-quantile (0 < q <= 1) by the nearest-rank method: the middle of the bucket that holds the value of rank ceil(q*n),
// never outside [Min, Max]; 0 when empty.
func (h Histogram) Quantile(q float64) time.Duration {
	if h.n == 0 {
		return 0
	}
	rank := min(max(uint64(math.Ceil(q*float64(h.n)-1e-9)), 1), h.n)
	if rank == h.n {
		return micro(h.max)
	}
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			return micro(min(max(middle(i), h.min), h.max))
		}
	}
	return micro(h.max)
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

// wireVersion is the first byte of the wire form.
const wireVersion = 1

// AppendBinary appends the wire form: version, then unsigned varints: n, and where n > 0: sum, min, max,
// then for every bucket that is not empty the gap to the one before and its count.
func (h Histogram) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, wireVersion)
	b = binary.AppendUvarint(b, h.n)
	if h.n == 0 {
		return b, nil
	}
	for _, v := range []uint64{h.sum, h.min, h.max} {
		b = binary.AppendUvarint(b, v)
	}
	last := 0
	for i, c := range h.counts {
		if c == 0 {
			continue
		}
		b = binary.AppendUvarint(b, uint64(i-last))
		b = binary.AppendUvarint(b, c)
		last = i
	}
	return b, nil
}

// MarshalBinary returns the wire form of AppendBinary.
func (h Histogram) MarshalBinary() ([]byte, error) { return h.AppendBinary(nil) }

// UnmarshalBinary reads the wire form and refuses anything that Record could not have led to: it comes from another machine.
func (h *Histogram) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != wireVersion {
		return errors.New("histogram: unknown version")
	}
	r := reader{b: b[1:]}
	read := Histogram{n: r.uvarint()}
	if read.n > 0 {
		read.sum, read.min, read.max = r.uvarint(), r.uvarint(), r.uvarint()
		read.counts = make([]uint64, Buckets)
		r.buckets(&read)
	}
	if err := r.end(); err != nil {
		return err
	}
	*h = read
	return nil
}

type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("cut short")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("histogram: "+format, args...)
	}
	r.b = nil
}

func (r *reader) buckets(h *Histogram) {
	var total uint64
	at := uint64(0)
	for first := true; len(r.b) > 0 && r.err == nil; first = false {
		gap, count := r.uvarint(), r.uvarint()
		if r.err != nil {
			return
		}
		if (gap == 0 && !first) || gap >= Buckets || at+gap >= Buckets || count == 0 || count > h.n-total {
			r.fail("bucket out of range")
			return
		}
		at += gap
		total += count
		h.counts[at] = count
	}
	if r.err != nil {
		return
	}
	if total != h.n || h.min > h.max || h.counts[bucket(h.min)] == 0 || h.counts[bucket(h.max)] == 0 || h.max > math.MaxInt64/uint64(time.Microsecond) {
		r.fail("counts do not add up")
		return
	}
	if hi, lo := bits.Mul64(h.n, h.max); hi == 0 && h.sum > lo {
		r.fail("sum is larger than count times maximum")
	}
	if hi, lo := bits.Mul64(h.n, h.min); hi != 0 || h.sum < lo {
		r.fail("sum is smaller than count times minimum")
	}
}

func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return r.err
}

// MarshalText is the wire form in base64, for JSON.
func (h Histogram) MarshalText() ([]byte, error) {
	b, err := h.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads what MarshalText wrote.
func (h *Histogram) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	return h.UnmarshalBinary(b)
}
