package round

import (
	"context"
	"time"
)

// The times of a round. Times that depend on the load are computed in agentrun.go.
const (
	// callWithin bounds one call to one agent, the direct way and the way through the kubelet together.
	callWithin = 30 * time.Second
	// startWithin is how long a start that fails is tried again.
	startWithin = 15 * time.Second
	// retryStartEvery is the time between two tries of a start.
	retryStartEvery = time.Second
	// settle is how long after the end of its load an agent is first asked for its report, pollEvery how often from
	// then on.
	settle    = 200 * time.Millisecond
	pollEvery = 500 * time.Millisecond
	// heartbeat is how often an agent is asked while its load lasts, to notice an agent that restarted or was done long
	// ago. In a round with many agents it is heartbeatEach times their number, so that the calls stay cheap.
	heartbeat     = 2 * time.Second
	heartbeatEach = 10 * time.Millisecond
	// pollEach takes the place of pollEvery in a round of very many agents: it is the wait for each of them, so that
	// connecting again stays cheap.
	pollEach = time.Millisecond
	// giveUpAfter is how long an agent may leave calls unanswered. The time counts from when its last request could
	// have ended, or from the first call when that is later.
	giveUpAfter = 15 * time.Second
	// stopWithin bounds the calls that stop all agents. An agent that no call reaches is stopped by the limit in its
	// own plan.
	stopWithin = 2 * time.Second
	// collectWithin bounds the last call to all agents.
	collectWithin = 5 * time.Second
	// storeWithin bounds the tries to store a round that is over.
	storeWithin = 10 * time.Second
	// snapshotEvery is how often a snapshot of the cluster is taken while a round runs. A large cluster takes long to
	// read: the wait is at least snapshotShare times as long as the last snapshot took.
	snapshotEvery = 10 * time.Second
	snapshotShare = 10
	// snapshotWithin bounds one snapshot. The last snapshot may take until the deadline, and at least
	// lastSnapshotWithin.
	snapshotWithin     = 10 * time.Second
	lastSnapshotWithin = time.Second
	// collectReserve is the time before the deadline that is left for the last call to all agents, at most a tenth of
	// the round.
	collectReserve = 2 * time.Second
	// retryFirst is the wait before the second try of retry, retryLast the wait before the fifth and last try.
	retryFirst = 500 * time.Millisecond
	retryLast  = 4 * time.Second
	// staleAfter is how long a round may wait for its share of the budget before it takes another snapshot.
	staleAfter = time.Second
)

// largeParallel is the number of calls with a plan or a report that may be under way in a round with many paths: each
// plan on its way takes memory in proportion to the nodes.
const largeParallel = 16

// keepOpenUpTo is the number of agents up to which connections to agents stay open from one round to the next. With
// more agents they would take the memory that judging and storing the round needs.
const keepOpenUpTo = 200

// connectedUpTo is the number of agents up to which all may be connected at the same time. A connection takes about 100
// kB: those of 5,000 agents would take half of the memory that the chart gives the controller.
const connectedUpTo = 1000

// reserveOf is what is left of a round of the length for the last call to all agents.
func reserveOf(round time.Duration) time.Duration { return min(collectReserve, round/10) }

// sleep waits for d and reports whether the context was alive to the end of the wait.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// retry calls do at most five times, with growing waits that never pass the time given, and returns its last error.
func retry(ctx context.Context, until time.Time, do func() error) error {
	for wait := retryFirst; ; wait *= 2 {
		err := do()
		if err == nil || wait > retryLast || time.Now().Add(wait).After(until) || !sleep(ctx, wait) {
			return err
		}
	}
}

// later returns the later of two moments.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
