package cloud

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"kdoctor.io/kdoctor/lab/internal/packages"
)

// TestServicesComeAndGoWithoutOneAnother runs the real haproxy: a connection to one Service stays open while another
// comes, changes and goes.
func TestServicesComeAndGoWithoutOneAnother(t *testing.T) {
	binary, err := packages.Program("haproxy")
	if err != nil {
		t.Fatalf("this test runs the real haproxy; install it with test/prepare (Debian package haproxy): %v", err)
	}
	dir := t.TempDir()
	f := newFleet(binary, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.run(ctx) }()

	echo, named := echoer(t), backend(t, "named")
	stays, comes := freePort(t), freePort(t)
	of := func(service string, listen uint16, to netip.AddrPort, nodes ...node) []frontend {
		nodes = append(nodes, node{"n0", to.Addr()})
		return []frontend{{Service: service, Address: to.Addr(), Ports: []port{{Listen: listen, Node: to.Port()}},
			Nodes: nodes}}
	}
	first := of("shop.stays", stays, echo)
	if err := f.apply(ctx, map[string][]frontend{"shop.stays": first}); err != nil {
		t.Fatal(err)
	}
	open, err := net.Dial("tcp", netip.AddrPortFrom(echo.Addr(), stays).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	process := f.members["shop.stays"].proxy.child.Running()
	for _, second := range [][]frontend{of("shop.comes", comes, named),
		of("shop.comes", comes, named, node{"n1", named.Addr()}), nil} {
		if err := f.apply(ctx, map[string][]frontend{"shop.stays": first, "shop.comes": second}); err != nil {
			t.Fatal(err)
		}
		if second != nil {
			if got := ask(t, comes); got != "named" {
				t.Errorf("got an answer from %q, want the other Service's", got)
			}
		} else if conn, err := net.Dial("tcp", netip.AddrPortFrom(named.Addr(), comes).String()); err == nil {
			_ = conn.Close()
			t.Error("a Service that is gone is still forwarded")
		}
		if _, err := io.WriteString(open, "still there"); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, len("still there"))
		if _, err := io.ReadFull(open, answer); err != nil || string(answer) != "still there" {
			t.Fatalf("the open connection answers %q (%v)", answer, err)
		}
	}
	if !process || len(f.members) != 1 {
		t.Errorf("%d haproxies run, the first %v; want one", len(f.members), process)
	}
	if _, err := os.Stat(f.dirOf("shop.comes")); err == nil {
		t.Error("the folder of the Service that is gone is left")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// echoer listens on loopback and sends back what it is sent.
func echoer(t *testing.T) netip.AddrPort {
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
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}
