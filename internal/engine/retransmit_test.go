//go:build linux

package engine

import (
	"testing"
	"time"
)

func TestAConnectionCannotRetransmitWithinHalfOfTheKernelsLeastTimer(t *testing.T) {
	const ms = time.Millisecond
	cases := []struct {
		name        string
		timer, trip time.Duration
		want        time.Duration
	}{
		{"the usual timer after a short trip", 200 * ms, 60 * time.Microsecond, 100 * ms},
		{"in whole jiffies", 208 * ms, 5 * ms, 100 * ms},
		{"after a trip that is not short, three times the trip may look alike", 204 * ms, 68 * ms, shortestTimer},
		{"a route with a shorter least timer", 40 * ms, 60 * time.Microsecond, shortestTimer},
		{"a longer timer than the trip explains, from an earlier connection's trips", 450 * ms, 60 * time.Microsecond,
			shortestTimer},
		{"nothing measured", 0, 0, shortestTimer},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := noRetransmitFor(c.timer, c.trip); got != c.want {
				t.Errorf("no retransmit for %v, want %v", got, c.want)
			}
		})
	}
}
