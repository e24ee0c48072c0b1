package round_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

var (
	errUnknown = errors.New("unknown round")
	errCut     = errors.New("no route to host")
	errGone    = errors.New("the task was deleted")
)

func request(deadline time.Duration) round.Request {
	return round.Request{
		Key:  schedule.Key{UID: "u", Generation: 1, Round: 1},
		Task: report.TaskRef{Kind: "NetReach", Name: "task"},
		Want: mesh.Want{Kinds: []target.Kind{target.Endpoint}, Families: []topology.Family{topology.IPv4},
			Load: mesh.Load{PerSecond: 10, Duration: 10 * time.Second, Timeout: time.Second}},
		Expect:   verdict.Expect{SuccessRate: 1, MeanDelay: time.Second},
		Deadline: time.Now().Add(deadline),
	}
}

func conductor(c round.Snapshots, a *agents, m *memory) *round.Conductor {
	return round.New(round.Config{Snapshots: c, Agents: a, Plans: m, Rounds: m, Unknown: errUnknown})
}

func TestRound(t *testing.T) {
	cases := []struct {
		name     string
		cluster  cluster
		habits   map[string]habit
		deadline time.Duration
		result   verdict.Result
		reported []string
		missing  map[string]string
		// least and most bound how long the round takes.
		least, most time.Duration
	}{
		{name: "a round in which all goes well passes soon after the end of the load", cluster: pods("a", "b"),
			deadline: time.Minute,
			result:   verdict.Pass, reported: []string{"a", "b"}, least: 10 * time.Second, most: 11 * time.Second},
		{name: "requests that fail make the round fail", cluster: pods("a", "b"),
			habits: map[string]habit{"b": {fails: true}}, deadline: time.Minute,
			result: verdict.Fail, reported: []string{"a", "b"}, least: 10 * time.Second, most: 11 * time.Second},
		{name: "an agent that cannot be started is missing, with the reason", cluster: pods("a", "b"),
			habits: map[string]habit{"b": {refuses: true}}, deadline: time.Minute,
			result: verdict.Fail, reported: []string{"a"},
			missing: map[string]string{"b": "the round could not be started: no route to host"},
			least:   14 * time.Second, most: 16 * time.Second},
		{name: "an agent that never answers is missing and does not hold the round to its deadline",
			cluster: pods("a", "b"), habits: map[string]habit{"b": {mute: true}}, deadline: 10 * time.Minute,
			result: verdict.Fail, reported: []string{"a"},
			missing: map[string]string{"b": "the round could not be started: context deadline exceeded"},
			least:   15 * time.Second, most: 35 * time.Second},
		{name: "an agent that falls silent is given up some time after its load", cluster: pods("a", "b"),
			habits: map[string]habit{"b": {muteAfter: 5 * time.Second}}, deadline: 10 * time.Minute,
			result: verdict.Fail, reported: []string{"a"},
			missing: map[string]string{"b": "no answer: context deadline exceeded"},
			least:   26 * time.Second, most: 50 * time.Second},
		{name: "an agent that restarts is missing at once", cluster: pods("a", "b"),
			habits: map[string]habit{"b": {forgetAfter: 5 * time.Second}}, deadline: time.Minute,
			result: verdict.Fail, reported: []string{"a"},
			missing: map[string]string{"b": "the agent restarted during the round"},
			least:   10 * time.Second, most: 11 * time.Second},
		{name: "an agent that finished and then restarted keeps its report", cluster: pods("a", "b"),
			habits:   map[string]habit{"a": {forgetAfter: 10500 * time.Millisecond}, "b": {refuses: true}},
			deadline: time.Minute,
			result:   verdict.Fail, reported: []string{"a"},
			missing: map[string]string{"b": "the round could not be started: no route to host"},
			least:   14 * time.Second, most: 16 * time.Second},
		{name: "an agent that does not finish is stopped before the deadline and its report is no success",
			cluster: pods("a", "b"), habits: map[string]habit{"b": {endless: true}}, deadline: time.Minute,
			result: verdict.NoData, reported: []string{"a", "b"}, least: 58 * time.Second, most: time.Minute},
		{name: "an agent that answers nothing when the deadline is near is missing by the deadline",
			cluster: pods("a", "b"), habits: map[string]habit{"b": {muteAfter: time.Second}},
			deadline: 20 * time.Second,
			result:   verdict.Fail, reported: []string{"a"},
			missing: map[string]string{"b": "no answer: context deadline exceeded"},
			least:   18 * time.Second, most: 20 * time.Second},
		{name: "a round without agents is kept and is no success", cluster: pods(), deadline: time.Minute,
			result: verdict.NoData, most: time.Second},
		{name: "an agent that is not ready is missing with its reason",
			cluster: cluster{{Pod: "", Node: "n", NotReady: "node n has no agent"}}, deadline: time.Minute,
			result: verdict.Fail, missing: map[string]string{"": "node n has no agent"}, most: time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, kept := newAgents(c.habits), newMemory()
				begun := time.Now()
				got, err := conductor(c.cluster, network, kept).Run(t.Context(), request(c.deadline))
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begun); took < c.least || took > c.most {
					t.Errorf("the round took %v, want %v to %v", took, c.least, c.most)
				}
				if got.Verdict.Result != c.result || (c.result != verdict.Pass) != (len(got.Verdict.Reasons) > 0) {
					t.Errorf("verdict %q with reasons %q, want %q", got.Verdict.Result, got.Verdict.Reasons, c.result)
				}
				var reported []string
				for _, a := range got.Round.Agents {
					reported = append(reported, a.Pod)
				}
				if diff := cmp.Diff(c.reported, reported); diff != "" {
					t.Errorf("agents that reported (-want +got):\n%s", diff)
				}
				var missing map[string]string
				for _, m := range got.Round.Missing {
					if missing == nil {
						missing = map[string]string{}
					}
					missing[m.Pod] = m.Reason
				}
				if diff := cmp.Diff(c.missing, missing); diff != "" {
					t.Errorf("agents that are missing (-want +got):\n%s", diff)
				}
				if stored, err := kept.Round(t.Context(), got.Round.Key); err != nil ||
					stored.Verdict.Result != c.result {
					t.Errorf("kept %q, %v; want what was returned", stored.Verdict.Result, err)
				}
				if len(kept.plans) != 0 {
					t.Error("the plan is left behind")
				}
			})
		})
	}
}

func TestServedCountsComeFromALastAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newAgents(map[string]habit{"b": {refuses: true}})
		got, err := conductor(pods("a", "b"), network, newMemory()).Run(t.Context(), request(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if served, first := got.Round.Agents[0].Served, network.ended["a"]; served != uint64(first)+2 {
			t.Errorf("the kept count of served requests is that of asking %d, want the second after %d, made after all "+
				"agents were done", served, first)
		}
	})
}

func TestAgentsAreToldWhatIsLeftUntilTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newAgents(nil)
		if _, err := conductor(pods("a"), network, newMemory()).Run(t.Context(), request(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if limit := network.loads["a"].plan.Limit; limit != 58*time.Second {
			t.Errorf("limit %v, want 58s: the minute less the time for the last asking", limit)
		}
	})
}

func TestCancelledRound(t *testing.T) {
	cases := []struct {
		name    string
		cause   error
		stopped int
		plans   int
	}{
		{name: "a round that nobody wants is stopped on all agents that can be reached, within two seconds",
			cause: errGone, stopped: 2},
		{name: "a round that is handed over goes on, and its plan stays", cause: round.ErrHandedOver, plans: 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, kept := newAgents(map[string]habit{"b": {muteAfter: time.Second}}), newMemory()
				ctx, cancel := context.WithCancelCause(t.Context())
				var at time.Time
				time.AfterFunc(5*time.Second, func() { at = time.Now(); cancel(c.cause) })
				_, err := conductor(pods("a", "b", "c"), network, kept).Run(ctx, request(time.Minute))
				if !errors.Is(err, c.cause) {
					t.Errorf("error %v, want the cause %v", err, c.cause)
				}
				if took := time.Since(at); took > 2*time.Second {
					t.Errorf("it took %v to end the round, want 2 s at most", took)
				}
				if len(network.stopped) != c.stopped || len(kept.plans) != c.plans || len(kept.rounds) != 0 {
					t.Errorf("%d agents stopped, %d plans and %d rounds kept; want %d, %d and none",
						len(network.stopped), len(kept.plans), len(kept.rounds), c.stopped, c.plans)
				}
			})
		})
	}
}

func TestRoundTakenUpByAnotherProcess(t *testing.T) {
	const away = 2 * time.Second
	cases := []struct {
		name    string
		away    time.Duration
		restart string
		// lost is a store that went with the first process.
		lost     bool
		starts   int
		deadline time.Duration
		result   verdict.Result
		reported int
	}{
		{name: "while the agents work, nothing is started again", away: away, deadline: time.Minute, starts: 1,
			result: verdict.Pass, reported: 2},
		{name: "after the load, the reports are fetched", away: 30 * time.Second, deadline: time.Minute, starts: 1,
			result: verdict.Pass, reported: 2},
		{name: "after the deadline, what the agents still have is collected", away: 2 * time.Minute,
			deadline: time.Minute, starts: 1, result: verdict.Pass, reported: 2},
		{name: "without the kept plan, the agents' work is found all the same", away: 2 * time.Second, lost: true,
			deadline: time.Minute, starts: 2, result: verdict.Pass, reported: 2},
		{name: "without the kept plan and after the deadline, what the agents still have is collected",
			away: 2 * time.Minute, lost: true, deadline: time.Minute, starts: 1, result: verdict.Pass, reported: 2},
		{name: "an agent that does not have the round is started while there is time", away: away, restart: "b",
			deadline: time.Minute, starts: 2, result: verdict.Pass, reported: 2},
		{name: "an agent that does not have the round is missing when there is no time", away: 50 * time.Second,
			restart: "b", deadline: time.Minute, starts: 1, result: verdict.Fail, reported: 1},
		{name: "an agent that does not have the round after the deadline is missing", away: 2 * time.Minute,
			restart: "b", deadline: time.Minute, starts: 1, result: verdict.Fail, reported: 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, kept, req := newAgents(nil), newMemory(), request(c.deadline)
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(round.ErrHandedOver) })
				if _, err := conductor(pods("a", "b"), network, kept).Run(ctx, req); !errors.Is(err,
					round.ErrHandedOver) {
					t.Fatal(err)
				}
				time.Sleep(c.away)
				// The cluster cannot be read any more, unless the plan is lost: the kept plan alone must do.
				var revived cluster
				if c.lost {
					kept.plans, revived = map[schedule.Key]store.StoredPlan{}, pods("a", "b")
				}
				if c.restart != "" {
					delete(network.loads, c.restart)
				}
				got, err := conductor(revived, network, kept).Run(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if got.Verdict.Result != c.result || len(got.Round.Agents) != c.reported ||
					network.started("b") != c.starts {
					t.Errorf("%q with %d reports, b started %d times; want %q, %d, %d; reasons %q",
						got.Verdict.Result, len(got.Round.Agents), network.started("b"), c.result, c.reported, c.starts,
						got.Verdict.Reasons)
				}
				again, err := conductor(nil, newAgents(nil), kept).Run(t.Context(), req)
				if diff := cmp.Diff(got, again, cmp.AllowUnexported(stats.Histogram{})); err != nil || diff != "" {
					t.Errorf("a round that is kept must come back as it is: %v\n%s", err, diff)
				}
			})
		})
	}
}

func TestRoundThatCannotBeKept(t *testing.T) {
	cases := []struct {
		name    string
		cluster cluster
		full    bool
		late    time.Duration
		want    error
	}{
		{name: "a cluster that cannot be read is an error", want: errAPI},
		{name: "a plan that cannot be kept is an error, and no agent is started", cluster: pods("a"), full: true,
			want: errFull},
		{name: "a round first seen after its deadline is overdue", cluster: pods("a"), late: 2 * time.Minute,
			want: round.ErrOverdue},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, kept, req := newAgents(nil), newMemory(), request(time.Minute)
				kept.full = c.full
				time.Sleep(c.late)
				if _, err := conductor(c.cluster, network, kept).Run(t.Context(), req); !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
				if network.started("a") != 0 {
					t.Error("an agent was started")
				}
			})
		})
	}
}
