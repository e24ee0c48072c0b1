package round

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// nodes is a cluster of a number of nodes n0, n1 and so on. On each are an agent in a pod, p0, and one in the host
// network, h0.
func nodes(n int) topology.Snapshot {
	address := func(network, i int) []netip.Addr {
		return []netip.Addr{netip.AddrFrom4([4]byte{10, byte(network), byte(i / 250), byte(i%250 + 1)})}
	}
	var s topology.Snapshot
	for i := range n {
		node := fmt.Sprintf("n%d", i)
		s.Nodes = append(s.Nodes, topology.Node{Name: node, Addresses: address(1, i)})
		s.Agents = append(s.Agents, topology.Agent{Pod: fmt.Sprintf("p%d", i), Node: node, HTTPPort: 80,
			Addresses: address(2, i)})
		s.Hosts = append(s.Hosts, topology.Agent{Pod: fmt.Sprintf("h%d", i), Node: node, HTTPPort: 81,
			Addresses: address(1, i)})
	}
	return s
}

// calls answers for all agents and notes, by agent, for how many probes each call asks.
type calls struct {
	mu    sync.Mutex
	of    map[string][]int
	lost  func(from topology.Agent, spec ladder.Spec) bool
	delay time.Duration
}

func (c *calls) Probe(ctx context.Context, agent topology.Agent, specs []ladder.Spec) ([]ladder.Result, error) {
	c.mu.Lock()
	c.of[agent.Pod] = append(c.of[agent.Pod], len(specs))
	c.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(c.delay):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	results := make([]ladder.Result, len(specs))
	for i, spec := range specs {
		results[i].Sent, results[i].Answered = uint64(spec.Count), uint64(spec.Count)
		if c.lost(agent, spec) {
			results[i].Answered = 0
			results[i].Failures = map[ladder.Failure]uint64{ladder.NoAnswer: uint64(spec.Count)}
		}
	}
	return results, nil
}

// climbing runs the ladder of a cluster with all that follows, and returns what was seen.
func climbing(t *testing.T, s topology.Snapshot, c *calls) []ladder.Observation {
	t.Helper()
	c.of = map[string][]int{}
	var seen []ladder.Observation
	synctest.Test(t, func(t *testing.T) {
		options := ladder.Options{Families: []topology.Family{topology.IPv4}}
		climb := &climb{prober: c, around: around{s, options}, load: 10 * time.Second,
			slots: make(chan struct{}, 64), senders: ladder.Plan(s, options)}
		climb.run(t.Context())
		began := time.Now()
		climb.follow(t.Context())
		if took := time.Since(began); took > followWithin {
			t.Errorf("the follow-up probes take %v, want at most %v", took, followWithin)
		}
		seen = climb.observations()
	})
	return seen
}

// into loses what comes to the pod from other nodes.
func into(pod topology.Agent) func(topology.Agent, ladder.Spec) bool {
	return func(from topology.Agent, spec ladder.Spec) bool {
		return spec.Peer == pod.Pod && from.Node != pod.Node
	}
}

func TestTheAgentsOfASuspectNodeThatDoNotSendAreAsked(t *testing.T) {
	s := nodes(300)
	// 250 nodes send in a round, and n250 is a peer of eight of them.
	c := &calls{lost: into(s.Agents[250])}
	seen := climbing(t, s, c)
	for _, agent := range []string{"p250", "h250"} {
		if len(c.of[agent]) != len(followCounts()) {
			t.Errorf("agent %s is asked %d times, want %d", agent, len(c.of[agent]), len(followCounts()))
		}
	}
	own := 0
	for _, o := range seen {
		if o.FollowUp != (o.From == "n250") && o.Passes == 0 {
			t.Errorf("%+v", o)
		}
		if o.Rung == ladder.HostToOwnPod && o.From == "n250" {
			own++
			if !o.FollowUp || o.Passes != len(followCounts()) || o.Answered != uint64(followCount()) {
				t.Errorf("%+v; want a follow-up probe of %d passes", o, len(followCounts()))
			}
		}
	}
	if own == 0 {
		t.Error("the host network of n250 did not ask the pod there")
	}
}

func TestFollowUpsAreBounded(t *testing.T) {
	s := nodes(60)
	c := &calls{lost: func(_ topology.Agent, spec ladder.Spec) bool { return spec.Method == ladder.UDP }}
	climbing(t, s, c)
	asked := 0
	for agent, sizes := range c.of {
		if len(sizes) <= ladderPasses {
			continue
		}
		asked++
		for _, n := range sizes[ladderPasses:] {
			if n > followProbes {
				t.Errorf("agent %s is asked for %d probes, want at most %d", agent, n, followProbes)
			}
		}
	}
	if asked == 0 || asked > followAgents {
		t.Errorf("%d agents are asked again, want 1 to %d", asked, followAgents)
	}
}

func TestNoComponentIsSoughtWhereTooManyPathsFail(t *testing.T) {
	wholly := ladder.Observation{Rung: ladder.PodToPod, From: "n0", To: "n1", Method: ladder.UDP,
		Counts: ladder.Counts{Sent: 2, Failures: map[ladder.Failure]uint64{ladder.NoAnswer: 2}}}
	partly := wholly
	partly.Answered = 1
	partly.Failures = map[ladder.Failure]uint64{ladder.NoAnswer: 1}
	for _, c := range []struct {
		name           string
		wholly, partly int
		found          bool
	}{
		{"as many as may be in part", followFailed - followPartly, followPartly, true},
		{"one more in part", 10, followPartly + 1, false},
		{"as many as may be", followFailed, 0, true},
		{"one more", followFailed + 1, 0, false},
	} {
		in := infer.Input{Observations: slices.Concat(slices.Repeat([]ladder.Observation{wholly}, c.wholly),
			slices.Repeat([]ladder.Observation{partly}, c.partly))}
		if found := suspected(in); len(found) > 0 != c.found {
			t.Errorf("%s: %d faults are found, want some: %v", c.name, len(found), c.found)
		}
	}
}

func TestAHealthyClusterIsNotAskedAgain(t *testing.T) {
	c := &calls{lost: func(topology.Agent, ladder.Spec) bool { return false }}
	climbing(t, nodes(300), c)
	for agent, sizes := range c.of {
		if len(sizes) != ladderPasses {
			t.Errorf("agent %s is asked %d times, want %d", agent, len(sizes), ladderPasses)
		}
	}
}

func TestAnAgentThatTakesLongDoesNotHoldTheRoundUp(t *testing.T) {
	s := nodes(12)
	c := &calls{lost: into(s.Agents[3]), delay: 4 * time.Second}
	seen := climbing(t, s, c)
	again := false
	for _, o := range seen {
		// Of two calls of four seconds the second does not end in time.
		again = again || o.Passes == ladderPasses+1
	}
	if !again {
		t.Error("what the first of two calls saw is lost")
	}
}

func TestAFullSizePacketThatIsLostIsSoughtOnce(t *testing.T) {
	s := nodes(300)
	c := &calls{lost: func(from topology.Agent, spec ladder.Spec) bool {
		return spec.Bytes == ladder.FullSize && spec.Peer[0] == 'p' && (from.Node == "n250") != (spec.Peer == "p250")
	}}
	seen := climbing(t, s, c)
	further := 0
	for _, o := range seen {
		if !o.Large || o.Failed() == 0 {
			continue
		}
		if o.FollowUp {
			further++
		}
		if most := map[bool]int{false: ladderPasses, true: 1}[o.FollowUp]; o.Passes > most {
			t.Errorf("%s from %s to %s is probed in %d passes, want at most %d", o.Rung, o.From, o.To, o.Passes, most)
		}
	}
	if further == 0 {
		t.Error("no further path is probed with full-size packets")
	}
}
