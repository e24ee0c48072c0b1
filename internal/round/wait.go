package round

import (
	"context"
	"time"
)

// The times of a round; the ones that follow from the load are computed in member.go.
const (
	// callWithin bounds one call to one agent, on both ways together.
	callWithin = 30 * time.Second
	// startWithin is how long a start that fails is tried again.
	startWithin = 15 * time.Second
	// startAgain is the time between two such tries.
	startAgain = time.Second
	// settle is how long after the end of its load an agent is first asked for its report, pollEvery how often from
	// then on.
	settle    = 200 * time.Millisecond
	pollEvery = 500 * time.Millisecond
	// heartbeat is how often an agent is asked while its load lasts, so that one that restarted, or was done long ago,
	// is noticed; with many agents it is heartbeatEach for each of them, so that asking stays cheap.
	heartbeat     = 2 * time.Second
	heartbeatEach = 10 * time.Millisecond
	// giveUpAfter is how long after its last request could have ended, or after a later first question, an agent that
	// does not answer is given up.
	giveUpAfter = 15 * time.Second
	// stopWithin bounds the telling of all agents to stop; whom it does not reach is stopped by the limit in its own
	// plan.
	stopWithin = 2 * time.Second
	// collectWithin bounds the last asking of all agents.
	collectWithin = 5 * time.Second
	// keepWithin bounds the tries to keep a round that is over.
	keepWithin = 10 * time.Second
	// lookEvery is how often the cluster is looked at while a round runs, and lookShare which part of the time at most
	// is spent on it: a large cluster takes long to read.
	lookEvery = 10 * time.Second
	lookShare = 10
	// lookWithin bounds one such look. The last one may take until the deadline, but has lookLast at least.
	lookWithin = 10 * time.Second
	lookLast   = time.Second
	// reserve is what is kept free before the deadline for the last asking, at most a tenth of the round.
	reserve = 2 * time.Second
	// retryFirst is the wait before the second try of what is tried again, retryLast that before the fifth, which is
	// the last.
	retryFirst = 500 * time.Millisecond
	retryLast  = 4 * time.Second
	// stale is how long a round may have waited for its part of the budget with what it knows of the cluster.
	stale = time.Second
)

// sleep waits and reports whether the context was alive all the while.
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
