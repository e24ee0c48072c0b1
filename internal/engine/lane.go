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

// lane is one stream of attempts on one target, prepared.
type lane struct {
	*load.Account
	target target.Target
	// phase is when the first attempt is due.
	phase time.Duration
	// probe is what all attempts of the stream have in common.
	probe *httpprobe.Config
	place place
	// request is empty where connecting is all.
	request []byte
	// peer is the pod that answered last.
	peer string
	// idle are the open connections that wait for the next attempt; lost are those that the other side ended since the
	// last one began.
	idle slots.List
	lost probe.Lost
}

// place is an address to connect to, as the kernel wants it. Its length is 0 where there is none.
type place struct {
	domain  int
	address [unix.SizeofSockaddrInet6]byte
	length  uintptr
}

// Supports tells whether the engine can probe the target: plain HTTP, or a connection alone, to an address of the target's own family.
// That address is the target's Dial, or else the host of its URL. Names, which somebody must resolve, addresses with a zone, TLS and
// everything else are for other probers.
func Supports(t target.Target) bool {
	_, _, ok := prepare(t)
	return ok
}

func prepare(t target.Target) (to *url.URL, p place, ok bool) {
	to, err := url.Parse(t.Address)
	if err != nil || to.Host == "" {
		return nil, place{}, false
	}
	port := to.Port()
	switch scheme := target.Protocol(to.Scheme); {
	case cmp.Or(t.Protocol, scheme) != scheme:
		return nil, place{}, false
	case scheme == target.HTTP:
		port = cmp.Or(port, "80")
	case scheme != target.TCP:
		return nil, place{}, false
	}
	var address netip.AddrPort
	if t.Dial != "" {
		address, err = netip.ParseAddrPort(t.Dial)
	} else {
		address, err = literal(to.Hostname(), port)
	}
	ip := address.Addr()
	if err != nil || ip.Zone() != "" || ip.Is4In6() || ip.IsUnspecified() || address.Port() == 0 || (t.Family != "" && t.Family != topology.FamilyOf(ip)) {
		return nil, place{}, false
	}
	return to, placeOf(address), true
}

func literal(host, port string) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(ip, uint16(number)), err
}

// placeOf writes struct sockaddr_in or sockaddr_in6.
func placeOf(a netip.AddrPort) (p place) {
	binary.BigEndian.PutUint16(p.address[2:], a.Port())
	if a.Addr().Is4() {
		p.domain, p.length = unix.AF_INET, unix.SizeofSockaddrInet4
		ip := a.Addr().As4()
		copy(p.address[4:], ip[:])
	} else {
		p.domain, p.length = unix.AF_INET6, unix.SizeofSockaddrInet6
		ip := a.Addr().As16()
		copy(p.address[8:], ip[:])
	}
	binary.NativeEndian.PutUint16(p.address[:], uint16(p.domain)) // #nosec G115 -- one of two small constants
	return p
}

// newLane prepares a stream. A target that the engine does not support gets a lane without a place.
func newLane(t target.Target, config *httpprobe.Config, phase time.Duration) *lane {
	l := &lane{Account: load.NewAccount(t), target: t, probe: config, phase: phase, idle: slots.NewList()}
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
	l.place = p
	return l
}

// connects tells whether a connection is all that the lane's attempts want.
func (l *lane) connects() bool { return len(l.request) == 0 }
