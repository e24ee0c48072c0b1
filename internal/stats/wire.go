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

// AppendBinary appends the wire form: the version, then unsigned varints. The first varint is n. When n > 0, sum, min
// and max follow, then the gap to the bucket before and the count for every bucket that is not empty.
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
	h.counts.forEach(func(bucket int, n uint64) {
		b = binary.AppendUvarint(b, uint64(bucket-last))
		b = binary.AppendUvarint(b, n)
		last = bucket
	})
	return b, nil
}

// MarshalBinary returns the wire form of AppendBinary.
func (h Histogram) MarshalBinary() ([]byte, error) { return h.AppendBinary(nil) }

// UnmarshalBinary reads the wire form. The wire form comes from another machine, so UnmarshalBinary refuses any that no
// calls of Record lead to.
func (h *Histogram) UnmarshalBinary(b []byte) error {
	var read Histogram
	if err := read.MergeBinary(b); err != nil {
		return err
	}
	*h = read
	return nil
}

// MergeBinary adds a histogram in its wire form without unpacking it first. It refuses what UnmarshalBinary refuses,
// and then changes nothing.
func (h *Histogram) MergeBinary(b []byte) error {
	head, body, err := check(b)
	if err != nil || head.n == 0 {
		return err
	}
	if h.n+head.n < h.n || h.sum+head.sum < h.sum {
		return errors.New("histogram: more than can be counted")
	}
	h.makeRoom(head.min, head.max)
	h.counts.addAll(body)
	h.n += head.n
	h.sum += head.sum
	return nil
}

// header is the part of the wire form before the buckets.
type header struct{ n, sum, min, max uint64 }

// check reads the wire form to its end and returns its header and its buckets.
func check(b []byte) (header, []byte, error) {
	if len(b) == 0 || b[0] != wireVersion {
		return header{}, nil, errors.New("histogram: unknown version")
	}
	var h header
	at := 1
	for _, field := range [...]*uint64{&h.n, &h.sum, &h.min, &h.max} {
		if *field, at = varint(b, at); at == 0 {
			return header{}, nil, errCut
		}
		if h.n == 0 {
			break
		}
	}
	body := b[at:]
	if h.n > 0 {
		return h, body, h.check(body)
	}
	if len(body) > 0 {
		return header{}, nil, fmt.Errorf("histogram: %d bytes too many", len(body))
	}
	return h, body, nil
}

// errCut is for a wire form that ends within a number, or has a number of more than 64 bits.
var errCut = errors.New("histogram: cut short")

// check reports whether the buckets fit the header.
func (h header) check(body []byte) error {
	if h.min > h.max || h.max > math.MaxInt64/uint64(time.Microsecond) {
		return errors.New("histogram: minimum and maximum cannot be")
	}
	lowest, highest := uint64(bucket(h.min)), uint64(bucket(h.max)) // #nosec G115 -- bucket is never negative
	at, total, err := walk(body, highest, h.n)
	if err != nil {
		return err
	}
	if first, _ := varint(body, 0); total != h.n || at != highest || first != lowest {
		return errors.New("histogram: counts do not add up")
	}
	if hi, lo := bits.Mul64(h.n, h.max); hi == 0 && h.sum > lo {
		return errors.New("histogram: sum is larger than count times maximum")
	}
	if hi, lo := bits.Mul64(h.n, h.min); hi != 0 || h.sum < lo {
		return errors.New("histogram: sum is smaller than count times minimum")
	}
	return nil
}

// walk reads the buckets and returns the last one and the sum of their counts. No bucket may be empty, repeated or
// beyond the highest, and together they may not count more than n. Most of the work of merging is done here, so small
// numbers are read without a call.
func walk(body []byte, highest, n uint64) (at, total uint64, err error) {
	if len(body) == 0 {
		return 0, 0, errors.New("histogram: no buckets")
	}
	first := true
	for i := 0; i < len(body); first = false {
		var gap, count uint64
		if i+1 < len(body) && body[i]|body[i+1] < 0x80 {
			gap, count, i = uint64(body[i]), uint64(body[i+1]), i+2
		} else if gap, count, i = twoVarints(body, i); i == 0 {
			return 0, 0, errCut
		}
		if gap > highest-at || count-1 >= n-total || gap == 0 && !first {
			return 0, 0, errors.New("histogram: bucket out of range")
		}
		at += gap
		total += count
	}
	return at, total, nil
}

// twoVarints returns the two numbers at b[i:] and where the next number begins, which is 0 when b ends before.
func twoVarints(b []byte, i int) (gap, count uint64, next int) {
	if gap, i = varint(b, i); i > 0 {
		count, i = varint(b, i)
	}
	return gap, count, i
}

// varint returns the number at b[i:] and where the next number begins, which is 0 when there is none.
func varint(b []byte, i int) (uint64, int) {
	v, n := binary.Uvarint(b[i:])
	if n <= 0 {
		return 0, 0
	}
	return v, i + n
}

// MarshalText returns the wire form in base64, for JSON.
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
