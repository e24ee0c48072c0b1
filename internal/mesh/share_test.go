package mesh_test

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// everybody is a mesh of so many agents, in which each has so many targets.
func everybody(agents int, load mesh.Load) mesh.Mesh {
	var all []topology.Agent
	for i := range agents {
		all = append(all, topology.Agent{Pod: fmt.Sprintf("p%03d", i), Node: "n", HTTPPort: 80, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}})
	}
	return mesh.New(schedule.Key{}, report.Task{}, topology.Snapshot{Agents: all},
		mesh.Want{Kinds: []target.Kind{target.Endpoint}, Families: []topology.Family{topology.IPv4}, Load: load})
}

func TestLoadStaysWithinTheLimits(t *testing.T) {
	const ten = 10 * time.Second
	load := func(rate int, duration time.Duration, c mesh.Connection) mesh.Load {
		return mesh.Load{PerSecond: rate, Duration: duration, Connection: c}
	}
	cases := []struct {
		name    string
		agents  int
		load    mesh.Load
		limits  mesh.Limits
		want    report.Load
		reduced bool
	}{
		{"a load below the limit is planned as it is asked for", 10, load(10, ten, ""), mesh.Limits{PerAgent: 100},
			report.Load{Given: 10, Sends: 100, TotalSends: 1000, Connections: 100, Tracked: 1000, Ports: 1}, false},
		{"a load above the limit gets the largest whole rate below it", 10, load(10, ten, ""), mesh.Limits{PerAgent: 99},
			report.Load{Given: 9, Sends: 90, TotalSends: 900, Connections: 90, Tracked: 900, Ports: 1}, true},
		{"more targets than the limit get one request a second each, and it is told that this is too much", 200, load(10, ten, ""), mesh.Limits{PerAgent: 50},
			report.Load{Given: 1, Sends: 200, TotalSends: 40000, Connections: 200, Tracked: 2000, Ports: 1}, true},
		{"without a limit nothing is lowered", 10, load(1000, ten, ""), mesh.Limits{},
			report.Load{Given: 1000, Sends: 10000, TotalSends: 100000, Connections: 10000, Tracked: 100000, Ports: 1}, false},
		{"requests over connections that stay open count like others", 10, load(1000, ten, mesh.KeepAlive), mesh.Limits{PerAgent: 50},
			report.Load{Given: 5, Sends: 50, TotalSends: 500, Tracked: 10, Ports: 1}, true},
		{"the kept stream counts too", 10, load(10, ten, mesh.Both), mesh.Limits{PerAgent: 50},
			report.Load{Given: 4, Sends: 44, TotalSends: 440, Connections: 40, Tracked: 410, Ports: 2}, true},
		{"a kept stream has three requests at least", 10, load(5, time.Second, mesh.Both), mesh.Limits{PerAgent: 50},
			report.Load{Given: 2, Sends: 50, TotalSends: 500, Connections: 20, Tracked: 30, Ports: 2}, true},
		{"the limit for all agents together is shared by their targets", 10, load(10, ten, ""), mesh.Limits{PerAgent: 100, Total: 500},
			report.Load{Given: 5, Sends: 50, TotalSends: 500, ByTotal: true, Connections: 50, Tracked: 500, Ports: 1}, true},
		{"of two limits the lower one counts", 10, load(10, ten, ""), mesh.Limits{PerAgent: 30, Total: 500},
			report.Load{Given: 3, Sends: 30, TotalSends: 300, Connections: 30, Tracked: 300, Ports: 1}, true},
		{"a load shorter than an entry lasts leaves fewer of them", 10, load(10, 2*time.Second, ""), mesh.Limits{},
			report.Load{Given: 10, Sends: 100, TotalSends: 1000, Connections: 100, Tracked: 200, Ports: 1}, false},
		{"a load longer than an entry lasts leaves no more of them", 10, load(10, time.Hour, ""), mesh.Limits{},
			report.Load{Given: 10, Sends: 100, TotalSends: 1000, Connections: 100, Tracked: 1010, Ports: 1}, false},
		{"without agents there is nothing to lower", 0, load(10, ten, ""), mesh.Limits{PerAgent: 5, Total: 5}, report.Load{Given: 10, Ports: 1}, false},
		{"what others send is told", 2, load(10, ten, ""), mesh.Limits{PerAgent: 100, Others: 7, OthersTotal: 9},
			report.Load{Given: 10, Sends: 20, TotalSends: 40, Connections: 20, Tracked: 200, Ports: 1, Others: 7, OthersTotal: 9}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := everybody(c.agents, c.load)
			m.Give(c.load, c.limits)
			c.want.Asked, c.want.Targets, c.want.TotalTargets = c.load.PerSecond, c.agents, c.agents*c.agents
			c.want.Limit, c.want.TotalLimit = c.limits.PerAgent, c.limits.Total
			if diff := cmp.Diff(c.want, m.Load); diff != "" {
				t.Errorf("load (-want +got):\n%s", diff)
			}
			if got := m.Load.Reduction() != ""; got != c.reduced {
				t.Errorf("reduction %q", m.Load.Reduction())
			}
			given := c.load
			given.PerSecond = c.want.Given
			for i, p := range m.Plans {
				if p.Load != given || m.Expected[i].Requests != given.Requests() {
					t.Errorf("plan %d has %+v with %d requests, want %+v with %d", i, p.Load, m.Expected[i].Requests, given, given.Requests())
				}
			}
		})
	}
}

func TestTheRateThatFitsIsTheLargestOne(t *testing.T) {
	for _, connection := range []mesh.Connection{mesh.NewConnection, mesh.KeepAlive, mesh.Both} {
		for _, seconds := range []int{1, 2, 7, 60} {
			for targets := 1; targets < 40; targets += 3 {
				for limit := 1; limit < 500; limit += 7 {
					l := mesh.Load{Duration: time.Duration(seconds) * time.Second, Connection: connection}
					l.PerSecond = l.Fits(targets, limit)
					if l.PerSecond > 0 && l.Sends(targets) > limit {
						t.Fatalf("%+v sends %d to %d targets, more than %d", l, l.Sends(targets), targets, limit)
					}
					kept, _ := l.Kept()
					if sent := float64(targets) * (float64(l.PerSecond) + float64(kept)/float64(seconds)); l.PerSecond > 0 && sent > float64(limit)+1e-9 {
						t.Fatalf("%+v sends %v to %d targets, more than %d", l, sent, targets, limit)
					}
					if l.PerSecond++; l.PerSecond > 0 && l.Sends(targets) <= limit {
						t.Fatalf("%+v sends only %d to %d targets, and %d is the limit", l, l.Sends(targets), targets, limit)
					}
				}
			}
		}
	}
}

func TestRoundsShareALimit(t *testing.T) {
	claim := func(asked, given int) mesh.Claim { return mesh.Claim{Asked: asked, Given: given} }
	cases := []struct {
		name         string
		limit, asked int
		others       []mesh.Claim
		want         int
	}{
		{"without a limit there is nothing to share", 0, 100, []mesh.Claim{claim(1, 1)}, 0},
		{"a round that is alone has all", 100, 40, nil, 100},
		{"a round beside one that took all gets half", 100, 500, []mesh.Claim{claim(500, 100)}, 50},
		{"a round that asks for less than its part gets what it asks for", 100, 20, []mesh.Claim{claim(500, 100)}, 20},
		{"what a modest round leaves goes to the others", 100, 500, []mesh.Claim{claim(10, 10)}, 90},
		{"what several leave is shared by those who want more", 90, 500, []mesh.Claim{claim(10, 10), claim(500, 80)}, 40},
		{"what others left is given beyond the fair part", 100, 500, []mesh.Claim{claim(500, 20), claim(500, 10)}, 70},
		{"rounds that are planned at the same time have equal parts", 100, 500, []mesh.Claim{{Open: true}, {Open: true}, {Open: true}}, 25},
		{"a share is never nothing, which would be no limit", 2, 5, []mesh.Claim{claim(5, 2), claim(5, 1), claim(5, 1)}, 1},
		{"the largest numbers are no trouble", math.MaxInt32, 1000, []mesh.Claim{{Open: true}}, math.MaxInt32 - math.MaxInt32/2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := mesh.Share(c.limit, c.asked, c.others); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
