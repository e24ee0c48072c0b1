package round

import (
	"context"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Prober asks an agent to send probes of the ladder of paths, and returns what became of each, in the same order. An
// error says that nothing is known, as of an agent that is out of reach or of a release without such probes.
type Prober interface {
	Probe(ctx context.Context, agent topology.Agent, specs []ladder.Spec) ([]ladder.Result, error)
}

const (
	// ladderPasses is how often the ladder is probed in a round: what fails once only may be chance.
	ladderPasses = 2
	// ladderWithin bounds one call: the probes, the search for packet sizes and the way there.
	ladderWithin = 15 * time.Second
	// ladderGrace is how long after the end of the load the ladder's probes may go on.
	ladderGrace = 3 * time.Second
	// ladderAtLeast is how much load must be left in a round that is taken up again, so that it is probed.
	ladderAtLeast = 2 * time.Second
)

// climb is the ladder of paths in one round: who probes what, and what was seen.
type climb struct {
	prober Prober
	around
	// load is how long the round's load goes on from the first probe on.
	load    time.Duration
	slots   chan struct{}
	senders []ladder.Sender

	mu sync.Mutex
	// replaced are the pods that were deleted since the ladder was planned.
	replaced replaced
	// passes has, by pass, sender and probe, what was seen; nil where a sender gave no answer.
	passes [][][]ladder.Result
}

// probed returns the snapshot that the ladder is planned by, and how long the load goes on. In a round that is taken up
// again the snapshot is what the cluster has now, as long as the load lasts; nil after that: what is broken then need
// not be what made the round's requests fail.
func (c *Conductor) probed(ctx context.Context, plan store.StoredPlan, req Request,
	seen *topology.Snapshot) (*topology.Snapshot, time.Duration) {
	load := loadOf(plan)
	if seen != nil {
		return seen, load
	}
	left := time.Until(plan.Started.Add(load))
	if c.Ladder == nil || !req.Ladder || left < ladderAtLeast {
		return nil, 0
	}
	now, err := c.Snapshots.Snapshot(ctx, req.Workload)
	if err != nil {
		return nil, 0
	}
	return &now, left
}

// newClimb plans the ladder; it is nil where there is nothing to probe or nobody to ask.
func (c *Conductor) newClimb(plan store.StoredPlan, req Request, seen *topology.Snapshot, load time.Duration) *climb {
	if c.Ladder == nil || !req.Ladder || seen == nil || len(plan.Mesh.Plans) == 0 {
		return nil
	}
	options := ladder.Options{Families: req.Want.Families, Round: req.Key.Round, Counted: countedRungs(plan.Mesh)}
	senders := ladder.Plan(*seen, options)
	if len(senders) == 0 {
		return nil
	}
	return &climb{prober: c.Ladder, around: around{*seen, options}, load: load, slots: make(chan struct{}, c.Parallel),
		senders: senders}
}

// countedRungs are the rungs that the round's counted requests probe.
func countedRungs(m mesh.Mesh) map[ladder.Rung]bool {
	rungs := map[ladder.Rung]bool{}
	if len(m.Plans) == 0 || m.Shared != nil {
		return rungs
	}
	for _, t := range m.Plans[0].Targets {
		switch t.Kind {
		case target.ClusterIP:
			rungs[ladder.ClusterIP] = true
		case target.NodePort:
			rungs[ladder.NodePort] = true
		case target.Endpoint:
			rungs[ladder.PodToPod] = true
		}
	}
	return rungs
}

// run probes the ladder while the load lasts, in passes that are spread over it.
func (c *climb) run(ctx context.Context) {
	if c == nil {
		return
	}
	load := c.load
	// Agents that are out of reach do not hold the round up.
	ctx, cancel := context.WithTimeout(ctx, load+ladderGrace)
	defer cancel()
	wait := min(load/10, time.Second)
	for range ladderPasses {
		if !sleep(ctx, wait) {
			return
		}
		wait = load / ladderPasses
		began := time.Now()
		c.pass(ctx, c.specs())
		wait -= min(wait, time.Since(began))
	}
}

// loadOf is how long the agents send requests.
func loadOf(plan store.StoredPlan) time.Duration {
	if len(plan.Mesh.Plans) == 0 {
		return 0
	}
	return plan.Mesh.Plans[0].Load.Duration
}

// specs returns the probes of all senders.
func (c *climb) specs() [][]ladder.Spec {
	all := make([][]ladder.Spec, len(c.senders))
	for i, s := range c.senders {
		for _, p := range s.Probes {
			all[i] = append(all[i], p.Spec)
		}
	}
	return all
}

// pass has all senders send their probes, those with none left out.
func (c *climb) pass(ctx context.Context, specs [][]ladder.Spec) {
	results := make([][]ladder.Result, len(c.senders))
	var all sync.WaitGroup
	for i, s := range c.senders {
		if len(specs[i]) == 0 {
			continue
		}
		all.Go(func() {
			if !c.acquire(ctx) {
				return
			}
			defer func() { <-c.slots }()
			bounded, cancel := context.WithTimeout(ctx, ladderWithin)
			defer cancel()
			// Without an answer nothing is known; that the agent is out of reach shows in the round.
			results[i], _ = c.prober.Probe(bounded, s.Agent, specs[i])
		})
	}
	all.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passes = append(c.passes, results)
}

// acquire waits until one more call may be under way; it returns false when the context ends before.
func (c *climb) acquire(ctx context.Context) bool {
	select {
	case c.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// observations returns what each probe saw in all passes together.
func (c *climb) observations() []ladder.Observation {
	if c == nil {
		return nil
	}
	seen, _ := c.seen()
	return seen
}

// place is where a probe stands: the index of its sender, and its own among the sender's.
type place struct{ sender, probe int }

// seen returns what each probe that was sent saw in all passes together, and the places of these probes.
func (c *climb) seen() (all []ladder.Observation, at []place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.senders {
		for k, p := range s.Probes {
			o := p.Of
			if c.replaced.touches(&o) {
				continue
			}
			for _, pass := range c.passes {
				if i >= len(pass) || k >= len(pass[i]) || pass[i][k].Sent == 0 {
					continue
				}
				o.Passes++
				if pass[i][k].Failed() > 0 {
					o.FailedPasses++
				}
				o.Add(pass[i][k].Counts)
			}
			if o.Sent > 0 {
				all, at = append(all, o), append(at, place{i, k})
			}
		}
	}
	return all, at
}
