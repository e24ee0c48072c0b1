package controller

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/kind/netreach"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// shelf is what is kept of tasks, by UID.
type shelf struct {
	mu   sync.Mutex
	uids []string
	// foreign are UIDs of tasks of another installation; newest is the newest round of any task, err why nobody knows.
	foreign []string
	newest  schedule.Key
	err     error
	// found is what stored rounds found, by key.
	found map[schedule.Key][]report.Finding
}

func (s *shelf) LatestKey(context.Context, string) (schedule.Key, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest, s.newest != schedule.Key{}, s.err
}

func (s *shelf) Findings(_ context.Context, key schedule.Key) ([]report.Finding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.found[key], s.err
}

func (s *shelf) Abandoned(_ context.Context, exist map[string]bool) (uids []string, foreign int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, uid := range s.uids {
		switch {
		case exist[uid]:
		case slices.Contains(s.foreign, uid):
			foreign++
		default:
			uids = append(uids, uid)
		}
	}
	return uids, foreign, nil
}

func (s *shelf) Tasks(context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.uids), nil
}

func (s *shelf) DeleteTask(_ context.Context, uid string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uids = slices.DeleteFunc(s.uids, func(u string) bool { return u == uid })
	return nil
}

// stage is a reconciler whose rounds take the time of a plan and then pass.
type stage struct {
	*Reconciler
	api    client.Client
	shelf  *shelf
	agents *crew
	events chan string
	mu     sync.Mutex
	causes []error
	runs   []schedule.Key
	ran    []topology.Workload
}

const roundTakes = 10 * time.Second

func newStage(t *testing.T, objects ...client.Object) *stage {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1beta1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	s := &stage{shelf: &shelf{}, agents: &crew{}, events: make(chan string, 100)}
	s.api = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(
		&v1beta1.NetReach{}).Build()
	s.Reconciler = New(Config{
		Kind: netreach.Kind(), Client: s.api, Rounds: NewRounds(s.run, s.shelf, logr.Discard()),
		Events: &events.FakeRecorder{Events: s.events},
		Agents: s.agents,
	})
	return s
}

func (s *stage) run(ctx context.Context, req round.Request) (Summary, error) {
	s.mu.Lock()
	s.runs, s.ran = append(s.runs, req.Key), append(s.ran, req.Workload)
	s.mu.Unlock()
	s.shelf.mu.Lock()
	s.shelf.uids = append(s.shelf.uids, req.Key.UID)
	s.shelf.mu.Unlock()
	select {
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.causes = append(s.causes, context.Cause(ctx))
		return Summary{}, context.Cause(ctx)
	case <-time.After(roundTakes):
		return Summary{Result: verdict.Pass, Expected: 1, Succeeded: []string{"n0"}, Ended: time.Now()}, nil
	}
}

func requestFor(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: types.NamespacedName{Name: name}}
}

func (s *stage) reconcile(t *testing.T) ctrl.Result {
	t.Helper()
	result, err := s.Reconcile(t.Context(), requestFor("task"))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func (s *stage) task(t *testing.T) *v1beta1.NetReach {
	t.Helper()
	var n v1beta1.NetReach
	if err := s.api.Get(t.Context(), types.NamespacedName{Name: "task"}, &n); err != nil {
		t.Fatal(err)
	}
	return &n
}

func (s *stage) told() []string {
	var told []string
	for {
		select {
		case e := <-s.events:
			told = append(told, e)
		default:
			return told
		}
	}
}

func netReach(uid string) *v1beta1.NetReach {
	text, yes, rate, mean := "0 1", true, 1.0, int64(1500)
	return &v1beta1.NetReach{
		ObjectMeta: metav1.ObjectMeta{Name: "task", UID: types.UID(uid), Generation: 1,
			CreationTimestamp: metav1.NewTime(time.Now().Truncate(time.Second))},
		Spec: v1beta1.NetReachSpec{
			Schedule: &v1beta1.Schedule{Schedule: &text, RoundNumber: 1, RoundTimeoutMinute: 1},
			Request:  &v1beta1.HTTPRequest{DurationInSecond: 10, QPS: 10, PerRequestTimeoutInMS: 1000},
			Expect:   &v1beta1.Expect{SuccessRate: &rate, MeanAccessDelayInMs: &mean},
			Target:   &v1beta1.NetReachTarget{IPv4: &yes, Endpoint: &yes},
		},
	}
}

func TestTaskFromStartToFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, netReach("u"))
		s.reconcile(t)
		synctest.Wait()
		if status := s.task(t).Status; len(status.History) != 1 || status.History[0].Status != v1beta1.RecordOngoing ||
			status.ObservedGeneration != 1 {
			t.Fatalf("status %+v, want one round under way", status)
		}
		written := s.task(t).ResourceVersion
		s.reconcile(t)
		if again := s.task(t).ResourceVersion; again != written {
			t.Error("a status without a change is written again")
		}
		time.Sleep(roundTakes + time.Second)
		s.reconcile(t)
		status := s.task(t).Status
		if !status.Finish || *status.DoneRound != 1 || *status.LastRoundStatus != v1beta1.Succeed ||
			status.History[0].SucceedAgentNodeList[0] != "n0" {
			t.Errorf("status %+v, want finished with a success", status)
		}
		want := []string{"Normal RoundStarted Round 1 has started.", "Normal RoundSucceeded Round 1 succeeded."}
		if diff := cmp.Diff(want, s.told()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if len(s.runs) != 1 {
			t.Errorf("rounds run: %v, want one", s.runs)
		}
	})
}

func TestTaskThatGoesAway(t *testing.T) {
	cases := []struct {
		name   string
		change func(*testing.T, *stage)
		kept   []string
		runs   int
	}{
		{name: "a deleted task has its round stopped and nothing kept",
			change: func(t *testing.T, s *stage) {
				if err := s.api.Delete(t.Context(), s.task(t)); err != nil {
					t.Fatal(err)
				}
			}, runs: 1},
		{name: "a task made anew under the same name is another one",
			change: func(t *testing.T, s *stage) {
				if err := errors.Join(s.api.Delete(t.Context(), s.task(t)),
					s.api.Create(t.Context(), netReach("v"))); err != nil {
					t.Fatal(err)
				}
			}, kept: []string{"v"}, runs: 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, netReach("u"))
				s.reconcile(t)
				time.Sleep(time.Second)
				c.change(t, s)
				s.reconcile(t)
				synctest.Wait()
				if len(s.causes) != 1 || !errors.Is(s.causes[0], errWithdrawn) {
					t.Errorf("rounds ended by %v, want one withdrawn", s.causes)
				}
				if diff := cmp.Diff(c.kept, s.shelf.uids,
					cmp.Transformer("empty",
						func(l []string) []string { return append([]string{}, l...) })); diff != "" {
					t.Errorf("kept (-want +got):\n%s", diff)
				}
				if len(s.runs) != c.runs {
					t.Errorf("rounds run: %v, want %d", s.runs, c.runs)
				}
				time.Sleep(roundTakes + time.Second)
			})
		})
	}
}

func TestEditedTaskStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, netReach("u"))
		s.reconcile(t)
		time.Sleep(time.Second)
		edited := s.task(t)
		edited.Generation, edited.Spec.Expect = 2, &v1beta1.Expect{}
		if err := s.api.Update(t.Context(), edited); err != nil {
			t.Fatal(err)
		}
		s.reconcile(t)
		synctest.Wait()
		s.reconcile(t)
		synctest.Wait()
		if diff := cmp.Diff([]schedule.Key{{UID: "u", Generation: 1, Round: 1}, {UID: "u", Generation: 2, Round: 1}},
			s.runs); diff != "" {
			t.Errorf("rounds run (-want +got):\n%s", diff)
		}
		if status := s.task(t).Status; status.ObservedGeneration != 2 || len(status.History) != 1 {
			t.Errorf("status %+v, want a history of the new generation alone", status)
		}
		time.Sleep(roundTakes + time.Second)
	})
}

func TestDecisionOnAnOutdatedTaskIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, netReach("u"))
		outdated := s.task(t)
		changed := s.task(t)
		changed.Labels = map[string]string{"a": "b"}
		if err := s.api.Update(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
		after := v1beta1.TaskStatus{ObservedGeneration: 1}
		if err := s.write(t.Context(), outdated, outdated.Status, after); !apierrors.IsConflict(err) {
			t.Errorf("error %v, want a conflict", err)
		}
		if status := s.task(t).Status; status.ObservedGeneration != 0 {
			t.Error("the status was written all the same")
		}
	})
}

func TestRoundsAreHandedOverAtShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, netReach("u"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Rounds.Start(ctx) }()
		s.reconcile(t)
		time.Sleep(time.Second)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if len(s.causes) != 1 || !errors.Is(s.causes[0], round.ErrHandedOver) {
			t.Errorf("rounds ended by %v, want one handed over", s.causes)
		}
		s.reconcile(t)
		if len(s.runs) != 1 {
			t.Error("a round begins after the end")
		}
	})
}

func TestSweepRemovesWhatIsKeptOfTasksThatAreGone(t *testing.T) {
	s := newStage(t, netReach("here"))
	s.shelf.uids, s.shelf.foreign = []string{"gone", "here", "of another cluster"}, []string{"of another cluster"}
	pruned := false
	sweep := &Sweep{Reader: s.api, Scheme: s.api.Scheme(), Kinds: []kind.Kind{netreach.Kind()}, Keeper: s.shelf,
		Log:   logr.Discard(),
		Prune: func(context.Context) error { pruned = true; return nil }}
	if err := sweep.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"here", "of another cluster"}, s.shelf.uids); diff != "" || !pruned {
		t.Errorf("pruned: %t; kept (-want +got):\n%s", pruned, diff)
	}
}
