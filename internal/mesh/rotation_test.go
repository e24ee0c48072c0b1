package mesh_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// largeCluster has an agent on each node, in zones of equal size, and a Service with a node port. Nodes for which gone
// is true are left out.
func largeCluster(nodes, zones int, gone func(node int) bool) topology.Snapshot {
	var s topology.Snapshot
	for i := range nodes {
		if gone != nil && gone(i) {
			continue
		}
		name := fmt.Sprintf("node-%04d", i)
		s.Nodes = append(s.Nodes, topology.Node{Name: name, Zone: fmt.Sprintf("zone-%d", i%zones),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{198, 19, byte(i >> 8), byte(i)})}})
		s.Agents = append(s.Agents, topology.Agent{Pod: fmt.Sprintf("agent-%04d", i), Node: name, HTTPPort: 80,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})}})
	}
	s.Services = []topology.Service{{Namespace: "kdoctor", Name: "kdoctor-agent", Port: 80, NodePort: 30080,
		ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10")}}}
	return s
}

func defaultWant() mesh.Want {
	return mesh.Want{Kinds: []target.Kind{target.Endpoint, target.ClusterIP, target.NodePort},
		Families: []topology.Family{topology.IPv4}, SuccessRate: 1,
		Load: mesh.Load{PerSecond: 5, Duration: 2 * time.Second, Timeout: time.Second, Connection: mesh.Both}}
}

type nodePair struct{ from, to string }

// pairsOf returns the pairs that the mesh gives to the class of the round: those of neighbors and of the agent itself
// are always probed and left out where other rounds have them too.
func pairsOf(m mesh.Mesh) map[nodePair]bool {
	pairs := map[nodePair]bool{}
	assigned := m.Assign()
	for i, p := range m.Plans {
		for t := range assigned.Targets(i) {
			if node := mesh.NodeOf(t); node != "" && node != p.Agent.Node {
				pairs[nodePair{p.Agent.Node, node}] = true
			}
		}
	}
	return pairs
}

// TestEveryPairThatStaysIsProbedExactlyOnceInAllRounds enumerates all pairs of a cluster of which nodes go and to which
// nodes come while the rounds run.
func TestEveryPairThatStaysIsProbedExactlyOnceInAllRounds(t *testing.T) {
	const nodes, zones, rounds = 90, 3, 8
	want := defaultWant()
	want.Rounds = rounds
	// Nodes 0 to 9 go after the third round, nodes 80 to 89 come then.
	gone := func(round int) func(int) bool {
		return func(node int) bool { return round >= 3 && node < 10 || round < 3 && node >= 80 }
	}
	for _, first := range []int64{1, 6, 1_000_003} {
		seen, every := map[nodePair]int{}, map[nodePair]int{}
		for i := range rounds {
			key := schedule.Key{UID: "5f0c", Generation: 2, Round: first + int64(i)}
			m := mesh.New(key, report.TaskRef{}, largeCluster(nodes, zones, gone(i)), want)
			if m.Shared == nil || m.Shared.Rotation.Rounds != rounds {
				t.Fatalf("the mesh does not rotate: %+v", m.Shared)
			}
			for pair := range pairsOf(m) {
				every[pair]++
			}
			// Without its neighbors an agent has the pairs of the round's class alone.
			for pair := range pairsOf(m) {
				if !slices.Contains(m.Assign().Neighbors(pair.from), pair.to) {
					seen[pair]++
				}
			}
		}
		for from := 10; from < 80; from++ {
			for to := 10; to < 80; to++ {
				pair := nodePair{fmt.Sprintf("node-%04d", from), fmt.Sprintf("node-%04d", to)}
				if from != to && (every[pair] == 0 || seen[pair] > 1) {
					t.Fatalf("from round %d on, %v is probed in %d rounds, and beside neighbors in %d; want one at least and at most",
						first, pair, every[pair], seen[pair])
				}
			}
		}
	}
}

func TestClassesAreOfAboutTheSameSize(t *testing.T) {
	want := defaultWant()
	want.Rounds = 8
	for round := range int64(8) {
		m := mesh.New(schedule.Key{UID: "u", Round: round + 1}, report.TaskRef{}, largeCluster(400, 4, nil), want)
		for _, p := range m.Plans {
			// 50 pairs, itself and at most 4 neighbors, by Pod IP and by node port: within five standard deviations.
			if n := p.Paths / 2; n < 50-34 || n > 50+34+5 {
				t.Fatalf("round %d: agent %s has %d targets", round, p.Agent.Pod, p.Paths)
			}
		}
	}
}

func TestNeighborsConnectAllNodesAndReachOtherZones(t *testing.T) {
	want := defaultWant()
	want.Rounds = 64
	m := mesh.New(schedule.Key{UID: "u", Round: 1}, report.TaskRef{}, largeCluster(200, 4, nil), want)
	assigned := m.Assign()
	reached, next := map[string]bool{"node-0000": true}, []string{"node-0000"}
	for len(next) > 0 {
		node := next[0]
		next = next[1:]
		near := assigned.Neighbors(node)
		if len(near) != 4 {
			t.Fatalf("%s has the neighbors %v, want 4", node, near)
		}
		others := 0
		for _, n := range near {
			if m.Shared.Zones[n] != m.Shared.Zones[node] {
				others++
			}
			if !reached[n] {
				reached[n] = true
				next = append(next, n)
			}
		}
		if others != 3 {
			t.Errorf("%s has %d neighbors in other zones, want 3", node, others)
		}
	}
	if len(reached) != 200 {
		t.Errorf("the neighbors connect %d of 200 nodes", len(reached))
	}
}

func TestSmallRoundsAreProbedInFullWhateverIsAskedFor(t *testing.T) {
	for _, pairs := range []mesh.Pairs{"", mesh.AutoPairs, mesh.FullPairs, mesh.RotatingPairs} {
		want := defaultWant()
		want.Pairs, want.Rounds = pairs, 4
		m := mesh.New(schedule.Key{UID: "u", Round: 1}, report.TaskRef{}, largeCluster(mesh.FullNodes, 3, nil), want)
		if m.Shared != nil || len(m.Plans[0].Targets) != 2*mesh.FullNodes+1 || m.Expected[0].Paths != 0 {
			t.Errorf("%q: the plan has %d targets and shared ones %v", pairs, len(m.Plans[0].Targets), m.Shared != nil)
		}
		if c := m.Assign().Coverage(1, time.Minute, time.Time{}); c.Mode != report.Full || c.Pairs != c.AllPairs ||
			c.Pairs != mesh.FullNodes*mesh.FullNodes {
			t.Errorf("%q: it covers %+v", pairs, c)
		}
	}
}

func TestCoverageSaysWhatARoundProbes(t *testing.T) {
	want := defaultWant()
	want.Pairs = mesh.RotatingPairs
	started := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for round, oldest := range map[int64]time.Time{3: {}, 4: started.Add(-3 * time.Minute),
		9: started.Add(-3 * time.Minute)} {
		m := mesh.New(schedule.Key{UID: "u", Round: round}, report.TaskRef{}, largeCluster(200, 4, nil), want)
		c := m.Assign().Coverage(round, time.Minute, started)
		if c.Mode != report.Rotate || c.Rounds != 4 || c.AllPairs != 200*200 || c.Within != 4*time.Minute ||
			!c.Oldest.Equal(oldest) {
			t.Errorf("round %d covers %+v", round, c)
		}
		if c.Pairs < 200*50 || c.Pairs > 200*60 {
			t.Errorf("round %d probes %d pairs, want about 200 x 55", round, c.Pairs)
		}
	}
	full := mesh.New(schedule.Key{UID: "u", Round: 1}, report.TaskRef{}, largeCluster(120, 4, nil), defaultWant())
	if c := full.Assign().Coverage(1, 0, started); c.Mode != report.Full || c.Pairs != 120*120 || c.Within != 0 {
		t.Errorf("a large round in full covers %+v", c)
	}
}

func TestAPairThatFailedIsProbedAgain(t *testing.T) {
	want := defaultWant()
	want.Pairs = mesh.RotatingPairs
	for round := range int64(4) {
		want.Again = []report.Again{{From: "node-0001", To: "node-0099"}}
		m := mesh.New(schedule.Key{UID: "u", Round: round}, report.TaskRef{}, largeCluster(200, 4, nil), want)
		if !pairsOf(m)[nodePair{"node-0001", "node-0099"}] {
			t.Errorf("round %d does not probe the pair", round)
		}
		plan := m.Assign().PlanOf(1)
		listed := plan.Common[:plan.Detail.Listed-len(plan.Targets)]
		if !slices.ContainsFunc(listed, func(t *target.Target) bool { return mesh.NodeOf(t) == "node-0099" }) {
			t.Errorf("round %d does not always list the pair", round)
		}
	}
}
