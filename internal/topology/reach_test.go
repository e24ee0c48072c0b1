package topology_test

import (
	"net/netip"
	"testing"

	"kdoctor.io/kdoctor/internal/topology"
)

func TestWhatNoOtherNodeCanReach(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "", "10.0.0.1": "", "100.64.0.1": "", "198.18.0.1": "", "2001:db8::1": "", "fd00::1": "",
		"64:ff9b::1": "",
		// Class E is unicast where a cluster uses it.
		"240.0.0.1": "", "255.255.255.254": "",
		"0.0.0.0": "the unspecified address", "::": "the unspecified address",
		"0.0.0.1":       "an address of this network alone (0.0.0.0/8)",
		"0.255.255.255": "an address of this network alone (0.0.0.0/8)", "1.0.0.0": "",
		"127.0.0.1": "a loopback address", "127.255.255.255": "a loopback address", "128.0.0.0": "",
		"126.255.255.255": "", "::1": "a loopback address",
		"169.254.0.0": "a link-local address", "169.254.255.255": "a link-local address", "169.253.255.255": "",
		"169.255.0.0": "",
		"fe80::1":     "a link-local address", "febf::1": "a link-local address", "fec0::1": "",
		"fe80::1%eth0": "a link-local address", "2001:db8::1%eth0": "a link-local address",
		"224.0.0.0": "a multicast address", "239.255.255.255": "a multicast address", "223.255.255.255": "",
		"ff02::1": "a multicast address", "ff05::1": "a multicast address",
		"255.255.255.255":  "the broadcast address",
		"::ffff:192.0.2.1": "an IPv4-mapped address", "::ffff:127.0.0.1": "an IPv4-mapped address",
	} {
		t.Run(text, func(t *testing.T) {
			if got := topology.Unreachable(netip.MustParseAddr(text)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	if got := topology.Unreachable(netip.Addr{}); got != "no address" {
		t.Errorf("no address is %q", got)
	}
}

func TestNamesOfTheAskerItself(t *testing.T) {
	for name, itself := range map[string]bool{"localhost": true, "LocalHost.": true, "lb.localhost": true,
		"localhost.example": false, "mylocalhost": false, "lb.example": false, "": false} {
		if got := topology.UnreachableName(name) != ""; got != itself {
			t.Errorf("%q is the asker itself: %t, want %t", name, got, itself)
		}
	}
}
