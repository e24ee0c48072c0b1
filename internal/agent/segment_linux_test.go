package agent

import (
	"net"
	"strconv"
	"testing"

	"kdoctor.io/kdoctor/internal/segment"
	"kdoctor.io/kdoctor/internal/segment/segmenttest"
)

// A controller of an earlier release asks for no small segments itself. Ports of what is measured are left alone.
func TestTheControlPortAloneHasSmallSegments(t *testing.T) {
	var held [3]net.Listener
	var free [3]int
	for i := range held {
		held[i] = listenOn(t, "127.0.0.1:0")
		free[i] = held[i].Addr().(*net.TCPAddr).Port
	}
	for _, l := range held {
		_ = l.Close()
	}
	ports := Ports{HTTP: free[0], Control: free[1], Health: free[2]}
	l, err := Listen(t.Context(), ports)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, host := range []string{"127.0.0.1", "::1"} {
		for port, small := range map[int]bool{ports.HTTP: false, ports.Control: true, ports.Health: false} {
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err != nil {
				t.Fatal(err)
			}
			if sends := segmenttest.Sends(t, conn); sends <= segment.IPv6 != small {
				t.Errorf("%s, port %d: segments of %d bytes; want small ones: %t", host, port, sends, small)
			}
			_ = conn.Close()
		}
	}
}
