package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/responder"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
)

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// waiting is a load that lasts as long as its plan says and measures nothing; its target's name makes it as large as
// wanted.
type waiting struct {
	plan    mesh.Plan
	running *atomic.Int64
}

func (w *waiting) Run(ctx context.Context) bool {
	w.running.Add(1)
	defer w.running.Add(-1)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(w.plan.Load.Duration):
		return true
	}
}

func (w *waiting) Grid() bool { return false }

func (w *waiting) Paths() []report.Path {
	return []report.Path{{Target: w.plan.Targets[0]}}
}

func testRounds() (*rounds, *atomic.Int64) {
	running := &atomic.Int64{}
	identity := echo.Identity{Installation: "k/a", Pod: "a"}
	s := newRounds(identity, responder.NewHandler(identity), slog.New(slog.DiscardHandler))
	s.measure = func(p mesh.Plan) measurement { return &waiting{p, running} }
	s.idling = &idling{}
	return s, running
}

func lasting(uid string, round int64, duration, limit time.Duration) mesh.Plan {
	return mesh.Plan{Key: schedule.Key{UID: uid, Generation: 1, Round: round}, Targets: []target.Target{{ID: "t"}},
		Load: mesh.Load{Duration: duration}, Limit: limit}
}

func begin(t *testing.T, s *rounds, p mesh.Plan) {
	t.Helper()
	if known, err := s.start(p); known || err != nil {
		t.Fatalf("round %s: known %v, %v", p.Key, known, err)
	}
}

func knows(s *rounds, p mesh.Plan) bool {
	_, ok, err := s.report(p.Key, false)
	return ok && err == nil
}

func TestAnAgentIsIdleSomeSecondsAfterItsLastRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := testRounds()
		var busy, idle atomic.Int64
		s.idling = &idling{busy: func() { busy.Add(1) }, idle: func() { idle.Add(1) }}
		expect := func(after time.Duration, times int64) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := idle.Load(); got != times {
				t.Fatalf("the agent was idle %d times, want %d", got, times)
			}
		}
		wake := func(times int64) {
			t.Helper()
			synctest.Wait()
			if got := busy.Load(); got != times {
				t.Fatalf("the agent was made ready to measure %d times, want %d", got, times)
			}
		}
		expect(time.Minute, 0)
		wake(0)
		begin(t, s, lasting("a", 1, 10*time.Second, time.Minute))
		wake(1)
		begin(t, s, lasting("b", 1, 30*time.Second, time.Minute))
		expect(10*time.Second+2*idleAfter, 0)
		begin(t, s, lasting("a", 2, 10*time.Second, time.Minute))
		expect(10*time.Second+idleAfter-time.Second, 0)
		begin(t, s, lasting("a", 3, time.Second, time.Minute))
		wake(1)
		expect(idleAfter, 0)
		expect(2*time.Second, 1)
		expect(time.Hour, 1)
		begin(t, s, lasting("a", 4, time.Second, time.Minute))
		wake(2)
		s.close()
		expect(time.Hour, 1)
	})
}

func TestRoundIsOverAtItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := testRounds()
		defer s.close()
		p := lasting("u", 1, time.Hour, time.Minute)
		begin(t, s, p)
		time.Sleep(2 * time.Minute)
		m, _, err := s.report(p.Key, false)
		if err != nil {
			t.Fatal(err)
		}
		if took := m.GetEnded().AsTime().Sub(m.GetStarted().AsTime()); took != time.Minute ||
			m.GetState().String() != "ROUND_STATE_STOPPED" {
			t.Errorf("the round lasted %v and is %s", took, m.GetState())
		}
	})
}

func TestNewRoundOfATaskStopsTheOlderOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, running := testRounds()
		defer s.close()
		begin(t, s, lasting("u", 1, time.Hour, time.Hour))
		begin(t, s, lasting("other", 1, time.Hour, time.Hour))
		begin(t, s, lasting("u", 2, time.Hour, time.Hour))
		synctest.Wait()
		if n := running.Load(); n != 2 {
			t.Errorf("%d rounds run, want 2: the other task's and the new one", n)
		}
		m, _, err := s.report(lasting("u", 1, 0, 0).Key, false)
		if err != nil || m.GetState().String() != "ROUND_STATE_STOPPED" {
			t.Errorf("the older round is %s, %v", m.GetState(), err)
		}
		if _, err := s.start(lasting("u", 1, time.Hour, time.Hour)); err != nil {
			t.Errorf("a repeated start of a known round: %v", err)
		}
	})
}

func TestEndedRoundsAreKeptForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := testRounds()
		defer s.close()
		old := lasting("old", 1, time.Second, time.Minute)
		begin(t, s, old)
		time.Sleep(59 * time.Minute)
		begin(t, s, lasting("u", 1, time.Second, time.Minute))
		if !knows(s, old) {
			t.Error("a round is forgotten within the hour")
		}
		time.Sleep(2 * time.Minute)
		begin(t, s, lasting("u", 2, time.Second, time.Minute))
		if knows(s, old) {
			t.Error("a round is kept for more than an hour")
		}
	})
}

func TestOldestEndedRoundMakesRoomAndRunningOnesNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, running := testRounds()
		defer s.close()
		first := lasting("ended", 1, time.Second, time.Minute)
		begin(t, s, first)
		time.Sleep(2 * time.Second)
		for i := range maxRounds {
			begin(t, s, lasting("u"+strings.Repeat("x", i), 1, time.Hour, time.Hour))
		}
		if knows(s, first) {
			t.Error("the ended round still takes room")
		}
		if _, err := s.start(lasting("one-more", 1, time.Hour, time.Hour)); !errors.Is(err, errFull) {
			t.Errorf("one round too many: %v", err)
		}
		synctest.Wait()
		if n := running.Load(); n != maxRounds {
			t.Errorf("%d rounds run, want %d", n, maxRounds)
		}
	})
}

func TestKeptReportsAreBoundedInSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := testRounds()
		defer s.close()
		large := lasting("a", 1, time.Second, time.Minute)
		large.Targets[0].ID = strings.Repeat("t", maxReportBytes/2+1)
		begin(t, s, large)
		time.Sleep(2 * time.Second)
		larger := large
		larger.Key.UID = "b"
		begin(t, s, larger)
		time.Sleep(2 * time.Second)
		begin(t, s, lasting("c", 1, time.Second, time.Minute))
		if knows(s, large) || !knows(s, larger) {
			t.Error("of two reports too large together the newer one alone must be kept")
		}
	})
}

func TestClosedRoundsTakeNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, running := testRounds()
		begin(t, s, lasting("u", 1, time.Hour, time.Hour))
		synctest.Wait()
		before := time.Now()
		s.close()
		if running.Load() != 0 || time.Since(before) != 0 {
			t.Errorf("%d rounds still run %v after close", running.Load(), time.Since(before))
		}
		if _, err := s.start(lasting("v", 1, time.Hour, time.Hour)); !errors.Is(err, errEnding) {
			t.Errorf("start after close: %v", err)
		}
	})
}

func TestReportsAreHandedOverBeforeTheEnd(t *testing.T) {
	handOver := func(t *testing.T, s *rounds) time.Duration {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), handOverWithin)
		defer cancel()
		s.close()
		s.handOver(ctx)
		return time.Since(began)
	}
	running := lasting("u", 1, time.Hour, time.Hour)
	for _, c := range []struct {
		name string
		// after is how long the round runs before the agent is stopped. The report is fetched after another fetched;
		// never if that is negative.
		after, fetched time.Duration
		plan           mesh.Plan
		want           time.Duration
	}{
		{"a running round's report is fetched", time.Second, 3 * time.Second, running, 3 * time.Second},
		{"nobody fetches it", time.Second, -1, running, handOverWithin},
		{"the round ended just now", 5 * time.Second, 2 * time.Second, lasting("u", 1, 4*time.Second, time.Hour),
			2 * time.Second},
		{"the round ended long ago", time.Minute, -1, lasting("u", 1, time.Second, time.Hour), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := testRounds()
				begin(t, s, c.plan)
				time.Sleep(c.after)
				// Fetching the report of a running round hands nothing over.
				if _, _, err := s.report(c.plan.Key, c.plan.Load.Duration <= c.after); err != nil {
					t.Error(err)
				}
				if c.fetched >= 0 {
					go func() {
						time.Sleep(c.fetched)
						_, _, _ = s.report(c.plan.Key, true)
						_, _, _ = s.report(c.plan.Key, false)
					}()
				}
				if took := handOver(t, s); took != c.want {
					t.Errorf("the agent waited for %v, want %v", took, c.want)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}
