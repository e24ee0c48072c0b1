package engine

import "time"

const (
	// leastStep is the least jump of the wall clock against the monotonic clock that counts as a step. The wall clock
	// may run faster or slower by one part in drift between two observations: adjtimex allows 500 parts in a million.
	leastStep = time.Millisecond
	drift     = 1000
	// skew is how far apart two clocks may be read that are read together.
	skew = 20 * time.Microsecond
)

// clock turns the kernel's stamps, which are wall time, into moments since the load's start.
type clock struct {
	base time.Time
	// offset is the wall clock at the load's start, in nanoseconds of Unix time, as observed at the moment seen.
	offset int64
	seen   time.Duration
	// stepped is when a step of the wall clock was last observed. Stamps from before that moment are not used.
	stepped time.Duration
}

func newClock(base time.Time) clock { return clock{base: base, offset: base.UnixNano(), stepped: -1} }

// observe compares the clocks, and returns now as a moment.
func (c *clock) observe(now time.Time) time.Duration {
	at := now.Sub(c.base)
	offset := now.UnixNano() - int64(at)
	if (time.Duration(offset - c.offset)).Abs() > leastStep+(at-c.seen)/drift {
		c.stepped = at
	}
	c.offset, c.seen = offset, at
	return at
}

// received returns when the kernel received what was read at the moment at, which was just observed. The bytes were
// awaited since the moment since, and the result lies between the two. ok is false where the stamp cannot be used.
// early reports that the bytes arrived before anybody awaited them.
func (c *clock) received(stamp int64, since, at time.Duration) (moment time.Duration, ok, early bool) {
	if stamp == 0 || since <= c.stepped {
		return at, false, false
	}
	moment = time.Duration(stamp - c.offset)
	return min(max(moment, since), at), true, moment < since-skew
}
