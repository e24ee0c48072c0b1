package load

import (
	"context"
	"runtime"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
)

// A stopped load starts nothing more, though many attempts are overdue.
func TestNothingThatIsOverdueStartsAfterTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, wait := range []time.Duration{0, -time.Second} {
		if !sleep(ctx, timer, wait) {
			t.Errorf("a running load does not start what is due in %v", wait)
		}
	}
	cancel()
	for range 100 {
		for _, wait := range []time.Duration{0, -time.Second, time.Hour} {
			if sleep(ctx, timer, wait) {
				t.Fatalf("a stopped load starts what is due in %v", wait)
			}
		}
	}
}

// On a machine that is short of CPU the goroutine of an attempt may itself wait: the attempt is missed, and not sent.
func TestAnAttemptWhoseGoroutineStartsTooLateIsMissed(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const margin = 2 * time.Millisecond
	for range 100 {
		l := New(Config{Prober: prompt{}, Targets: []target.Target{{}}, Load: mesh.Load{PerSecond: 10}})
		s := l.streams[0]
		due := time.Now().Add(margin - s.lateness)
		l.attempt(t.Context(), s, s.targets[0], due)
		begun := time.Since(due) <= s.lateness
		// The only processor is kept busy until the attempt is too late.
		for time.Since(due) <= s.lateness {
			runtime.KeepAlive(due)
		}
		l.attempts.Wait()
		p := l.Paths()[0]
		if p.Scheduled != 1 || p.Lag.Max() > s.lateness {
			t.Fatalf("of 1 attempt %d were sent, up to %v late, and %d were missed", p.Sent, p.Lag.Max(), p.Missed)
		}
		if begun && p.Missed == 1 && l.inFlight.Load() == 0 {
			return
		}
	}
	t.Error("no attempt was missed")
}
