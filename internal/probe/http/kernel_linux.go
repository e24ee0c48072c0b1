package httpprobe

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// resent asks the kernel how many segments of the connection were sent again.
func resent(fd int) uint64 {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return uint64(info.Total_retrans)
}

// noNetwork is an error that only this system knows: the machine is not on the network.
const noNetwork = syscall.ENONET
