package cloud

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"kdoctor.io/kdoctor/lab/internal/packages"
)

// TestHAProxyTakesOverWithoutAGap runs the real haproxy: what it forwards, how it reloads and what it refuses.
func TestHAProxyTakesOverWithoutAGap(t *testing.T) {
	binary, err := packages.Program("haproxy")
	if err != nil {
		t.Fatalf("this test runs the real haproxy; install it with test/prepare (Debian package haproxy): %v", err)
	}
	first, second := backend(t, "first"), backend(t, "second")
	front := freePort(t)
	config := func(dir string, to netip.AddrPort) string {
		return render(dir, []frontend{{Service: "shop.web", Address: to.Addr(),
			Ports: []port{{Listen: front, Node: to.Port()}}, Nodes: []node{{"n0", to.Addr()}}}})
	}
	dir := t.TempDir()
	proxy := newHAProxy(binary, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := proxy.prepare(ctx, render(dir, nil)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- proxy.run(ctx) }()
	for _, step := range []struct {
		to   netip.AddrPort
		want string
	}{{first, "first"}, {second, "second"}, {second, "second"}, {first, "first"}} {
		if err := proxy.apply(ctx, config(dir, step.to)); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, front); got != step.want {
			t.Errorf("got an answer from %q, want %q", got, step.want)
		}
	}
	if err := proxy.apply(ctx, config(dir, first)+"    nonsense\n"); err == nil {
		t.Error("a broken configuration is accepted")
	}
	if got := ask(t, front); got != "first" {
		t.Errorf("after a refused configuration the answer comes from %q", got)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if conn, err := net.Dial("tcp", netip.AddrPortFrom(first.Addr(), front).String()); err == nil {
		_ = conn.Close()
		t.Error("haproxy still listens after its owner has ended")
	}
}

// backend listens on loopback and answers every connection with its name.
func backend(t *testing.T, name string) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, name)
			_ = conn.Close()
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return netip.MustParseAddrPort(listener.Addr().String()).Port()
}

func ask(t *testing.T, port uint16) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port).String(),
		5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}
