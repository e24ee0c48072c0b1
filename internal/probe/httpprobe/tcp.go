package httpprobe

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/probe/pool"
)

// CheckIdle finds out what became of an idle connection. It takes what arrived away, so that the connection cannot be used
// but if it is open.
func CheckIdle(conn *net.TCPConn) pool.State {
	state := pool.Unusable
	control(conn, func(fd int) { state = CheckIdleDescriptor(fd) })
	return state
}

// PeekIdle is Look for a connection that somebody else reads from: what arrived is left to them, and spoils nothing.
func PeekIdle(conn *net.TCPConn) pool.State {
	state := pool.Unusable
	control(conn, func(fd int) { state = peek(fd) })
	return state
}

// CheckIdleDescriptor is Look for a descriptor.
//
// A TLS server, or one that says with a status 408 that it waited too long, sends bytes before it closes: the end
// behind them is what counts. Where there is none yet the connection is spoilt.
func CheckIdleDescriptor(fd int) pool.State {
	// looks bounds what is read: whoever sends without end is not waited for.
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

// received is the state of a connection from which so much was read, or nothing because of the error.
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

// StateOfError is how the other side ended an idle connection of which the system says the error.
// EPIPE is that of a reset behind an end in good order, which came first.
func StateOfError(err error) pool.State {
	if errors.Is(err, unix.EPIPE) {
		return pool.Closed
	}
	return pool.Reset
}

// Retransmits is how many segments of the connection had to be sent again so far, 0 where the kernel does not tell.
func Retransmits(conn *net.TCPConn) (segments uint64) {
	control(conn, func(fd int) { segments = retransmits(fd) })
	return segments
}

// control hands the connection's descriptor to the function, unless the connection is closed.
func control(conn *net.TCPConn, use func(fd int)) {
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { use(int(fd)) }) // #nosec G115 -- a descriptor is a small number
	}
}

// closeByReset is for a connection with nothing under way: everything was read, so a reset loses nothing, and neither a port here
// nor conntrack entries on the way linger for minutes.
func closeByReset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
