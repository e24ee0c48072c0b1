package httpprobe

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// Quiet tells whether nothing arrived on an idle connection: neither its end, nor bytes that nobody asked for and that
// would be taken for the next answer.
func Quiet(conn *net.TCPConn) bool {
	nothing := false
	ok := control(conn, func(fd int) {
		var b [1]byte
		_, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		nothing = errors.Is(err, unix.EAGAIN)
	})
	return ok && nothing
}

// Resent is how many segments of the connection had to be sent again so far, 0 where the kernel does not tell.
func Resent(conn *net.TCPConn) (segments uint64) {
	control(conn, func(fd int) { segments = resent(fd) })
	return segments
}

// control hands the connection's descriptor to the function, and reports whether it did.
func control(conn *net.TCPConn, use func(fd int)) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	return raw.Control(func(fd uintptr) { use(int(fd)) }) == nil // #nosec G115 -- a descriptor is a small number
}

// closeByReset is for a connection with nothing under way: everything was read, so a reset loses nothing, and neither a port here
// nor conntrack entries on the way linger for minutes.
func closeByReset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
