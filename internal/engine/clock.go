package engine

import "time"

const (
	// leastStep is the least jump of the wall clock, against the monotonic one, that is taken for one; drift is how much of the time between
	// two looks it may besides run faster or slower: adjtimex allows 500 millionths.
	leastStep = time.Millisecond
	drift     = 1000
	// skew is how inexactly two clocks are read together.
	skew = 20 * time.Microsecond
)

// clock turns the kernel's stamps, which are wall time, into moments since the load's start.
type clock struct {
	base time.Time
	// offset is the wall clock when the load started, in nanoseconds of Unix time, as seen at the moment seen.
	offset int64
	seen   time.Duration
	// stepped is when the wall clock was last found to have been set: stamps from before say nothing.
	stepped time.Duration
}

func newClock(base time.Time) clock { return clock{base: base, offset: base.UnixNano(), stepped: -1} }

// observe compares the clocks, and returns the moment.
func (c *clock) observe(now time.Time) time.Duration {
	at := now.Sub(c.base)
	offset := now.UnixNano() - int64(at)
	if (time.Duration(offset - c.offset)).Abs() > leastStep+(at-c.seen)/drift {
		c.stepped = at
	}
	c.offset, c.seen = offset, at
	return at
}

// received is when the kernel received what was read at the moment at, which was observed just now. The bytes were awaited since the given
// moment; ok is false where the stamp says nothing. early tells that they came before anybody asked for them. The moment lies from since to at.
func (c *clock) received(stamp int64, since, at time.Duration) (moment time.Duration, ok, early bool) {
	if stamp == 0 || since <= c.stepped {
		return at, false, false
	}
	moment = time.Duration(stamp - c.offset)
	return min(max(moment, since), at), true, moment < since-skew
}
