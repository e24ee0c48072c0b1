package load_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// network answers every attempt after the delay, by what result says of the target and the attempt's number.
type network struct {
	delay  time.Duration
	result func(id string, n int) probe.Sample

	mu     sync.Mutex
	starts map[string][]time.Time
}

func (n *network) Probe(ctx context.Context, t target.Target) probe.Sample {
	start := time.Now()
	n.mu.Lock()
	if n.starts == nil {
		n.starts = map[string][]time.Time{}
	}
	number := len(n.starts[t.ID])
	n.starts[t.ID] = append(n.starts[t.ID], start)
	n.mu.Unlock()
	sample := probe.Sample{Status: 200, Bytes: 100, Peer: "b"}
	if n.result != nil {
		sample = n.result(t.ID, number)
	}
	timer := time.NewTimer(n.delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		sample = probe.Sample{Outcome: probe.Aborted, Phase: probe.FirstByte, Message: "stopped"}
	case <-timer.C:
	}
	sample.Start, sample.Latency = start, time.Since(start)
	return sample
}

func targets(n int) []target.Target {
	var all []target.Target
	for i := range n {
		all = append(all, target.Target{ID: fmt.Sprintf("AgentPodV4IP_kdoctor-agent-%d", i)})
	}
	return all
}

// consistent holds every path against what report.Path promises.
func consistent(t *testing.T, paths []report.Path) {
	t.Helper()
	for _, p := range paths {
		failed := uint64(0)
		for _, f := range p.Failures {
			failed += f.Count
		}
		if p.Scheduled != p.Sent+p.Missed || p.Sent != p.OK+failed || p.Latency.Count() != p.OK ||
			p.Lag.Count() != p.Sent {
			t.Errorf("%s does not add up: %d scheduled, %d sent, %d missed, %d ok, %d failed, %d latencies, %d lags",
				p.Target.ID, p.Scheduled, p.Sent, p.Missed, p.OK, failed, p.Latency.Count(), p.Lag.Count())
		}
		if p.IdleResets > p.Sent || p.IdleCloses > p.Sent-p.IdleResets {
			t.Errorf("%s: %d resets and %d closes of connections of %d attempts", p.Target.ID, p.IdleResets,
				p.IdleCloses, p.Sent)
		}
	}
}

func TestEveryDueRequestIsSentWhenItIsDue(t *testing.T) {
	for _, c := range []struct{ rate, every, due int }{{1, 0, 10}, {3, 0, 30}, {7, 1, 70}, {10, 0, 100},
		{1000, 0, 10_000}, {1, 2, 5}, {1, 3, 3}, {2, 3, 6}, {1, 10, 1}} {
		t.Run(fmt.Sprintf("%d every %d seconds", c.rate, max(c.every, 1)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{delay: 3 * time.Millisecond}
				l := load.New(load.Config{Prober: n, Source: "a", Targets: targets(5),
					Load: mesh.Load{PerSecond: c.rate, Every: c.every, Duration: 10 * time.Second}})
				start := time.Now()
				if !l.Run(t.Context()) {
					t.Error("the load says that it was cut short")
				}
				every := time.Duration(max(c.every, 1)) * time.Second
				interval := every / time.Duration(c.rate)
				if took := time.Since(start); took > 10*time.Second+3*time.Millisecond {
					t.Errorf("10 s of load took %v", took)
				}
				paths := l.Paths()
				consistent(t, paths)
				for _, p := range paths {
					if due := uint64(c.due); p.Scheduled != due || p.OK != due || p.Bytes != 100*due ||
						p.Statuses[200] != due || p.Peers["b"] != due {
						t.Errorf("%s: %d scheduled, %d ok, want %d", p.Target.ID, p.Scheduled, p.OK, due)
					}
					if p.Lag.Max() != 0 || p.Latency.Min() != 3*time.Millisecond ||
						p.Latency.Max() != 3*time.Millisecond {
						t.Errorf("%s: lag up to %v, latency %v to %v", p.Target.ID, p.Lag.Max(), p.Latency.Min(),
							p.Latency.Max())
					}
					starts := n.starts[p.Target.ID]
					slices.SortFunc(starts, time.Time.Compare)
					phase := starts[0].Sub(start)
					if phase < 0 || phase >= interval {
						t.Errorf("%s: phase %v is outside one interval of %v", p.Target.ID, phase, interval)
					}
					for i, at := range starts {
						if want := start.Add(phase + time.Duration(i)*every/time.Duration(c.rate)); !at.Equal(want) {
							t.Fatalf("%s: attempt %d started at %v, was due at %v", p.Target.ID, i, at.Sub(start),
								want.Sub(start))
						}
					}
				}
			})
		})
	}
}

func TestPhasesAreSpreadAndStayTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := func(source string) []time.Duration {
			n := &network{}
			start := time.Now()
			l := load.New(load.Config{Prober: n, Source: source, Targets: targets(1000),
				Load: mesh.Load{PerSecond: 1, Duration: time.Second}})
			l.Run(t.Context())
			var phases []time.Duration
			for _, to := range targets(1000) {
				phases = append(phases, n.starts[to.ID][0].Sub(start))
			}
			return phases
		}
		first := run("a")
		if diff := cmp.Diff(first, run("a")); diff != "" {
			t.Error("the same source has other phases the second time")
		}
		if slices.Equal(first, run("b")) {
			t.Error("two sources beat in step")
		}
		tenths := make([]int, 10)
		for _, p := range first {
			tenths[p/(time.Second/10)]++
		}
		for i, n := range tenths {
			if n < 60 || n > 140 {
				t.Errorf("%d of 1000 targets are due in tenth %d of the interval", n, i)
			}
		}
	})
}

func TestSlowAnswersNeitherDelayNorDropRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := load.New(load.Config{Prober: &network{delay: 5 * time.Second}, Targets: targets(2),
			Load: mesh.Load{PerSecond: 10, Duration: 2 * time.Second}})
		l.Run(t.Context())
		consistent(t, l.Paths())
		for _, p := range l.Paths() {
			if p.OK != 20 || p.Lag.Max() != 0 {
				t.Errorf("%d of 20 succeeded, lag up to %v", p.OK, p.Lag.Max())
			}
		}
	})
}

func TestWhatCannotBeSentInTimeIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Four places, each taken for 1 s, serve 4 of the 10 that are due every second.
		l := load.New(load.Config{Prober: &network{delay: time.Second - time.Millisecond}, Targets: targets(1),
			InFlight: 4,
			Load:     mesh.Load{PerSecond: 10, Duration: 3 * time.Second}})
		if !l.Run(t.Context()) {
			t.Error("a load that missed requests has still come to its end")
		}
		p := l.Paths()[0]
		consistent(t, l.Paths())
		if p.Scheduled != 30 || p.Sent != 12 || p.Missed != 18 {
			t.Errorf("%d scheduled, %d sent, %d missed, want 30, 12, 18", p.Scheduled, p.Sent, p.Missed)
		}
	})
}

func TestFailuresAreCountedByKindWithFewExamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{result: func(_ string, i int) probe.Sample {
			switch i % 5 {
			case 0:
				return probe.Sample{Outcome: probe.Timeout, Phase: probe.Body, Status: 200,
					Message: fmt.Sprintf("message %d", i)}
			case 1:
				return probe.Sample{Outcome: probe.Timeout, Phase: probe.Connect, Message: "no answer"}
			case 2:
				return probe.Sample{Outcome: probe.WrongPeer, Phase: probe.Body, Status: 200, Peer: "c",
					Message: "wrong"}
			}
			return probe.Sample{Status: 200, Peer: "b"}
		}}
		l := load.New(load.Config{Prober: n, Targets: targets(1),
			Load: mesh.Load{PerSecond: 5, Duration: 8 * time.Second}})
		l.Run(t.Context())
		consistent(t, l.Paths())
		p := l.Paths()[0]
		want := []report.Failure{
			{Outcome: probe.Timeout, Phase: probe.Connect, Count: 8, Examples: []string{"no answer"}},
			{Outcome: probe.Timeout, Phase: probe.Body, Count: 8,
				Examples: []string{"message 0", "message 5", "message 10"}},
			{Outcome: probe.WrongPeer, Phase: probe.Body, Count: 8, Examples: []string{"wrong"}},
		}
		if diff := cmp.Diff(want, p.Failures, cmpopts.IgnoreFields(report.Failure{}, "Spans")); diff != "" {
			t.Errorf("failures (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[string]uint64{"b": 16, "c": 8}, p.Peers); diff != "" {
			t.Errorf("peers (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(map[int]uint64{200: 32}, p.Statuses); diff != "" {
			t.Errorf("statuses (-want +got):\n%s", diff)
		}
	})
}

func TestStoppedLoadAbortsWhatIsUnderWayAndForgetsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		// With answers after 2.5 intervals two or three attempts are under way at any moment.
		l := load.New(load.Config{Prober: &network{delay: 250 * time.Millisecond}, Targets: targets(1),
			Load: mesh.Load{PerSecond: 10, Duration: 10 * time.Second}})
		done := make(chan bool)
		go func() { done <- l.Run(ctx) }()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		middle := l.Paths()
		consistent(t, middle)
		if p := middle[0]; p.OK < 27 || p.OK > 28 || p.Sent != p.OK || !p.Ended.IsZero() || p.Started.IsZero() {
			t.Errorf("after 3 s: %d sent, %d ok, ended %v", p.Sent, p.OK, p.Ended)
		}
		stopped := time.Now()
		cancel()
		if <-done {
			t.Error("a stopped load says that it came to its end")
		}
		if took := time.Since(stopped); took != 0 {
			t.Errorf("stopping took %v", took)
		}
		consistent(t, l.Paths())
		p := l.Paths()[0]
		if p.Scheduled != 30 || p.Missed != 0 || len(p.Failures) != 1 || p.Failures[0].Outcome != probe.Aborted ||
			p.Failures[0].Count != 30-p.OK {
			t.Errorf("%d scheduled, %d missed, failures %v", p.Scheduled, p.Missed, p.Failures)
		}
		if p.Ended.Sub(p.Started) != 3*time.Second {
			t.Errorf("the path lasted %v, want 3s", p.Ended.Sub(p.Started))
		}
		if middle[0].Sent >= p.Sent {
			t.Errorf("the report of the middle has changed: %d sent", middle[0].Sent)
		}
	})
}
