package round_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/verdict"
)

// unreadable is a memory of which nothing can be read.
type unreadable struct {
	*memory
	err error
}

func (u unreadable) Plan(context.Context, schedule.Key) (store.StoredPlan, error) {
	return store.StoredPlan{}, u.err
}

func (u unreadable) Round(context.Context, schedule.Key) (verdict.StoredRound, error) {
	return verdict.StoredRound{}, u.err
}

func TestAStoreThatCannotBeReadStopsNoRound(t *testing.T) {
	for name, err := range map[string]error{
		"the store is out of reach": errors.New("connection refused"),
		"what it holds is damaged":  store.ErrCorrupt,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, kept, req := newAgents(nil), newMemory(), request(time.Minute)
				blind := unreadable{memory: kept, err: err}
				c := round.New(round.Config{Snapshots: pods("a", "b"), Agents: network, Plans: blind, Rounds: blind,
					Unknown: errUnknown})
				got, err := c.Run(t.Context(), req)
				if err != nil || got.Verdict.Result != verdict.Pass || len(got.Round.Agents) != 2 {
					t.Fatalf("got %q of %d agents, %v", got.Verdict.Result, len(got.Round.Agents), err)
				}
				if _, err := kept.Round(t.Context(), req.Key); err != nil {
					t.Errorf("the round was not kept: %v", err)
				}
				if _, err := c.Run(t.Context(), req); err != nil {
					t.Errorf("run once more: %v", err)
				}
				if n := network.started("a"); n > 2 {
					t.Errorf("agent a was told %d times", n)
				}
			})
		})
	}
}
