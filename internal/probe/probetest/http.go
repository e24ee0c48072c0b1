// Package probetest is the contract of all probers, as tests.
package probetest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/responder"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// NewHTTP makes the prober under test.
type NewHTTP func(httpprobe.Config) probe.Prober

const (
	long  = 10 * time.Second
	short = 300 * time.Millisecond
	ours  = "kdoctor/kdoctor-agent"
	pod   = "kdoctor-agent-b"
)

func config(timeout time.Duration) httpprobe.Config {
	return httpprobe.Config{Round: "0b5f/1/2", Source: "kdoctor-agent-a", Installation: ours, Timeout: timeout}
}

func at(address string) target.Target {
	return target.Target{ID: "t", Kind: target.Endpoint, Family: topology.IPv4, Protocol: target.HTTP,
		Address: "http://" + address, Pod: pod}
}

// HTTP runs the contract of the HTTP probe. Config.Keep says whether the prober under test keeps connections open from
// one attempt to the next. A prober that has a method Close is closed at its test's end. HTTP changes the process's
// descriptor limit for a moment, so that it must not run beside other tests.
func HTTP(t *testing.T, newProber NewHTTP) {
	t.Run("answers", func(t *testing.T) { answers(t, newProber) })
	t.Run("a complete answer of the right agent is OK", func(t *testing.T) { success(t, newProber) })
	t.Run("a redirect is not followed", func(t *testing.T) { redirect(t, newProber) })
	t.Run("every attempt opens a connection of its own", func(t *testing.T) { connections(t, newProber) })
	t.Run("nobody listens", func(t *testing.T) { refused(t, newProber) })
	t.Run("a policy of the node refuses", func(t *testing.T) { refusedByPolicy(t, newProber) })
	t.Run("an unknown name", func(t *testing.T) { unknownName(t, newProber) })
	t.Run("an attempt under way is aborted with its round", func(t *testing.T) { aborted(t, newProber) })
	t.Run("an attempt of a stopped round is aborted", func(t *testing.T) { abortedBefore(t, newProber) })
	t.Run("a connection is made to where the target says, for the host of its URL",
		func(t *testing.T) { dial(t, newProber) })
	t.Run("a name to connect to is resolved, for the host of the URL", func(t *testing.T) { dialByName(t, newProber) })
	t.Run("connections alone", func(t *testing.T) { tcp(t, newProber) })
	t.Run("a reset follows a complete answer", func(t *testing.T) { resets(t, newProber) })
	t.Run("persistent connections", func(t *testing.T) { persistent(t, newProber) })
	t.Run("no descriptor is left", func(t *testing.T) { noDescriptor(t, newProber) })
}

// want is the part of a sample that the contract fixes.
type want struct {
	outcome probe.Outcome
	phase   probe.Phase
	status  int
}

func check(t *testing.T, got probe.Sample, w want) {
	t.Helper()
	if have := (want{got.Outcome, got.Phase, got.Status}); have != w {
		t.Errorf("sample is %v in phase %q with status %d (%s), want %v in phase %q with status %d",
			have.outcome, have.phase, have.status, got.Message, w.outcome, w.phase, w.status)
	}
	if (got.Outcome == probe.OK) != (got.Message == "") {
		t.Errorf("outcome %v has message %q", got.Outcome, got.Message)
	}
	if got.Start.IsZero() || got.Latency <= 0 {
		t.Errorf("start %v and latency %v are not measured", got.Start, got.Latency)
	}
	sum := time.Duration(0)
	for _, d := range got.Phases {
		sum += d
	}
	if sum > got.Latency+got.Own {
		t.Errorf("phases %v take longer than the latency of %v and %v of the prober's own", got.Phases, got.Latency,
			got.Own)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func success(t *testing.T, newProber NewHTTP) {
	handler := responder.NewHandler(echo.Identity{Installation: ours, Pod: pod, PodUID: "u", Node: "n"})
	var source, path, host atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		source.Store(r.Header.Get(echo.SourceHeader))
		path.Store(r.URL.Path)
		host.Store(r.Host)
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	to := at(server.Listener.Addr().String())
	to.Address += "/kdoctoragent"
	to.Pod = ""
	got := newProber(config(long)).Probe(t.Context(), to)
	check(t, got, want{probe.OK, probe.NoPhase, 200})
	if got.Phases[probe.Connect] <= 0 || got.Phases[probe.FirstByte] <= 0 || got.Phases[probe.Resolve] != 0 ||
		got.Phases[probe.TLS] != 0 || got.Reused || got.Closed {
		t.Errorf("phases are %v, reused is %v, closed %v", got.Phases, got.Reused, got.Closed)
	}
	if got.Peer != pod || got.Bytes < int64(len(pod)) {
		t.Errorf("peer is %q and the body has %d bytes", got.Peer, got.Bytes)
	}
	if served := handler.Served("0b5f/1/2"); served != 1 {
		t.Errorf("the responder counted %d requests of the round, want 1", served)
	}
	if source.Load() != "kdoctor-agent-a" || path.Load() != "/kdoctoragent" ||
		host.Load() != server.Listener.Addr().String() {
		t.Errorf("source is %v, path %v, host %v", source.Load(), path.Load(), host.Load())
	}
}

func redirect(t *testing.T, newProber NewHTTP) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer server.Close()
	check(t, newProber(config(long)).Probe(t.Context(), at(server.Listener.Addr().String())),
		want{probe.BadStatus, probe.FirstByte, 302})
	if requests.Load() != 1 {
		t.Errorf("%d requests were sent, want 1", requests.Load())
	}
}

func connections(t *testing.T, newProber NewHTTP) {
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(responder.NewHandler(echo.Identity{Installation: ours, Pod: pod}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	prober := newProber(config(long))
	for range 3 {
		check(t, prober.Probe(t.Context(), at(server.Listener.Addr().String())), want{probe.OK, probe.NoPhase, 200})
	}
	if opened.Load() != 3 {
		t.Errorf("3 attempts opened %d connections", opened.Load())
	}
}

func refused(t *testing.T, newProber NewHTTP) {
	listener := listen(t)
	address := listener.Addr().String()
	_ = listener.Close()
	got := newProber(config(long)).Probe(t.Context(), at(address))
	check(t, got, want{probe.Refused, probe.Connect, 0})
	if strings.Contains(got.Message, "127.0.0.1") {
		t.Errorf("message %q holds an address, so equal failures read differently", got.Message)
	}
}

// refusedByPolicy compares what a policy refuses with what the agent itself could not do: only the first is a failure
// of the path.
func refusedByPolicy(t *testing.T, newProber NewHTTP) {
	address := serve(t, script{text: complete(200, body(ours, pod)), end: closed})
	for errno, w := range map[syscall.Errno]want{
		syscall.EPERM: {probe.Refused, probe.Connect, 0}, syscall.EACCES: {probe.Refused, probe.Connect, 0},
		syscall.EINVAL: {probe.Unreachable, probe.Connect, 0}, syscall.EADDRNOTAVAIL: {probe.NotSent, probe.Connect, 0},
	} {
		for _, to := range []target.Target{at(address), tcpAt(address)} {
			refusing(t, errno, func() {
				got := open(t, newProber, config(long)).Probe(t.Context(), to)
				check(t, got, w)
				if named := strings.Contains(got.Message,
					"on the agent's own node"); named == (w.outcome == probe.NotSent) {
					t.Errorf("%v has the message %q", errno, got.Message)
				}
			})
		}
	}
}

func unknownName(t *testing.T, newProber NewHTTP) {
	unresolved(t, newProber(config(long)).Probe(t.Context(), at("kdoctor.invalid")))
}

// unresolved checks an attempt at a name that does not exist.
func unresolved(t *testing.T, got probe.Sample) {
	t.Helper()
	// A machine whose name servers do not answer cannot say that the name is unknown.
	if got.Outcome != probe.DNSFailed && got.Outcome != probe.Timeout {
		t.Errorf("outcome is %v (%s), want DNSFailed", got.Outcome, got.Message)
	}
	if got.Phase != probe.Resolve {
		t.Errorf("phase is %q, want resolve", got.Phase)
	}
}

func aborted(t *testing.T, newProber NewHTTP) {
	ctx, cancel := context.WithCancel(t.Context())
	address := serve(t, script{end: func(c net.Conn) { cancel(); stalled(c) }})
	got := newProber(config(long)).Probe(ctx, at(address))
	check(t, got, want{probe.Aborted, probe.FirstByte, 0})
	if got.Latency > long/2 {
		t.Errorf("it took %v to obey the context", got.Latency)
	}
}

func abortedBefore(t *testing.T, newProber NewHTTP) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check(t, newProber(config(long)).Probe(ctx, at(serve(t, script{end: stalled}))),
		want{probe.Aborted, probe.Connect, 0})
}

func noDescriptor(t *testing.T, newProber NewHTTP) {
	address := serve(t, script{end: stalled})
	prober := newProber(config(long))
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = 64
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var taken []*os.File
	defer func() {
		for _, f := range taken {
			_ = f.Close()
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, f)
	}
	check(t, prober.Probe(t.Context(), at(address)), want{probe.NotSent, probe.Connect, 0})
}
