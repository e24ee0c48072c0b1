package control_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"kdoctor.io/kdoctor/internal/control"
	"kdoctor.io/kdoctor/internal/segment"
	"kdoctor.io/kdoctor/internal/segment/segmenttest"
)

// An agent of an earlier release asks for no small segments itself.
func TestTheDirectWayHasSmallSegmentsInBothDirections(t *testing.T) {
	for host, most := range map[string]int{"127.0.0.1": segment.IPv4, "::1": segment.IPv6} {
		t.Run(host, func(t *testing.T) {
			listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			i := install(t)
			c := client(t, control.Config{TLS: i.clientTLS()})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.Stop(ctx, at(netip.MustParseAddrPort(listener.Addr().String())), key()) }()
			accepted, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if sends := segmenttest.Sends(t, accepted); sends > most {
				t.Errorf("the agent sends segments of %d bytes, want at most %d", sends, most)
			}
			cancel()
			_ = accepted.Close()
			if err := <-ended; err == nil {
				t.Error("a call to somebody who says nothing succeeded")
			}
		})
	}
}
