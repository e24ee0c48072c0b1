package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kdoctor.io/kdoctor/internal/agent"
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
)

// ControlPort is the port of the agents' control servers.
const ControlPort = 5710

// Config is what the agents need to know.
type Config struct {
	Nodes int
	// TLSDir has the agents' certificate.
	TLSDir string
	// Installation is "<namespace>/<workload>".
	Installation string
	Seed         uint64
}

// Agents are the agents of all nodes.
type Agents struct {
	config Config
	pool   *pool
	// turn is held by the agent that computes its paths: one at a time, so that the other CPUs are left to what is
	// measured.
	turn chan struct{}

	mu     sync.Mutex
	fault  Fault
	rounds []*progress
}

// progress is one round.
type progress struct {
	key              string
	counted, kept    []atomic.Uint64
	started, running int
	paths            uint64
	first, last      time.Time
}

// Progress is how far a round is.
type Progress struct {
	Round string `json:"Round"`
	// Started is how many agents began the round, Running how many of them are not done.
	Started int `json:"Started"`
	Running int `json:"Running"`
	// Paths is how many paths all agents measured together.
	Paths uint64 `json:"Paths"`
	// First is when the first agent began, Last when the last agent was done.
	First time.Time `json:"First"`
	Last  time.Time `json:"Last"`
}

// New returns agents that do not run yet.
func New(c Config) *Agents {
	return &Agents{config: c, pool: newPool(c.Nodes), turn: make(chan struct{}, 1), fault: Healthy}
}

// SetFault sets the fault of all rounds that begin later.
func (a *Agents) SetFault(f Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = f
}

// Rounds returns the progress of the latest rounds, in the order in which they began.
func (a *Agents) Rounds() []Progress {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := []Progress{}
	for _, r := range a.rounds {
		all = append(all, Progress{Round: r.key, Started: r.started, Running: r.running, Paths: r.paths,
			First: r.first, Last: r.last})
	}
	return all
}

// Run serves until the context ends or an agent fails. ready is called once all agents listen.
func (a *Agents) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	var first sync.Once
	var failure error
	listeners := make([]net.Listener, a.config.Nodes)
	for i := range listeners {
		var err error
		if listeners[i], err = listen(ctx, i); err != nil {
			return err
		}
	}
	for i, l := range listeners {
		running.Go(func() {
			if err := a.serve(ctx, i, l); err != nil && ctx.Err() == nil {
				first.Do(func() { failure = fmt.Errorf("agent %d: %w", i, err) })
				cancel()
			}
		})
	}
	ready()
	running.Wait()
	return failure
}

func listen(ctx context.Context, i int) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(PodAddress(i), ControlPort).String())
	if err != nil {
		return nil, fmt.Errorf("listen in place of agent %d: %w", i, err)
	}
	return l, nil
}

// lookEvery is how often an agent looks whether its node is dead.
const lookEvery = 50 * time.Millisecond

// serve runs one agent. While its node is dead, connections are accepted by the kernel alone, and nobody answers.
func (a *Agents) serve(ctx context.Context, i int, l net.Listener) error {
	for {
		alive, cancel := context.WithCancel(ctx)
		if i == Victim(a.config.Nodes) {
			go func() { a.await(alive, true); cancel() }()
		}
		err := agent.Simulate(alive, a.simulation(i, l))
		cancel()
		if err != nil || ctx.Err() != nil {
			return err
		}
		if l, err = listen(ctx, i); err != nil {
			return err
		}
		a.await(ctx, false)
		if ctx.Err() != nil {
			return l.Close()
		}
	}
}

// await returns once the node is dead, or alive again, or the context ends.
func (a *Agents) await(ctx context.Context, dead bool) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		a.mu.Lock()
		is := a.fault == DeadNode
		a.mu.Unlock()
		if is == dead {
			return
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

func (a *Agents) simulation(i int, l net.Listener) agent.Simulation {
	return agent.Simulation{
		Config: agent.Config{TLSDir: a.config.TLSDir, Log: slog.New(slog.DiscardHandler),
			Identity: echo.Identity{Installation: a.config.Installation, Pod: Pod(i), Node: Node(i)}},
		Control: l, Answers: answers{a, i},
		Load: func(p mesh.Plan) agent.Load { return a.load(i, p) },
		Used: report.Resources{Known: true, MaxCPU: 31, MeanCPU: 26, MaxMemory: 54 << 20},
		Observed: report.Observer{Files: 120, FileLimit: 65536, Ports: 28232, Conntrack: 4000,
			ConntrackLimit: 262144},
	}
}

// remembered is how many rounds are remembered.
const remembered = 16

// of returns the round, which is new when it is not known.
func (a *Agents) of(key string) *progress {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := slices.IndexFunc(a.rounds, func(r *progress) bool { return r.key == key }); at >= 0 {
		return a.rounds[at]
	}
	r := &progress{key: key, counted: make([]atomic.Uint64, a.config.Nodes),
		kept: make([]atomic.Uint64, a.config.Nodes)}
	a.rounds = append(a.rounds[max(0, len(a.rounds)+1-remembered):], r)
	return r
}

// answers is what the responder of one agent counted.
type answers struct {
	agents *Agents
	index  int
}

// Served implements agent.Answers.
func (s answers) Served(round string) uint64 {
	name, persistent := strings.CutSuffix(round, echo.PersistentSuffix)
	r := s.agents.of(name)
	if persistent {
		return r.kept[s.index].Load()
	}
	return r.counted[s.index].Load()
}

// SetOptions implements agent.Answers: the size of answers changes nothing here.
func (answers) SetOptions(string, echo.Options) error { return nil }

// Forget implements agent.Answers: rounds are forgotten when there are too many.
func (answers) Forget(string) {}

// load returns what the agent measures.
func (a *Agents) load(i int, p mesh.Plan) agent.Load {
	r := a.of(p.Key.String())
	a.mu.Lock()
	defer a.mu.Unlock()
	r.started++
	r.running++
	if r.first.IsZero() {
		r.first = time.Now()
	}
	random := rand.New(rand.NewPCG(a.config.Seed, uint64(i)<<32|uint64(p.Key.Round))) // #nosec G115 G404 -- no secret
	return &computed{agents: a, round: r, plan: p, measured: measured{fault: a.fault, nodes: a.config.Nodes, from: i,
		load: p.Load, pool: a.pool, random: random, began: time.Now(),
		arrived: func(pod int, counted, persistent uint64) {
			r.counted[pod].Add(counted)
			r.kept[pod].Add(persistent)
		}}}
}

// computed is a load that sends nothing.
type computed struct {
	measured
	agents *Agents
	round  *progress
	plan   mesh.Plan

	mu   sync.Mutex
	made []report.Path
}

// Run implements agent.Load. Agents are done at different times in the last part of the load: their paths take CPU time
// that in a cluster many machines have.
func (c *computed) Run(ctx context.Context) bool {
	complete := c.wait(ctx) == nil && c.compute(ctx) == nil
	c.agents.mu.Lock()
	defer c.agents.mu.Unlock()
	c.round.running--
	c.round.paths += uint64(len(c.plan.Targets))
	c.round.last = time.Now()
	return complete
}

// compute makes the paths, once it is this agent's turn.
func (c *computed) compute(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case c.agents.turn <- struct{}{}:
	}
	defer func() { <-c.agents.turn }()
	paths := c.measured.paths(c.plan.Targets)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = paths
	return nil
}

// costOfPath is about what one path takes of a CPU, its part of the report included.
const costOfPath = 5 * time.Microsecond

// wait waits for the agent's end.
func (c *computed) wait(ctx context.Context) error {
	all := costOfPath * time.Duration(len(c.plan.Targets)*c.nodes)
	early := min(all, c.load.Duration*9/10)
	timer := time.NewTimer(c.load.Duration - time.Duration(c.random.Int64N(int64(early)+1)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Paths implements agent.Load. Until the load is over, and where it is stopped, nothing was sent.
func (c *computed) Paths() []report.Path {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made != nil {
		return c.made
	}
	none := make([]report.Path, 0, len(c.plan.Targets))
	for _, t := range c.plan.Targets {
		none = append(none, report.Path{Target: t, Started: c.began, Ended: c.began})
	}
	return none
}

// Grid implements agent.Load.
func (*computed) Grid() bool { return false }
