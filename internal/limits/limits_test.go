package limits_test

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/limits"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// everybody returns a mesh of the number of agents, in which each agent probes all.
func everybody(agents int, load mesh.Load) mesh.Mesh {
	var all []topology.Agent
	for i := range agents {
		all = append(all, topology.Agent{Pod: fmt.Sprintf("p%03d", i), Node: "n", HTTPPort: 80,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}})
	}
	return mesh.New(schedule.Key{}, report.TaskRef{}, topology.Snapshot{Agents: all},
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
		share   limits.Share
		want    report.RequestBudget
		reduced bool
	}{
		{"a load below the limit is planned as it is asked for", 10, load(10, ten, ""), limits.Share{PerAgent: 100},
			report.RequestBudget{Granted: 10, Sends: 100, TotalSends: 1000, Connections: 100, Tracked: 1000, Ports: 1},
			false},
		{"a load above the limit gets the largest whole rate below it", 10, load(10, ten, ""),
			limits.Share{PerAgent: 99},
			report.RequestBudget{Granted: 9, Sends: 90, TotalSends: 900, Connections: 90, Tracked: 900, Ports: 1},
			true},
		{"more targets than the limit get less than a request a second each", 200, load(10, ten, ""),
			limits.Share{PerAgent: 60},
			report.RequestBudget{Granted: 1, Every: 4, Sends: 50, TotalSends: 10000, Connections: 50, Tracked: 400,
				Ports: 1},
			true},
		{"a load below a request a second has its persistent stream all the same", 100,
			load(10, time.Minute, mesh.Both),
			limits.Share{PerAgent: 20},
			report.RequestBudget{Granted: 1, Every: 7, Sends: 20, TotalSends: 1929, Connections: 15, Tracked: 400,
				Ports: 2},
			true},
		{"the limit for all agents together leads below a request a second too", 10, load(10, ten, ""),
			limits.Share{PerAgent: 30, Total: 50},
			report.RequestBudget{Granted: 1, Every: 2, Sends: 5, TotalSends: 50, ByTotal: true, Connections: 5,
				Tracked: 50,
				Ports:   1}, true},
		{"the lowest rate is one request to each target", 200, load(10, ten, ""), limits.Share{PerAgent: 20},
			report.RequestBudget{Granted: 1, Every: 10, Sends: 20, TotalSends: 4000, Connections: 20, Tracked: 200,
				Ports: 1},
			true},
		{"where that is too much nothing is granted", 200, load(10, ten, ""),
			limits.Share{PerAgent: 19, Cap: 19, CapTotal: 7},
			report.RequestBudget{LowestRate: 20, Cap: 19}, true},
		{"where that is too much without others nobody is named", 200, load(10, ten, ""),
			limits.Share{PerAgent: 9, Cap: 19, Others: 10, Users: "T a"},
			report.RequestBudget{LowestRate: 20, Cap: 19, Others: 10},
			true},
		{"where that just fits without others they are named", 200, load(10, ten, ""),
			limits.Share{PerAgent: 10, Cap: 20, Others: 10, Users: "T a"},
			report.RequestBudget{LowestRate: 20, Cap: 20, Others: 10, UsedBy: "T a"}, true},
		{"where that is too much beside others they are named", 10, load(10, ten, ""),
			limits.Share{PerAgent: 20, Total: 9, Cap: 20, CapTotal: 30, OthersTotal: 21, Users: "T a",
				UsersTotal: "T a, T b"},
			report.RequestBudget{LowestRate: 10, Cap: 30, OthersTotal: 21, UsedBy: "T a, T b", ByTotal: true}, true},
		{"where nothing is left nothing is granted", 10, load(10, ten, ""),
			limits.Share{PerAgent: -1, Cap: 20, Others: 20, Users: "T a"},
			report.RequestBudget{LowestRate: 1, Cap: 20, Others: 20, UsedBy: "T a"}, true},
		{"without a limit nothing is lowered", 10, load(1000, ten, ""), limits.Share{},
			report.RequestBudget{Granted: 1000, Sends: 10000, TotalSends: 100000, Connections: 10000, Tracked: 100000,
				Ports: 1},
			false},
		{"requests over connections that stay open count like others", 10, load(1000, ten, mesh.KeepAlive),
			limits.Share{PerAgent: 50},
			report.RequestBudget{Granted: 5, Sends: 50, TotalSends: 500, Tracked: 10, Ports: 1}, true},
		{"the persistent stream counts too", 10, load(10, ten, mesh.Both), limits.Share{PerAgent: 50},
			report.RequestBudget{Granted: 4, Sends: 44, TotalSends: 440, Connections: 40, Tracked: 410, Ports: 2},
			true},
		{"a persistent stream has three requests at least", 10, load(5, time.Second, mesh.Both),
			limits.Share{PerAgent: 50},
			report.RequestBudget{Granted: 2, Sends: 50, TotalSends: 500, Connections: 20, Tracked: 30, Ports: 2}, true},
		{"the limit for all agents together is shared by their targets", 10, load(10, ten, ""),
			limits.Share{PerAgent: 100, Total: 500},
			report.RequestBudget{Granted: 5, Sends: 50, TotalSends: 500, ByTotal: true, Connections: 50, Tracked: 500,
				Ports: 1},
			true},
		{"of two limits the lower one counts", 10, load(10, ten, ""), limits.Share{PerAgent: 30, Total: 500},
			report.RequestBudget{Granted: 3, Sends: 30, TotalSends: 300, Connections: 30, Tracked: 300, Ports: 1},
			true},
		{"a load shorter than an entry lasts leaves fewer of them", 10, load(10, 2*time.Second, ""), limits.Share{},
			report.RequestBudget{Granted: 10, Sends: 100, TotalSends: 1000, Connections: 100, Tracked: 200, Ports: 1},
			false},
		{"a load longer than an entry lasts leaves no more of them", 10, load(10, time.Hour, ""), limits.Share{},
			report.RequestBudget{Granted: 10, Sends: 100, TotalSends: 1000, Connections: 100, Tracked: 1010, Ports: 1},
			false},
		{"a rate of one a second is said as a rate", 10, load(10, ten, ""), limits.Share{PerAgent: 10},
			report.RequestBudget{Granted: 1, Sends: 10, TotalSends: 100, Connections: 10, Tracked: 100, Ports: 1},
			true},
		{"of two limits below a request a second the lower one counts", 10, load(10, ten, ""),
			limits.Share{PerAgent: 4, Total: 30},
			report.RequestBudget{Granted: 1, Every: 4, Sends: 3, TotalSends: 25, ByTotal: true, Connections: 3,
				Tracked: 20,
				Ports:   1}, true},
		{"and where they lead to the same rate it is the agent's", 10, load(10, ten, ""),
			limits.Share{PerAgent: 5, Total: 50},
			report.RequestBudget{Granted: 1, Every: 2, Sends: 5, TotalSends: 50, Connections: 5, Tracked: 50, Ports: 1},
			true},
		{"one request every second is a rate of one a second", 10, mesh.Load{PerSecond: 1, Every: 1, Duration: ten},
			limits.Share{},
			report.RequestBudget{Granted: 1, Sends: 10, TotalSends: 100, Connections: 10, Tracked: 100, Ports: 1},
			false},
		{"a request that takes any longer than the time between two holds another port", 1,
			mesh.Load{PerSecond: 1, Duration: ten, Connection: mesh.KeepAlive, Timeout: time.Second + 1},
			limits.Share{},
			report.RequestBudget{Granted: 1, Sends: 1, TotalSends: 1, Tracked: 2, Ports: 2}, false},
		{"where others left too little of what would just do they are named", 10, load(10, ten, ""),
			limits.Share{Total: 9, CapTotal: 10, OthersTotal: 1, UsersTotal: "T b"},
			report.RequestBudget{LowestRate: 10, Cap: 10, OthersTotal: 1, UsedBy: "T b", ByTotal: true}, true},
		{"where the lowest rate fits an agent and not all of them that is told of all", 10, load(10, ten, ""),
			limits.Share{PerAgent: 1, Total: 9, Cap: 1, CapTotal: 9},
			report.RequestBudget{LowestRate: 10, Cap: 9, ByTotal: true}, true},
		{"requests that take long each hold an entry and a port", 10,
			mesh.Load{PerSecond: 10, Duration: ten, Connection: mesh.KeepAlive, Timeout: time.Second}, limits.Share{},
			report.RequestBudget{Granted: 10, Sends: 100, TotalSends: 1000, Tracked: 100, Ports: 10}, false},
		{"without agents there is nothing to lower", 0, load(10, ten, ""), limits.Share{PerAgent: 5, Total: 5},
			report.RequestBudget{Granted: 10, Ports: 1}, false},
		{"what others send is told", 2, load(10, ten, ""), limits.Share{PerAgent: 100, Others: 7, OthersTotal: 9},
			report.RequestBudget{Granted: 10, Sends: 20, TotalSends: 40, Connections: 20, Tracked: 200, Ports: 1,
				Others:      7,
				OthersTotal: 9}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := everybody(c.agents, c.load)
			limits.Grant(&m, c.load, c.share)
			c.want.Asked, c.want.Targets, c.want.TotalTargets = c.load.PerSecond, c.agents, c.agents*c.agents
			c.want.Limit, c.want.TotalLimit = max(c.share.PerAgent, 0), max(c.share.Total, 0)
			if diff := cmp.Diff(c.want, m.Load); diff != "" {
				t.Errorf("load (-want +got):\n%s", diff)
			}
			if got := m.Load.Reduced(); got != c.reduced {
				t.Errorf("reduced is %t", got)
			}
			given := c.load
			given.PerSecond, given.Every = c.want.Granted, max(c.want.Every, c.load.Every)
			if c.want.Granted == 0 {
				if !m.Load.Withheld() {
					t.Error("it is not told that nothing was given")
				}
				return
			}
			for i, p := range m.Plans {
				if p.Load != given || m.Expected[i].Requests != given.Requests() {
					t.Errorf("plan %d has %+v with %d requests, want %+v with %d", i, p.Load, m.Expected[i].Requests,
						given, given.Requests())
				}
			}
		})
	}
}

// rates returns all rates to which a load of the number of seconds can be lowered, the highest first.
func rates(seconds int) (all [][2]int) {
	for perSecond := 40; perSecond > 1; perSecond-- {
		all = append(all, [2]int{perSecond, 0})
	}
	for every := 1; every <= seconds; every++ {
		all = append(all, [2]int{1, every})
	}
	return all
}

func TestTheRateThatFitsIsTheHighestOne(t *testing.T) {
	for _, connection := range []mesh.Connection{mesh.NewConnection, mesh.KeepAlive, mesh.Both} {
		for _, seconds := range []int{1, 2, 4, 7, 60, 400} {
			for targets := 1; targets < 200; targets += 3 {
				for limit := 1; limit < 500; limit += 7 {
					l := mesh.Load{PerSecond: 40, Duration: time.Duration(seconds) * time.Second,
						Connection: connection}
					got, fits := limits.Highest(l, targets, limit)
					kept, _ := got.Persistent()
					requests := got.Requests() + kept
					if got.Requests() < 1 || fits &&
						float64(targets)*float64(requests)/float64(seconds) > float64(limit)+1e-9 {
						t.Fatalf("%+v sends %d requests to each of %d targets, and the limit is %d", got, requests,
							targets, limit)
					}
					want, wantFits := l, false
					for _, rate := range rates(seconds) {
						want.PerSecond, want.Every = rate[0], rate[1]
						if wantFits = limits.Sends(want, targets) <= limit; wantFits {
							break
						}
					}
					if got.Every == 0 {
						got.Every = want.Every / max(want.Every, 1)
					}
					if fits != wantFits || got.PerSecond*max(want.Every, 1) != want.PerSecond*max(got.Every, 1) {
						t.Fatalf("%d targets within %d: %+v, %t; want %+v, %t", targets, limit, got, fits, want,
							wantFits)
					}
				}
			}
		}
	}
}

func TestRoundsShareALimit(t *testing.T) {
	claim := func(demand, granted int) limits.Claim { return limits.Claim{Demand: demand, Granted: granted} }
	open := limits.Claim{Open: true}
	cases := []struct {
		name                string
		limit, asked, least int
		others              []limits.Claim
		want                int
	}{
		{"without a limit there is nothing to share", 0, 100, 1, []limits.Claim{claim(1, 1)}, 0},
		{"a round that is alone has all", 100, 40, 1, nil, 100},
		{"a round beside one that took all gets nothing", 100, 500, 10, []limits.Claim{claim(500, 100)}, -1},
		{"a round beside one that took more than all gets nothing", 100, 500, 10, []limits.Claim{claim(500, 130)}, -1},
		{"a round beside one that took most gets what is left", 100, 500, 10, []limits.Claim{claim(500, 70)}, 30},
		{"a round leaves its part to one that waits", 100, 500, 10, []limits.Claim{claim(500, 0)}, 50},
		{"what one round was not given it may want the next time", 100, 500, 10, []limits.Claim{claim(500, 20)}, 50},
		{"what a modest round leaves goes to the others", 100, 500, 1, []limits.Claim{claim(10, 10)}, 90},
		{"what a modest round that waits asks for is left to it", 100, 500, 1, []limits.Claim{claim(10, 0)}, 90},
		{"what cannot be shared equally goes to those who want more", 5, 500, 1,
			[]limits.Claim{claim(1, 0), claim(500, 0)}, 2},
		{"a round that asks for nothing gets nothing", 10, 0, 0, []limits.Claim{claim(10, 0)}, -1},
		{"a limit of one is one", 1, 5, 1, nil, 1},
		{"what several leave is shared by those who want more", 90, 500, 1,
			[]limits.Claim{claim(10, 10), claim(500, 40)},
			40},
		{"what nobody asks for is told, even beyond what is asked for", 100, 20, 1, []limits.Claim{claim(30, 30)}, 70},
		{"a part that is too small to begin with grows to the least, where that is left", 100, 500, 20,
			[]limits.Claim{open, open, open, open, open, open, open, open, open}, 20},
		{"but not beyond what is left", 100, 500, 20, []limits.Claim{claim(90, 90)}, 10},
		{"rounds that are planned at the same time have equal parts", 100, 500, 1, []limits.Claim{open, open, open},
			25},
		{"the largest numbers are no trouble", math.MaxInt32, math.MaxInt32, 1, []limits.Claim{open, open},
			math.MaxInt32 / 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := limits.FairShare(c.limit, c.asked, c.least, c.others); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestWhatLimitsLeaveOfALoad(t *testing.T) {
	load := mesh.Load{PerSecond: 10, Duration: 10 * time.Second}
	if _, fits := limits.Highest(load, 0, -1); !fits {
		t.Error("without targets a rate does not fit")
	}
	slow := mesh.Load{PerSecond: 1, Every: 3, Duration: 10 * time.Second}
	if got, fits := limits.Highest(slow, 4, 2); !fits || got != slow {
		t.Errorf("a rate that fits as it is became %+v, %t", got, fits)
	}
	demand := limits.Demand{Load: load, Most: 3, All: 9}
	for name, c := range map[string]struct {
		running         bool
		share           limits.Share
		perAgent, total int
	}{
		"all, where it fits":                    {false, limits.Share{PerAgent: 30, Total: 90}, 30, 90},
		"less, where it does not":               {false, limits.Share{PerAgent: 15}, 15, 45},
		"nothing, where nothing is left":        {false, limits.Share{PerAgent: -1}, 0, 0},
		"all of what is under way, in any case": {true, limits.Share{PerAgent: 15}, 30, 90},
	} {
		t.Run(name, func(t *testing.T) {
			demand.Running = c.running
			if perAgent, total := demand.GrantedRates(c.share); perAgent != c.perAgent || total != c.total {
				t.Errorf("%d of an agent, %d in all; want %d, %d", perAgent, total, c.perAgent, c.total)
			}
		})
	}
	if perAgent, total := demand.LowestRates(); perAgent != 1 || total != 1 {
		t.Errorf("the least is %d of an agent, %d in all; want one each, of requests 10 seconds apart", perAgent, total)
	}
}

// TestMoreTargetsThanAnAgentCanProbeAreRotatedOrRefused has the plans of few agents say that they have the targets of
// 10,200 nodes.
func TestMoreTargetsThanAnAgentCanProbeAreRotatedOrRefused(t *testing.T) {
	var s topology.Snapshot
	for i := range 60 {
		name := fmt.Sprintf("n%05d", i)
		s.Agents = append(s.Agents, topology.Agent{Pod: "p" + name, Node: name, HTTPPort: 80, Addresses: []netip.Addr{
			netip.AddrFrom4([4]byte{10, 8, byte(i >> 8), byte(i)}),
			netip.AddrFrom16([16]byte{0xfd, 14: byte(i >> 8), 15: byte(i)})}})
		s.Nodes = append(s.Nodes, topology.Node{Name: name})
	}
	want := mesh.Want{Kinds: []target.Kind{target.Endpoint}, Families: []topology.Family{topology.IPv4, topology.IPv6},
		Load: mesh.Load{PerSecond: 1, Duration: 10 * time.Second}, Rounds: 2}
	m := mesh.New(schedule.Key{UID: "u"}, report.TaskRef{}, s, want)
	m.Shared.Rotation.Rounds = 1
	for i := range m.Plans {
		m.Plans[i].Paths = 20_400
	}
	if got := limits.Rounds(m, want.Load, mesh.AutoPairs, limits.Share{}); got != 2 {
		t.Errorf("Auto takes %d rounds, want 2", got)
	}
	limits.Grant(&m, want.Load, limits.Share{})
	if !m.Load.Withheld() || m.Load.MostTargets != mesh.MaxTargets {
		t.Errorf("in full it is granted %+v", m.Load)
	}
}
