package round_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/digest"
	"kdoctor.io/kdoctor/internal/limits"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
	"kdoctor.io/kdoctor/internal/wire"
)

const (
	manyNodes = 120
	manyZones = 4
)

// many is a cluster with an agent on each of many nodes, and its agents in memory, which report as agents do: by way of
// a digest and of the wire.
type many struct {
	// dead is the node that does not answer, -1 for none.
	dead int
	// fails returns how many of the n requests fail that the agent of one node sends to a target. It is asked for each
	// path that does not lead to or from the dead node.
	fails func(from int, t *target.Target, n uint64, rand *rand.Rand) uint64
	// skipped is the node whose pod no Service leads to; 0 is none.
	skipped int
	// observer is what each agent observes of itself.
	observer report.Observer

	mu    sync.Mutex
	plans map[string]mesh.Plan
	began map[string]time.Time
	bytes int
}

func podOf(node int) string  { return fmt.Sprintf("agent-%04d", node) }
func nodeOf(node int) string { return fmt.Sprintf("node-%04d", node) }

func zoneOf(node string) int {
	var n int
	_, _ = fmt.Sscanf(node, "node-%04d", &n) // names of this file
	return n % manyZones
}

// Snapshot implements round.Snapshots.
func (m *many) Snapshot(context.Context, topology.Workload) (topology.Snapshot, error) {
	var s topology.Snapshot
	for i := range manyNodes {
		s.Nodes = append(s.Nodes, topology.Node{Name: nodeOf(i), Zone: fmt.Sprintf("zone-%d", i%manyZones),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{198, 19, byte(i >> 8), byte(i)})}})
		s.Agents = append(s.Agents, topology.Agent{Pod: podOf(i), Node: nodeOf(i), HTTPPort: 80,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})}})
	}
	s.Services = []topology.Service{{Namespace: "kdoctor", Name: "kdoctor-agent", Port: 80, NodePort: 30080,
		ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.10")}}}
	return s, nil
}

// Start implements round.Agents.
func (m *many) Start(_ context.Context, agent topology.Agent, plan mesh.Plan) error {
	if m.dead >= 0 && agent.Pod == podOf(m.dead) {
		return errCut
	}
	received, err := wire.ParsePlan(wire.Plan(plan))
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.plans[agent.Pod], m.began[agent.Pod] = received, time.Now()
	return nil
}

// State implements round.Agents.
func (m *many) State(_ context.Context, agent topology.Agent, _ schedule.Key) (report.AgentReport, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	began, ok := m.began[agent.Pod]
	if !ok && (m.dead < 0 || agent.Pod != podOf(m.dead)) {
		return report.AgentReport{}, errUnknown
	}
	if !ok {
		return report.AgentReport{}, errCut
	}
	r := report.AgentReport{Pod: agent.Pod, Node: agent.Node, Started: began, Observer: m.observer}
	if end := began.Add(m.plans[agent.Pod].Load.Duration); !time.Now().Before(end) {
		r.Ended, r.Finished = end, true
	}
	return r, nil
}

// Fetch implements round.Agents.
func (m *many) Fetch(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error) {
	r, err := m.State(ctx, agent, key)
	if err != nil {
		return r, err
	}
	m.mu.Lock()
	plan := m.plans[agent.Pod]
	m.mu.Unlock()
	var from int
	_, _ = fmt.Sscanf(agent.Pod, "agent-%04d", &from) // names of this file
	source := rand.New(rand.NewPCG(7, uint64(from)))
	var paths []report.Path
	for i := range plan.Targets {
		paths = append(paths, m.path(from, plan.Targets[i], plan.Load, r, source))
	}
	shown := digest.Of(plan, paths)
	r.Paths, r.Sums, r.NotListed = shown.Paths, shown.Sums, shown.NotListed
	body, err := proto.Marshal(wire.Report(r))
	if err != nil {
		return r, err
	}
	var message agentv1.AgentReport
	if err := proto.Unmarshal(body, &message); err != nil {
		return r, err
	}
	m.mu.Lock()
	m.bytes += len(body)
	m.mu.Unlock()
	return wire.ParseReport(&message)
}

// Stop implements round.Agents.
func (m *many) Stop(context.Context, topology.Agent, schedule.Key) error { return nil }

func (m *many) Release(topology.Agent) {}

// path is what an agent measures on a target. Targets come over the wire without their nodes, which their names tell.
func (m *many) path(from int, t target.Target, load mesh.Load, r report.AgentReport, source *rand.Rand) report.Path {
	p := report.Path{Target: t, Started: r.Started, Ended: r.Ended}
	n := load.Requests()
	failed := uint64(0)
	switch to := destination(&t); {
	case m.dead >= 0 && to == nodeOf(m.dead):
		failed = n
	case m.dead >= 0 && t.MayAnswer() != target.OnePod:
		// The Service still leads one of so many requests to the dead pod.
		for range n {
			if source.IntN(manyNodes) == m.dead {
				failed++
			}
		}
	}
	if m.fails != nil && failed == 0 {
		failed = m.fails(from, &t, n, source)
	}
	m.fill(&p, n, failed, source)
	if persistent, _ := load.Persistent(); persistent > 0 {
		p.Persistent = &report.Path{Target: t, Started: r.Started, Ended: r.Ended}
		lost := uint64(0)
		if failed == n {
			lost = persistent
		}
		m.fill(p.Persistent, persistent, lost, source)
		p.Persistent.Reused = persistent - 1
	}
	return p
}

// destination returns the node to which a target leads, empty for the cluster's address.
func destination(t *target.Target) string {
	parts := strings.Split(t.ID, "_")
	switch {
	case strings.HasPrefix(t.ID, "AgentPod"):
		return strings.Replace(parts[1], "agent-", "node-", 1)
	case strings.HasPrefix(t.ID, "AgentNodePort"):
		address := netip.MustParseAddr(parts[1]).As4()
		return nodeOf(int(address[2])<<8 | int(address[3]))
	}
	return ""
}

func (m *many) fill(p *report.Path, n, failed uint64, source *rand.Rand) {
	p.Scheduled, p.Sent, p.OK = n, n, n-failed
	for range n {
		p.Lag.Record(10 * time.Microsecond)
	}
	for range p.OK {
		took := time.Duration(200+source.IntN(800)) * time.Microsecond
		p.Latency.Record(took)
		p.Response.Record(took)
		peer := p.Target.Pod
		if peer == "" {
			for peer == "" || m.skipped > 0 && peer == podOf(m.skipped) {
				peer = podOf(source.IntN(manyNodes))
			}
		}
		if p.Peers == nil {
			p.Peers = map[string]uint64{}
		}
		p.Peers[peer]++
	}
	if p.OK > 0 {
		p.Statuses = map[int]uint64{200: p.OK}
	}
	if failed > 0 {
		p.Failures = []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: failed,
			Examples: []string{"connect: timeout"}}}
	}
}

// runMany runs a round on many agents.
func runMany(t *testing.T, m *many, change func(*round.Request)) (stored verdict.StoredRound) {
	t.Helper()
	return runManyOn(t, m, m, change)
}

// runManyOn runs a round on many agents, which are called by way of others.
func runManyOn(t *testing.T, calls round.Agents, m *many, change func(*round.Request)) (stored verdict.StoredRound) {
	t.Helper()
	m.plans, m.began = map[string]mesh.Plan{}, map[string]time.Time{}
	synctest.Test(t, func(t *testing.T) {
		req := request(time.Minute)
		req.Want.Kinds = []target.Kind{target.Endpoint, target.ClusterIP, target.NodePort}
		req.Want.Load = mesh.Load{PerSecond: 1, Duration: 10 * time.Second, Timeout: time.Second, Connection: mesh.Both}
		req.Interval = time.Minute
		if change != nil {
			change(&req)
		}
		kept := newMemory()
		var err error
		stored, err = round.New(round.Config{Snapshots: m, Agents: calls, Plans: kept, Rounds: kept,
			Unknown: errUnknown}).
			Run(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
	})
	return stored
}

// located returns the findings in short.
func located(r report.Round) []string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.Reason+": "+f.Where)
	}
	slices.Sort(all)
	return all
}

// blamed returns the nodes whose agents failed for what no finding about another node explains.
func blamed(v verdict.Verdict) []string {
	var nodes []string
	for _, a := range v.Agents {
		if a.Result != verdict.Pass && !a.Explained {
			nodes = append(nodes, a.Node)
		}
	}
	return nodes
}

// paths counts the paths of the round's reports, and those that are listed.
func countPaths(r report.Round) (all, listed uint64) {
	for _, a := range r.Agents {
		listed += uint64(len(a.Paths))
		for _, sum := range a.Sums {
			all += sum.Paths
		}
	}
	return all + listed, listed
}

func TestFaultsOfARoundWithManyPathsAreFoundOnceAndNobodyElseIsBlamed(t *testing.T) {
	blockedPort := func(_ int, t *target.Target, n uint64, _ *rand.Rand) uint64 {
		if strings.HasPrefix(t.ID, "AgentNodePort") && destination(t) == nodeOf(7) {
			return n
		}
		return 0
	}
	for _, c := range []struct {
		name   string
		many   *many
		result verdict.Result
		found  []string
		// silent is how many agents do not report.
		silent int
	}{
		{"all is well", &many{dead: -1}, verdict.Pass, nil, 0},
		{"a dead node", &many{dead: 33}, verdict.Fail, []string{"CommonNode: node node-0033"}, 1},
		{"a blocked port", &many{dead: -1, fails: blockedPort}, verdict.Fail,
			[]string{"CommonNode: NodePort over IPv4 of node node-0007"}, 0},
		{"a dead node and a blocked port", &many{dead: 33, fails: blockedPort}, verdict.Fail,
			[]string{"CommonNode: NodePort over IPv4 of node node-0007", "CommonNode: node node-0033"}, 1},
		{"a pod that no Service leads to", &many{dead: -1, skipped: 44}, verdict.Pass,
			[]string{"SilentBackend: pod agent-0044 on node node-0044"}, 0},
		{"a lost way from zone to zone", &many{dead: -1,
			fails: func(from int, t *target.Target, n uint64, _ *rand.Rand) uint64 {
				if to := destination(t); strings.HasPrefix(t.ID, "AgentPod") && from%manyZones == 1 && zoneOf(to) == 2 {
					return n
				}
				return 0
			}}, verdict.Fail, []string{"BetweenZones: zone zone-1 to zone zone-2"}, 0},
		{"a lost pair of zones, across which Services lead requests too", &many{dead: -1, fails: acrossZones},
			verdict.Fail, []string{"BetweenZones: zones zone-1 and zone-2"}, 0},
		{"a node that reaches nobody", &many{dead: -1,
			fails: func(from int, _ *target.Target, n uint64, _ *rand.Rand) uint64 {
				if from == 5 {
					return n
				}
				return 0
			}}, verdict.Fail, []string{"OneSource: node node-0005"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			stored := runMany(t, c.many, nil)
			r := stored.Round
			if all, listed := countPaths(r); all != uint64((manyNodes-c.silent)*(2*manyNodes+1)) ||
				listed > mesh.MaxRows {
				t.Errorf("the reports have %d paths, %d of them listed", all, listed)
			}
			if stored.Verdict.Result != c.result || !slices.Equal(located(r), c.found) {
				t.Errorf("the result is %s with the findings %q; want %s, %q", stored.Verdict.Result, located(r), c.result,
					c.found)
			}
			// One sentence for each fault, and one for each agent that is missing.
			if n := len(stored.Verdict.Reasons); c.result == verdict.Fail && n != len(c.found)+c.silent ||
				c.result == verdict.Pass && n > 0 {
				t.Errorf("there are %d reasons: %v", n, stored.Verdict.Reasons[:min(n, 5)])
			}
			if nodes := blamed(stored.Verdict); len(nodes) > 0 && c.name != "a node that reaches nobody" {
				t.Errorf("%v are blamed", nodes)
			}
			if m := r.Coverage; m.Mode != report.Full || m.Pairs != m.AllPairs || m.Within != time.Minute {
				t.Errorf("it covers %+v", m)
			}
			t.Logf("%d bytes for a path on the wire", c.many.bytes/((manyNodes-c.silent)*(2*manyNodes+1)))
		})
	}
}

// acrossZones loses whatever is sent between zones 1 and 2: straight to a pod, to a node, or by a node to a pod.
func acrossZones(from int, t *target.Target, n uint64, source *rand.Rand) (lost uint64) {
	broken := func(a, b int) bool { return a == 1 && b == 2 || a == 2 && b == 1 }
	at := from % manyZones
	if to := destination(t); to != "" {
		if broken(at, zoneOf(to)) {
			return n
		}
		at = zoneOf(to)
	}
	if t.MayAnswer() == target.OnePod {
		return 0
	}
	for range n {
		if broken(at, source.IntN(manyZones)) {
			lost++
		}
	}
	return lost
}

func TestLossEverywhereFailsAndIsPutDownToNothing(t *testing.T) {
	stored := runMany(t, &many{dead: -1, fails: func(_ int, _ *target.Target, n uint64,
		source *rand.Rand) (lost uint64) {
		for range n {
			if source.IntN(50) == 0 {
				lost++
			}
		}
		return lost
	}}, nil)
	if stored.Verdict.Result != verdict.Fail || len(stored.Round.Findings) > 0 {
		t.Errorf("the result is %s, with the findings %q", stored.Verdict.Result, located(stored.Round))
	}
	if len(stored.Round.Nodes) != manyNodes {
		t.Errorf("failures are counted for %d nodes, want all %d", len(stored.Round.Nodes), manyNodes)
	}
}

func TestSumsOfAThrottledAgentAreToolLimited(t *testing.T) {
	stored := runMany(t, &many{dead: -1, observer: report.Observer{Quota: 0.1, Periods: 100, ThrottledPeriods: 60}},
		nil)
	if stored.Verdict.Result != verdict.ToolLimited {
		t.Errorf("the result is %s, want %s", stored.Verdict.Result, verdict.ToolLimited)
	}
}

func TestARoundThatRotatesPassesForWhatItProbed(t *testing.T) {
	stored := runMany(t, &many{dead: -1}, func(req *round.Request) { req.Want.Pairs = mesh.RotatingPairs })
	c := stored.Round.Coverage
	if stored.Verdict.Result != verdict.Pass || c.Mode != report.Rotate || c.Rounds != 4 || c.Pairs >= c.AllPairs/2 {
		t.Errorf("the result is %s, and it covers %+v", stored.Verdict.Result, c)
	}
	all, _ := countPaths(stored.Round)
	var planned uint64
	for _, e := range stored.Round.Expected {
		planned += e.Paths
	}
	if all != planned {
		t.Errorf("%d paths are reported, and %d were planned", all, planned)
	}
}

// budgetOf has caps for each agent.
type budgetOf struct{ cap int }

func (budgetOf) Register(schedule.Key, report.TaskRef, topology.Workload) {}
func (budgetOf) Release(schedule.Key)                                     {}

func (b budgetOf) Acquire(context.Context, schedule.Key, limits.Demand) limits.Share {
	return limits.Share{PerAgent: b.cap, Cap: b.cap}
}

func TestAutoRotatesWhereACapLeavesNoRequestForEveryPair(t *testing.T) {
	for _, c := range []struct {
		name   string
		pairs  mesh.Pairs
		cap    int
		rounds uint64
		result verdict.Result
	}{
		// 241 targets with a counted request and three over a persistent connection, in 10 s, are 97 a second.
		{"all pairs fit", mesh.AutoPairs, 97, 1, verdict.Pass},
		{"half of the pairs fit", mesh.AutoPairs, 65, 2, verdict.Pass},
		{"a quarter of the pairs fits", "", 40, 4, verdict.Pass},
		{"full is full, and is refused", mesh.FullPairs, 65, 1, verdict.NoData},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &many{dead: -1, plans: map[string]mesh.Plan{}, began: map[string]time.Time{}}
			synctest.Test(t, func(t *testing.T) {
				req := request(time.Minute)
				req.Want.Kinds = []target.Kind{target.Endpoint, target.ClusterIP, target.NodePort}
				req.Want.Load = mesh.Load{PerSecond: 1, Duration: 10 * time.Second, Timeout: time.Second,
					Connection: mesh.Both}
				req.Want.Pairs = c.pairs
				kept := newMemory()
				stored, err := round.New(round.Config{Snapshots: m, Agents: m, Plans: kept, Rounds: kept,
					Budget: budgetOf{c.cap}, Unknown: errUnknown}).Run(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if got := stored.Round.Coverage.Rounds; got != c.rounds || stored.Verdict.Result != c.result {
					t.Errorf("every pair is probed in %d rounds: %s %v; want %d, %s", got, stored.Verdict.Result,
						stored.Verdict.Reasons, c.rounds, c.result)
				}
			})
		})
	}
}

// TestAPairThatFailedIsProbedUntilItPassedThreeTimes breaks one direction between two nodes in one round of a rotation,
// and follows it through the rounds after that.
func TestAPairThatFailedIsProbedUntilItPassedThreeTimes(t *testing.T) {
	broken := true
	m := &many{dead: -1, fails: func(from int, t *target.Target, n uint64, _ *rand.Rand) uint64 {
		if broken && from == 3 && strings.HasPrefix(t.ID, "AgentPod") && destination(t) == nodeOf(90) {
			return n
		}
		return 0
	}}
	var last report.Round
	fetch := func(_ context.Context, key schedule.Key) ([]report.Again, error) {
		if key.Round != last.Key.Round {
			return nil, store.ErrNotFound
		}
		return last.Again, nil
	}
	probes := func(r report.Round) bool {
		for _, a := range r.Agents {
			if a.Node == nodeOf(3) {
				there := func(p report.Path) bool { return destination(&p.Target) == nodeOf(90) }
				return slices.ContainsFunc(a.Paths, there)
			}
		}
		return false
	}
	number := int64(0)
	next := func() report.Round {
		number++
		m.plans, m.began = map[string]mesh.Plan{}, map[string]time.Time{}
		synctest.Test(t, func(t *testing.T) {
			req := request(time.Minute)
			req.Key.Round, req.Want.Pairs = number, mesh.RotatingPairs
			kept := newMemory()
			stored, err := round.New(round.Config{Snapshots: m, Agents: m, Plans: kept, Rounds: kept,
				Unknown: errUnknown,
				Again:   fetch}).Run(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			last = stored.Round
		})
		return last
	}
	for len(next().Again) == 0 {
		if number == 4 {
			t.Fatal("no round of a whole rotation met the pair")
		}
	}
	broken = false
	for passed := range report.AgainUntil {
		want := []report.Again{{From: nodeOf(3), To: nodeOf(90), Passed: passed}}
		if !slices.Equal(last.Again, want) {
			t.Fatalf("after %d rounds the pairs to probe again are %v, want %v", passed, last.Again, want)
		}
		if r := next(); !probes(r) {
			t.Fatalf("round %d does not report on the pair by itself", number)
		}
	}
	if len(last.Again) > 0 {
		t.Errorf("after %d passes there is still %v to probe again", report.AgainUntil, last.Again)
	}
}
