package load_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
)

func TestFootprint(t *testing.T) {
	of := func(perSecond int, duration, timeout time.Duration, connection mesh.Connection) mesh.Load {
		return mesh.Load{PerSecond: perSecond, Duration: duration, Timeout: timeout, Connection: connection}
	}
	for _, c := range []struct {
		name    string
		targets int
		load    mesh.Load
		want    load.Footprint
	}{
		{"without targets nothing is needed", 0, of(10, time.Minute, time.Second, mesh.NewConnection), load.Footprint{}},
		{"without a rate nothing is needed", 10, of(0, time.Minute, time.Second, mesh.NewConnection), load.Footprint{}},
		{"new connections are tracked for 10 s and while they are under way", 100, of(10, 5*time.Minute, 2*time.Second, mesh.NewConnection),
			// 1000 a second: 10,000 closed and 2,000 under way; 120,000 and 2,000 when all fail.
			load.Footprint{ConnectionsPerSecond: 1000, Conntrack: 12_000, ConntrackFailing: 122_000, PortsPerTarget: 20}},
		{"no way to use connections is a new one each", 100, of(10, 5*time.Minute, 2*time.Second, ""),
			load.Footprint{ConnectionsPerSecond: 1000, Conntrack: 12_000, ConntrackFailing: 122_000, PortsPerTarget: 20}},
		{"a short load never needs more than it has requests", 100, of(10, 3*time.Second, 2*time.Second, mesh.NewConnection),
			load.Footprint{ConnectionsPerSecond: 1000, Conntrack: 3000, ConntrackFailing: 3000, PortsPerTarget: 20}},
		{"what is under way is bounded", 1000, of(10, 5*time.Minute, 10*time.Second, mesh.NewConnection),
			load.Footprint{ConnectionsPerSecond: 10_000, Conntrack: 100_000 + load.DefaultInFlight, ConntrackFailing: 1_200_000 + load.DefaultInFlight, PortsPerTarget: 100}},
		{"a timeout below the interval still needs a port", 3, of(1, time.Minute, 200*time.Millisecond, mesh.NewConnection),
			load.Footprint{ConnectionsPerSecond: 3, Conntrack: 33, ConntrackFailing: 180, PortsPerTarget: 1}},
		{"part of an interval is rounded up", 1, of(10, time.Minute, 1050*time.Millisecond, mesh.NewConnection),
			load.Footprint{ConnectionsPerSecond: 10, Conntrack: 111, ConntrackFailing: 600, PortsPerTarget: 11}},
		{"kept connections are not closed and only as many as are under way", 100, of(10, 5*time.Minute, 2*time.Second, mesh.KeepAlive),
			load.Footprint{Conntrack: 2000, ConntrackFailing: 122_000, PortsPerTarget: 20}},
		{"kept connections are at least one for each target", 10_000, of(1, time.Minute, time.Millisecond, mesh.KeepAlive),
			load.Footprint{Conntrack: 10_000, ConntrackFailing: 600_000, PortsPerTarget: 1}},
		{"a kept stream is one connection more for each target", 100, of(10, 5*time.Minute, time.Second, mesh.Both),
			// One kept request a second: 121 of them in two minutes and a timeout when all fail.
			load.Footprint{ConnectionsPerSecond: 1000, Conntrack: 11_000 + 100, ConntrackFailing: 121_000 + 12_100, PortsPerTarget: 11}},
		{"a kept stream whose answers are slow needs more", 100, of(10, 5*time.Minute, 3*time.Second, mesh.Both),
			load.Footprint{ConnectionsPerSecond: 1000, Conntrack: 13_000 + 300, ConntrackFailing: 123_000 + 12_300, PortsPerTarget: 33}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, load.FootprintOf(c.targets, c.load)); diff != "" {
				t.Errorf("footprint (-want +got):\n%s", diff)
			}
		})
	}
}
