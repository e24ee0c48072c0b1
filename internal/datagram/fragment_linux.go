package datagram

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// neverFragment has the kernel send every packet whole or not at all, whatever it knows of the path: see ip(7),
// IP_PMTUDISC_PROBE.
func neverFragment(network, _ string, conn syscall.RawConn) error {
	var err error
	set := func(fd uintptr) {
		if strings.HasSuffix(network, "6") {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
			return
		}
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	}
	if failed := conn.Control(set); failed != nil {
		return failed
	}
	return err
}
