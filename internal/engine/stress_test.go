//go:build linux

package engine

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
)

// hostile is a server that does to each request something else.
func hostile(t *testing.T) *host {
	t.Helper()
	text := agentAnswer(t)
	return newHost(t, func(h *host, n int64, conn net.Conn, requests *bufio.Reader) {
		random := rand.New(rand.NewPCG(1, uint64(n))) // repeatable, and no secret
		for h.next(requests) {
			switch random.IntN(12) {
			case 0:
				return
			case 1:
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0)
				}
				return
			case 2:
				_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n")
			case 3:
				_, _ = io.WriteString(conn, text[:random.IntN(len(text))])
				return
			case 4:
				_, _ = io.WriteString(conn, text+text[:random.IntN(len(text))])
			case 5:
				// Until the client goes away.
				_, _ = io.Copy(io.Discard, conn)
				return
			case 6:
				_, _ = io.WriteString(conn, "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
			case 7:
				_, _ = io.WriteString(conn, text)
				return
			default:
				_, _ = io.WriteString(conn, text)
			}
		}
	})
}

// add adds up the counts of paths and of their persistent streams.
func add(paths []report.Path) (scheduled, sent, ok uint64) {
	for _, p := range paths {
		scheduled, sent, ok = scheduled+p.Scheduled, sent+p.Sent, ok+p.OK
		if p.Persistent != nil {
			scheduled, sent, ok = scheduled+p.Persistent.Scheduled, sent+p.Persistent.Sent, ok+p.Persistent.OK
		}
	}
	return scheduled, sent, ok
}

// allConsistent holds persistent streams too against what report.Path promises.
func allConsistent(t *testing.T, paths []report.Path) {
	t.Helper()
	consistent(t, paths)
	for _, p := range paths {
		if p.Persistent != nil {
			consistent(t, []report.Path{*p.Persistent})
		}
	}
}

func TestCountsAddUpWhateverTheServerDoes(t *testing.T) {
	for _, connection := range []mesh.Connection{mesh.NewConnection, mesh.KeepAlive, mesh.Both} {
		for _, wake := range []Wake{WakePrecise, WakeGrid} {
			for _, inFlight := range []int{3, 0} {
				t.Run(fmt.Sprintf("%s, wake %d, %d in flight", connection, wake, inFlight), func(t *testing.T) {
					t.Parallel()
					h := hostile(t)
					e := New(Config{Round: roundOfTest, Source: "a", Installation: "k/a",
						Targets: targetsAt(h.url, 9), Shards: 3, InFlight: inFlight, Wake: wake,
						Load: mesh.Load{PerSecond: 50, Duration: 2 * time.Second, Timeout: 100 * time.Millisecond,
							Connection: connection}})
					done := make(chan bool)
					go func() { done <- e.Run(t.Context()) }()
					for running := true; running; {
						select {
						case complete := <-done:
							running = false
							if !complete {
								t.Error("the load says that it was cut short")
							}
						default:
							allConsistent(t, e.Paths())
							sleep(5 * time.Millisecond)
						}
					}
					allConsistent(t, e.Paths())
					want := uint64(9 * 100)
					if connection == mesh.Both {
						want += 9 * 10
					}
					scheduled, sent, ok := add(e.Paths())
					if scheduled != want || ok == 0 || ok == sent || e.inFlight.Load() != 0 {
						t.Errorf("%d scheduled, want %d; %d of %d succeeded; %d are under way", scheduled, want, ok,
							sent, e.inFlight.Load())
					}
					if requests := uint64(h.requests.Load()); requests > sent {
						t.Errorf("%d requests arrived and %d were sent: something was sent twice", requests, sent)
					}
				})
			}
		}
	}
}

func TestGridReliesOnTheKernelsClock(t *testing.T) {
	text := agentAnswer(t)
	h := newHost(t, func(h *host, _ int64, conn net.Conn, requests *bufio.Reader) {
		for h.next(requests) {
			_, _ = io.WriteString(conn, text)
		}
	})
	e := run(t, Config{Targets: targetsAt(h.url, 10), Shards: 1, Wake: WakeGrid,
		Load: mesh.Load{PerSecond: 40, Duration: 2 * time.Second, Timeout: 10 * time.Second,
			Connection: mesh.KeepAlive}})
	scheduled, sent, ok := add(e.Paths())
	if scheduled != 800 || ok != sent {
		t.Errorf("%d scheduled, %d of %d succeeded", scheduled, ok, sent)
	}
	kernel, lag := uint64(0), time.Duration(0)
	for _, p := range e.Paths() {
		kernel, lag = kernel+p.Kernel, max(lag, p.Lag.Quantile(0.5))
	}
	// The first ones may come before the kernel has begun to stamp.
	if kernel < ok/2 {
		t.Errorf("%d of %d were timed by the kernel", kernel, ok)
	}
	if lag < 100*time.Microsecond {
		t.Errorf("on a grid of half a millisecond the median lag is %v", lag)
	}
}
