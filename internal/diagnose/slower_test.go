package diagnose_test

import (
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// after returns a task with some healthy rounds.
func after(rounds uint64, cluster topology.Snapshot) task {
	k := task{cluster: cluster}
	for r := range rounds {
		k.round(timed(cluster, r, busy{}, onTime), verdict.Verdict{})
	}
	return k
}

// between delays everything between nodes, on the rungs; all rungs if none is given.
func between(by time.Duration, rungs ...ladder.Rung) late {
	return func(o *ladder.Observation) time.Duration {
		if o.To == "" || o.To == o.From || len(rungs) > 0 && !among(*o, rungs...) {
			return 0
		}
		return by
	}
}

func TestWhatBecameSlowEverywhereIsFoundByPastRounds(t *testing.T) {
	without := func(s topology.Snapshot) topology.Snapshot {
		s.Hosts = nil
		return s
	}
	for _, c := range []struct {
		name      string
		cluster   topology.Snapshot
		by        late
		component diagnose.Component
		evidence  string
	}{
		{"two nodes", dual(2), between(50 * time.Millisecond), "node network",
			"host to host, IPv4: 6 of 6 paths are slower"},
		{"one of two nodes", dual(2), sending("n1", 50*time.Millisecond), "node network",
			"host to host, IPv6: 6 of 6 paths are slower"},
		{"three nodes", dual(3), between(50 * time.Millisecond), "node network", "usual in 6 past rounds"},
		{"three nodes without agents in host networks", without(dual(3)), between(50 * time.Millisecond),
			"node network", "pod to host, IPv4"},
		{"the overlay of four nodes", dual(4), between(30*time.Millisecond, ladder.PodToPod, ladder.HostToPod),
			"overlay", "pod to pod, IPv4: 36 of 36 paths are slower"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := after(6, c.cluster)
			// It stays found as long as it lasts.
			for r := range uint64(12) {
				_, found := k.round(timed(c.cluster, 100+r, busy{}, c.by), verdict.Verdict{})
				if len(found) != 1 || found[0].Where != "all nodes" || found[0].Cause != "Delay" ||
					!strings.HasPrefix(string(found[0].Component), string(c.component)) ||
					!strings.Contains(strings.Join(found[0].Evidence, "\n"), c.evidence) {
					t.Fatalf("round %d found %+v, want a delay of the %s of all nodes alone, evidence %q", r, found,
						c.component, c.evidence)
				}
			}
			if _, found := k.round(timed(c.cluster, 200, busy{}, onTime), verdict.Verdict{}); len(found) > 0 {
				t.Errorf("found %+v after it was over", found)
			}
		})
	}
}

func TestWhatIsSlowAtOneNodeNamesThePast(t *testing.T) {
	k := after(6, dual(4))
	_, found := k.round(timed(k.cluster, 100, busy{}, sending("n2", 50*time.Millisecond)), verdict.Verdict{})
	if len(found) != 1 || found[0].Where != "node n2" || found[0].Component != "node network" ||
		!strings.Contains(found[0].Evidence[0], "in 6 past rounds") {
		t.Errorf("found %+v, want the network of node n2 alone, with what was usual before", found)
	}
}

func TestWhatIsSlowAtOneNodeNeverBecomesUsual(t *testing.T) {
	k := after(6, dual(3))
	for r := range uint64(15) {
		spent, found := k.round(timed(k.cluster, 100+r, busy{}, sending("n2", 50*time.Millisecond)), verdict.Verdict{})
		if len(found) != 1 || found[0].Where != "node n2" || len(spent.Usual) == 0 {
			t.Errorf("round %d: found %+v, %d rows to compare with; want node n2 alone, and rows of the other nodes", r,
				found, len(spent.Usual))
		}
		for _, u := range spent.Usual {
			if u.Median > 10*time.Millisecond {
				t.Errorf("round %d: the delay became usual: %+v", r, u)
			}
		}
	}
}

func TestPastRoundsBlameNoNetworkForWhatIsNotItsDoing(t *testing.T) {
	slow := between(50 * time.Millisecond)
	// A machine that is short of CPU delays all that its agents do, what they ask themselves as well.
	machine := func(*ladder.Observation) time.Duration { return 40 * time.Millisecond }
	for _, c := range []struct {
		name  string
		nodes int
		past  uint64
		seen  func(topology.Snapshot) []ladder.Observation
		is    verdict.Verdict
	}{
		{"four past rounds are too few", 2, 4, func(s topology.Snapshot) []ladder.Observation {
			return timed(s, 100, busy{}, slow)
		}, verdict.Verdict{}},
		{"the agents' machine is slow", 2, 6, func(s topology.Snapshot) []ladder.Observation {
			return timed(s, 100, busy{}, machine)
		}, verdict.Verdict{}},
		{"the machine of most agents is slow", 5, 6, func(s topology.Snapshot) []ladder.Observation {
			seen := timed(s, 100, busy{}, slow)
			for i := range seen {
				if o := &seen[i]; o.Rung == ladder.Self && o.From > "n1" {
					o.Mean, o.Max = 9*time.Millisecond, 9*time.Millisecond
				}
			}
			return seen
		}, verdict.Verdict{}},
		{"one of two passes met a busy moment", 2, 6, func(s topology.Snapshot) []ladder.Observation {
			seen := timed(s, 100, busy{}, onTime)
			for i := range seen {
				if o := &seen[i]; !o.Counted && o.Rung != ladder.Self {
					o.Add(ladder.Counts{Sent: 1, Answered: 1, Mean: time.Second, Max: time.Second})
				}
			}
			return seen
		}, verdict.Verdict{}},
		{"an agent was itself the limit", 2, 6, func(s topology.Snapshot) []ladder.Observation {
			return timed(s, 100, busy{}, slow)
		}, verdict.Verdict{Agents: []verdict.JudgedAgent{{Pod: "agent-n1", Node: "n1", Result: verdict.ToolLimited}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := after(c.past, dual(c.nodes))
			_, found := k.round(c.seen(k.cluster), c.is)
			for _, f := range found {
				if f.Cause == "Delay" {
					t.Errorf("found %+v, want no slow network", f)
				}
			}
		})
	}
}

func TestABusyMachineIsNoNetworkThatBecameSlow(t *testing.T) {
	for _, machine := range []busy{{0.1, 200 * time.Millisecond}, {0.3, 60 * time.Millisecond}} {
		k := after(6, dual(3))
		for seed := range uint64(15) {
			seen := timed(k.cluster, 100+seed, machine, onTime)
			if _, found := k.round(seen, verdict.Verdict{}); len(found) > 0 {
				t.Errorf("seed %d, %v: found %+v, want nothing", seed, machine, found)
			}
		}
	}
}

// On a busy machine paths take long in all rounds, and some are fast by chance. What takes twice as long as usual is
// not slow then, however fast others are in the same round.
func TestOnABusyMachineAPathIsSlowByWhatIsUsualThere(t *testing.T) {
	overlay := []ladder.Rung{ladder.PodToPod, ladder.HostToPod}
	for took, want := range map[time.Duration]bool{20 * time.Millisecond: false, 60 * time.Millisecond: true} {
		k := task{cluster: dual(4)}
		for r := range uint64(6) {
			k.round(timed(k.cluster, r, busy{}, between(10*time.Millisecond, overlay...)), verdict.Verdict{})
		}
		_, found := k.round(timed(k.cluster, 100, busy{}, func(o *ladder.Observation) time.Duration {
			if !among(*o, overlay...) || (o.From == "n2") == (o.To == "n2") {
				return 0
			}
			return took
		}), verdict.Verdict{})
		if slow := len(found) == 1 && found[0].Where == "node n2"; slow != want || !want && len(found) > 0 {
			t.Errorf("after rounds of 10 ms, and beside fast paths, %v: found %+v, want a finding %t", took, found, want)
		}
	}
}
