package stats

import (
	"encoding/binary"
	"errors"
)

// Parts are the numbers of a histogram of which none follows from the others: what to store, number by number, where
// many histograms are stored together.
type Parts struct {
	// N, Min and Max are the count, the minimum and the maximum in microseconds; Min and Max are 0 when N is.
	N, Min, Max uint64
	// Off is how far the sum is from the sum of the middles of the buckets, in microseconds.
	Off int64
	// Counts are the counts of the buckets that are not empty, in ascending order; they add up to N.
	Counts []uint64
	// Gaps are the distances to the bucket before, for all of these buckets but the first, which Min names, and the
	// last, which Max names.
	Gaps []uint64
}

// AppendParts returns the histogram's parts; Counts and Gaps are appended to those of p.
func (h Histogram) AppendParts(p Parts) Parts {
	p.N, p.Min, p.Max, p.Off = h.n, h.min, h.max, 0
	if h.n == 0 {
		return p
	}
	first, last, middles := bucket(h.min), bucket(h.min), uint64(0)
	highest := bucket(h.max)
	h.counts.forEach(func(bucket int, n uint64) {
		p.Counts = append(p.Counts, n)
		if bucket != first && bucket != highest {
			p.Gaps = append(p.Gaps, uint64(bucket-last)) // #nosec G115 -- buckets ascend
			last = bucket
		}
		middles += n * middle(bucket)
	})
	p.Off = int64(h.sum - middles) // #nosec G115 -- both directions wrap alike
	return p
}

// Histogram returns the histogram with the parts. The parts may come from anywhere, so it refuses those that no calls
// of Record lead to.
func (p Parts) Histogram() (Histogram, error) {
	var h Histogram
	if p.N == 0 {
		if p.Min != 0 || p.Max != 0 || p.Off != 0 || len(p.Counts) > 0 || len(p.Gaps) > 0 {
			return h, errors.New("histogram: parts of an empty histogram")
		}
		return h, nil
	}
	if len(p.Counts) > Buckets || len(p.Gaps) != max(0, len(p.Counts)-2) {
		return h, errors.New("histogram: buckets and gaps do not fit")
	}
	// Most histograms fit, and then nothing is allocated but the histogram itself.
	var room [256]byte
	var buckets [32]int
	at, middles, err := p.buckets(buckets[:0])
	if err != nil {
		return h, err
	}
	wire := append(room[:0], wireVersion)
	for _, v := range [...]uint64{p.N, middles + uint64(p.Off), p.Min, p.Max} { // #nosec G115 -- it wraps as it did
		wire = binary.AppendUvarint(wire, v)
	}
	last := 0
	for i, n := range p.Counts {
		wire = binary.AppendUvarint(wire, uint64(at[i]-last)) // #nosec G115 -- buckets ascend
		wire = binary.AppendUvarint(wire, n)
		last = at[i]
	}
	err = h.UnmarshalBinary(wire)
	return h, err
}

// buckets appends the buckets that the counts are of, and returns the sum of their middles.
func (p Parts) buckets(at []int) (_ []int, middles uint64, err error) {
	last, highest := bucket(p.Min), bucket(p.Max)
	for i, n := range p.Counts {
		if i > 0 {
			gap := uint64(highest - last) // #nosec G115 -- a negative gap is out of range as well
			if i < len(p.Counts)-1 {
				gap = p.Gaps[i-1]
			}
			if gap == 0 || gap >= Buckets {
				return nil, 0, errors.New("histogram: bucket out of range")
			}
			last += int(gap) // #nosec G115 -- it is below Buckets
		}
		if last > highest {
			return nil, 0, errors.New("histogram: bucket out of range")
		}
		at = append(at, last)
		middles += n * middle(last) // #nosec G115 -- a bucket is never negative
	}
	return at, middles, nil
}
