package stats

import "math"

// counts has a counter for every bucket of the octaves in use, from the octave of the lowest bucket to the octave of
// the highest. Counters have 32 bits until one needs more. Equal counts have the same form, in whatever order they
// came.
type counts struct {
	low    int
	narrow []uint32
	wide   []uint64
}

func (c *counts) len() int { return len(c.narrow) + len(c.wide) }

// grow allocates the buckets from and to, and all between them.
func (c *counts) grow(from, to int) {
	low := from / perOctave * perOctave
	high := min((to/perOctave+1)*perOctave, Buckets)
	if c.len() > 0 {
		if c.has(from) && c.has(to) {
			return
		}
		low, high = min(low, c.low), max(high, c.low+c.len())
	}
	if c.wide != nil {
		grown := make([]uint64, high-low)
		copy(grown[c.low-low:], c.wide)
		c.wide, c.low = grown, low
		return
	}
	grown := make([]uint32, high-low)
	if c.narrow != nil {
		copy(grown[c.low-low:], c.narrow)
	}
	c.narrow, c.low = grown, low
}

// has reports whether the bucket is allocated.
func (c *counts) has(bucket int) bool { return bucket >= c.low && bucket < c.low+c.len() }

// add adds n to the count of an allocated bucket.
func (c *counts) add(bucket int, n uint64) {
	at := bucket - c.low
	if c.wide == nil {
		if sum := uint64(c.narrow[at]) + n; sum <= math.MaxUint32 && sum >= n {
			c.narrow[at] = uint32(sum)
			return
		}
		c.wide = make([]uint64, len(c.narrow))
		for i, have := range c.narrow {
			c.wide[i] = uint64(have)
		}
		c.narrow = nil
	}
	c.wide[at] += n
}

// addAll adds counts in their wire form, which was checked and whose buckets are allocated.
func (c *counts) addAll(body []byte) {
	narrow, at := c.narrow, 0
	for i := 0; i < len(body); {
		var gap, n uint64
		if i+1 < len(body) && body[i]|body[i+1] < 0x80 {
			gap, n, i = uint64(body[i]), uint64(body[i+1]), i+2
		} else {
			gap, n, i = twoVarints(body, i)
		}
		at += int(gap) // #nosec G115 -- it was checked
		if c.wide != nil {
			c.wide[at-c.low] += n
			continue
		}
		if sum := uint64(narrow[at-c.low]) + n; sum <= math.MaxUint32 && sum >= n {
			narrow[at-c.low] = uint32(sum)
			continue
		}
		c.add(at, n)
	}
}

// count returns the count of a bucket, 0 when it is not allocated.
func (c *counts) count(bucket int) uint64 {
	at := bucket - c.low
	switch {
	case at < 0 || at >= c.len():
		return 0
	case c.wide != nil:
		return c.wide[at]
	}
	return uint64(c.narrow[at])
}

// forEach calls do for every bucket that is not empty, in ascending order.
func (c *counts) forEach(do func(bucket int, n uint64)) {
	for i, n := range c.narrow {
		if n != 0 {
			do(c.low+i, uint64(n))
		}
	}
	for i, n := range c.wide {
		if n != 0 {
			do(c.low+i, n)
		}
	}
}

// bucketOfRank returns the bucket of the value with the rank, which is 1 for the smallest value and at most the number
// of values.
func (c *counts) bucketOfRank(rank uint64) int {
	var seen uint64
	for i := range c.len() {
		if seen += c.count(c.low + i); seen >= rank {
			return c.low + i
		}
	}
	return c.low + c.len() - 1
}
