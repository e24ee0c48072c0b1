package wire_test

import (
	"testing"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/wire"
)

// A target's address is a URL that says where to connect to, and nothing else.
func TestAddressesOfTargets(t *testing.T) {
	for _, c := range []struct {
		name     string
		protocol target.Protocol
		address  string
		taken    bool
	}{
		{"a host alone", target.HTTP, "http://198.18.1.2", true},
		{"a host, a port and a path", target.HTTP, "http://198.18.1.2:8080/x?y", true},
		{"an opaque URL", target.HTTP, "http:198.18.1.2", false},
		{"no host", target.HTTP, "http:///x", false},
		{"a port without a host", target.HTTP, "http://:80", false},
		{"a user", target.HTTP, "http://me@198.18.1.2", false},
		{"a fragment", target.HTTP, "http://198.18.1.2/#x", false},
		{"another protocol", target.HTTP, "https://198.18.1.2", false},
		{"the last port", target.HTTP, "http://198.18.1.2:65535", true},
		{"a port after the last one", target.HTTP, "http://198.18.1.2:65536", false},
		{"port 0", target.HTTP, "http://198.18.1.2:0", false},
		{"TCP to a port", target.TCP, "tcp://198.18.1.2:80", true},
		{"TCP without a port", target.TCP, "tcp://198.18.1.2", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := least()
			plan.Targets[0].Protocol, plan.Targets[0].Address, plan.Targets[0].Dial = c.protocol, c.address, ""
			if _, err := wire.ParsePlan(wire.Plan(plan)); (err == nil) != c.taken {
				t.Errorf("%s is taken: %t (%v), want %t", c.address, err == nil, err, c.taken)
			}
		})
	}
}

// The addresses that nearly all targets have are not left to url.Parse.
func TestPlainAddressesAreTakenOrRefusedAsOthersAre(t *testing.T) {
	for address, taken := range map[string]bool{
		"http://198.18.1.2:80": true, "http://198.18.1.2:80/": true, "http://[fd00::1]:80": true,
		"http://name:80": true, "http://198.18.1.2:": true, "http://198.18.1.2:+80": false,
		"http://198.18.1.2:80//": true, "http//198.18.1.2:80": false, "HTTP://198.18.1.2:80": true,
		"http://198.18.1.2:00080": true, "http://198.18.1.2:00": false,
	} {
		plan := least()
		plan.Targets[0].Protocol, plan.Targets[0].Address, plan.Targets[0].Dial = target.HTTP, address, ""
		if _, err := wire.ParsePlan(wire.Plan(plan)); (err == nil) != taken {
			t.Errorf("%s is taken: %t (%v), want %t", address, err == nil, err, taken)
		}
	}
}
