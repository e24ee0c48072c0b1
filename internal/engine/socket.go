//go:build linux

package engine

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/epoll"
)

// calls makes system calls that do not block, do not tell the scheduler, and make no garbage. It holds what the kernel
// reads and writes.
type calls struct {
	info    unix.TCPInfo
	message unix.Msghdr
	vector  unix.Iovec
	// control has room for one stamp.
	control [64]byte
}

// infoBytes is how much of struct tcp_info is read.
const infoBytes = unsafe.Offsetof(unix.TCPInfo{}.Total_retrans) + unsafe.Sizeof(unix.TCPInfo{}.Total_retrans)

// asError returns the error number as an error, nil for 0.
func asError(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// open returns a new TCP socket of the domain that does not block.
func (k *calls) open(domain int) (int, error) {
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(domain),
		unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	return int(fd), asError(errno) // #nosec G115 -- a descriptor is a small number
}

// connect begins to connect. A connection still under way is no error.
func (k *calls) connect(fd int, to *sockaddr) error {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd),
		uintptr(unsafe.Pointer(&to.bytes)), to.length) // #nosec G103 -- the kernel reads it
	if errno == unix.EINPROGRESS || errno == unix.EINTR {
		return nil
	}
	return asError(errno)
}

// enable switches a socket option on.
func (k *calls) enable(fd, level, option int) error {
	on := int32(1)
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&on)), unsafe.Sizeof(on), 0) // #nosec G103 -- the kernel reads it
	return asError(errno)
}

// reset closes a connection whose answer was read to its end, so that a reset loses nothing.
func reset(fd int) {
	epoll.DiscardOnClose(fd)
	epoll.CloseSocket(fd)
}

// receive reads what there is, and returns when the kernel received the last byte, in nanoseconds of Unix time; 0 is
// unknown.
func (k *calls) receive(fd int, b []byte) (n int, stamp int64, errno unix.Errno) {
	k.vector.Base = unsafe.SliceData(b) // #nosec G103 -- the kernel fills it
	k.vector.SetLen(len(b))
	k.message.Iov, k.message.Iovlen = &k.vector, 1
	k.message.Control = &k.control[0]
	k.message.SetControllen(len(k.control))
	r, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&k.message)), 0) // #nosec G103 -- the kernel fills it
	k.vector.Base = nil
	if errno != 0 {
		return 0, 0, errno
	}
	header := (*unix.Cmsghdr)(unsafe.Pointer(&k.control)) // #nosec G103 -- as struct cmsghdr is laid out
	length := uintptr(k.message.Controllen)               // #nosec G115 -- a length
	data := uintptr(unix.CmsgLen(0))                      // #nosec G115 -- a small constant
	if length >= data+unsafe.Sizeof(unix.Timespec{}) && header.Level == unix.SOL_SOCKET &&
		header.Type == unix.SO_TIMESTAMPNS {
		stamp = (*unix.Timespec)(unsafe.Pointer(&k.control[data])).Nano() // #nosec G103 -- as the kernel wrote it
	}
	return int(r), stamp, 0 // #nosec G115 -- at most a length
}

// readInfo reads the state of the connection into info, and reports whether that worked.
func (k *calls) readInfo(fd int) bool {
	size := uint32(infoBytes)
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&k.info)), uintptr(unsafe.Pointer(&size)), 0) // #nosec G103 -- the kernel fills both
	return errno == 0 && uintptr(size) >= infoBytes
}

// stampAll keeps the kernel's stamping of received packets switched on while the returned descriptor is open. The first
// socket that wants stamps, and the last one that closes, make the kernel patch its own code, which would otherwise
// happen in the middle of a load. The result is -1 where that was not possible, which costs only time.
func stampAll() int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	return fd
}
