package round_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kdoctor.io/kdoctor/internal/limits"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// purse is a budget that gives always the same, after a while, and notes what is asked of it.
type purse struct {
	gives limits.Share
	// waits is how long others leave nothing.
	waits time.Duration

	mu    sync.Mutex
	asked []string
	loads []limits.Demand
}

func (p *purse) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, what)
}

func (p *purse) Register(schedule.Key, report.TaskRef, topology.Workload) { p.note("enter") }

func (p *purse) Release(schedule.Key) { p.note("leave") }

func (p *purse) Acquire(ctx context.Context, _ schedule.Key, ask limits.Demand) limits.Share {
	p.note("take")
	p.mu.Lock()
	p.loads = append(p.loads, ask)
	left := p.waits
	p.mu.Unlock()
	began := time.Now()
	select {
	case <-time.After(left):
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waits -= time.Since(began); p.waits > 0 {
		return limits.Share{PerAgent: -1, Cap: 8, Others: 8, Users: "NetReach other"}
	}
	return p.gives
}

func TestARoundKeepsToTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, kept, budget := newAgents(nil), newMemory(), &purse{gives: limits.Share{PerAgent: 8, Others: 3}}
		c := round.New(round.Config{Snapshots: pods("a", "b"), Agents: network, Plans: kept, Rounds: kept,
			Unknown: errUnknown, Budget: budget})
		got, err := c.Run(t.Context(), request(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if load := got.Round.Budget; load.Asked != 10 || load.Granted != 4 || load.Others != 3 || !load.Reduced() {
			t.Errorf("load %+v; want 4 a second given of the 10 that were asked for", load)
		}
		for _, a := range got.Round.Agents {
			for _, p := range a.Paths {
				if p.Scheduled != 40 {
					t.Errorf("agent %s was to send %d requests to %s, want 40", a.Pod, p.Scheduled, p.Target.ID)
				}
			}
		}
		if want := []string{"enter", "take", "leave"}; !slices.Equal(budget.asked, want) || budget.loads[0].Most != 2 ||
			budget.loads[0].All != 4 {
			t.Errorf("the budget was asked to %v for %+v; want %v for 2 targets an agent and 4 in all", budget.asked,
				budget.loads, want)
		}
	})
}

// growing is a cluster that gets one more pod with each look.
type growing struct {
	mu   sync.Mutex
	pods []string
}

func (g *growing) Snapshot(ctx context.Context, of topology.Workload) (topology.Snapshot, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	snapshot, err := pods(g.pods...).Snapshot(ctx, of)
	g.pods = append(g.pods, fmt.Sprintf("p%d", len(g.pods)))
	return snapshot, err
}

func TestARoundWaitsForItsPartAndIsPlannedForWhatIsThereThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, kept, budget := newAgents(nil), newMemory(),
			&purse{gives: limits.Share{PerAgent: 9}, waits: 20 * time.Second}
		c := round.New(round.Config{Snapshots: &growing{pods: []string{"a", "b"}}, Agents: network, Plans: kept,
			Rounds: kept, Unknown: errUnknown, Budget: budget})
		began := time.Now()
		got, err := c.Run(t.Context(), request(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if waited := got.Round.Started.Sub(began); waited != 20*time.Second || got.Verdict.Result != verdict.Pass {
			t.Errorf("the round began after %v: %s; want it to pass after 20 s", waited, got.Verdict.Result)
		}
		if n := len(got.Round.Agents); n != 3 || got.Round.Budget.Granted != 3 ||
			got.Round.Budget.Waited != 20*time.Second {
			t.Errorf("%d agents had the load %+v; want the 3 that are there after waiting for 20 s to send 3 a second",
				n, got.Round.Budget)
		}
		if want := []string{"enter", "take", "take", "leave"}; !slices.Equal(budget.asked, want) {
			t.Errorf("the budget was asked to %v, want %v", budget.asked, want)
		}
	})
}

func TestARoundForWhichNothingIsLeftHasNoData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, kept, budget := newAgents(nil), newMemory(), &purse{waits: time.Hour}
		c := round.New(round.Config{Snapshots: pods("a", "b"), Agents: network, Plans: kept, Rounds: kept,
			Unknown: errUnknown, Budget: budget})
		began, req := time.Now(), request(time.Minute)
		got, err := c.Run(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		// It gives up when the load of 10 s, the timeout of 1 s and the last asking no longer fit in.
		if waited := time.Since(began); waited != 45*time.Second {
			t.Errorf("the round waited for %v, want 45 s", waited)
		}
		const why = "nothing was sent: each agent may send 8 requests a second (limits.requestsPerSecondPerAgent), " +
			"of which the rounds of NetReach other had 8 until it was too late to begin, " +
			"and an agent with 2 targets would have sent 1 at the lowest rate"
		if got.Verdict.Result != verdict.NoData || len(got.Verdict.Reasons) != 1 ||
			got.Verdict.Reasons[0].String() != why {
			t.Errorf("%s: %q; want no data, and why", got.Verdict.Result, got.Verdict.Reasons)
		}
		if len(got.Round.Agents) != 0 || len(got.Round.Missing) != 0 {
			t.Errorf("%d agents reported, missing are %+v; want none, because none was asked to", len(got.Round.Agents),
				got.Round.Missing)
		}
		if network.started("a")+network.started("b") != 0 {
			t.Error("an agent was started")
		}
		if want := []string{"enter", "take", "leave"}; !slices.Equal(budget.asked, want) {
			t.Errorf("the budget was asked to %v, want %v", budget.asked, want)
		}
		if again, err := kept.Round(t.Context(), req.Key); err != nil || again.Verdict.Result != verdict.NoData {
			t.Errorf("kept is %+v, %v", again.Verdict, err)
		}
	})
}

func TestARoundThatIsTakenUpCountsAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network, kept := newAgents(nil), newMemory()
		before := &purse{gives: limits.Share{PerAgent: 8}}
		first := round.New(round.Config{Snapshots: pods("a", "b"), Agents: network, Plans: kept, Rounds: kept,
			Unknown: errUnknown, Budget: before})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(3*time.Second, func() { cancel(round.ErrHandedOver) })
		req := request(time.Minute)
		if _, err := first.Run(ctx, req); !errors.Is(err, round.ErrHandedOver) {
			t.Fatalf("the round ended by %v", err)
		}
		after := &purse{gives: limits.Share{PerAgent: 1}}
		second := round.New(round.Config{Snapshots: pods("a", "b"), Agents: network, Plans: kept, Rounds: kept,
			Unknown: errUnknown, Budget: after})
		got, err := second.Run(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if got.Round.Budget.Granted != 4 || !after.loads[0].Running || after.loads[0].Load.PerSecond != 4 {
			t.Errorf("load %+v, asked of the budget %+v; want the 4 a second with which the round runs, as they are",
				got.Round.Budget, after.loads)
		}
	})
}
