package httpprobe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// ErrAddress is for a target that names no port, or whose Dial is not an address and a port.
var ErrAddress = errors.New("the target does not say where to connect to")

// Address is what to connect to for a URL of the target: what the target says in Dial, the URL's own address, or the first one of its name
// in the target's family. named tells that a name was resolved.
func Address(ctx context.Context, t target.Target, to *url.URL) (address string, named bool, err error) {
	if t.Dial != "" {
		if _, err := netip.ParseAddrPort(t.Dial); err != nil {
			return "", false, ErrAddress
		}
		return t.Dial, false, nil
	}
	host, port := to.Hostname(), to.Port()
	if port == "" {
		if port = defaultPort(to.Scheme); port == "" {
			return "", false, ErrAddress
		}
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(host, port), false, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+Network(t.Family)[len("tcp"):], host)
	if err != nil {
		return "", false, fmt.Errorf("resolve the target's name: %w", err)
	}
	if len(found) == 0 {
		return "", false, &net.DNSError{Err: fmt.Sprintf("the name has no %s address", t.Family), Name: host, IsNotFound: true}
	}
	return net.JoinHostPort(found[0].Unmap().String(), port), true, nil
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	default:
		return ""
	}
}

// Network is the family's network, as package net names it.
func Network(f topology.Family) string {
	switch f {
	case topology.IPv4:
		return "tcp4"
	case topology.IPv6:
		return "tcp6"
	default:
		return "tcp"
	}
}
