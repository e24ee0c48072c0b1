//go:build linux

package engine

import (
	"io"
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/probetest"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/slots"
	"kdoctor.io/kdoctor/internal/target"
)

func TestHostileServersCannotHurtTheEngine(t *testing.T) {
	for name, connection := range map[string]mesh.Connection{"new connections": mesh.NewConnection,
		"persistent connections": mesh.KeepAlive, "both": mesh.Both} {
		t.Run(name, func(t *testing.T) {
			probetest.Hostile(t, func(targets []target.Target) []report.Path {
				e := New(Config{Round: roundOfTest, Source: "a", Installation: "k/a", Targets: targets, InFlight: 2000,
					Load: mesh.Load{PerSecond: 1, Duration: 2 * time.Second, Timeout: time.Second,
						Connection: connection}})
				e.Run(t.Context())
				return e.Paths()
			})
		})
	}
}

// Thousands of servers that send long answers slowly hold no more memory than an agent has.
func TestLongAnswersBeyondTheMemoryForThemAreTheAgentsOwnLimit(t *testing.T) {
	const timeout = 10 * time.Second
	h := hold(t, "http", timeout, mesh.NewConnection)
	long := "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("a", 2*smallBuffer)
	begin := func() {
		h.start(t)
		conn := <-h.conns
		request(t, conn)
		if _, err := io.WriteString(conn, long); err != nil {
			t.Fatal(err)
		}
	}
	begin()
	for h.engine.lent.Load() == 0 {
		if h.underWay.First == slots.None {
			t.Fatalf("the attempt is over: %v, %s", h.got.Outcome, h.got.Message)
		}
		if err := h.wait(h.now() + time.Second); err != nil {
			t.Fatal(err)
		}
	}
	h.abort(h.underWay.First)
	if n := h.engine.lent.Load(); n != 0 {
		t.Fatalf("%d large buffers are lent after the end, want none", n)
	}
	h.engine.lent.Store(largeAtOnce)
	begin()
	for h.underWay.First != slots.None {
		if err := h.wait(h.now() + time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.engine.lent.Load(); n != largeAtOnce || h.got.Outcome != probe.NotSent ||
		h.got.Message != errRoom.Error() {
		t.Errorf("%v (%s) with %d large buffers lent; want that it was the agent's own limit, and still %d",
			h.got.Outcome, h.got.Message, n, largeAtOnce)
	}
}
