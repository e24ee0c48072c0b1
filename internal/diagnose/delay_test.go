package diagnose_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// dual is a cluster of nodes with addresses of both families, agents in pods and in host networks, and a DNS server
// and an API server on the first node.
func dual(nodes int) topology.Snapshot {
	both := func(four, six string, i int) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr(fmt.Sprintf(four, i+1)), netip.MustParseAddr(fmt.Sprintf(six, i+1))}
	}
	s := topology.Snapshot{APIServer: netip.MustParseAddrPort("10.96.0.1:443"),
		DNS: []topology.DNSServer{{Pod: "coredns", Node: "n0", Address: netip.MustParseAddrPort("10.0.0.99:53")}},
		Services: []topology.Service{{Name: "agents", Port: 80, NodePort: 30080,
			ClusterIPs: both("10.96.0.%d", "fd00::4:%x", 7)}}}
	for i := range nodes {
		node, own := fmt.Sprintf("n%d", i), both("192.168.0.%d", "fd00::1:%x", i)
		s.Nodes = append(s.Nodes, topology.Node{Name: node, Addresses: own})
		s.Agents = append(s.Agents, topology.Agent{Pod: "agent-" + node, Node: node, HTTPPort: 80,
			Addresses: both("10.0.0.%d", "fd00::2:%x", i)})
		s.Hosts = append(s.Hosts, topology.Agent{Pod: "host-" + node, Node: node, HTTPPort: 81, Addresses: own})
	}
	return s
}

// late returns by how much the fault delays a probe of the observation.
type late func(o *ladder.Observation) time.Duration

func onTime(*ladder.Observation) time.Duration { return 0 }

// sending delays each packet that the node sends to others: one of two packets of a datagram and its answer, and of a
// handshake, and one more of a request over the connection and its reply.
func sending(node string, by time.Duration) late {
	return func(o *ladder.Observation) time.Duration {
		switch {
		case o.To == "" || !at(*o, node) || o.Rung == ladder.HostToOwnPod || o.Rung == ladder.PodToOwnHost:
			return 0
		case o.Method == ladder.HTTP:
			return 2 * by
		}
		return by
	}
}

// busy is a machine that is short of CPU now and then: a share of the probes takes up to most longer.
type busy struct {
	share float64
	most  time.Duration
}

// took returns the round-trip time of one probe.
func (b busy) took(random *rand.Rand, delay time.Duration) time.Duration {
	took := delay + 300*time.Microsecond + time.Duration(random.ExpFloat64()*float64(400*time.Microsecond))
	if random.Float64() < b.share {
		took += time.Duration(random.Float64() * float64(b.most))
	}
	return took
}

// timed returns what two passes of the ladder and the counted requests see.
func timed(s topology.Snapshot, seed uint64, machine busy, by late) []ladder.Observation {
	random := rand.New(rand.NewPCG(seed, 1))
	var seen []ladder.Observation
	families := []topology.Family{topology.IPv4, topology.IPv6}
	for _, sender := range ladder.Plan(s, ladder.Options{Families: families,
		Counted: map[ladder.Rung]bool{ladder.PodToPod: true}}) {
		for _, p := range sender.Probes {
			o := p.Of
			o.Passes = 2
			for range 2 * p.Spec.Count {
				took := machine.took(random, by(&o))
				o.Add(ladder.Counts{Sent: 1, Answered: 1, Mean: took, Max: took})
			}
			seen = append(seen, o)
			if o.Rung == ladder.PodToPod && !o.Large {
				// The counted requests' mean is the median of many, so a busy moment does not show.
				o.Method, o.Counted, o.Passes, o.Counts = ladder.HTTP, true, 0, ladder.Counts{Sent: 80, Answered: 80}
				o.Mean = busy{}.took(random, by(&o))
				seen = append(seen, o)
			}
		}
	}
	return seen
}

func TestADelayOfOneNodeIsFoundOnABusyMachine(t *testing.T) {
	whole := dual(3)
	podsAlone := whole
	podsAlone.Hosts = nil
	jitter := rand.New(rand.NewPCG(7, 7))
	for _, c := range []struct {
		name    string
		cluster topology.Snapshot
		// group says that the overlay looks alike: the answer of a node to another node's pod may come through it.
		group bool
		by    func() time.Duration
	}{
		{"50 ms", whole, false, func() time.Duration { return 50 * time.Millisecond }},
		{"50 ms, without agents in host networks", podsAlone, true,
			func() time.Duration { return 50 * time.Millisecond }},
		{"5 to 105 ms", whole, false, func() time.Duration {
			return 5*time.Millisecond + time.Duration(jitter.Float64()*float64(100*time.Millisecond))
		}},
	} {
		for _, node := range []string{"n0", "n1", "n2"} {
			for seed := range uint64(8) {
				seen := timed(c.cluster, seed, busy{0.3, 60 * time.Millisecond},
					func(o *ladder.Observation) time.Duration { return sending(node, c.by())(o) })
				_, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, seen, diagnose.ClusterOf(c.cluster))
				if len(found) != 1 || found[0].Cause != "Delay" || found[0].Where != "node "+node ||
					!strings.Contains(string(found[0].Component), "node network") ||
					!c.group && found[0].Component != "node network" {
					t.Errorf("%s, seed %d: found %+v, want a delay of node %s's network alone", c.name, seed, found,
						node)
				}
			}
		}
	}
}

func TestABusyMachineIsNoSlowNetwork(t *testing.T) {
	s := dual(3)
	for _, machine := range []busy{{0.1, 200 * time.Millisecond}, {0.3, 60 * time.Millisecond},
		{0.4, 100 * time.Millisecond}} {
		for seed := range uint64(25) {
			_, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, timed(s, seed, machine, onTime),
				diagnose.ClusterOf(s))
			if len(found) > 0 {
				t.Errorf("seed %d, %v: found %+v, want nothing", seed, machine, found)
			}
		}
	}
}
