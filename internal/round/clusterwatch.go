package round

import (
	"context"
	"slices"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/topology"
)

// clusterWatch takes snapshots of the cluster while a round runs, to learn what happens to the round's agents and when.
// A snapshot that fails is no error: a later one shows the change, or no snapshot does, and then the change excuses
// nothing.
type clusterWatch struct {
	snapshots Snapshots
	of        topology.Workload
	// watch is nil when there are no agents to compare with.
	watch *churn.Watch
	// climbed learns which of the pods that it probes are replaced.
	climbed *climb
	// mu guards first and last, which are the Services of the first and the last snapshot.
	mu          sync.Mutex
	first, last []topology.Service
	cancel      context.CancelFunc
	polling     sync.WaitGroup
}

// watch returns a clusterWatch that compares snapshots with the agents of the plan. A plan without a start was made
// just now, to know which agents to ask, so nothing is compared with it. seen is the snapshot that the plan was made
// for: what differs in the next snapshot happened since then. seen is nil for a round that is taken up again.
func (c *Conductor) watch(plan store.StoredPlan, of topology.Workload, seen *topology.Snapshot,
	climbed *climb) *clusterWatch {
	w := &clusterWatch{snapshots: c.Snapshots, of: of, climbed: climbed, cancel: func() {}}
	if plan.Started.IsZero() {
		return w
	}
	var agents []topology.Agent
	for _, p := range plan.Mesh.Plans {
		agents = append(agents, p.Agent)
	}
	w.watch = churn.NewWatch(agents, plan.Started)
	if seen != nil {
		w.watch.Observe(*seen)
		w.note(seen.Services)
	}
	return w
}

// start takes a snapshot every snapshotEvery until the context ends or stop is called.
func (w *clusterWatch) start(ctx context.Context) {
	if w.watch == nil {
		return
	}
	ctx, w.cancel = context.WithCancel(ctx)
	w.polling.Go(func() {
		wait := snapshotEvery
		for sleep(ctx, wait) {
			began := time.Now()
			w.takeSnapshot(ctx, snapshotWithin)
			wait = max(snapshotEvery, snapshotShare*time.Since(began))
		}
	})
}

// stop takes no more snapshots, and waits for one that is under way.
func (w *clusterWatch) stop() {
	w.cancel()
	w.polling.Wait()
}

func (w *clusterWatch) takeSnapshot(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	began := time.Now()
	snapshot, err := w.snapshots.Snapshot(ctx, w.of)
	if err != nil {
		return
	}
	// Taken is by the clock of this process and from before the reading, so the snapshot is at least as new.
	snapshot.Taken = began
	w.watch.Observe(snapshot)
	w.climbed.compare(snapshot)
	w.note(snapshot.Services)
}

func (w *clusterWatch) note(services []topology.Service) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil {
		w.first = services
		return
	}
	w.last = services
}

// endpoints returns what the EndpointSlices of Services had wrong at the beginning and had still at the end, and what
// they had no longer. What was wrong in between is the work of a controller that is not done yet.
func (w *clusterWatch) endpoints() (faults []report.EndpointFault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, was := range w.first {
		for _, is := range w.last {
			if is.Name != was.Name {
				continue
			}
			fault := report.EndpointFault{Service: is.Name, Strange: inBoth(was.Slices.Strange, is.Slices.Strange),
				Left: inBoth(was.Slices.Left, is.Slices.Left), Gone: inEither(was.Slices.Gone, is.Slices.Gone)}
			if len(fault.Strange)+len(fault.Left)+len(fault.Gone) > 0 {
				faults = append(faults, fault)
			}
		}
	}
	return faults
}

// inBoth returns what both sorted lists have, the first of it.
func inBoth(a, b []string) (both []string) {
	for _, one := range a {
		if _, has := slices.BinarySearch(b, one); has && len(both) < report.MaxEndpoints {
			both = append(both, one)
		}
	}
	return both
}

// inEither returns what one of the lists has, sorted, the first of it.
func inEither(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), report.MaxEndpoints)]
}

// changes takes one more snapshot and returns what happened. answered has, by pod, when the last call was made that the
// agent answered. silent has when the first call was made that an agent no longer answered.
func (w *clusterWatch) changes(ctx context.Context, deadline time.Time, answered,
	silent map[string]time.Time) []report.Change {
	if w.watch == nil {
		return nil
	}
	w.takeSnapshot(ctx, min(snapshotWithin, max(lastSnapshotWithin, time.Until(deadline))))
	w.watch.ObserveSilence(silent)
	return w.watch.Changes(answered)
}
