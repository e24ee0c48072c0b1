package fleet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/wire"
)

const nodes = 31

// planned is the default task's plan on a cluster of this package.
func planned() mesh.Mesh {
	s := topology.Snapshot{Services: []topology.Service{{Namespace: "k", Name: "kdoctor-agent-ipv4",
		ClusterIPs: []netip.Addr{netip.MustParseAddr("198.18.128.7")}, Port: 80, NodePort: 30080}}}
	for i := range nodes {
		s.Nodes = append(s.Nodes, topology.Node{Name: Node(i), Zone: Zone(i), Addresses: []netip.Addr{NodeAddress(i)}})
		s.Agents = append(s.Agents, topology.Agent{Pod: Pod(i), Namespace: "k", Node: Node(i),
			Addresses: []netip.Addr{PodAddress(i)}, HTTPPort: 8080, ControlPort: ControlPort})
	}
	return mesh.New(schedule.Key{UID: "u", Generation: 1, Round: 1}, report.TaskRef{Kind: "NetReach", Name: "t"}, s,
		mesh.Want{Kinds: []target.Kind{target.Endpoint, target.ClusterIP, target.NodePort},
			Families: []topology.Family{topology.IPv4}, Limit: time.Minute,
			Load: mesh.Load{PerSecond: 1, Duration: 10 * time.Second, Timeout: 500 * time.Millisecond,
				Connection: mesh.Both}})
}

// measure returns the report of each agent as it arrives at the controller, and how many requests each pod answered.
func measure(t *testing.T, f Fault) (reports []report.AgentReport, counted []uint64) {
	t.Helper()
	paths := newPool(nodes)
	counted = make([]uint64, nodes)
	for i, plan := range planned().Plans {
		m := measured{fault: f, nodes: nodes, from: i, load: plan.Load, pool: paths,
			random: rand.New(rand.NewPCG(1, uint64(i))), began: time.Now(),
			arrived: func(pod int, n, _ uint64) { counted[pod] += n }}
		r := report.AgentReport{Pod: plan.Agent.Pod, Started: m.began, Ended: m.began.Add(plan.Load.Duration),
			Finished: true}
		r.Paths = m.paths(plan.Targets)
		raw, err := proto.Marshal(wire.Report(r))
		if err != nil {
			t.Fatal(err)
		}
		message := wire.Report(report.AgentReport{})
		if err := proto.Unmarshal(raw, message); err != nil {
			t.Fatal(err)
		}
		parsed, err := wire.ParseReport(message)
		if err != nil {
			t.Fatalf("the report of agent %d: %v", i, err)
		}
		if len(parsed.Paths) != 2*nodes+1 {
			t.Fatalf("agent %d reports %d paths", i, len(parsed.Paths))
		}
		plan.Attach(&parsed)
		reports = append(reports, parsed)
	}
	return reports, counted
}

// share returns the share of counted requests that failed on the paths for which the condition holds.
func share(reports []report.AgentReport, of func(from int, p report.Path) bool) float64 {
	var sent, failed uint64
	for from, r := range reports {
		for _, p := range r.Paths {
			if of(from, p) {
				sent, failed = sent+p.Sent, failed+p.Failed()
			}
		}
	}
	return float64(failed) / float64(sent)
}

func TestFaultsAreInThePathsThatHaveThem(t *testing.T) {
	victim := Victim(nodes)
	to := func(p report.Path) int { return destinationOf(p.Target).entry }
	direct := func(p report.Path) bool { return p.Target.Kind == target.Endpoint }
	any := func(int, report.Path) bool { return true }
	for name, c := range map[string]struct {
		fault       Fault
		of          func(from int, p report.Path) bool
		least, most float64
	}{
		"nothing fails without a fault": {Healthy, any, 0, 0},
		"everything to a dead node fails": {DeadNode, func(from int, p report.Path) bool {
			return to(p) == victim && from != victim
		}, 1, 1},
		"no direct path between others does": {DeadNode, func(from int, p report.Path) bool {
			return direct(p) && to(p) != victim && from != victim
		}, 0, 0},
		"one request in 31 through a Service does": {DeadNode, func(from int, p report.Path) bool {
			return p.Target.Kind == target.NodePort && to(p) != victim && from != victim
		}, 0.02, 0.05},
		"a blocked port refuses everybody": {BlockedPort, func(_ int, p report.Path) bool {
			return p.Target.Kind == target.NodePort && to(p) == victim
		}, 1, 1},
		"nothing else is blocked": {BlockedPort, func(_ int, p report.Path) bool {
			return p.Target.Kind != target.NodePort || to(p) != victim
		}, 0, 0},
		"all direct paths of a lost pair of zones fail": {LostZonePair, func(from int, p report.Path) bool {
			return to(p) >= 0 && from%Zones == 0 && to(p)%Zones == 1
		}, 1, 1},
		"direct paths of other pairs do not": {LostZonePair, func(from int, p report.Path) bool {
			return direct(p) && (from%Zones != 0 || to(p)%Zones != 1)
		}, 0, 0},
		"a third of what enters the first zone for a Service is lost": {LostZonePair,
			func(_ int, p report.Path) bool {
				return p.Target.Kind == target.NodePort && to(p)%Zones == 0
			}, 0.25, 0.4},
		"four in a hundred connections are not opened with loss": {Loss, func(from int, p report.Path) bool {
			return direct(p) && to(p) != from
		}, 0.02, 0.06},
	} {
		t.Run(name, func(t *testing.T) {
			reports, _ := measure(t, c.fault)
			if got := share(reports, c.of); got < c.least || got > c.most {
				t.Errorf("%.4f of the requests failed, want %.4f to %.4f", got, c.least, c.most)
			}
		})
	}
}

func TestPodsAnswerWhatAgentsSay(t *testing.T) {
	for _, f := range Faults() {
		reports, counted := measure(t, f)
		said := map[string]uint64{}
		for _, r := range reports {
			for _, p := range r.Paths {
				var peers uint64
				for pod, n := range p.Peers {
					said[pod] += n
					peers += n
				}
				if peers != p.OK || p.Persistent == nil || p.Sent != 10 || p.Persistent.Sent != 3 {
					t.Fatalf("%s: path %+v; want 10 requests and 3 kept ones, and a pod for each answer", f, p)
				}
			}
		}
		for i, n := range counted {
			if said[Pod(i)] != n {
				t.Errorf("%s: pod %d answered %d requests, and agents say %d", f, i, n, said[Pod(i)])
			}
		}
	}
}

func TestStreamsThatAreDrawnStayAsTheyAre(t *testing.T) {
	p := newPool(nodes)
	random := rand.New(rand.NewPCG(1, 2))
	load := planned().Plans[0].Load
	s := shape{far: otherZone, requests: 10, lossy: true}
	for range 40 * variants {
		p.draw(s, load, random)
	}
	before := fmt.Sprint(p.known[s])
	var sum report.Path
	for range 4 * variants {
		drawn := p.draw(s, load, random)
		sum.Latency.Merge(drawn.Latency)
	}
	if after := fmt.Sprint(p.known[s]); before != after || len(p.known[s]) != variants {
		t.Error("merging what was drawn has changed the pool")
	}
}

func TestNamesAndAddressesAreOneEach(t *testing.T) {
	seen := map[string]bool{}
	for i := range MostNodes {
		for _, name := range []string{Node(i), Pod(i), NodeAddress(i).String(), PodAddress(i).String()} {
			if seen[name] {
				t.Fatalf("%s stands twice", name)
			}
			seen[name] = true
		}
		for at, node := range map[netip.Addr]bool{NodeAddress(i): true, PodAddress(i): false} {
			if got, isNode, ok := indexOf(at); got != i || isNode != node || !ok {
				t.Fatalf("%s is of %d, node %v, %v; want %d, %v", at, got, isNode, ok, i, node)
			}
		}
	}
	if strings.Contains(Node(1), Node(11)) {
		t.Error("one node's name is a part of another's")
	}
}
