package httpprobe

import (
	"syscall"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/probe/pool"
)

// retransmits asks the kernel how many segments of the connection were retransmitted.
func retransmits(fd int) uint64 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return uint64(info.Total_retrans)
}

// peek asks the kernel for the state of the connection. An end changes the state, whatever has arrived before it.
func peek(fd int) pool.State {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	switch {
	case err != nil:
		return pool.Unusable
	case info.State == unix.BPF_TCP_CLOSE_WAIT:
		return pool.Closed
	case info.State == unix.BPF_TCP_CLOSE:
		return pool.Reset
	}
	return pool.Open
}

// noNetwork is an error that only Linux knows: the machine is not on the network.
const noNetwork = syscall.ENONET
