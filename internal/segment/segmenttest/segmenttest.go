//go:build linux

// Package segmenttest reads the size of segments for tests.
package segmenttest

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// Sends returns the largest segment that a connected socket sends, in bytes of data.
func Sends(t *testing.T, conn net.Conn) int {
	t.Helper()
	socket, ok := conn.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T is no connection of TCP", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	var failed error
	if err := raw.Control(func(fd uintptr) {
		info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) // #nosec G115 -- a descriptor
	}); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatal(failed)
	}
	return int(info.Snd_mss)
}
