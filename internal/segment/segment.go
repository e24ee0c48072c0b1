// Package segment keeps the packets of a TCP connection small, so that the connection works on a way that loses large
// packets and tells nobody. What a user hears of such a way comes over connections that must not fail with the way.
package segment

import (
	"net"
	"strings"
	"syscall"
)

// The largest segments, in bytes of TCP options and data. A packet of IPv4 has at most 576 bytes, which every host must
// accept, and a packet of IPv6 at most 1,280, which every link must carry.
const (
	IPv4 = 536
	IPv6 = 1220
)

// Dialer returns a dialer whose connections send and receive small segments: the kernel tells the other end at the
// handshake. Where the system has no such option, segments have their usual size.
func Dialer() *net.Dialer {
	return &net.Dialer{Control: small}
}

// ListenConfig returns the configuration of listeners whose connections send and receive small segments. A listener of
// both families allows those of IPv6.
func ListenConfig() *net.ListenConfig {
	config := &net.ListenConfig{Control: small}
	// Sockets of Multipath TCP have no bound on segments.
	config.SetMultipathTCP(false)
	return config
}

// small bounds the segments of a socket that is not yet connected.
func small(network, _ string, socket syscall.RawConn) error {
	most := IPv4
	if strings.HasSuffix(network, "6") {
		most = IPv6
	}
	return bound(socket, most)
}
