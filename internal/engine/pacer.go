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

// pacer is a shard's part of the lanes of one pace, and the attempt on them that is due next.
// Phases are shorter than the interval, so going round the lanes in their order goes forward in time.
type pacer struct {
	// offset is when attempt i of a lane is due, without its phase.
	offset   func(i uint64) time.Duration
	requests uint64
	lateness time.Duration
	streams  []*targetStream
	round    uint64
	next     int
}

// add puts a lane into the stream, before it starts.
func (t *pacer) add(l *targetStream) {
	at, _ := slices.BinarySearchFunc(t.streams, l, func(a, b *targetStream) int { return cmp.Or(cmp.Compare(a.phase, b.phase), -1) })
	t.streams = slices.Insert(t.streams, at, l)
}

// nextDue is when the next attempt is nextDue.
func (t *pacer) nextDue() time.Duration {
	if t.round >= t.requests || len(t.streams) == 0 {
		return never
	}
	return t.offset(t.round) + t.streams[t.next].phase
}

// advance returns the lane of the attempt that is due, and goes on to the one behind it.
func (t *pacer) advance() *targetStream {
	l := t.streams[t.next]
	if t.next++; t.next == len(t.streams) {
		t.next = 0
		t.round++
	}
	return l
}

// missRest counts all that is still to come as missed.
func (t *pacer) missRest() {
	for i, l := range t.streams {
		n := t.requests - min(t.round, t.requests)
		if n > 0 && i < t.next {
			n--
		}
		l.Miss(n)
	}
	t.round = t.requests
}
