//go:build linux

package engine

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/responder"
	"kdoctor.io/kdoctor/internal/target"
)

// host is a server whose connections a function serves. It counts connections and requests.
type host struct {
	url                   string
	connections, requests atomic.Int64
}

// newHost serves every connection with the function, which is told of the connection's number and closes it by
// returning.
func newHost(t *testing.T, serve func(h *host, n int64, conn net.Conn, requests *bufio.Reader)) *host {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{url: "http://" + listener.Addr().String()}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			n := h.connections.Add(1)
			serving.Go(func() { defer conn.Close(); serve(h, n, conn, bufio.NewReader(conn)) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return h
}

// next reads one request.
func (h *host) next(requests *bufio.Reader) bool {
	r, err := http.ReadRequest(requests)
	if err != nil {
		return false
	}
	_ = r.Body.Close()
	h.requests.Add(1)
	return true
}

func run(t *testing.T, config Config) *Engine {
	t.Helper()
	config.Round, config.Source, config.Installation = roundOfTest, "a", "k/a"
	before := descriptors(t)
	e := New(config)
	if !e.Run(t.Context()) {
		t.Error("the load says that it was cut short")
	}
	consistent(t, e.Paths())
	if n := e.inFlight.Load(); n != 0 {
		t.Errorf("%d attempts are under way after the end", n)
	}
	// The servers here close their ends when they hear of it.
	after := descriptors(t)
	for deadline := time.Now().Add(5 * time.Second); after > before &&
		time.Now().Before(deadline); after = descriptors(t) {
		sleep(10 * time.Millisecond)
	}
	if after > before {
		t.Errorf("%d descriptors before and %d after", before, after)
	}
	return e
}

func TestKeptConnectionsInALoad(t *testing.T) {
	text := agentAnswer(t)
	for _, c := range []struct {
		name  string
		serve func(h *host, n int64, conn net.Conn, requests *bufio.Reader)
		// fails: some attempts must fail; without it they may where the server is late to close, unless everyOK.
		fails, everyOK bool
		// perConnection is how many requests a connection carries at most, 0 for no limit.
		perConnection int64
	}{
		{"a server that keeps what it has needs one connection",
			func(h *host, _ int64, conn net.Conn, requests *bufio.Reader) {
				for h.next(requests) {
					_, _ = io.WriteString(conn, text)
				}
			}, false, true, 0},
		{"a server that closes after three requests, and says so",
			func(h *host, _ int64, conn net.Conn, requests *bufio.Reader) {
				for i := 1; i <= 3 && h.next(requests); i++ {
					if i == 3 {
						_, _ = io.WriteString(conn,
							"HTTP/1.1 200 OK\r\nConnection: close\r\n"+text[len("HTTP/1.1 200 OK\r\n"):])
						return
					}
					_, _ = io.WriteString(conn, text)
				}
			}, false, true, 3},
		{"a server that closes after three requests without a word",
			func(h *host, _ int64, conn net.Conn, requests *bufio.Reader) {
				for i := 1; i <= 3 && h.next(requests); i++ {
					_, _ = io.WriteString(conn, text)
				}
			}, false, false, 3},
		{"a server that closes when the third request comes",
			func(h *host, _ int64, conn net.Conn, requests *bufio.Reader) {
				for i := 1; h.next(requests) && i < 3; i++ {
					_, _ = io.WriteString(conn, text)
				}
			}, true, false, 3},
		{"a server that sends more than it was asked for", func(h *host, _ int64, conn net.Conn,
			requests *bufio.Reader) {
			for h.next(requests) {
				_, _ = io.WriteString(conn, text+text)
			}
		}, false, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, c.serve)
			e := run(t, Config{Targets: targetsAt(h.url, 1), Load: mesh.Load{PerSecond: 25, Duration: 2 * time.Second,
				Timeout: 10 * time.Second, Connection: mesh.KeepAlive}})
			p := e.Paths()[0]
			// A request over a connection that the server was closing need not have arrived.
			if arrived := uint64(h.requests.Load()); p.Scheduled != 50 || arrived > p.Sent ||
				arrived+p.Closed < p.Sent {
				t.Errorf("%d scheduled, %d sent, %d arrived, %d met a connection that was closed", p.Scheduled,
					p.Sent, arrived, p.Closed)
			}
			if opened := uint64(h.connections.Load()); p.Reused != p.Sent-opened {
				t.Errorf("%d of %d reused a connection, and %d were opened", p.Reused, p.Sent, opened)
			}
			if c.everyOK && p.OK != p.Sent || c.fails && p.OK == p.Sent {
				t.Errorf("%d of %d succeeded, failures %v", p.OK, p.Sent, p.Failures)
			}
			if c.perConnection > 0 && h.connections.Load() < h.requests.Load()/c.perConnection {
				t.Errorf("%d requests over %d connections", p.Sent, h.connections.Load())
			}
			if p.Failed() != p.Closed {
				t.Errorf("%d of %d failures are those of closed connections: %v", p.Closed, p.Failed(), p.Failures)
			}
		})
	}
}

func TestKeptStreamRunsBesideTheCountedOne(t *testing.T) {
	handler := responder.NewHandler(echo.Identity{Installation: "k/a", Pod: "b"})
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	targets := append(targetsAt(server.URL, 3), target.Target{ID: "tcp", Family: "IPv4", Protocol: target.TCP,
		Address: "tcp" + server.URL[len("http"):]})
	e := run(t, Config{Targets: targets, Shards: 2, Load: mesh.Load{PerSecond: 20, Duration: 2 * time.Second,
		Timeout: 10 * time.Second, Connection: mesh.Both}})
	sent, kept, reused, connects := uint64(0), uint64(0), uint64(0), uint64(0)
	for _, p := range e.Paths() {
		if p.Scheduled != 40 || p.OK != p.Sent || p.Reused != 0 {
			t.Errorf("%s: %d scheduled, %d of %d succeeded, %d reused a connection, failures %v", p.Target.ID,
				p.Scheduled, p.OK, p.Sent, p.Reused, p.Failures)
		}
		if p.Target.ID == "tcp" {
			connects = p.Sent
			if p.Persistent != nil || p.Phases[probe.Connect].Count != p.OK || p.Phases[probe.FirstByte].Count != 0 {
				t.Errorf("a connection alone has phases %v and the persistent stream %v", p.Phases, p.Persistent)
			}
			continue
		}
		if p.Persistent == nil || p.Persistent.Persistent != nil {
			t.Fatalf("%s has no persistent stream, or one too many", p.Target.ID)
		}
		consistent(t, []report.Path{*p.Persistent})
		if p.Persistent.Scheduled != 4 || p.Persistent.OK != p.Persistent.Sent || p.Persistent.Target != p.Target ||
			p.Persistent.Started.IsZero() || p.Persistent.Ended.IsZero() {
			t.Errorf("%s: of the persistent stream, %d scheduled, %d of %d succeeded, failures %v", p.Target.ID,
				p.Persistent.Scheduled, p.Persistent.OK, p.Persistent.Sent, p.Persistent.Failures)
		}
		sent, kept, reused = sent+p.Sent, kept+p.Persistent.Sent, reused+p.Persistent.Reused
	}
	if got, gotKept := handler.Served(roundOfTest), handler.Served(roundOfTest+echo.PersistentSuffix); got != sent ||
		gotKept != kept {
		t.Errorf("%d and %d requests were served, %d and %d sent", got, gotKept, sent, kept)
	}
	if want := sent + connects + kept - reused; uint64(opened.Load()) != want {
		t.Errorf("%d connections were opened, want %d", opened.Load(), want)
	}
	if reused == 0 {
		t.Error("the persistent stream kept no connection")
	}
}

func TestSaturationKeepsItsNumberUnderWay(t *testing.T) {
	for _, connection := range []mesh.Connection{mesh.NewConnection, mesh.KeepAlive} {
		t.Run(string(connection), func(t *testing.T) {
			text := agentAnswer(t)
			var under, most atomic.Int64
			h := newHost(t, func(h *host, _ int64, conn net.Conn, requests *bufio.Reader) {
				for h.next(requests) {
					n := under.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					sleep(2 * time.Millisecond)
					under.Add(-1)
					_, _ = io.WriteString(conn, text)
				}
			})
			const load = 500 * time.Millisecond
			start := time.Now()
			e := run(t, Config{Targets: targetsAt(h.url, 2), Saturate: 3,
				Load: mesh.Load{Duration: load, Timeout: 10 * time.Second, Connection: connection}})
			if took := time.Since(start); took < load || took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			for _, p := range e.Paths() {
				if p.OK < 10 || p.OK != p.Sent || p.Missed != 0 || (connection == mesh.KeepAlive) != (p.Reused > 0) {
					t.Errorf("%d of %d succeeded, %d missed, %d reused a connection, failures %v", p.OK, p.Sent,
						p.Missed, p.Reused, p.Failures)
				}
			}
			if m := most.Load(); m < 2 || m > 6 {
				t.Errorf("at most %d of 6 were under way", m)
			}
			if n := h.connections.Load(); connection == mesh.KeepAlive && n != 6 {
				t.Errorf("%d connections, want 6", n)
			}
		})
	}
}

func TestStallOfTheServerIsSeenInResponses(t *testing.T) {
	for connection, wake := range map[mesh.Connection]Wake{mesh.NewConnection: WakePrecise, mesh.KeepAlive: WakeGrid} {
		t.Run(string(connection), func(t *testing.T) {
			text, begun := agentAnswer(t), time.Now()
			h := newHost(t, func(h *host, _ int64, conn net.Conn, requests *bufio.Reader) {
				for h.next(requests) {
					// From 1 s to 2 s nobody is answered.
					if at := time.Since(begun); at > time.Second && at < 2*time.Second {
						sleep(2*time.Second - at)
					}
					_, _ = io.WriteString(conn, text)
				}
			})
			e := run(t, Config{Targets: targetsAt(h.url, 1), Wake: wake,
				Load: mesh.Load{PerSecond: 100, Duration: 4 * time.Second, Timeout: 10 * time.Second,
					Connection: connection}})
			p := e.Paths()[0]
			// Of 400 requests, 100 meet the stall and wait from 1 s down to nothing: the 99th of a hundred waits 0.96
			// s.
			if p.Scheduled != 400 || p.OK != p.Sent || e.Grid() != (wake == WakeGrid) {
				t.Errorf("%d scheduled, %d of %d succeeded, grid %v", p.Scheduled, p.OK, p.Sent, e.Grid())
			}
			if p99, p75 := p.Response.Quantile(0.99), p.Response.Quantile(0.70); p99 < 850*time.Millisecond ||
				p75 > 500*time.Millisecond {
				t.Errorf("the 99th response of a hundred took %v, the 70th %v", p99, p75)
			}
			if p.Kernel == 0 {
				t.Error("the kernel's clock was never used")
			}
		})
	}
}
