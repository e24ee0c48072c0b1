package probetest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/responder"
	"kdoctor.io/kdoctor/internal/target"
)

func dial(t *testing.T, newProber NewHTTP) {
	hosts := make(chan string, 1)
	handler := responder.NewHandler(echo.Identity{Installation: ours, Pod: pod})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts <- r.Host
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	to := at("kdoctor.invalid:8080")
	to.Dial = server.Listener.Addr().String()
	got := newProber(config(long)).Probe(t.Context(), to)
	check(t, got, want{probe.OK, probe.NoPhase, 200})
	if got.Phases[probe.Resolve] != 0 {
		t.Errorf("resolving a name that nobody needs took %v", got.Phases[probe.Resolve])
	}
	close(hosts)
	if host := <-hosts; host != "kdoctor.invalid:8080" {
		t.Errorf("the host is %q", host)
	}
	for _, nowhere := range []string{"127.0.0.1", "localhost", "localhost:http", "127.0.0.1:0", "127.0.0.1:65536",
		":80", "[127.0.0.1:80"} {
		to.Dial = nowhere
		check(t, newProber(config(long)).Probe(t.Context(), to), want{probe.NotSent, probe.NoPhase, 0})
	}
}

// dialByName connects to a name instead of the host of the URL.
func dialByName(t *testing.T, newProber NewHTTP) {
	hosts := make(chan string, 1)
	handler := responder.NewHandler(echo.Identity{Installation: ours, Pod: pod})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts <- r.Host
		handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	to := at("kdoctor.invalid:8080")
	to.Dial = net.JoinHostPort("localhost", port)
	got := newProber(config(long)).Probe(t.Context(), to)
	check(t, got, want{probe.OK, probe.NoPhase, 200})
	if got.Phases[probe.Resolve] <= 0 {
		t.Error("resolving the name took no time")
	}
	close(hosts)
	if host := <-hosts; host != "kdoctor.invalid:8080" {
		t.Errorf("the host is %q", host)
	}
	to.Dial = net.JoinHostPort("kdoctor.invalid", port)
	unresolved(t, newProber(config(long)).Probe(t.Context(), to))
}

// tcpAt is a target that attempts only connect to.
func tcpAt(address string) target.Target {
	to := at("")
	to.Protocol, to.Address = target.TCP, "tcp://"+address
	return to
}

func tcp(t *testing.T, newProber NewHTTP) {
	listener := listen(t)
	sent := make(chan int64, 2)
	done := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, conn)
			_ = conn.Close()
			sent <- n
		}
	}()
	keep := config(long)
	keep.Keep = true
	prober := open(t, newProber, keep)
	for range 2 {
		got := prober.Probe(t.Context(), tcpAt(listener.Addr().String()))
		check(t, got, want{probe.OK, probe.NoPhase, 0})
		if got.Phases[probe.Connect] <= 0 || got.Phases[probe.FirstByte] != 0 || got.Reused || got.Peer != "" ||
			got.Bytes != 0 {
			t.Errorf("phases are %v, reused is %v, peer %q, %d bytes", got.Phases, got.Reused, got.Peer, got.Bytes)
		}
		if n := <-sent; n != 0 {
			t.Errorf("%d bytes were sent", n)
		}
	}
	elsewhere := tcpAt("kdoctor.invalid:80")
	elsewhere.Dial = listener.Addr().String()
	check(t, prober.Probe(t.Context(), elsewhere), want{probe.OK, probe.NoPhase, 0})
	closed := listen(t)
	_ = closed.Close()
	check(t, prober.Probe(t.Context(), tcpAt(closed.Addr().String())), want{probe.Refused, probe.Connect, 0})
	check(t, prober.Probe(t.Context(), tcpAt("127.0.0.1")), want{probe.NotSent, probe.NoPhase, 0})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check(t, prober.Probe(ctx, tcpAt(listener.Addr().String())), want{probe.Aborted, probe.Connect, 0})
}
