package httpprobe

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/probe/pool"
)

// CheckIdle returns what became of an idle connection. It reads what arrived, so that the connection can be used only
// if it is open.
func CheckIdle(conn *net.TCPConn) pool.State {
	state := pool.Unusable
	control(conn, func(fd int) { state = CheckIdleDescriptor(fd) })
	return state
}

// PeekIdle is CheckIdle for a connection with another reader: what arrived stays, and does not make the connection
// unusable.
func PeekIdle(conn *net.TCPConn) pool.State {
	state := pool.Unusable
	control(conn, func(fd int) { state = peek(fd) })
	return state
}

// CheckIdleDescriptor is CheckIdle for a descriptor.
//
// A TLS server sends bytes before it closes, and so does a server that reports with status 408 that it waited too long.
// The end after these bytes is what counts. Without an end the connection is unusable.
func CheckIdleDescriptor(fd int) pool.State {
	// looks bounds how often to read: the other side may send without end.
	const looks = 16
	var b [4096]byte
	spoilt := false
	for range looks {
		n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_DONTWAIT)
		switch state := received(n, err); {
		case state == pool.Open && spoilt:
			return pool.Unusable
		case state != pool.Unusable:
			return state
		}
		spoilt = true
	}
	return pool.Unusable
}

// received returns the state of a connection from which n bytes were read, or none because of the error.
func received(n int, err error) pool.State {
	switch {
	case errors.Is(err, unix.EAGAIN):
		return pool.Open
	case err != nil:
		return StateOfError(err)
	case n == 0:
		return pool.Closed
	}
	return pool.Unusable
}

// StateOfError returns how the other side ended an idle connection for which the system returns the error. EPIPE is a
// reset after an end in good order, which came first.
func StateOfError(err error) pool.State {
	if errors.Is(err, unix.EPIPE) {
		return pool.Closed
	}
	return pool.Reset
}

// Retransmits returns how many segments of the connection were retransmitted so far, 0 where the kernel does not say.
func Retransmits(conn *net.TCPConn) (segments uint64) {
	control(conn, func(fd int) { segments = retransmits(fd) })
	return segments
}

// control calls the function with the connection's descriptor, unless the connection is closed.
func control(conn *net.TCPConn, use func(fd int)) {
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { use(int(fd)) }) // #nosec G115 -- a descriptor is a small number
	}
}

// closeByReset closes a connection with nothing under way. Everything was read, so that a reset loses nothing, and
// neither a port here nor conntrack entries on the way linger for minutes.
func closeByReset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
