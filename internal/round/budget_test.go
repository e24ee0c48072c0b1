package round_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
)

// purse is a budget that gives always the same and notes what is asked of it.
type purse struct {
	gives mesh.Limits

	mu    sync.Mutex
	asked []string
	loads []mesh.Ask
}

func (p *purse) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, what)
}

func (p *purse) Enter(schedule.Key, topology.Workload) { p.note("enter") }

func (p *purse) Leave(schedule.Key) { p.note("leave") }

func (p *purse) Take(_ schedule.Key, ask mesh.Ask) mesh.Limits {
	p.note("take")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loads = append(p.loads, ask)
	return p.gives
}

func TestARoundKeepsToTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, kept, budget := newAgents(nil), newMemory(), &purse{gives: mesh.Limits{PerAgent: 8, Others: 3}}
		c := round.New(round.Config{Snapshots: pods("a", "b"), Agents: network, Plans: kept, Rounds: kept, Unknown: errUnknown, Budget: budget})
		got, err := c.Run(t.Context(), request(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if load := got.Round.Load; load.Asked != 10 || load.Given != 4 || load.Others != 3 || load.Reduction() == "" {
			t.Errorf("load %+v; want 4 a second given of the 10 that were asked for", load)
		}
		for _, a := range got.Round.Agents {
			for _, p := range a.Paths {
				if p.Scheduled != 40 {
					t.Errorf("agent %s was to send %d requests to %s, want 40", a.Pod, p.Scheduled, p.Target.ID)
				}
			}
		}
		if want := []string{"enter", "take", "leave"}; !slices.Equal(budget.asked, want) || budget.loads[0].Most != 2 || budget.loads[0].All != 4 {
			t.Errorf("the budget was asked to %v for %+v; want %v for 2 targets an agent and 4 in all", budget.asked, budget.loads, want)
		}
	})
}

func TestARoundThatIsTakenUpCountsAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, kept := newAgents(nil), newMemory()
		before := &purse{gives: mesh.Limits{PerAgent: 8}}
		first := round.New(round.Config{Snapshots: pods("a", "b"), Agents: network, Plans: kept, Rounds: kept, Unknown: errUnknown, Budget: before})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { cancel(round.ErrHandedOver) })
		req := request(time.Minute)
		if _, err := first.Run(ctx, req); !errors.Is(err, round.ErrHandedOver) {
			t.Fatalf("the round ended by %v", err)
		}
		after := &purse{gives: mesh.Limits{PerAgent: 1}}
		second := round.New(round.Config{Snapshots: pods("a", "b"), Agents: network, Plans: kept, Rounds: kept, Unknown: errUnknown, Budget: after})
		got, err := second.Run(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if got.Round.Load.Given != 4 || !after.loads[0].Running || after.loads[0].Load.PerSecond != 4 {
			t.Errorf("load %+v, asked of the budget %+v; want the 4 a second with which the round runs, as they are", got.Round.Load, after.loads)
		}
	})
}
