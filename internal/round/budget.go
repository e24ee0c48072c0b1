package round

import (
	"context"
	"fmt"
	"time"

	"kdoctor.io/kdoctor/internal/limits"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
)

// Budget shares the requests that agents may send between the rounds that run at the same time.
type Budget interface {
	// Register announces that the task's round begins on agents of the workload, before its demand is known.
	Register(key schedule.Key, task report.TaskRef, of topology.Workload)
	// Acquire returns the round's share. Rounds that acquire theirs later leave the round what it was granted. Acquire
	// may wait, until the context ends, for other rounds that leave too little. A round may acquire again, with another
	// demand.
	Acquire(ctx context.Context, key schedule.Key, demand limits.Demand) limits.Share
	// Release announces that the round is over.
	Release(key schedule.Key)
}

// unlimited is a budget without limits.
type unlimited struct{}

func (unlimited) Register(schedule.Key, report.TaskRef, topology.Workload) {}

func (unlimited) Acquire(context.Context, schedule.Key, limits.Demand) limits.Share {
	return limits.Share{}
}

func (unlimited) Release(schedule.Key) {}

// acquireRunning counts a round whose plan was stored, and whose agents may send already, in the budget.
func (c *Conductor) acquireRunning(ctx context.Context, key schedule.Key, m mesh.Mesh) {
	if len(m.Plans) == 0 {
		return
	}
	demand := limits.DemandOf(m, m.Plans[0].Load)
	demand.Running = true
	c.Budget.Acquire(ctx, key, demand)
}

// draft plans the round for the cluster as it is, with the share that the budget has for it, and returns the snapshot
// that the plan is for. When other rounds leave too little, draft waits as long as the whole load still fits in before
// the deadline, and reads the cluster again after the wait. A round that gets nothing is planned without any agent: it
// has no data, and its report says why. After the deadline nothing is sent any more, and no limit counts.
func (c *Conductor) draft(ctx context.Context, req Request) (mesh.Mesh, topology.Snapshot, error) {
	load, want := req.Want.Load, req.Want
	want.SuccessRate, want.MeanDelay = req.Expect.SuccessRate, req.Expect.MeanDelay
	want.Again = c.again(ctx, req.Key)
	waiting, cancel := context.WithDeadline(ctx, req.Deadline.Add(-load.Duration-load.Timeout-
		2*reserveOf(req.Deadline.Sub(req.Planned))))
	defer cancel()
	var waited time.Duration
	for {
		var snapshot topology.Snapshot
		var taken time.Time
		err := retry(ctx, later(req.Deadline, time.Now().Add(storeWithin)), func() (err error) {
			taken = time.Now()
			snapshot, err = c.Snapshots.Snapshot(ctx, req.Workload)
			return err
		})
		if err != nil {
			return mesh.Mesh{}, topology.Snapshot{}, fmt.Errorf("take a snapshot of the cluster: %w", err)
		}
		// Taken is by the clock of this process and from before the reading, so the snapshot is at least as new.
		snapshot.Taken = taken
		m := mesh.New(req.Key, req.Task, snapshot, want)
		if !time.Now().Before(req.Deadline) {
			limits.Grant(&m, load, limits.Share{})
			return m, snapshot, nil
		}
		asked := time.Now()
		share := c.Budget.Acquire(waiting, req.Key, limits.DemandOf(m, load))
		if rounds := limits.Rounds(m, load, want.Pairs, share); rounds > max(want.Rounds, 1) {
			want.Rounds = rounds
			m = mesh.New(req.Key, req.Task, snapshot, want)
			share = c.Budget.Acquire(waiting, req.Key, limits.DemandOf(m, load))
		}
		limits.Grant(&m, load, share)
		if ctx.Err() != nil {
			return mesh.Mesh{}, topology.Snapshot{}, context.Cause(ctx)
		}
		if m.Load.Withheld() {
			m.DropPlans()
			return m, snapshot, nil
		}
		took := time.Since(asked)
		if took < staleAfter {
			m.Load.Waited = waited
			return m, snapshot, nil
		}
		waited += took
	}
}

// again returns the pairs of nodes that the round before wants probed again. Without that round, as after an edit of
// the task, or while the store is out of reach, there are none: every pair has its turn all the same.
func (c *Conductor) again(ctx context.Context, key schedule.Key) []report.Again {
	if c.Config.Again == nil {
		return nil
	}
	key.Round--
	pairs, err := c.Config.Again(ctx, key)
	if err != nil {
		return nil
	}
	return pairs
}
