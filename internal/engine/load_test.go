//go:build linux

package engine

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/responder"
	"kdoctor.io/kdoctor/internal/target"
)

const roundOfTest = "u/1/1"

// measured is what both engines offer.
type measured interface {
	Run(ctx context.Context) bool
	Paths() []report.Path
}

// both runs the test with the engine and with the load that it must not differ from.
func both(t *testing.T, test func(t *testing.T, start func(targets []target.Target, l mesh.Load,
	inFlight int) measured)) {
	t.Helper()
	t.Run("engine", func(t *testing.T) {
		test(t, func(targets []target.Target, l mesh.Load, inFlight int) measured {
			return New(Config{Round: roundOfTest, Source: "a", Installation: "k/a", Targets: targets, Load: l,
				InFlight: inFlight, Shards: 2})
		})
	})
	t.Run("load", func(t *testing.T) {
		test(t, func(targets []target.Target, l mesh.Load, inFlight int) measured {
			prober := httpprobe.New(httpprobe.Config{Round: roundOfTest, Source: "a", Installation: "k/a",
				Timeout: l.Timeout})
			return load.New(load.Config{Prober: prober, Source: "a", Targets: targets, Load: l, InFlight: inFlight})
		})
	})
}

func newAgent(t testing.TB) (*responder.Handler, string) {
	t.Helper()
	handler := responder.NewHandler(echo.Identity{Installation: "k/a", Pod: "b"})
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return handler, server.URL
}

// blackHole is an address that accepts connections and never answers.
func blackHole(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return "http://" + listener.Addr().String()
}

func targetsAt(url string, n int) (all []target.Target) {
	for i := range n {
		all = append(all, target.Target{ID: fmt.Sprintf("t%d", i), Family: "IPv4", Address: url, Pod: "b"})
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
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func TestEveryDueRequestArrives(t *testing.T) {
	both(t, func(t *testing.T, start func([]target.Target, mesh.Load, int) measured) {
		handler, url := newAgent(t)
		m := start(targetsAt(url, 7), mesh.Load{PerSecond: 13, Duration: 2 * time.Second, Timeout: 10 * time.Second}, 0)
		if !m.Run(t.Context()) {
			t.Error("the load says that it was cut short")
		}
		paths := m.Paths()
		consistent(t, paths)
		sent := uint64(0)
		for i, p := range paths {
			if p.Scheduled != 26 || p.OK != p.Sent || p.Statuses[200] != p.Sent || p.Peers["b"] != p.Sent ||
				p.Target.ID != fmt.Sprintf("t%d", i) {
				t.Errorf("%s: %d scheduled, %d sent, %d ok, failures %v", p.Target.ID, p.Scheduled, p.Sent, p.OK,
					p.Failures)
			}
			if took := p.Ended.Sub(p.Started); took < time.Second || took > 10*time.Second {
				t.Errorf("%s lasted %v", p.Target.ID, took)
			}
			sent += p.Sent
		}
		if served := handler.Served(roundOfTest); served != sent {
			t.Errorf("%d requests were sent and %d answered", sent, served)
		}
	})
}

func TestSilenceIsATimeoutOfEachAttempt(t *testing.T) {
	both(t, func(t *testing.T, start func([]target.Target, mesh.Load, int) measured) {
		const timeout = 300 * time.Millisecond
		m := start(targetsAt(blackHole(t), 3), mesh.Load{PerSecond: 20, Duration: time.Second, Timeout: timeout}, 0)
		began := time.Now()
		m.Run(t.Context())
		if took := time.Since(began); took < timeout || took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		consistent(t, m.Paths())
		for _, p := range m.Paths() {
			want := []report.Failure{{Outcome: probe.Timeout, Phase: probe.FirstByte, Count: p.Sent,
				Examples: []string{"no answer within 300ms"}}}
			if diff := cmp.Diff(want, p.Failures, cmpopts.IgnoreFields(report.Failure{}, "Spans")); diff != "" ||
				p.Scheduled != 20 {
				t.Errorf("%d scheduled, failures (-want +got):\n%s", p.Scheduled, diff)
			}
		}
	})
}

func TestWhatFindsNoPlaceIsMissed(t *testing.T) {
	both(t, func(t *testing.T, start func([]target.Target, mesh.Load, int) measured) {
		// Two places, each taken for the whole load.
		m := start(targetsAt(blackHole(t), 3), mesh.Load{PerSecond: 20, Duration: time.Second,
			Timeout: 5 * time.Second}, 2)
		if !m.Run(t.Context()) {
			t.Error("a load that missed requests has still come to its end")
		}
		consistent(t, m.Paths())
		sent, missed := uint64(0), uint64(0)
		for _, p := range m.Paths() {
			sent, missed = sent+p.Sent, missed+p.Missed
		}
		if sent < 2 || sent > 3 || sent+missed != 60 {
			t.Errorf("%d sent, %d missed, want 2 and 58", sent, missed)
		}
	})
}

func TestStoppedLoadEndsAtOnce(t *testing.T) {
	both(t, func(t *testing.T, start func([]target.Target, mesh.Load, int) measured) {
		before := descriptors(t)
		url := blackHole(t)
		ctx, cancel := context.WithCancel(t.Context())
		m := start(targetsAt(url, 5), mesh.Load{PerSecond: 50, Duration: time.Minute, Timeout: time.Minute}, 0)
		done := make(chan bool)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(500 * time.Millisecond)
		consistent(t, m.Paths())
		stopped := time.Now()
		cancel()
		if <-done {
			t.Error("a stopped load says that it came to its end")
		}
		if took := time.Since(stopped); took > 100*time.Millisecond {
			t.Errorf("stopping took %v", took)
		}
		consistent(t, m.Paths())
		for _, p := range m.Paths() {
			if p.Sent == 0 || len(p.Failures) != 1 || p.Failures[0].Outcome != probe.Aborted ||
				p.Failures[0].Phase != probe.FirstByte {
				t.Errorf("%d scheduled, %d sent, failures %v", p.Scheduled, p.Sent, p.Failures)
			}
		}
		// The listener is still open.
		if after := descriptors(t); after > before+1 {
			t.Errorf("%d descriptors before and %d after", before, after)
		}
	})
}

func TestLoadThatIsStoppedBeforehandSendsNothing(t *testing.T) {
	both(t, func(t *testing.T, start func([]target.Target, mesh.Load, int) measured) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		m := start(targetsAt(blackHole(t), 2), mesh.Load{PerSecond: 1, Duration: time.Second, Timeout: time.Second}, 0)
		if m.Run(ctx) {
			t.Error("the load says that it came to its end")
		}
		for _, p := range m.Paths() {
			if p.Scheduled != 0 || p.Started.IsZero() || p.Ended.IsZero() {
				t.Errorf("%d scheduled from %v to %v", p.Scheduled, p.Started, p.Ended)
			}
		}
	})
}

func TestLoadWithoutTargetsEnds(t *testing.T) {
	both(t, func(t *testing.T, start func([]target.Target, mesh.Load, int) measured) {
		m := start(nil, mesh.Load{PerSecond: 1000, Duration: time.Second, Timeout: time.Second}, 0)
		if !m.Run(t.Context()) || len(m.Paths()) != 0 {
			t.Errorf("paths %v", m.Paths())
		}
	})
}

func TestSlowAnswersDelayNoRequest(t *testing.T) {
	both(t, func(t *testing.T, start func([]target.Target, mesh.Load, int) measured) {
		handler := responder.NewHandler(echo.Identity{Installation: "k/a", Pod: "b"})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(700 * time.Millisecond)
			handler.ServeHTTP(w, r)
		}))
		defer server.Close()
		m := start(targetsAt(server.URL, 2), mesh.Load{PerSecond: 20, Duration: time.Second,
			Timeout: 10 * time.Second}, 0)
		m.Run(t.Context())
		consistent(t, m.Paths())
		for _, p := range m.Paths() {
			if p.Scheduled != 20 || p.OK != p.Sent || p.Latency.Min() < 700*time.Millisecond {
				t.Errorf("%d scheduled, %d of %d ok, fastest after %v", p.Scheduled, p.OK, p.Sent, p.Latency.Min())
			}
		}
	})
}

func TestThousandTargetsAreAskedAndNothingIsLeftOpen(t *testing.T) {
	handler, url := newAgent(t)
	before := descriptors(t)
	e := New(Config{Round: roundOfTest, Source: "a", Installation: "k/a", Targets: targetsAt(url, 1000),
		Load: mesh.Load{PerSecond: 10, Duration: 2 * time.Second, Timeout: 10 * time.Second}})
	if !e.Run(t.Context()) {
		t.Error("the load says that it was cut short")
	}
	consistent(t, e.Paths())
	scheduled, sent, ok := uint64(0), uint64(0), uint64(0)
	for _, p := range e.Paths() {
		scheduled, sent, ok = scheduled+p.Scheduled, sent+p.Sent, ok+p.OK
	}
	// On a machine that is short of CPU some may be missed; what was sent must have arrived.
	if scheduled != 20_000 || ok != sent || handler.Served(roundOfTest) != sent {
		t.Errorf("%d scheduled, %d sent, %d ok, %d served", scheduled, sent, ok, handler.Served(roundOfTest))
	}
	if n := e.inFlight.Load(); n != 0 {
		t.Errorf("%d attempts are under way after the end", n)
	}
	// The server closes its ends when it hears of the reset.
	after := descriptors(t)
	for deadline := time.Now().Add(5 * time.Second); after > before &&
		time.Now().Before(deadline); after = descriptors(t) {
		time.Sleep(10 * time.Millisecond)
	}
	if after > before {
		t.Errorf("%d descriptors before and %d after", before, after)
	}
}

func TestTargetsThatTheEngineCannotProbeAreNotSent(t *testing.T) {
	e := New(Config{Targets: targetsAt("http://name.example", 1),
		Load: mesh.Load{PerSecond: 10, Duration: time.Second, Timeout: time.Second}})
	e.Run(t.Context())
	consistent(t, e.Paths())
	p := e.Paths()[0]
	if p.Scheduled != 10 || len(p.Failures) != 1 || p.Failures[0].Outcome != probe.NotSent {
		t.Errorf("%d scheduled, failures %v", p.Scheduled, p.Failures)
	}
	if p.Retransmits != 0 {
		t.Error("what was not sent was sent again")
	}
}
