package load_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

func TestThePersistentStreamRunsBesideTheCountedOne(t *testing.T) {
	for _, c := range []struct {
		name     string
		load     mesh.Load
		requests int
		every    time.Duration
	}{
		{"a tenth of the requests", mesh.Load{PerSecond: 10, Duration: 20 * time.Second, Connection: mesh.Both}, 20,
			time.Second},
		{"three at least", mesh.Load{PerSecond: 1, Duration: 10 * time.Second, Connection: mesh.Both}, 3,
			10 * time.Second / 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				counted, persistent := &network{delay: 3 * time.Millisecond}, &network{delay: time.Millisecond}
				l := load.New(load.Config{Prober: counted, Persistent: persistent, Source: "a", Targets: targets(4),
					Load: c.load})
				start := time.Now()
				if !l.Run(t.Context()) {
					t.Error("the load says that it was cut short")
				}
				if took := time.Since(start); took > c.load.Duration+3*time.Millisecond {
					t.Errorf("%v of load took %v", c.load.Duration, took)
				}
				var phases []time.Duration
				for _, p := range l.Paths() {
					consistent(t, []report.Path{p, *p.Persistent})
					if p.OK != c.load.Requests() || p.Latency.Min() != 3*time.Millisecond ||
						p.Persistent.OK != uint64(c.requests) || p.Persistent.Latency.Max() != time.Millisecond {
						t.Errorf("%d ok from %v on, %d of the persistent stream ok up to %v", p.OK, p.Latency.Min(), p.Persistent.OK,
							p.Persistent.Latency.Max())
					}
					if p.Persistent.Target != p.Target || p.Persistent.Persistent != nil ||
						!p.Persistent.Started.Equal(p.Started) ||
						!p.Persistent.Ended.Equal(p.Ended) {
						t.Errorf("%s has the persistent path %+v", p.Target.ID, p.Persistent.Target)
					}
					starts := persistent.starts[p.Target.ID]
					slices.SortFunc(starts, time.Time.Compare)
					phase := starts[0].Sub(start)
					if phase < 0 || phase >= c.every {
						t.Errorf("phase %v is outside one interval of %v", phase, c.every)
					}
					phases = append(phases, phase)
					for i, at := range starts {
						if want := start.Add(phase + time.Duration(i)*c.every); !at.Equal(want) {
							t.Errorf("attempt %d started at %v, was due at %v", i, at.Sub(start), want.Sub(start))
						}
					}
				}
				slices.Sort(phases)
				if len(slices.Compact(phases)) != 4 {
					t.Errorf("persistent streams beat in step: %v", phases)
				}
			})
		})
	}
}

func TestWithoutAPersistentStreamNothingIsSaidOfOne(t *testing.T) {
	both := mesh.Load{PerSecond: 10, Duration: time.Second, Connection: mesh.Both}
	alone := both
	alone.Connection = mesh.KeepAlive
	tcp := targets(1)
	tcp[0].Protocol = target.TCP
	for _, c := range []struct {
		name       string
		persistent probe.Prober
		targets    []target.Target
		load       mesh.Load
	}{
		{"nobody makes its attempts", nil, targets(1), both},
		{"the load has none", &network{}, targets(1), alone},
		{"nobody speaks on the connection", &network{}, tcp, both},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := load.New(load.Config{Prober: &network{}, Persistent: c.persistent, Targets: c.targets,
					Load: c.load})
				l.Run(t.Context())
				if p := l.Paths()[0]; p.Persistent != nil || p.OK != 10 {
					t.Errorf("%d ok, persistent stream %+v", p.OK, p.Persistent)
				}
			})
		})
	}
}

// chaos ends attempts after different times in all sorts of ways, and counts those that are under way.
type chaos struct {
	mu      sync.Mutex
	n       uint64
	now     int
	highest int
}

func (c *chaos) Probe(ctx context.Context, t target.Target) probe.Sample {
	c.mu.Lock()
	c.n++
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, t.ID, c.n)
	x := h.Sum64()
	c.now++
	c.highest = max(c.highest, c.now)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
	}()
	s := probe.Sample{Start: time.Now(), Outcome: probe.Outcome(x % uint64(probe.Outcomes)),
		Phase:  probe.Phase(x >> 8 % uint64(probe.Phases)),
		Reused: x>>16&1 == 0, Closed: x>>17&1 == 0, Lost: probe.Lost{Resets: x >> 40 % 2, Closes: x >> 41 % 3},
		Bytes: 10, Peer: fmt.Sprintf("p%d", x>>20%8), Message: fmt.Sprintf("m%d", x>>24%8)}
	if s.Outcome == probe.OK {
		s.Phase, s.Message = probe.NoPhase, ""
	}
	timer := time.NewTimer(time.Duration(x>>32%300) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		s.Outcome, s.Phase = probe.Aborted, probe.FirstByte
	case <-timer.C:
	}
	s.Latency = time.Since(s.Start)
	return s
}

// watched runs the load while others look at it, and holds all that they see against the invariants.
func watched(ctx context.Context, t *testing.T, l *load.Runner) (complete bool) {
	t.Helper()
	done := make(chan struct{})
	var watchers sync.WaitGroup
	for i := range 3 {
		watchers.Go(func() {
			timer := time.NewTimer(0)
			defer timer.Stop()
			for {
				select {
				case <-done:
					return
				case <-timer.C:
				}
				consistent(t, all(l))
				timer.Reset(time.Duration(17+10*i) * time.Millisecond)
			}
		})
	}
	complete = l.Run(ctx)
	close(done)
	watchers.Wait()
	consistent(t, all(l))
	return complete
}

// all are the paths of both streams.
func all(l *load.Runner) (paths []report.Path) {
	for _, p := range l.Paths() {
		paths = append(paths, p)
		if p.Persistent != nil {
			paths = append(paths, *p.Persistent)
		}
	}
	return paths
}

func TestCountsAddUpAtEveryMomentWhateverHappens(t *testing.T) {
	const inFlight = 200
	for _, c := range []struct {
		name string
		stop time.Duration
	}{{"to its end", 0}, {"stopped in the middle", 1234567 * time.Microsecond}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.stop > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.stop)
					defer cancel()
				}
				// 2200 attempts a second of 150 ms each want 330 places of the 200.
				prober := &chaos{}
				l := load.New(load.Config{Prober: prober, Persistent: prober, Source: "a", Targets: targets(20),
					InFlight: inFlight,
					Load:     mesh.Load{PerSecond: 100, Duration: 3 * time.Second, Connection: mesh.Both}})
				if complete := watched(ctx, t, l); complete != (c.stop == 0) {
					t.Errorf("the load says %v of its completeness", complete)
				}
				sent, missed := uint64(0), uint64(0)
				for _, p := range all(l) {
					sent, missed = sent+p.Sent, missed+p.Missed
				}
				if sent != prober.n || prober.now != 0 || prober.highest != inFlight || missed == 0 {
					t.Errorf("%d of %d attempts are counted, %d are under way at the end and %d were at most, %d "+
						"were missed", sent, prober.n, prober.now, prober.highest, missed)
				}
				if c.stop == 0 && sent+missed != 20*(300+30) {
					t.Errorf("%d sent and %d missed of %d", sent, missed, 20*(300+30))
				}
			})
		})
	}
}

func TestCountsAddUpOnABusyMachine(t *testing.T) {
	var stop atomic.Bool
	var busy sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		busy.Go(func() {
			for x := uint64(1); !stop.Load(); x *= 3 {
				runtime.KeepAlive(x)
			}
		})
	}
	prober := &chaos{}
	l := load.New(load.Config{Prober: prober, Persistent: prober, Source: "a", Targets: targets(5),
		Load: mesh.Load{PerSecond: 500, Duration: time.Second, Connection: mesh.Both}})
	complete := watched(t.Context(), t, l)
	stop.Store(true)
	busy.Wait()
	scheduled, sent := uint64(0), uint64(0)
	for _, p := range all(l) {
		scheduled, sent = scheduled+p.Scheduled, sent+p.Sent
	}
	if !complete || scheduled != 5*(500+50) || sent != prober.n || prober.now != 0 {
		t.Errorf("complete is %v, %d scheduled, %d of %d sent are counted, %d are under way", complete, scheduled, sent,
			prober.n, prober.now)
	}
}
