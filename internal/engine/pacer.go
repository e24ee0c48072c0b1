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

// pacer goes through a shard's streams of one pace, and knows which attempt is due next. Phases are shorter than the
// interval, so that going through the streams in the order of their phases goes forward in time.
type pacer struct {
	// offset is when attempt i of a stream is due, without the stream's phase.
	offset   func(i uint64) time.Duration
	requests uint64
	lateness time.Duration
	streams  []*targetStream
	round    uint64
	next     int
}

// add adds a stream. It must be called before the load starts.
func (t *pacer) add(l *targetStream) {
	at, _ := slices.BinarySearchFunc(t.streams, l, func(a, b *targetStream) int {
		return cmp.Or(cmp.Compare(a.phase,
			b.phase), -1)
	})
	t.streams = slices.Insert(t.streams, at, l)
}

// nextDue returns when the next attempt is due, or never.
func (t *pacer) nextDue() time.Duration {
	if t.round >= t.requests || len(t.streams) == 0 {
		return never
	}
	return t.offset(t.round) + t.streams[t.next].phase
}

// advance returns the stream of the attempt that is due, and goes on to the next attempt.
func (t *pacer) advance() *targetStream {
	l := t.streams[t.next]
	if t.next++; t.next == len(t.streams) {
		t.next = 0
		t.round++
	}
	return l
}

// missRest counts all attempts to come as missed.
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
