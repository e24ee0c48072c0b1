//go:build linux

package engine

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	judging "kdoctor.io/kdoctor/internal/verdict"
)

// abort makes closing the connection a reset.
func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// after answers one request and ends the connection when it was idle for 20 ms, as a firewall or a failover does.
func after(text string, end func(net.Conn)) func(*host, int64, net.Conn, *bufio.Reader) {
	return func(h *host, _ int64, conn net.Conn, requests *bufio.Reader) {
		if h.next(requests) {
			_, _ = io.WriteString(conn, text)
			sleep(20 * time.Millisecond)
			end(conn)
		}
	}
}

func TestConnectionsThatEndWhileIdleAreCountedAndJudged(t *testing.T) {
	text := agentAnswer(t)
	announced := "HTTP/1.1 200 OK\r\nConnection: close\r\n" + text[len("HTTP/1.1 200 OK\r\n"):]
	for _, c := range []struct {
		name  string
		serve func(*host, int64, net.Conn, *bufio.Reader)
		// resets and closes tell by what connections end.
		resets, closes bool
		want           judging.Result
	}{
		{"resets of idle connections are counted, and fail the path", after(text, abort), true, false, judging.Fail},
		{"closes of idle connections are counted, and fail the path", after(text, func(net.Conn) {}), false, true,
			judging.Fail},
		{"an end that the answer announced is none while idle, but no connection was reused", after(announced, abort),
			false, false, judging.Fail},
		{"connections that stay open are not lost when the round ends", func(h *host, _ int64, conn net.Conn,
			requests *bufio.Reader) {
			for h.next(requests) {
				_, _ = io.WriteString(conn, text)
			}
		}, false, false, judging.Pass},
		{"a reset after the last request is not counted", func(h *host, _ int64, conn net.Conn,
			requests *bufio.Reader) {
			for n := 1; h.next(requests); n++ {
				_, _ = io.WriteString(conn, text)
				if n == 10 {
					abort(conn)
					return
				}
			}
		}, false, false, judging.Pass},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, c.serve)
			to := target.Target{ID: "x", Kind: target.Endpoint, Family: topology.IPv4, Protocol: target.HTTP,
				Address: h.url, Pod: "b", Node: "n", Answer: target.OnePod}
			e := run(t, Config{Targets: []target.Target{to}, Load: mesh.Load{PerSecond: 50, Duration: 2 * time.Second,
				Timeout: time.Second, Connection: mesh.Both}})
			p := e.Paths()[0]
			k := p.Persistent
			t.Logf("of %d requests %d succeeded and %d reused a connection; %d resets and %d closes are counted",
				k.Sent, k.OK, k.Reused, k.IdleResets, k.IdleCloses)
			if (k.IdleResets > 0) != c.resets || (k.IdleCloses > 0) != c.closes || p.IdleResets+p.IdleCloses != 0 {
				t.Errorf("want resets %v, closes %v, and none of the %d of counted requests", c.resets, c.closes,
					p.IdleResets+p.IdleCloses)
			}
			// However late the server is, a request finds the connection of the one before, or finds that it ended.
			if lost := k.IdleResets + k.IdleCloses; lost > 0 && lost+k.Reused != k.Sent-1 {
				t.Errorf("%d connections were lost and %d reused, want %d together", lost, k.Reused, k.Sent-1)
			}
			if got := judged(p); got.Result != c.want {
				t.Errorf("the round is %s, want %s; %v", got.Result, c.want, got.Reasons)
			}
		})
	}
}

// judged is the verdict over a round of the path alone, by an agent that was never late: this machine has others to
// serve.
func judged(p report.Path) judging.Verdict {
	for _, s := range []*report.Path{&p, p.Persistent} {
		s.Lag = stats.Histogram{}
		for range s.Sent {
			s.Lag.Record(0)
		}
	}
	return judging.Judge(report.Round{Expected: []report.Expected{{Pod: "a", Node: "n", Targets: []string{p.Target.ID},
		Requests: p.Scheduled, Persistent: p.Persistent.Scheduled}},
		Agents: []report.AgentReport{{Pod: "a", Node: "n", Finished: true, Paths: []report.Path{p}}}},
		judging.Expect{SuccessRate: 1})
}

func TestConnectionsOfCountedRequestsThatEndWhileIdleAreCounted(t *testing.T) {
	h := newHost(t, after(agentAnswer(t), abort))
	e := run(t, Config{Targets: targetsAt(h.url, 1), Load: mesh.Load{PerSecond: 10, Duration: time.Second,
		Timeout: time.Second, Connection: mesh.KeepAlive}})
	if p := e.Paths()[0]; p.IdleResets == 0 || p.IdleResets+p.Reused != p.Sent-1 || p.IdleCloses != 0 {
		t.Errorf("of %d requests %d succeeded and %d reused a connection; %d resets and %d closes are counted", p.Sent,
			p.OK, p.Reused, p.IdleResets, p.IdleCloses)
	}
}

// The poller has not been heard when the next attempt begins: the kernel alone knows of the end.
func TestConnectionThatTheKernelKnowsToHaveEndedIsReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*net.TCPConn)
		want probe.Lost
	}{
		"a reset":               {func(*net.TCPConn) {}, probe.Lost{Resets: 1}},
		"a reset behind an end": {func(conn *net.TCPConn) { _ = conn.CloseWrite() }, probe.Lost{Closes: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			text, now, done := agentAnswer(t), make(chan struct{}), make(chan struct{})
			h := newHost(t, func(h *host, n int64, conn net.Conn, requests *bufio.Reader) {
				for h.next(requests) {
					_, _ = io.WriteString(conn, text)
					if tcp, ok := conn.(*net.TCPConn); ok && n == 1 {
						<-now
						c.end(tcp)
						abort(conn)
						_ = conn.Close()
						close(done)
						return
					}
				}
			})
			a := newSingle(t, httpprobe.Config{Round: roundOfTest, Source: "a", Installation: "k/a",
				Timeout: 20 * time.Second, Keep: true})
			defer a.Close()
			to := targetsAt(h.url, 1)[0]
			if got := a.Probe(t.Context(), to); got.Outcome != probe.OK {
				t.Fatalf("the first attempt is %v (%s)", got.Outcome, got.Message)
			}
			close(now)
			<-done
			s, l := a.shard, a.shard.engine.paths[0].counted
			var got probe.Sample
			s.record = func(_ *targetStream, sample *probe.Sample) { got = *sample }
			once(t, s, l)
			if got.Outcome != probe.OK || got.Reused || got.Closed || got.Lost != c.want || h.connections.Load() != 2 ||
				h.requests.Load() != 2 {
				t.Errorf("the second attempt is %v (%s), reused %v, closed %v, found %+v, "+
					"want %+v; %d connections and %d requests came",
					got.Outcome, got.Message, got.Reused, got.Closed, got.Lost, c.want, h.connections.Load(),
					h.requests.Load())
			}
			if once(t, s, l); !got.Reused || got.Lost != (probe.Lost{}) {
				t.Errorf("the third attempt reused %v and found %+v", got.Reused, got.Lost)
			}
		})
	}
}
