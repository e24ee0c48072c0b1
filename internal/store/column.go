package store

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// The forms of a column, as flags. A column whose numbers are all 0 is not written at all.
const (
	// constant: one number stands for all of them.
	constant = 1 << iota
	// thousands: all numbers are multiples of 1000 and were divided by it.
	thousands
	// differences: the numbers are the differences to the number before, the first to 0.
	differences
)

// column collects the numbers of one field of many rows, to write them, or gives them out one by one.
type column struct {
	name string
	// numbers are to be written.
	numbers []uint64

	// rest is what is left to read, in the form. last is the number that was read last, or the only one.
	form byte
	rest []byte
	last uint64
}

// unread is a column as a frame has it. The zero value is a column of zeros.
type unread struct {
	form    byte
	numbers []byte
}

// add adds a number to write.
func (c *column) add(n uint64) { c.numbers = append(c.numbers, n) }

// encode appends the numbers in their shortest form and forgets them. It is false, and appends nothing, if they are all
// 0.
func (c *column) encode(b []byte) (form byte, _ []byte, written bool) {
	numbers := c.numbers
	c.numbers = c.numbers[:0]
	all, same, whole := uint64(0), true, true
	plain, between, last := 0, 0, uint64(0)
	for _, n := range numbers {
		all |= n
		same = same && n == numbers[0]
		whole = whole && n%1000 == 0
		plain += bits.Len64(n)
		between += bits.Len64(zigzag(int64(n - last))) // #nosec G115 -- both directions wrap alike
		last = n
	}
	if all == 0 {
		return 0, b, false
	}
	if whole {
		form |= thousands
		for i := range numbers {
			numbers[i] /= 1000
		}
	}
	switch {
	case same:
		return form | constant, binary.AppendUvarint(b, numbers[0]), true
	case between < plain:
		form |= differences
		last = 0
		for _, n := range numbers {
			b = binary.AppendUvarint(b, zigzag(int64(n-last))) // #nosec G115 -- both directions wrap alike
			last = n
		}
		return form, b, true
	}
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return form, b, true
}

// begin makes the column ready to read what a frame has of it.
func (c *column) begin(of unread) {
	c.form, c.rest, c.last = of.form, of.numbers, 0
	if of.numbers == nil {
		c.form = constant
	}
}

// next reads the next number.
func (c *column) next() (uint64, error) {
	if c.form&constant != 0 && len(c.rest) == 0 {
		return c.last, nil
	}
	n, size := binary.Uvarint(c.rest)
	if size <= 0 {
		return 0, fmt.Errorf("column %q is cut short", c.name)
	}
	c.rest = c.rest[size:]
	if c.form&differences != 0 {
		n = c.last + uint64(unzigzag(n)) // #nosec G115 -- both directions wrap alike
		c.last = n
	}
	if c.form&thousands != 0 {
		n *= 1000
	}
	if c.form&constant != 0 {
		c.last = n
	}
	return n, nil
}

func zigzag(n int64) uint64   { return uint64(n<<1) ^ uint64(n>>63) } // #nosec G115 -- the bits are what counts
func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }    // #nosec G115 -- the bits are what counts
