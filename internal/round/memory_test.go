package round_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
	"kdoctor.io/kdoctor/internal/wire"
)

// habit is how an agent in memory behaves.
type habit struct {
	// refuses makes every call fail at once; mute makes every call hang until its context is over.
	refuses, mute bool
	// muteAfter and forgetAfter, counted from the start of its load, are when it stops answering or forgets the round.
	muteAfter, forgetAfter time.Duration
	// endless never finishes.
	endless bool
	// goneAfter, counted likewise, is when its pod no longer exists, so that every call fails at once.
	goneAfter time.Duration
	// hiccup, counted likewise, is when calls fail for two seconds.
	hiccup time.Duration
	// ahead is how much the agent's clock is ahead of the controller's.
	ahead time.Duration
	// fails makes every request of the agent fail.
	fails bool
	// refusesFor, counted from the first call to it, is how long every call fails at once.
	refusesFor time.Duration
	// poses is the pod that answers in its place.
	poses string
	// boasts makes it say that it finished before it did.
	boasts bool
	// lost makes its requests to a pod fail from so long after the start on.
	lost map[string]time.Duration
}

type load struct {
	plan  mesh.Plan
	began time.Time
}

// agents are agents in memory that live by the clock of the test.
type agents struct {
	mu     sync.Mutex
	habits map[string]habit
	loads  map[string]*load
	// called is when each was first called.
	called  map[string]time.Time
	starts  map[string]int
	stopped []string
	fetches map[string]int
	// ended is the number of the fetch that first found the agent done.
	ended map[string]int
}

func newAgents(habits map[string]habit) *agents {
	return &agents{habits: habits, loads: map[string]*load{}, called: map[string]time.Time{}, starts: map[string]int{},
		fetches: map[string]int{}, ended: map[string]int{}}
}

func (a *agents) reach(ctx context.Context, pod string) error {
	a.mu.Lock()
	h, l := a.habits[pod], a.loads[pod]
	if a.called[pod].IsZero() {
		a.called[pod] = time.Now()
	}
	first := a.called[pod]
	a.mu.Unlock()
	if h.mute || (h.muteAfter > 0 && l != nil && time.Since(l.began) > h.muteAfter) {
		<-ctx.Done()
		return ctx.Err()
	}
	if h.refuses || time.Since(first) < h.refusesFor ||
		(h.goneAfter > 0 && l != nil && time.Since(l.began) > h.goneAfter) {
		return errCut
	}
	if h.hiccup > 0 && l != nil && time.Since(l.began) > h.hiccup && time.Since(l.began) < h.hiccup+2*time.Second {
		return errCut
	}
	return nil
}

func (a *agents) Start(ctx context.Context, agent topology.Agent, plan mesh.Plan) error {
	a.mu.Lock()
	a.starts[agent.Pod]++
	a.mu.Unlock()
	if err := a.reach(ctx, agent.Pod); err != nil {
		return err
	}
	received, err := wire.ParsePlan(wire.Plan(plan))
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.loads[agent.Pod] == nil {
		a.loads[agent.Pod] = &load{plan: received, began: time.Now()}
	}
	return nil
}

// Fetch returns the report as it comes over the wire.
func (a *agents) Fetch(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error) {
	made, err := a.report(ctx, agent, key)
	if err != nil {
		return report.AgentReport{}, err
	}
	r, err := wire.ParseReport(wire.Report(made))
	r.Via = report.Direct
	return r, err
}

// State returns the report without what was measured.
func (a *agents) State(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error) {
	r, err := a.Fetch(ctx, agent, key)
	r.Paths, r.Sums, r.NotListed = nil, nil, nil
	return r, err
}

func (a *agents) report(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error) {
	if err := a.reach(ctx, agent.Pod); err != nil {
		return report.AgentReport{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fetches[agent.Pod]++
	l, h := a.loads[agent.Pod], a.habits[agent.Pod]
	if l == nil || l.plan.Key != key || (h.forgetAfter > 0 && time.Since(l.began) > h.forgetAfter) {
		return report.AgentReport{}, fmt.Errorf("fetch: %w", errUnknown)
	}
	r := report.AgentReport{Pod: cmp.Or(h.poses, agent.Pod), Node: agent.Node, Started: l.began.Add(h.ahead)}
	r.Finished = h.boasts
	end := l.began.Add(l.plan.Load.Duration)
	if time.Now().Before(end) || h.endless {
		return r, nil
	}
	r.Finished, r.Ended = true, end.Add(h.ahead)
	if a.ended[agent.Pod] == 0 {
		a.ended[agent.Pod] = a.fetches[agent.Pod]
	}
	n := l.plan.Load.Requests()
	for _, t := range l.plan.Targets {
		p := report.Path{Target: t, Scheduled: n, Sent: n, Started: r.Started, Ended: r.Ended}
		if !h.fails {
			p.OK = n
		} else {
			p.Failures = []report.Failure{{Outcome: probe.Refused, Phase: probe.Connect, Count: n}}
		}
		if from, ok := h.lost[t.Pod]; ok {
			p.OK = uint64(from/time.Second) * uint64(l.plan.Load.PerSecond)
			p.Failures = []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: n - p.OK,
				Spans: []report.Span{{First: from, Last: l.plan.Load.Duration, Count: n - p.OK}}}}
		}
		for range p.OK {
			p.Latency.Record(time.Millisecond)
			p.Response.Record(time.Millisecond)
		}
		for range p.Sent {
			p.Lag.Record(0)
		}
		r.Paths = append(r.Paths, p)
	}
	// Requests of others arrive until all are done: only the last asking sees all of them.
	r.Served = uint64(a.fetches[agent.Pod])
	return r, nil
}

func (a *agents) Stop(ctx context.Context, agent topology.Agent, _ schedule.Key) error {
	if err := a.reach(ctx, agent.Pod); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.loads, agent.Pod)
	a.stopped = append(a.stopped, agent.Pod)
	return nil
}

// Release gives nothing up: there are no connections.
func (a *agents) Release(topology.Agent) {}

func (a *agents) started(pod string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.starts[pod]
}

// memory keeps rounds and plans in memory.
type memory struct {
	mu     sync.Mutex
	plans  map[schedule.Key]store.StoredPlan
	rounds map[schedule.Key]verdict.StoredRound
	// full makes every write fail.
	full bool
}

var errFull = errors.New("no space left on device")

func newMemory() *memory {
	return &memory{plans: map[schedule.Key]store.StoredPlan{}, rounds: map[schedule.Key]verdict.StoredRound{}}
}

func (m *memory) Plan(_ context.Context, key schedule.Key) (store.StoredPlan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, ok := m.plans[key]; ok {
		return p, nil
	}
	return store.StoredPlan{}, store.ErrNotFound
}

func (m *memory) PutPlan(_ context.Context, key schedule.Key, plan store.StoredPlan) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return errFull
	}
	m.plans[key] = plan
	return nil
}

func (m *memory) DeletePlan(_ context.Context, key schedule.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.plans, key)
	return nil
}

func (m *memory) Round(_ context.Context, key schedule.Key) (verdict.StoredRound, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k, ok := m.rounds[key]; ok {
		return k, nil
	}
	return verdict.StoredRound{}, store.ErrNotFound
}

func (m *memory) PutRound(_ context.Context, kept verdict.StoredRound) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return errFull
	}
	m.rounds[kept.Round.Key] = kept
	return nil
}

// cluster is a snapshot that is what it is; a nil one cannot be read.
type cluster []topology.Agent

var errAPI = errors.New("the API server is away")

func (c cluster) Snapshot(context.Context, topology.Workload) (topology.Snapshot, error) {
	if c == nil {
		return topology.Snapshot{}, errAPI
	}
	return topology.Snapshot{Taken: time.Now(), Agents: c}, nil
}

func pods(names ...string) cluster {
	c := cluster{}
	for i, name := range names {
		c = append(c, topology.Agent{Pod: name, Node: "node-" + name, HTTPPort: 8080,
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{198, 19, 0, byte(i + 1)})}})
	}
	return c
}
