package wire_test

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/wire"
)

func TestWhereToConnectToIsAnAddressOfTheFamilyOrAName(t *testing.T) {
	for _, c := range []struct {
		name, dial string
		family     topology.Family
		taken      bool
	}{
		{"nothing leaves it to the URL", "", topology.IPv4, true},
		{"an address of the family", "198.18.0.3:443", topology.IPv4, true},
		{"an address of the other family", "[2001:db8::1]:443", topology.IPv4, false},
		{"an IPv6 address", "[2001:db8::1]:443", topology.IPv6, true},
		{"an IPv6 address without brackets", "2001:db8::1:443", topology.IPv6, false},
		{"an address with a zone", "[fe80::1%eth0]:443", topology.IPv6, false},
		{"a name, over either family", "lb.example:443", topology.IPv6, true},
		{"a name with a dash, an underscore and a final stop", "a-b_c.example.:80", topology.IPv4, true},
		{"a name without a port", "lb.example", topology.IPv4, false},
		{"a name with a port that has a name", "lb.example:https", topology.IPv4, false},
		{"a port without a host", ":443", topology.IPv4, false},
		{"port 0", "198.18.0.3:0", topology.IPv4, false},
		{"port 65536", "lb.example:65536", topology.IPv4, false},
		{"a name with a space", "lb example:80", topology.IPv4, false},
		{"a URL", "http://lb.example:80", topology.IPv4, false},
		{"an endless name", strings.Repeat("a", 254) + ":80", topology.IPv4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			message := wire.Plan(plan())
			message.Targets = message.GetTargets()[:1]
			message.Targets[0].Dial, message.Targets[0].Family = c.dial, string(c.family)
			got, err := wire.ParsePlan(message)
			if (err == nil) != c.taken {
				t.Errorf("error is %v; want it taken: %v", err, c.taken)
			}
			if err == nil && got.Targets[0].Dial != c.dial {
				t.Errorf("%q became %q", c.dial, got.Targets[0].Dial)
			}
		})
	}
}

func FuzzDial(f *testing.F) {
	for _, dial := range []string{"198.18.0.3:443", "[2001:db8::1]:443", "lb.example:80", "[::ffff:198.18.0.3]:80",
		"[fe80::1%eth0]:1"} {
		f.Add(dial)
	}
	f.Fuzz(func(t *testing.T, dial string) {
		message := wire.Plan(plan())
		message.Targets[0].Dial = dial
		if _, err := wire.ParsePlan(message); err != nil || dial == "" {
			return
		}
		host, port, err := net.SplitHostPort(dial)
		if number, parse := strconv.Atoi(port); err != nil || parse != nil || number < 1 || number > 65535 ||
			host == "" {
			t.Fatalf("%q is taken, and nobody can connect to it", dial)
		}
		if ip, err := netip.ParseAddr(host); err == nil && (topology.FamilyOf(ip) != topology.IPv4 || ip.Zone() != "") {
			t.Fatalf("%q is taken over IPv4", dial)
		}
	})
}
