package ladderprobe

import (
	"net"

	"golang.org/x/sys/unix"
)

// retried reports whether the connection took more than one SYN.
func retried(conn net.Conn) bool {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	var again bool
	_ = raw.Control(func(fd uintptr) { // a closed connection has no such figure
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		again = err == nil && info.Total_retrans > 0
	})
	return again
}
