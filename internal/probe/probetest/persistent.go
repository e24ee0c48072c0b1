package probetest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
)

// open makes a prober and closes it at the test's end, if it can be closed.
func open(t *testing.T, newProber NewHTTP, c httpprobe.Config) probe.Prober {
	t.Helper()
	prober := newProber(c)
	if closer, ok := prober.(interface{ Close() }); ok {
		t.Cleanup(closer.Close)
	}
	return prober
}

// step is one of several attempts by one prober, and what the server does with it.
type step struct {
	// text answers the request; end, unless nil, ends the connection then.
	text string
	end  func(net.Conn)
	// idle, unless nil, happens to the connection after the attempt.
	idle func(net.Conn)
	want want
	// reused, closed and lost are those of the sample.
	reused, closed bool
	lost           probe.Lost
}

// story is a sequence of attempts.
type story struct {
	name    string
	timeout time.Duration
	steps   []step
	// connections is how many the server saw. There are as many requests as steps: nothing is tried twice.
	connections int
}

func stories() []story {
	good := complete(200, body(ours, pod))
	ok := want{probe.OK, probe.NoPhase, 200}
	first, again := step{text: good, want: ok}, step{text: good, want: ok, reused: true}
	fails := func(text string, end func(net.Conn), outcome probe.Outcome, phase probe.Phase, status int,
		closed bool) step {
		return step{text: text, end: end, want: want{outcome, phase, status}, reused: true, closed: closed}
	}
	with := func(text string) step { return step{text: text, want: ok} }
	chunks := fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nA: b\r\n\r\n",
		len(body(ours, pod)), body(ours, pod))
	chunked := step{text: chunks, want: ok, reused: true}
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body(ours, pod)))
	idle := func(do func(net.Conn)) step { return step{text: good, want: ok, idle: do} }
	// after is a step like another that finds connections ended.
	after := func(s step, resets, closes uint64) step {
		s.lost = probe.Lost{Resets: resets, Closes: closes}
		return s
	}
	says := func(text string, end func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = io.WriteString(c, text)
			end(c)
		}
	}
	gone := make(chan struct{})
	const late = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"
	return []story{
		{"three attempts need one connection", long, []step{first, again, again}, 1},
		{"chunks with a trailer end an answer too", long, []step{with(chunks), chunked, again}, 1},
		{"interim answers belong to the answer behind them", long,
			[]step{first, {text: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + good, want: ok, reused: true},
				again}, 1},
		{"a server that announces the end of the connection is believed", long, []step{
			with("HTTP/1.1 200 OK\r\nConnection: close\r\n" + length + "\r\n" + body(ours, pod)), first, again}, 2},
		{"the announcement may stand among other words", long, []step{
			with("HTTP/1.1 200 OK\r\nConnection: x, Close\r\n" + length + "\r\n" + body(ours, pod)), first}, 2},
		{"an answer of HTTP/1.0 is not kept", long, []step{with("HTTP/1.0 200 OK\r\n" + length + "\r\n" + body(ours,
			pod)), first}, 2},
		{"an answer of HTTP/1.0 is not kept where it offers to", long,
			[]step{with("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + length + "\r\n" + body(ours, pod)),
				first}, 2},
		{"an answer that ends with the connection is not kept", long,
			[]step{{text: "HTTP/1.1 200 OK\r\n\r\n" + body(ours, pod), end: closed, want: ok}, first, again}, 2},
		{"a connection with bytes behind the answer is not used again", long, []step{with(good + good), first, again},
			2},
		{"a blank line behind the answer is a byte too", long, []step{with(good + "\r\n"), first}, 2},
		{"a connection that is closed while idle is replaced and counted", long, []step{idle(closed), after(first, 0,
			1), again}, 2},
		{"a connection that is reset while idle is replaced and counted", long, []step{idle(reset), after(first, 1, 0),
			again}, 2},
		{"each connection that ends while idle is counted", long, []step{
			idle(reset), after(idle(reset), 1, 0), after(idle(closed), 1, 0), after(idle(reset), 0, 1), after(first, 1,
				0), again}, 5},
		{"a connection that is closed at once behind an answer that did not announce it is counted", long,
			[]step{{text: good, want: ok, end: func(c net.Conn) { closed(c); close(gone) },
				idle: func(net.Conn) { <-gone }}, after(first, 0, 1), again}, 2},
		{"a connection that ends after the last attempt is not counted", long, []step{first, {text: good, want: ok,
			reused: true, idle: reset}}, 1},
		{"bytes that nobody asked for end an idle connection, which is our doing", long, []step{idle(says(late,
			func(net.Conn) {})), first}, 2},
		{"a connection that is closed behind bytes that nobody asked for is counted", long, []step{idle(says(late,
			closed)), after(first, 0, 1), again}, 2},
		{"a connection that is reset behind bytes that nobody asked for is counted", long, []step{idle(says(late,
			reset)), after(first, 1, 0), again}, 2},
		{"a connection that is closed when the next request comes fails that attempt alone", long,
			[]step{first, fails("", closed, probe.BadAnswer, probe.FirstByte, 0, true), first, again}, 2},
		{"a connection that is reset when the next request comes fails that attempt alone", long,
			[]step{first, fails("", reset, probe.Reset, probe.FirstByte, 0, true), first}, 2},
		{"half of the headers over a reused connection are an answer", long,
			[]step{first, fails("HTTP/1.1 200", closed, probe.BadAnswer, probe.FirstByte, 0, false), first}, 2},
		{"half of the body over a reused connection is an answer", long,
			[]step{first, fails(partial, reset, probe.Reset, probe.Body, 200, false), first}, 2},
		{"silence over a reused connection is a timeout", short,
			[]step{first, fails("", stalled, probe.Timeout, probe.FirstByte, 0, false), first}, 2},
		{"another status ends the connection", long,
			[]step{first, fails(complete(503, body(ours, pod)), stalled, probe.BadStatus, probe.FirstByte, 503, false),
				first, again}, 2},
		{"another agent's answer ends the connection", long,
			[]step{first, fails(complete(200, body(ours, "c")), stalled, probe.WrongPeer, probe.Body, 200, false),
				first}, 2},
		{"the first request's failure is none of a reused connection", long,
			[]step{{end: closed, want: want{probe.BadAnswer, probe.FirstByte, 0}}, first, again}, 2},
	}
}

func persistent(t *testing.T, newProber NewHTTP) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			c := config(s.timeout)
			c.Keep = true
			prober, server := open(t, newProber, c), newTeller(t, s.steps)
			for i, step := range s.steps {
				got := prober.Probe(t.Context(), at(server.address))
				check(t, got, step.want)
				if got.Reused != step.reused || got.Closed != step.closed {
					t.Errorf("attempt %d: reused is %v and closed %v, want %v and %v", i, got.Reused, got.Closed,
						step.reused, step.closed)
				}
				if got.Lost != step.lost {
					t.Errorf("attempt %d: found %+v, want %+v", i, got.Lost, step.lost)
				}
				if (got.Phases[probe.Connect] > 0) == step.reused {
					t.Errorf("attempt %d: reused is %v and connecting took %v", i, step.reused,
						got.Phases[probe.Connect])
				}
				if step.idle != nil {
					server.last(step.idle)
				}
			}
			connections, requests := server.seen()
			if connections != s.connections || len(requests) != len(s.steps) {
				t.Errorf("%d attempts made %d connections and %d requests, want %d and %d", len(s.steps), connections,
					len(requests), s.connections, len(s.steps))
			}
			for _, r := range requests {
				if strings.Contains(r, "\r\nConnection:") {
					t.Errorf("a request over a connection that is to be kept says how to use it: %q", r)
				}
			}
		})
	}
	t.Run("without keeping, the request asks to close", func(t *testing.T) {
		good := step{text: complete(200, body(ours, pod))}
		server := newTeller(t, []step{good, good})
		prober := open(t, newProber, config(long))
		for range 2 {
			check(t, prober.Probe(t.Context(), at(server.address)), want{probe.OK, probe.NoPhase, 200})
		}
		connections, requests := server.seen()
		if connections != 2 || len(requests) != 2 || !strings.Contains(requests[0], "\r\nConnection: close\r\n") {
			t.Errorf("%d connections, requests %q", connections, requests)
		}
	})
}

// resets checks that connections of their own leave no entry that waits for minutes on nodes on their way.
func resets(t *testing.T, newProber NewHTTP) {
	ends := make(chan error, 1)
	address := serve(t, script{text: complete(200, body(ours, pod)), end: func(c net.Conn) {
		_, err := c.Read(make([]byte, 1))
		ends <- err
		_ = c.Close()
	}})
	check(t, open(t, newProber, config(long)).Probe(t.Context(), at(address)), want{probe.OK, probe.NoPhase, 200})
	if err := <-ends; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended by %v", err)
	}
}

// teller is a server that answers requests step by step, over whatever connections they come.
type teller struct {
	address string
	steps   []step

	mu       sync.Mutex
	conns    []net.Conn
	requests []string
}

func newTeller(t *testing.T, steps []step) *teller {
	t.Helper()
	listener := listen(t)
	s := &teller{address: listener.Addr().String(), steps: steps}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			serving.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.mu.Lock()
		for _, conn := range s.conns {
			_ = conn.Close()
		}
		s.mu.Unlock()
		serving.Wait()
	})
	return s
}

func (s *teller) serve(conn net.Conn) {
	defer conn.Close()
	for {
		request := readRequest(conn)
		if request == "" {
			return
		}
		s.mu.Lock()
		n := len(s.requests)
		s.requests = append(s.requests, request)
		s.mu.Unlock()
		if n >= len(s.steps) {
			return
		}
		_, _ = io.WriteString(conn, s.steps[n].text)
		if end := s.steps[n].end; end != nil {
			end(conn)
			return
		}
	}
}

// last does something to the connection that was accepted last.
func (s *teller) last(do func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(s.conns[len(s.conns)-1])
}

func (s *teller) seen() (connections int, requests []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns), s.requests
}
