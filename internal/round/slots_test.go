package round_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/topology"
)

// slowStart are agents to which a start takes a while.
type slowStart struct {
	*agents
	takes time.Duration
}

func (s slowStart) Start(ctx context.Context, agent topology.Agent, plan mesh.Plan) error {
	defer time.Sleep(s.takes)
	return s.agents.Start(ctx, agent, plan)
}

// Starts wait long for the one slot that there is.
func TestAnAgentsTimesCountFromItsFirstCall(t *testing.T) {
	for _, c := range []struct {
		name string
		// takes is how long a start has the slot.
		takes time.Duration
		habit habit
		// starts is how often each agent is started.
		starts int
	}{
		{"an agent is asked first when its own load is over", 100 * time.Millisecond, habit{}, 1},
		{"a start that fails is tried again, also when its first call came late", time.Second,
			habit{refusesFor: 500 * time.Millisecond}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				habits := map[string]habit{}
				var names []string
				for n := range 30 {
					names = append(names, fmt.Sprintf("pod-%d", n))
					habits[names[n]] = c.habit
				}
				agents, m, req := newAgents(habits), newMemory(), request(10*time.Minute)
				req.Want.Load.Duration = time.Second
				got, err := round.New(round.Config{Snapshots: pods(names...), Agents: slowStart{agents, c.takes},
					Plans:  m,
					Rounds: m, Unknown: errUnknown, Parallel: 1}).Run(t.Context(), req)
				if err != nil || len(got.Round.Missing) > 0 {
					t.Fatalf("%d agents are missing, %v", len(got.Round.Missing), err)
				}
				for _, name := range names {
					if agents.starts[name] != c.starts || agents.ended[name] != 1 {
						t.Errorf("%s was started %d times and was first done at its fetch %d, want %d and 1", name,
							agents.starts[name], agents.ended[name], c.starts)
					}
				}
			})
		})
	}
}
