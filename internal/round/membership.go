package round

import (
	"context"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/topology"
)

// membership looks at the cluster from time to time while a round runs, so that it is known what happened to its agents
// and when. A look that fails is no error: what it would have shown is then seen later, or not at all, and excuses
// nothing.
type membership struct {
	snapshots Snapshots
	of        topology.Workload
	// watch is nil where there is nothing to compare with.
	watch   *churn.Watch
	stop    context.CancelFunc
	looking sync.WaitGroup
}

// watch compares with the agents as the plan has them. A plan that was made only to ask the agents by is of now, so it
// shows no change. seen is the snapshot that the plan was made for: what is other in the next one happened since then.
// It is nil where nobody has it any more.
func (c *Conductor) watch(plan store.Plan, of topology.Workload, seen *topology.Snapshot) *membership {
	m := &membership{snapshots: c.Snapshots, of: of, stop: func() {}}
	if plan.Started.IsZero() {
		return m
	}
	var agents []topology.Agent
	for _, p := range plan.Mesh.Plans {
		agents = append(agents, p.Agent)
	}
	m.watch = churn.NewWatch(agents, plan.Started)
	if seen != nil {
		m.watch.Observe(*seen)
	}
	return m
}

// begin looks every lookEvery until the context ends or end is called.
func (m *membership) begin(ctx context.Context) {
	if m.watch == nil {
		return
	}
	ctx, m.stop = context.WithCancel(ctx)
	m.looking.Go(func() {
		wait := lookEvery
		for sleep(ctx, wait) {
			began := time.Now()
			m.look(ctx, lookWithin)
			wait = max(lookEvery, lookShare*time.Since(began))
		}
	})
}

// end ends the looking and waits for it.
func (m *membership) end() {
	m.stop()
	m.looking.Wait()
}

func (m *membership) look(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	began := time.Now()
	snapshot, err := m.snapshots.Snapshot(ctx, m.of)
	if err != nil {
		return
	}
	// By the clock of this process, and from before the reading: what was seen is at least as new.
	snapshot.Taken = began
	m.watch.Observe(snapshot)
}

// changes looks once more and tells what happened. answered is when each agent was last asked that answered, silent
// when each that no longer answers was first asked in vain.
func (m *membership) changes(ctx context.Context, deadline time.Time, answered,
	silent map[string]time.Time) []report.Change {
	if m.watch == nil {
		return nil
	}
	m.look(ctx, min(lookWithin, max(lookLast, time.Until(deadline))))
	m.watch.ObserveSilence(silent)
	return m.watch.Changes(answered)
}
