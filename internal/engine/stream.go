//go:build linux

package engine

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// never is a moment that does not come.
const never = time.Duration(math.MaxInt64)

// stream is a shard's part of the lanes of one pace, and the attempt on them that is due next.
// Phases are shorter than the interval, so going round the lanes in their order goes forward in time.
type stream struct {
	// offset is when attempt i of a lane is due, without its phase.
	offset   func(i uint64) time.Duration
	requests uint64
	lateness time.Duration
	lanes    []*lane
	round    uint64
	next     int
}

// add puts a lane into the stream, before it starts.
func (t *stream) add(l *lane) {
	at, _ := slices.BinarySearchFunc(t.lanes, l, func(a, b *lane) int { return cmp.Or(cmp.Compare(a.phase, b.phase), -1) })
	t.lanes = slices.Insert(t.lanes, at, l)
}

// due is when the next attempt is due.
func (t *stream) due() time.Duration {
	if t.round >= t.requests || len(t.lanes) == 0 {
		return never
	}
	return t.offset(t.round) + t.lanes[t.next].phase
}

// advance returns the lane of the attempt that is due, and goes on to the one behind it.
func (t *stream) advance() *lane {
	l := t.lanes[t.next]
	if t.next++; t.next == len(t.lanes) {
		t.next = 0
		t.round++
	}
	return l
}

// giveUp counts all that is still to come as missed.
func (t *stream) giveUp() {
	for i, l := range t.lanes {
		n := t.requests - min(t.round, t.requests)
		if n > 0 && i < t.next {
			n--
		}
		l.Miss(n)
	}
	t.round = t.requests
}
