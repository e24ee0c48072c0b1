package api

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	controllerconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/internal/kind/netreach"
	"kdoctor.io/kdoctor/internal/kube"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
	"kdoctor.io/kdoctor/internal/workload"
)

// stage is the controller of NetReach at work on a real API server, in a namespace of its own. Its rounds last until
// the test lets them end.
type stage struct {
	api    client.Client
	begun  chan schedule.Key
	ran    chan topology.Workload
	agents *workload.Keeper
	finish chan struct{}
	ended  chan error
	erased chan string
	stop   func()
}

func newStage(t *testing.T) *stage {
	t.Helper()
	ctrl.SetLogger(logr.Discard())
	api, err := kube.NewClient(connect(t).config)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{api: api, begun: make(chan schedule.Key, 10), ran: make(chan topology.Workload, 10),
		agents: newAgents(t, api), finish: make(chan struct{}), ended: make(chan error, 10),
		erased: make(chan string, 10)}
	s.install(t)
	s.start(t)
	t.Cleanup(func() { s.stop() })
	return s
}

// start runs a controller, in place of the one before if there was one.
func (s *stage) start(t *testing.T) {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	again := true // The names of controllers are unique in a process, which here runs one after the other.
	mgr, err := ctrl.NewManager(connect(t).config,
		ctrl.Options{Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
			Controller: controllerconfig.Controller{SkipNameValidation: &again}})
	if err != nil {
		t.Fatal(err)
	}
	rounds := controller.NewRounds(s.run, s, logr.Discard())
	reconciler := controller.New(controller.Config{
		Kind: netreach.Kind(), Client: mgr.GetClient(), Rounds: rounds,
		Events: mgr.GetEventRecorder(controller.FieldOwner), Agents: s.agents,
	})
	if err := errors.Join(mgr.Add(rounds), reconciler.Register(mgr)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	over := make(chan error, 1)
	go func() { over <- mgr.Start(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-over; err != nil {
			t.Errorf("the manager ended: %v", err)
		}
	})
}

func (s *stage) run(ctx context.Context, req round.Request) (controller.Summary, error) {
	s.begun <- req.Key
	s.ran <- req.Workload
	select {
	case <-ctx.Done():
		s.ended <- context.Cause(ctx)
		return controller.Summary{}, context.Cause(ctx)
	case <-s.finish:
		return controller.Summary{Result: verdict.Fail, Reasons: []string{"agent a on node n1: x"}, Expected: 2,
			Succeeded: []string{"n0"}, Failed: []string{"n1"}, Ended: time.Now()}, nil
	}
}

// LatestKey says that nothing is kept of any task.
func (s *stage) LatestKey(context.Context, string) (schedule.Key, bool, error) {
	return schedule.Key{}, false, nil
}

// Findings says that no round before found anything.
func (s *stage) Findings(context.Context, schedule.Key) ([]report.Finding, error) { return nil, nil }

// DeleteTask makes the stage the place where reports are kept.
func (s *stage) DeleteTask(_ context.Context, uid string) error {
	s.erased <- uid
	return nil
}

// apply makes a task with the defaults and waits until its first round has begun and its status says so.
func (s *stage) apply(t *testing.T, name string) *v1beta1.NetReach {
	t.Helper()
	task := &v1beta1.NetReach{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := s.api.Create(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.api.Delete(context.WithoutCancel(t.Context()), task) })
	want := schedule.Key{UID: string(task.UID), Generation: 1, Round: 1}
	if diff := cmp.Diff(want, receive(t, s.begun)); diff != "" {
		t.Fatalf("the round that began (-want +got):\n%s", diff)
	}
	return s.await(t, task, func(status v1beta1.TaskStatus) bool {
		return len(status.History) == 1 && status.History[0].Status == v1beta1.RecordOngoing
	})
}

func (s *stage) await(t *testing.T, task *v1beta1.NetReach, reached func(v1beta1.TaskStatus) bool) *v1beta1.NetReach {
	t.Helper()
	found := &v1beta1.NetReach{}
	eventually(t, "the status of "+task.Name, func(ctx context.Context) (bool, error) {
		if err := s.api.Get(ctx, client.ObjectKeyFromObject(task), found); err != nil {
			return false, err
		}
		return reached(found.Status), nil
	})
	return found
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came within 30 s")
		panic("unreachable")
	}
}

func TestControllerWritesStatusAndEventsToARealAPIServer(t *testing.T) {
	s := newStage(t)
	task := s.apply(t, "status")
	close(s.finish)
	done := s.await(t, task, func(status v1beta1.TaskStatus) bool { return status.Finish }).Status
	if *done.DoneRound != 1 || *done.ExpectedRound != 1 || *done.LastRoundStatus != v1beta1.Failed ||
		done.FinishTime == nil || done.ObservedGeneration != 1 {
		t.Errorf("status %+v; want one failed round of one", done)
	}
	record := done.History[0]
	if record.FailureReason != "agent a on node n1: x" || !cmp.Equal(record.SucceedAgentNodeList, []string{"n0"}) ||
		!cmp.Equal(record.FailedAgentNodeList, []string{"n1"}) ||
		record.NotReportAgentNodeList == nil || *record.ExpectedActorNumber != 2 ||
		!record.StartTimeStamp.Equal(&task.Status.History[0].StartTimeStamp) {
		t.Errorf("record %+v; want the outcome, and lists that are empty but there", record)
	}
	eventually(t, "the event", func(ctx context.Context) (bool, error) {
		var list corev1.EventList
		if err := s.api.List(ctx, &list, client.InNamespace("default")); err != nil {
			return false, err
		}
		for _, e := range list.Items {
			if e.InvolvedObject.UID == task.UID && e.Reason == controller.RoundFailed {
				return true, nil
			}
		}
		return false, nil
	})
}

func TestEditAndDeletionReachTheRunningRound(t *testing.T) {
	s := newStage(t)
	task := s.apply(t, "edited")
	task.Spec.Request.QPS = 7
	if err := s.api.Update(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	if cause := receive(t, s.ended); errors.Is(cause, round.ErrHandedOver) {
		t.Errorf("the round of the old spec ended by %v; want it withdrawn", cause)
	}
	if diff := cmp.Diff(schedule.Key{UID: string(task.UID), Generation: 2, Round: 1}, receive(t, s.begun)); diff != "" {
		t.Errorf("the round of the new spec (-want +got):\n%s", diff)
	}
	s.await(t, task, func(status v1beta1.TaskStatus) bool {
		return status.ObservedGeneration == 2 && len(status.History) == 1
	})
	if err := s.api.Delete(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	receive(t, s.ended)
	if uid := receive(t, s.erased); uid != string(task.UID) {
		t.Errorf("erased %s, want %s", uid, task.UID)
	}
}

func TestAnotherControllerTakesTheSameRoundUp(t *testing.T) {
	s := newStage(t)
	task := s.apply(t, "handed-over")
	s.stop()
	if cause := receive(t, s.ended); !errors.Is(cause, round.ErrHandedOver) {
		t.Errorf("the round ended by %v, want it handed over", cause)
	}
	s.start(t)
	if diff := cmp.Diff(schedule.Key{UID: string(task.UID), Generation: 1, Round: 1}, receive(t, s.begun)); diff != "" {
		t.Errorf("the round taken up (-want +got):\n%s", diff)
	}
	close(s.finish)
	done := s.await(t, task, func(status v1beta1.TaskStatus) bool { return status.Finish }).Status
	if len(done.History) != 1 || !done.History[0].StartTimeStamp.Equal(&task.Status.History[0].StartTimeStamp) {
		t.Errorf("history %+v; want the one round that began at %v", done.History,
			task.Status.History[0].StartTimeStamp)
	}
}
