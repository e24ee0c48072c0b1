package round_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/limits"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// handOver runs the round until so long after its start, and hands it over then.
func handOver(t *testing.T, c *round.Conductor, req round.Request, after time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(after, func() { cancel(round.ErrHandedOver) })
	if _, err := c.Run(ctx, req); !errors.Is(err, round.ErrHandedOver) {
		t.Fatalf("the first process ended by %v", err)
	}
}

func TestAnAgentOfARoundThatIsTakenUp(t *testing.T) {
	const second = time.Second
	const noTime = "the agent does not have the round, and there was no time left to start it"
	cases := []struct {
		name string
		// at is when the next process takes the round up, after one second of the first; the load lasts 11 s and its
		// timeout is 1 s.
		at      time.Duration
		restart bool
		habit   habit
		// want are the calls that the next process makes.
		want   []string
		result verdict.Result
		lost   string
		ends   time.Duration
	}{
		{name: "it is asked as one that began when the round did", at: 6 * second,
			want:   []string{"state 6s", "state 8s", "state 10s", "state 11.2s", "fetch 11.2s", "state 11.2s"},
			result: verdict.Pass,
			ends:   11200 * time.Millisecond},
		{name: "after its load it is asked at once", at: 30 * second, want: []string{"state 30s", "fetch 30s",
			"state 30s"},
			result: verdict.Pass, ends: 30 * second},
		{name: "one that does not answer at first is asked on", at: 30 * second, habit: habit{hiccup: 29 * second},
			want: []string{"state 30s", "state 30.5s", "state 31s", "fetch 31s", "state 31s"}, result: verdict.Pass,
			ends: 31 * second},
		{name: "one that does not answer is given up 15 s later", at: 30 * second, habit: habit{goneAfter: 29 * second},
			want:   append(every("state", 30*second, 45500*time.Millisecond, 500*time.Millisecond), "fetch 45.5s"),
			result: verdict.Fail, lost: "no answer: no route to host", ends: 45500 * time.Millisecond},
		{name: "one that lost the round is started while there is just enough time", at: 46 * second, restart: true,
			want: append([]string{"state 46s", "start 46s"}, "state 48s", "state 50s", "state 52s", "state 54s",
				"state 56s", "state 57.2s", "fetch 57.2s", "state 57.2s"),
			result: verdict.Pass, ends: 57200 * time.Millisecond},
		{name: "one that lost the round is not started when there is too little time", at: 46*second + 1, restart: true,
			want: []string{"state 46.000000001s"}, result: verdict.Fail, lost: noTime, ends: 46*second + 1},
		{name: "one that is started again and does not answer at first keeps its chance", at: 6 * second, restart: true,
			habit: habit{hiccup: second},
			want: []string{"state 6s", "start 6s", "state 8s", "state 10s", "state 12s", "state 14s", "state 16s",
				"state 17.2s", "fetch 17.2s", "state 17.2s"},
			result: verdict.Pass, ends: 17200 * time.Millisecond},
		{name: "at the deadline it is asked once more", at: 60 * second, want: []string{"fetch 1m0s"},
			result: verdict.Pass, ends: 60 * second},
		{name: "after the deadline it has 5 s to answer", at: 70 * second, habit: habit{muteAfter: 20 * second},
			want:   []string{"fetch 1m10s"},
			result: verdict.Fail, lost: "no answer: context deadline exceeded", ends: 75 * second},
		{name: "after the deadline, one that lost the round says so", at: 70 * second, restart: true,
			want:   []string{"fetch 1m10s"},
			result: verdict.Fail, lost: "the controller was down until after the deadline, and the agent no longer " +
				"has its report", ends: 70 * second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, kept, req := newDiary(pods("a"), newAgents(map[string]habit{"a": c.habit})), newMemory(),
					request(time.Minute)
				req.Want.Load.Duration = 11 * second
				handOver(t, d.conductor(kept), req, second)
				time.Sleep(c.at - second)
				before := len(d.of("a"))
				if c.restart {
					delete(d.agents.loads, "a")
				}
				got, err := d.conductor(kept).Run(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, d.of("a")[before:]); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				if ended := got.Round.Ended.Sub(d.began); ended != c.ends || got.Verdict.Result != c.result {
					t.Errorf("the round ended after %v: %s; want %v, %s", ended, got.Verdict.Result, c.ends, c.result)
				}
				if c.lost != "" && (len(got.Round.Missing) != 1 || got.Round.Missing[0].Reason != c.lost) {
					t.Errorf("missing are %+v, want a, because %s", got.Round.Missing, c.lost)
				}
			})
		})
	}
}

// What is broken after the load need not be what made the requests of the load fail.
func TestTheLadderOfARoundThatIsTakenUpIsProbedWhileItsLoadLasts(t *testing.T) {
	for _, c := range []struct {
		name   string
		at     time.Duration
		probed bool
	}{
		{"in the middle of the load", 5 * time.Second, true},
		{"with two seconds of the load left", 8 * time.Second, true},
		{"with less", 8*time.Second + 1, false},
		{"after the load", 30 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, kept, req := newAgents(nil), newMemory(), request(time.Minute)
				req.Want.Load.Duration, req.Ladder = 10*time.Second, true
				next := func() *round.Conductor {
					return round.New(round.Config{Snapshots: withHosts{pods("a", "b")}, Agents: network, Plans: kept,
						Rounds: kept, Unknown: errUnknown, Ladder: prompt{time.Millisecond}})
				}
				handOver(t, next(), req, time.Second)
				time.Sleep(c.at - time.Second)
				got, err := next().Run(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if probed := got.Round.Ladder != nil && got.Round.Ladder.Sent > 0; probed != c.probed {
					t.Errorf("ladder is %+v; want one: %v", got.Round.Ladder, c.probed)
				}
			})
		})
	}
}

func TestAChangeIsNoOlderThanTheSnapshotOfThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := history{began: time.Now(), moments: []moment{{5 * time.Second, gone}}}
		got, err := conductor(h, newAgents(map[string]habit{"b": {mute: true}}), newMemory()).Run(t.Context(),
			request(time.Minute))
		if err != nil || len(got.Round.Churn) != 1 {
			t.Fatalf("changes %+v, %v", got.Round.Churn, err)
		}
		if c := got.Round.Churn[0]; c.WindowStart.Before(got.Round.Started) {
			t.Errorf("pod b is said to have gone at %v, and was there at %v", c.WindowStart, got.Round.Started)
		}
	})
}

// A process that comes after the deadline, to a store that lost the plan, has nothing to compare the cluster with.
func TestWhatIsCollectedWithoutAPlanAfterTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// While b is waited for, its pod goes.
		h := history{began: time.Now(), moments: []moment{{122 * time.Second, gone}}}
		network, kept, req := newAgents(map[string]habit{"b": {muteAfter: 20 * time.Second}}), newMemory(),
			request(time.Minute)
		req.Planned = time.Now().Add(-time.Second)
		handOver(t, conductor(h, network, kept), req, time.Second)
		kept.plans = map[schedule.Key]store.StoredPlan{}
		time.Sleep(2 * time.Minute)
		budget := &purse{}
		c := round.New(round.Config{Snapshots: h, Agents: network, Plans: kept, Rounds: kept, Unknown: errUnknown,
			Budget: budget})
		got, err := c.Run(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Round.Started.Equal(req.Planned) {
			t.Errorf("the round started at %v, want the time for which it was planned, %v", got.Round.Started,
				req.Planned)
		}
		if len(got.Round.Churn) != 0 || len(got.Round.Missing) != 1 || got.Round.Missing[0].Excused {
			t.Errorf("changes are %+v and missing %+v, want no change that explains why b is missing", got.Round.Churn,
				got.Round.Missing)
		}
		if want := []string{"enter", "leave"}; !slices.Equal(budget.asked, want) {
			t.Errorf("the budget was asked to %v, want %v: nothing is sent any more", budget.asked, want)
		}
	})
}

func TestTheBudgetOfARoundThatIsTakenUp(t *testing.T) {
	for _, c := range []struct {
		name string
		pods []string
		plan func(store.StoredPlan) store.StoredPlan
		want []string
	}{
		{"a single agent counts", []string{"a"}, func(p store.StoredPlan) store.StoredPlan { return p },
			[]string{"enter", "take", "leave"}},
		{"a round for which nothing was left takes nothing", []string{"a", "b"},
			func(p store.StoredPlan) store.StoredPlan { p.Mesh.DropPlans(); return p },
			[]string{"enter", "leave"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, kept, req, budget := newAgents(nil), newMemory(), request(time.Minute), &purse{}
				handOver(t, conductor(pods(c.pods...), network, kept), req, time.Second)
				kept.plans[req.Key] = c.plan(kept.plans[req.Key])
				after := round.New(round.Config{Snapshots: pods(), Agents: network, Plans: kept, Rounds: kept,
					Unknown: errUnknown, Budget: budget})
				if _, err := after.Run(t.Context(), req); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(budget.asked, c.want) {
					t.Errorf("the budget was asked to %v, want %v", budget.asked, c.want)
				}
			})
		})
	}
}

func TestARoundThatWaitedForASecondIsPlannedAgain(t *testing.T) {
	for _, c := range []struct {
		waits time.Duration
		want  int
	}{{time.Second - 1, 2}, {time.Second, 3}} {
		synctest.Test(t, func(t *testing.T) {
			network, kept, budget := newAgents(nil), newMemory(),
				&purse{gives: limits.Share{PerAgent: 9}, waits: c.waits}
			got, err := round.New(round.Config{Snapshots: &growing{pods: []string{"a", "b"}}, Agents: network,
				Plans: kept, Rounds: kept,
				Unknown: errUnknown, Budget: budget}).Run(t.Context(), request(time.Minute))
			if err != nil || len(got.Round.Agents) != c.want {
				t.Errorf("after waiting for %v %d agents take part, %v; want %d", c.waits, len(got.Round.Agents), err,
					c.want)
			}
		})
	}
}

func TestNothingIsAskedOfAnyoneOnceARoundIsHandedOver(t *testing.T) {
	var names []string
	habits := map[string]habit{}
	for i := range 20 {
		names = append(names, fmt.Sprint("pod-", i))
		habits[names[i]] = habit{refuses: i%2 == 0}
	}
	// Nothing else happens at these moments: what begins at the very moment of the end may come before or after it.
	for name, after := range map[string]time.Duration{"while agents are started": 4567 * time.Millisecond,
		"while they work": 20123 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, req := newDiary(pods(names...), newAgents(habits)), request(time.Minute)
				req.Want.Load.Duration = 30 * time.Second
				handOver(t, d.conductor(newMemory()), req, after)
				if d.dead > 0 {
					t.Errorf("%d calls were made after that", d.dead)
				}
			})
		})
	}
}

func TestARoundThatIsCancelledBeforeItsPlan(t *testing.T) {
	cases := []struct {
		name    string
		cluster round.Snapshots
		budget  *purse
		after   time.Duration
		want    []string
	}{
		{"before it begins: nothing is asked", pods("a"), &purse{}, 0, nil},
		{"while the cluster cannot be read", cluster(nil), &purse{}, time.Second, []string{"enter", "leave"}},
		{"while others leave nothing: no plan is left behind", pods("a"), &purse{waits: time.Hour}, 5 * time.Second,
			[]string{"enter", "take", "leave"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, kept := newDiary(c.cluster, newAgents(nil)), newMemory()
				ctx, cancel := context.WithCancelCause(t.Context())
				if c.after == 0 {
					cancel(round.ErrHandedOver)
				}
				time.AfterFunc(c.after, func() { cancel(round.ErrHandedOver) })
				_, err := round.New(round.Config{Snapshots: d, Agents: d, Plans: kept, Rounds: kept,
					Unknown: errUnknown, Budget: c.budget}).
					Run(ctx, request(time.Minute))
				if !errors.Is(err, round.ErrHandedOver) {
					t.Errorf("error %v, want the cause", err)
				}
				if !slices.Equal(c.budget.asked, c.want) || len(kept.plans) != 0 || len(d.of("a")) != 0 || d.dead > 0 {
					t.Errorf("the budget was asked to %v, kept are %d plans, agent a was called %v, %d calls came "+
						"too late; want %v and nothing else",
						c.budget.asked, len(kept.plans), d.of("a"), d.dead, c.want)
				}
			})
		})
	}
}

// stubborn is a store that does not take anything, from a moment on, and notes when it was tried.
type stubborn struct {
	*memory
	from  time.Time
	began time.Time
	tries []time.Duration
}

func (s *stubborn) refuse() error {
	if time.Now().Before(s.from) {
		return nil
	}
	s.tries = append(s.tries, time.Since(s.began))
	return errFull
}

func (s *stubborn) PutPlan(ctx context.Context, key schedule.Key, plan store.StoredPlan) error {
	if err := s.refuse(); err != nil {
		return err
	}
	return s.memory.PutPlan(ctx, key, plan)
}

func (s *stubborn) PutRound(ctx context.Context, kept verdict.StoredRound) error {
	if err := s.refuse(); err != nil {
		return err
	}
	return s.memory.PutRound(ctx, kept)
}

func TestHowOftenAStoreIsTried(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name     string
		from     time.Duration
		deadline time.Duration
		want     []time.Duration
	}{
		{"a plan is tried five times", 0, time.Minute, []time.Duration{0, 500 * ms, 1500 * ms, 3500 * ms, 7500 * ms}},
		{"a plan is tried at the deadline for the last time", 0, 3500 * ms,
			[]time.Duration{0, 500 * ms, 1500 * ms, 3500 * ms}},
		{"a plan is not tried after the deadline", 0, 3500*ms - 1, []time.Duration{0, 500 * ms, 1500 * ms}},
		{"a round is tried for ten seconds, whatever its deadline", time.Second, 12 * time.Second,
			[]time.Duration{10000 * ms, 10500 * ms, 11500 * ms, 13500 * ms, 17500 * ms}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stubborn{memory: newMemory(), began: time.Now(), from: time.Now().Add(c.from)}
				got, err := round.New(round.Config{Snapshots: pods("a", "b"), Agents: newAgents(nil), Plans: s,
					Rounds: s, Unknown: errUnknown}).
					Run(t.Context(), request(c.deadline))
				if !errors.Is(err, errFull) {
					t.Errorf("error %v, want %v", err, errFull)
				}
				if diff := cmp.Diff(c.want, s.tries); diff != "" {
					t.Errorf("tries (-want +got):\n%s", diff)
				}
				if took := time.Since(s.began); took != s.tries[len(s.tries)-1] {
					t.Errorf("it took %v, longer than the last try", took)
				}
				if c.from > 0 && (got.Verdict.Result != verdict.Pass || len(s.plans) != 1) {
					t.Errorf("%q comes back and %d plans are kept; want the round, and its plan to try again with",
						got.Verdict.Result, len(s.plans))
				}
			})
		})
	}
}

func TestAStoreIsNotTriedAgainForARoundThatNobodyWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stubborn{memory: newMemory(), began: time.Now(), from: time.Now().Add(time.Second)}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(11*time.Second, func() { cancel(errGone) })
		c := round.New(round.Config{Snapshots: pods("a"), Agents: newAgents(nil), Plans: s, Rounds: s,
			Unknown: errUnknown})
		if _, err := c.Run(ctx, request(time.Minute)); !errors.Is(err, errGone) || len(s.tries) != 2 {
			t.Errorf("error %v after %d tries, want %v after the 2 before", err, len(s.tries), errGone)
		}
	})
}

// flickering is a cluster that cannot be read until a moment.
type flickering struct {
	cluster
	until time.Time
	tries int
}

func (f *flickering) Snapshot(ctx context.Context, of topology.Workload) (topology.Snapshot, error) {
	f.tries++
	if time.Now().Before(f.until) {
		return topology.Snapshot{}, errAPI
	}
	return f.cluster.Snapshot(ctx, of)
}

func TestAClusterThatCanBeReadAgainIsTested(t *testing.T) {
	for _, c := range []struct {
		name      string
		away      time.Duration
		deadline  time.Duration
		late      time.Duration
		tries     int
		collected bool
	}{
		{"after 7.5 s the fifth try succeeds", 7500 * time.Millisecond, time.Minute, 0, 5, true},
		{"after more there is no round", 7500*time.Millisecond + 1, time.Minute, 0, 5, false},
		{"after the deadline it is tried for ten seconds all the same", 7500 * time.Millisecond, time.Minute,
			2 * time.Minute, 5, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, kept, req := newAgents(nil), newMemory(), request(c.deadline)
				if c.late > 0 {
					handOver(t, conductor(pods("a", "b"), network, kept), req, time.Second)
					kept.plans = map[schedule.Key]store.StoredPlan{}
					time.Sleep(c.late)
				}
				f := &flickering{cluster: pods("a", "b"), until: time.Now().Add(c.away)}
				got, err := conductor(f, network, kept).Run(t.Context(), req)
				if (err == nil) != c.collected || len(got.Round.Agents) != map[bool]int{true: 2}[c.collected] {
					t.Errorf("%d agents reported, %v", len(got.Round.Agents), err)
				}
				if !c.collected && f.tries != c.tries {
					t.Errorf("the cluster was read %d times, want %d", f.tries, c.tries)
				}
			})
		})
	}
}

func TestAPlanThatWasLeftBehindIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, req := newMemory(), request(time.Minute)
		kept.rounds[req.Key] = verdict.StoredRound{Round: report.Round{Key: req.Key}}
		kept.plans[req.Key] = store.StoredPlan{}
		if _, err := conductor(nil, newAgents(nil), kept).Run(t.Context(), req); err != nil || len(kept.plans) != 0 {
			t.Errorf("%d plans are left, %v", len(kept.plans), err)
		}
	})
}
