package segment

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// bound sets the largest segment of a socket, in bytes; a listener's connections have it from the listener. A kernel
// that refuses is no reason not to connect.
func bound(socket syscall.RawConn, most int) error {
	return socket.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, most) // #nosec G115 -- a descriptor
	})
}
