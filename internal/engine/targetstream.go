//go:build linux

package engine

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/slots"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// targetStream is one stream of attempts at one target, prepared.
type targetStream struct {
	*load.Account
	target target.Target
	// phase is when the first attempt is due, from the load's start.
	phase time.Duration
	// probe is what all attempts of the stream have in common.
	probe   *httpprobe.Config
	address sockaddr
	// request is what an attempt sends, empty where an attempt only connects.
	request []byte
	// peer is the pod that answered last.
	peer string
	// idle lists the open connections that wait for the next attempt, the one used last in front. lost counts those
	// that the other side has ended since the last attempt began.
	idle slots.List
	lost probe.Lost
}

// sockaddr is an address to connect to, as the kernel wants it. Its length is 0 for no address.
type sockaddr struct {
	domain int
	bytes  [unix.SizeofSockaddrInet6]byte
	length uintptr
}

// Supports reports whether the engine can probe the target: plain HTTP, or a connection alone, to an address of the
// target's own family. The address is the target's Dial, or else the host of its URL. Names that must be resolved,
// addresses with a zone, and TLS are for other probers.
func Supports(t target.Target) bool {
	_, _, ok := prepare(t)
	return ok
}

func prepare(t target.Target) (to *url.URL, p sockaddr, ok bool) {
	to, err := url.Parse(t.Address)
	if err != nil || to.Host == "" {
		return nil, sockaddr{}, false
	}
	port := to.Port()
	switch scheme := target.Protocol(to.Scheme); {
	case cmp.Or(t.Protocol, scheme) != scheme:
		return nil, sockaddr{}, false
	case scheme == target.HTTP:
		port = cmp.Or(port, "80")
	case scheme != target.TCP:
		return nil, sockaddr{}, false
	}
	var address netip.AddrPort
	if t.Dial != "" {
		address, err = netip.ParseAddrPort(t.Dial)
	} else {
		address, err = literal(to.Hostname(), port)
	}
	ip := address.Addr()
	if err != nil || ip.Zone() != "" || ip.Is4In6() || ip.IsUnspecified() || address.Port() == 0 ||
		(t.Family != "" && t.Family != topology.FamilyOf(ip)) {
		return nil, sockaddr{}, false
	}
	return to, sockaddrOf(address), true
}

func literal(host, port string) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(ip, uint16(number)), err
}

// sockaddrOf returns struct sockaddr_in or sockaddr_in6.
func sockaddrOf(a netip.AddrPort) (p sockaddr) {
	binary.BigEndian.PutUint16(p.bytes[2:], a.Port())
	if a.Addr().Is4() {
		p.domain, p.length = unix.AF_INET, unix.SizeofSockaddrInet4
		ip := a.Addr().As4()
		copy(p.bytes[4:], ip[:])
	} else {
		p.domain, p.length = unix.AF_INET6, unix.SizeofSockaddrInet6
		ip := a.Addr().As16()
		copy(p.bytes[8:], ip[:])
	}
	binary.NativeEndian.PutUint16(p.bytes[:], uint16(p.domain)) // #nosec G115 -- one of two small constants
	return p
}

// newTargetStream prepares a stream. The stream of a target that the engine does not support has no address.
func newTargetStream(t target.Target, config *httpprobe.Config, phase time.Duration) *targetStream {
	l := &targetStream{Account: load.NewAccount(t), target: t, probe: config, phase: phase, idle: slots.NewList()}
	to, p, ok := prepare(t)
	if !ok {
		return l
	}
	if to.Scheme == string(target.HTTP) {
		request, err := config.Request(to)
		if err != nil {
			return l
		}
		l.request = request
	}
	l.address = p
	return l
}

// connectsOnly reports whether the stream's attempts connect and send nothing.
func (l *targetStream) connectsOnly() bool { return len(l.request) == 0 }
