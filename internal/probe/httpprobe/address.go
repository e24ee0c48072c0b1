package httpprobe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// ErrAddress is for a target that names no port, or whose Dial is not a host and a port.
var ErrAddress = errors.New("the target does not say where to connect to")

// Address returns what to connect to for a URL of the target: the target's Dial, or else the URL's own host. Where that
// is a name, it is the first address that the name has in the target's family, and named is true.
func Address(ctx context.Context, t target.Target, to *url.URL) (address string, named bool, err error) {
	host, port, err := hostPort(t.Dial, to)
	if err != nil {
		return "", false, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(host, port), false, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+Network(t.Family)[len("tcp"):], host)
	if err != nil {
		return "", false, fmt.Errorf("resolve the target's name: %w", err)
	}
	if len(found) == 0 {
		return "", false, &net.DNSError{Err: fmt.Sprintf("the name has no %s address", t.Family), Name: host,
			IsNotFound: true}
	}
	return net.JoinHostPort(found[0].Unmap().String(), port), true, nil
}

// hostPort splits Dial or, without it, the URL.
func hostPort(dial string, to *url.URL) (host, port string, err error) {
	if dial == "" {
		if port = cmp.Or(to.Port(), defaultPort(to.Scheme)); port == "" {
			return "", "", ErrAddress
		}
		return to.Hostname(), port, nil
	}
	host, port, err = net.SplitHostPort(dial)
	if number, parse := strconv.ParseUint(port, 10, 16); err != nil || parse != nil || number == 0 || host == "" {
		return "", "", ErrAddress
	}
	return host, port, nil
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

// Network returns the family's network, as package net names it.
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
