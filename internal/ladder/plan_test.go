package ladder_test

import (
	"fmt"
	"net/netip"
	"testing"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// cluster has n nodes with an agent and a host agent each, a Service, two DNS servers and an API server.
func cluster(n int) topology.Snapshot {
	addresses := func(format4, format6 string, i int) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr(fmt.Sprintf(format4, i/250, i%250+1)),
			netip.MustParseAddr(fmt.Sprintf(format6, i+1))}
	}
	s := topology.Snapshot{APIServer: netip.MustParseAddrPort("10.96.0.1:443"), Services: []topology.Service{{
		Name: "agents", Port: 80, NodePort: 30080, ClusterIPs: addresses("10.96.%d.%d", "fd00::4:%x", 9)}}}
	for i := range n {
		node := fmt.Sprintf("n%04d", i)
		s.Nodes = append(s.Nodes, topology.Node{Name: node, Addresses: addresses("192.168.%d.%d", "fd00::1:%x", i)})
		s.Agents = append(s.Agents, topology.Agent{Pod: "agent-" + node, Node: node, HTTPPort: 80,
			Addresses: addresses("10.0.%d.%d", "fd00::2:%x", i)})
		s.Hosts = append(s.Hosts, topology.Agent{Pod: "host-" + node, Node: node, HTTPPort: 81,
			Addresses: addresses("192.168.%d.%d", "fd00::1:%x", i)})
		if i < 2 {
			s.DNS = append(s.DNS, topology.DNSServer{Pod: "dns-" + node, Node: node,
				Address: netip.MustParseAddrPort(fmt.Sprintf("10.1.0.%d:53", i+1))})
		}
	}
	return s
}

func both() []topology.Family { return []topology.Family{topology.IPv4, topology.IPv6} }

// packets is how many packets a probe makes its sender send.
func packets(p ladder.Probe) int {
	each := map[ladder.Method]int{ladder.UDP: 1, ladder.ICMP: 1, ladder.DNS: 1, ladder.TCP: 3, ladder.HTTP: 5}
	return p.Spec.Count * each[p.Spec.Method]
}

func TestTheLadderOfANodeCostsFewPacketsAtAnySize(t *testing.T) {
	const passes = 2
	everything := map[ladder.Rung]bool{ladder.PodToPod: true, ladder.ClusterIP: true, ladder.NodePort: true}
	for _, c := range []struct {
		nodes   int
		counted map[ladder.Rung]bool
		most    int
	}{{3, everything, 200}, {3, nil, 300}, {9, everything, 600}, {1000, nil, 700}} {
		perNode := map[string]int{}
		for _, sender := range ladder.Plan(cluster(c.nodes), ladder.Options{Families: both(), Counted: c.counted}) {
			for _, p := range sender.Probes {
				perNode[sender.Agent.Node] += passes * packets(p)
			}
		}
		for node, n := range perNode {
			if n > c.most {
				t.Errorf("%d nodes: node %s sends %d packets a round, want at most %d", c.nodes, node, n, c.most)
			}
		}
		if want := min(c.nodes, 250); len(perNode) != want {
			t.Errorf("%d nodes: %d send, want %d", c.nodes, len(perNode), want)
		}
	}
}

func TestPodsAreAskedByHTTPUnlessTheRoundAsksThemAnyway(t *testing.T) {
	for _, counted := range []bool{false, true} {
		asked := 0
		for _, sender := range ladder.Plan(cluster(3), ladder.Options{Families: both(),
			Counted: map[ladder.Rung]bool{ladder.PodToPod: counted}}) {
			for _, p := range sender.Probes {
				if p.Of.Rung == ladder.PodToPod && p.Of.Method == ladder.HTTP {
					asked++
				}
			}
		}
		if want := map[bool]int{false: 12, true: 0}[counted]; asked != want {
			t.Errorf("counted %v: %d pairs and families are asked by HTTP, want %d", counted, asked, want)
		}
	}
}

func TestEveryPairOfNodesTakesItsTurn(t *testing.T) {
	const nodes, rounds = 30, 4 // 29 others, 8 of them in each round
	seen := map[[2]string]int{}
	for round := range int64(rounds) {
		for _, sender := range ladder.Plan(cluster(nodes), ladder.Options{Families: both()[:1], Round: round}) {
			for _, p := range sender.Probes {
				if p.Of.Rung == ladder.PodToPod && !p.Of.Large {
					seen[[2]string{p.Of.From, p.Of.To}]++
				}
			}
		}
	}
	if want := nodes * (nodes - 1); len(seen) != want {
		t.Errorf("%d pairs were probed in %d rounds, want %d", len(seen), rounds, want)
	}
}

func TestWhatIsNotThereIsNotProbed(t *testing.T) {
	s := cluster(3)
	s.Hosts, s.DNS, s.Services = nil, nil, nil
	s.Agents[2].NotReady = "pod is Pending"
	rungs := map[ladder.Rung]int{}
	for _, sender := range ladder.Plan(s, ladder.Options{Families: both()[1:]}) {
		if sender.Agent.Node == "n0002" {
			t.Errorf("the agent that is not ready sends")
		}
		for _, p := range sender.Probes {
			rungs[p.Of.Rung]++
			if p.Of.Family != topology.IPv6 && p.Of.Rung != ladder.DNSService {
				t.Errorf("%s is probed over %q", p.Of.Rung, p.Of.Family)
			}
			if p.Of.To == "n0002" {
				t.Errorf("%s asks the agent that is not ready", p.Of.Rung)
			}
			if p.Of.Rung == ladder.PodToHost && p.Of.Method != ladder.ICMP {
				t.Errorf("without an agent in the host network %s is asked", p.Of.Method)
			}
		}
	}
	for _, rung := range []ladder.Rung{ladder.HostToHost, ladder.HostToOwnPod, ladder.ClusterIP, ladder.NodePort,
		ladder.DNSPod} {
		if rungs[rung] > 0 {
			t.Errorf("%s is probed %d times", rung, rungs[rung])
		}
	}
	if rungs[ladder.PodToPod] != 6 || rungs[ladder.PodToHost] != 2 || rungs[ladder.Self] != 2 {
		t.Errorf("the rungs are %v", rungs)
	}
}

func TestInALargeClusterNodesTakeTurns(t *testing.T) {
	const nodes = 1000
	sent := map[string]bool{}
	for round := range int64(4) {
		for _, sender := range ladder.Plan(cluster(nodes), ladder.Options{Families: both()[:1], Round: round}) {
			sent[sender.Agent.Node] = true
		}
	}
	if len(sent) != nodes {
		t.Errorf("%d of %d nodes sent in four rounds", len(sent), nodes)
	}
}
