package load

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

type prompt struct{}

func (prompt) Probe(context.Context, target.Target) probe.Sample {
	return probe.Sample{Start: time.Now()}
}

func TestAnAttemptThatIsTooLateIsMissed(t *testing.T) {
	for _, c := range []struct {
		name         string
		load         mesh.Load
		late         time.Duration
		sent, missed uint64
	}{
		{"just in time", mesh.Load{PerSecond: 10}, 250 * time.Millisecond, 1, 0},
		{"a moment too late", mesh.Load{PerSecond: 10}, 250*time.Millisecond + 1, 0, 1},
		{"just in time at a low rate", mesh.Load{PerSecond: 1}, time.Second, 1, 0},
		{"a moment too late at a low rate", mesh.Load{PerSecond: 1}, time.Second + 1, 0, 1},
		{"just in time on the persistent stream",
			mesh.Load{PerSecond: 10, Duration: 10 * time.Second, Connection: mesh.Both}, time.Second, 1, 0},
		{"a moment too late on the persistent stream",
			mesh.Load{PerSecond: 10, Duration: 10 * time.Second, Connection: mesh.Both},
			time.Second + 1, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Config{Prober: prompt{}, Persistent: prompt{}, Targets: []target.Target{{}}, Load: c.load,
					InFlight: 1})
				s := l.streams[len(l.streams)-1]
				path := func() report.Path {
					if p := l.Paths()[0]; p.Persistent == nil {
						return p
					}
					return *l.Paths()[0].Persistent
				}
				l.attempt(t.Context(), s, s.targets[0], time.Now().Add(-c.late))
				l.attempts.Wait()
				if p := path(); p.Sent != c.sent || p.Missed != c.missed {
					t.Errorf("%d sent and %d missed, want %d and %d", p.Sent, p.Missed, c.sent, c.missed)
				}
				// A missed attempt leaves its place to the next one.
				l.attempt(t.Context(), s, s.targets[0], time.Now())
				l.attempts.Wait()
				if p := path(); p.Sent != c.sent+1 {
					t.Errorf("%d sent after one more", p.Sent)
				}
			})
		})
	}
}
