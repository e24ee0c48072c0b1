package epoll

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below are for sockets that do not block. An error number of 0 is success.

// Receive reads what has arrived into b, which must not be empty. 0 bytes are the end of what the other side sends.
func Receive(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), // #nosec G103 -- the kernel fills it
		uintptr(len(b)), 0, 0, 0)
	return int(n), errno // #nosec G115 -- at most a length
}

// Send writes as much of b as fits. Flags such as unix.MSG_MORE are added to unix.MSG_NOSIGNAL.
func Send(fd int, b []byte, flags uintptr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), // #nosec G103 -- the kernel reads it
		uintptr(len(b)), unix.MSG_NOSIGNAL|flags, 0, 0)
	return int(n), errno // #nosec G115 -- at most a length
}

// CloseSocket closes a socket. The kernel goes on to deliver what was sent.
func CloseSocket(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// DiscardOnClose makes the close of a socket a reset: what was not sent is thrown away, and neither a port nor
// conntrack entries on the way linger for minutes.
func DiscardOnClose(fd int) {
	linger := unix.Linger{Onoff: 1}
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER,
		uintptr(unsafe.Pointer(&linger)), unsafe.Sizeof(linger), 0) // #nosec G103 -- the kernel reads it
}
