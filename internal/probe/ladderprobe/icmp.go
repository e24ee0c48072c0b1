package ladderprobe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"kdoctor.io/kdoctor/internal/ladder"
)

// Numbers of the protocols, by IANA.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// askICMP sends one echo request through a socket that needs no privilege, which net.ipv4.ping_group_range permits.
func askICMP(ctx context.Context, spec ladder.Spec) attempt {
	to := spec.Address.Addr().Unmap()
	network, protocol, kind := "udp4", protocolICMP, icmp.Type(ipv4.ICMPTypeEcho)
	if to.Is6() {
		network, protocol, kind = "udp6", protocolICMPv6, ipv6.ICMPTypeEchoRequest
	}
	conn, err := icmp.ListenPacket(network, "")
	if err != nil {
		return attempt{err: fmt.Errorf("no echo requests: %w; see net.ipv4.ping_group_range", err)}
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // fails only on a closed socket
	}
	number := rand.IntN(1 << 16) // #nosec G404 -- tells this probe's answer from that of another
	packet, err := (&icmp.Message{Type: kind, Body: &icmp.Echo{Seq: number, Data: make([]byte, 56)}}).Marshal(nil)
	if err != nil {
		return attempt{err: fmt.Errorf("make an echo request: %w", err)}
	}
	began := time.Now()
	if _, err := conn.WriteTo(packet, &net.UDPAddr{IP: to.AsSlice()}); err != nil {
		return failed(err, false)
	}
	buffer := make([]byte, 512)
	for {
		n, _, err := conn.ReadFrom(buffer)
		if err != nil {
			return failed(err, false)
		}
		message, err := icmp.ParseMessage(protocol, buffer[:n])
		if err != nil {
			continue
		}
		if body, ok := message.Body.(*icmp.Echo); ok && body.Seq == number &&
			(message.Type == ipv4.ICMPTypeEchoReply || message.Type == ipv6.ICMPTypeEchoReply) {
			return attempt{took: time.Since(began)}
		}
	}
}
