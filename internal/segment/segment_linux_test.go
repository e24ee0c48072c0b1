package segment_test

import (
	"fmt"
	"net"
	"testing"

	"kdoctor.io/kdoctor/internal/segment"
	"kdoctor.io/kdoctor/internal/segment/segmenttest"
)

// Loopback carries segments of 32 KiB and more, so that a small one is small because one end asked for it.
func TestSegmentsAreSmallWhicheverEndAsksForIt(t *testing.T) {
	usual, small := &net.Dialer{}, segment.Dialer()
	for _, test := range []struct {
		name            string
		dialer          *net.Dialer
		listen          *net.ListenConfig
		address         string
		atMost, atLeast int
	}{
		{"nobody asks, IPv4", usual, &net.ListenConfig{}, "127.0.0.1:0", 1 << 20, segment.IPv6 + 1},
		{"the dialer asks, IPv4", small, &net.ListenConfig{}, "127.0.0.1:0", segment.IPv4, segment.IPv4 - 40},
		{"the dialer asks, IPv6", small, &net.ListenConfig{}, "[::1]:0", segment.IPv6, segment.IPv6 - 40},
		{"the listener asks, IPv4", usual, segment.ListenConfig(), "127.0.0.1:0", segment.IPv4, segment.IPv4 - 40},
		{"the listener asks, IPv6", usual, segment.ListenConfig(), "[::1]:0", segment.IPv6, segment.IPv6 - 40},
		{"the listener of both families asks", usual, segment.ListenConfig(), ":0", segment.IPv6, segment.IPv6 - 40},
		{"both ask, and the smaller one counts", small, segment.ListenConfig(), ":0", segment.IPv4, segment.IPv4 - 40},
	} {
		t.Run(test.name, func(t *testing.T) {
			listener, err := test.listen.Listen(t.Context(), "tcp", test.address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			to := listener.Addr().String()
			if test.address == ":0" {
				to = fmt.Sprintf("127.0.0.1:%d", listener.Addr().(*net.TCPAddr).Port)
			}
			dialled, err := test.dialer.DialContext(t.Context(), "tcp", to)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = dialled.Close() }()
			accepted, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = accepted.Close() }()
			for end, conn := range map[string]net.Conn{"dialled": dialled, "accepted": accepted} {
				if sends := segmenttest.Sends(t, conn); sends > test.atMost || sends < test.atLeast {
					t.Errorf("the %s end sends segments of %d bytes, want %d to %d", end, sends, test.atLeast,
						test.atMost)
				}
			}
		})
	}
}
