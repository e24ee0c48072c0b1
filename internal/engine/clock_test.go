package engine

import (
	"testing"
	"time"
)

func TestStampsAreTurnedIntoMoments(t *testing.T) {
	base := time.Now()
	wall := func(at time.Duration) int64 { return base.UnixNano() + int64(at) }
	const ms = time.Millisecond
	for _, c := range []struct {
		name string
		// set is how far the wall clock is set before the reading, at the moment setAt.
		set, setAt       time.Duration
		stamp, since, at time.Duration
		want             time.Duration
		ok, early        bool
	}{
		{name: "an answer that was received before it was read", stamp: 30 * ms, since: 10 * ms, at: 35 * ms,
			want: 30 * ms, ok: true},
		{name: "a stamp from after the reading is one of the reading", stamp: 36 * ms, since: 10 * ms, at: 35 * ms,
			want: 35 * ms, ok: true},
		{name: "a stamp from just before the request is one of the request", stamp: 10*ms - 5*time.Microsecond,
			since: 10 * ms, at: 35 * ms, want: 10 * ms, ok: true},
		{name: "a stamp from before the request shows an answer to something else", stamp: 9 * ms, since: 10 * ms,
			at: 35 * ms, want: 10 * ms, ok: true, early: true},
		{name: "a clock that was set since the request makes stamps worthless", set: time.Second, setAt: 32 * ms,
			stamp: 30 * ms, since: 10 * ms, at: 35 * ms, want: 35 * ms},
		{name: "a clock that was set back too", set: -time.Second, setAt: 32 * ms, stamp: 30 * ms, since: 10 * ms,
			at: 35 * ms, want: 35 * ms},
		{name: "a clock that was set before the request does not", set: time.Hour, setAt: 9 * ms,
			stamp: 30*ms + time.Hour, since: 10 * ms, at: 35 * ms, want: 30 * ms, ok: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newClock(base)
			k.observe(base.Add(5 * ms))
			at := k.seen
			if at != 5*ms {
				t.Errorf("observed at %v", at)
			}
			if c.set != 0 {
				// A time whose wall clock was set cannot be made; the offset that the clock had before can.
				k.offset -= int64(c.set)
				k.observe(base.Add(c.setAt))
				k.offset += int64(c.set)
			}
			stamp := wall(c.stamp)
			if got, ok, early := k.received(stamp, c.since, c.at); got != c.want || ok != c.ok || early != c.early {
				t.Errorf("received at %v, known %v, early %v, want %v, %v, %v", got, ok, early, c.want, c.ok, c.early)
			}
		})
	}
	k := newClock(base)
	if got, ok, early := k.received(0, ms, 2*ms); got != 2*ms || ok || early {
		t.Errorf("without a stamp: %v, %v, %v", got, ok, early)
	}
	for i := range 100 {
		// A clock that is made to run faster by 500 millionths for ten seconds a look has not been set.
		k.offset -= int64(5 * ms)
		k.observe(base.Add(time.Duration(i) * 10 * time.Second))
	}
	if k.stepped > 0 {
		t.Errorf("a clock that drifts was taken for one that was set, at %v", k.stepped)
	}
}
