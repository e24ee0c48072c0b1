package round

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// errOtherPlan is why the report of an agent that answered is of no use. It happens after a change of leader where each
// controller stores plans in a folder of its own: the new leader plans again, and sums of the old plan do not fit.
var errOtherPlan = errors.New("its report is of another plan of this round, whose controller stores plans where this " +
	"one cannot read them")

// untilNextPoll returns the wait before the next call to the agent: a short one once the load ought to be over.
func (a *agentRun) untilNextPoll() time.Duration {
	left, agents := time.Until(a.began.Add(a.plan.Load.Duration+settle)), time.Duration(len(a.round.agents))
	switch {
	case left > 0:
		return min(left, max(heartbeat, agents*heartbeatEach))
	case a.round.contacts != nil:
		return max(pollEvery, agents*pollEach)
	}
	return pollEvery
}

// contact does what takes calls to the agent. In a round of very many agents it connects for that alone, when not too
// many others are connected.
func (a *agentRun) contact(ctx context.Context, do func() error) error {
	if a.round.contacts == nil {
		return do()
	}
	select {
	case a.round.contacts <- struct{}{}:
	case <-ctx.Done():
		a.result.lostWhy = cmp.Or(a.result.lostWhy, "there was no time left to connect to it")
		return ctx.Err()
	}
	defer func() {
		a.round.config.Agents.Release(a.plan.Agent)
		<-a.round.contacts
	}()
	return do()
}
