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
	for _, v := range [...]uint64{h.sum, h.min, h.max} {
		b = binary.AppendUvarint(b, v)
	}
	last := 0
	h.counts.each(func(bucket int, n uint64) {
		b = binary.AppendUvarint(b, uint64(bucket-last))
		b = binary.AppendUvarint(b, n)
		last = bucket
	})
	return b, nil
}

// MarshalBinary returns the wire form of AppendBinary.
func (h Histogram) MarshalBinary() ([]byte, error) { return h.AppendBinary(nil) }

// UnmarshalBinary reads the wire form and refuses anything that Record could not have led to: it comes from another machine.
func (h *Histogram) UnmarshalBinary(b []byte) error {
	var read Histogram
	if err := read.MergeBinary(b); err != nil {
		return err
	}
	*h = read
	return nil
}

// MergeBinary adds a histogram in its wire form without unpacking it first. It refuses what UnmarshalBinary refuses, and then changes nothing.
func (h *Histogram) MergeBinary(b []byte) error {
	head, body, err := check(b)
	if err != nil || head.n == 0 {
		return err
	}
	if h.n+head.n < h.n || h.sum+head.sum < h.sum {
		return errors.New("histogram: more than can be counted")
	}
	h.extend(head.min, head.max)
	r := reader{b: body}
	for at := 0; len(r.b) > 0; {
		at += int(r.uvarint()) // #nosec G115 -- check bounds it
		h.counts.add(at, r.uvarint())
	}
	h.n += head.n
	h.sum += head.sum
	return nil
}

// header is what comes before the buckets.
type header struct{ n, sum, min, max uint64 }

// check reads the wire form to its end and returns its header and its buckets.
func check(b []byte) (header, []byte, error) {
	if len(b) == 0 || b[0] != wireVersion {
		return header{}, nil, errors.New("histogram: unknown version")
	}
	r := reader{b: b[1:]}
	h := header{n: r.uvarint()}
	if h.n > 0 {
		h.sum, h.min, h.max = r.uvarint(), r.uvarint(), r.uvarint()
	}
	body := r.b
	if h.n > 0 && r.err == nil {
		r.buckets(h)
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	return h, body, r.err
}

type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := r.b[0]
		r.b = r.b[1:]
		return uint64(v)
	}
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

// buckets reads all buckets and holds them against the header.
func (r *reader) buckets(h header) {
	if h.min > h.max || h.max > math.MaxInt64/uint64(time.Microsecond) {
		r.fail("minimum and maximum cannot be")
		return
	}
	var total, at uint64
	lowest, highest := uint64(bucket(h.min)), uint64(bucket(h.max)) // #nosec G115 -- bucket is never negative
	first := true
	for ; len(r.b) > 0; first = false {
		gap, count := r.uvarint(), r.uvarint()
		if r.err != nil {
			return
		}
		if (gap == 0 && !first) || gap > highest || at+gap > highest || count == 0 || count > h.n-total || first && gap != lowest {
			r.fail("bucket out of range")
			return
		}
		at += gap
		total += count
	}
	if total != h.n || at != highest || first {
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
