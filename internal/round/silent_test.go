package round_test

import (
	"context"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
)

// silentNodes is how many nodes died a moment ago, so that nothing answers in their place and nobody refuses.
const silentNodes = manyNodes / 3

// silent are many agents, of which those on the first nodes let every call wait.
type silent struct{ many }

func (s *silent) wait(ctx context.Context, agent topology.Agent) error {
	for i := range silentNodes {
		if agent.Pod != podOf(i) {
			continue
		}
		select {
		case <-time.After(12 * time.Second):
			return errCut
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Start implements round.Agents.
func (s *silent) Start(ctx context.Context, agent topology.Agent, plan mesh.Plan) error {
	if err := s.wait(ctx, agent); err != nil {
		return err
	}
	return s.many.Start(ctx, agent, plan)
}

// State implements round.Agents.
func (s *silent) State(ctx context.Context, agent topology.Agent, key schedule.Key) (report.AgentReport, error) {
	if err := s.wait(ctx, agent); err != nil {
		return report.AgentReport{}, err
	}
	return s.many.State(ctx, agent, key)
}

func TestManySilentAgentsDoNotKeepOthersFromTheRound(t *testing.T) {
	agents := &silent{many{dead: -1}}
	stored := runManyOn(t, agents, &agents.many, nil)
	if missing := len(stored.Round.Missing); missing != silentNodes ||
		len(stored.Round.Agents) != manyNodes-silentNodes {
		t.Errorf("%d agents reported and %d did not, want %d and %d", len(stored.Round.Agents), missing,
			manyNodes-silentNodes, silentNodes)
	}
	var first, last time.Time
	for _, began := range agents.began {
		if first.IsZero() || began.Before(first) {
			first = began
		}
		if began.After(last) {
			last = began
		}
	}
	if late := last.Sub(first); late > 5*time.Second {
		t.Errorf("the last agent that answers began %v after the first", late)
	}
}
