//go:build !linux

package httpprobe

import (
	"syscall"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/probe/pool"
)

// retransmits is not known here.
func retransmits(int) uint64 { return 0 }

// peek sees an end only where nothing unread stands before it.
func peek(fd int) pool.State {
	var b [1]byte
	n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if state := received(n, err); state != pool.Unusable {
		return state
	}
	return pool.Open
}

// noNetwork stands for an error that only Linux knows; no error has the number 0.
const noNetwork = syscall.Errno(0)
