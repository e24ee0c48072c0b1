//go:build !linux

package httpprobe

import (
	"syscall"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/probe/pool"
)

// retransmits is unknown on this system.
func retransmits(int) uint64 { return 0 }

// peek sees an end only when nothing unread precedes it.
func peek(fd int) pool.State {
	var b [1]byte
	n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if state := received(n, err); state != pool.Unusable {
		return state
	}
	return pool.Open
}

// noNetwork stands for an error that only Linux knows. No error has the number 0.
const noNetwork = syscall.Errno(0)
