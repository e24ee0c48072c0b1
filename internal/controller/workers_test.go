package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlcontroller "sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/workload"
)

// hung is an API server that answers nothing about agents of tasks' own.
type hung struct {
	mu sync.Mutex
	// now and most are how many calls are under way, and were at a time.
	now, most int
	tried     map[string]int
}

func (h *hung) Ensure(ctx context.Context, wish workload.DesiredAgents) (workload.RolloutStatus, error) {
	h.mu.Lock()
	h.now++
	h.most = max(h.most, h.now)
	h.tried[wish.Names.Name]++
	h.mu.Unlock()
	<-ctx.Done()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now--
	return workload.RolloutStatus{}, ctx.Err()
}

func (h *hung) Standard(context.Context) (topology.Workload, error) { return standard(), nil }

func (h *hung) EnsureStandard(ctx context.Context, _ workload.Demand) (workload.RolloutStatus, error) {
	return h.Ensure(ctx, workload.DesiredAgents{})
}

func (h *hung) Remove(ctx context.Context, wish workload.DesiredAgents) error {
	_, err := h.Ensure(ctx, wish)
	return err
}

// work runs the reconciler as the manager does, and looks at the tasks of the names, until the context ends.
func work(ctx context.Context, t *testing.T, r *Reconciler, names []string) (done chan error) {
	t.Helper()
	o, anyName := options(), true
	o.Reconciler, o.SkipNameValidation = r, &anyName
	c, err := ctrlcontroller.NewUnmanaged("tasks", o)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Watch(source.Func(func(_ context.Context,
		queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.queue = queue
		for _, name := range names {
			queue.Add(requestFor(name))
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	done = make(chan error, 1)
	go func() { done <- c.Start(ctx) }()
	return done
}

// tasksOf are so many tasks, of which the last few run on the default agents.
func tasksOf(private, shared int) (objects []client.Object, names []string) {
	for i := range private + shared {
		task := netReach(fmt.Sprintf("u%02d", i))
		task.Name = fmt.Sprintf("task-%02d", i)
		if i < private {
			task.Spec.AgentSpec = &v1beta1.AgentSpec{}
		}
		objects, names = append(objects, task), append(names, task.Name)
	}
	return objects, names
}

func TestTasksWhoseCallsHangHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const private, shared = 60, 5
		objects, names := tasksOf(private, shared)
		s, api := newStage(t, objects...), &hung{tried: map[string]int{}}
		s.Agents = api
		ctx, cancel := context.WithCancel(t.Context())
		done := work(ctx, t, s.Reconciler, names)
		// Those that run on the default agents start with the first look at them.
		time.Sleep(time.Second)
		synctest.Wait()
		s.mu.Lock()
		began := len(s.runs)
		s.mu.Unlock()
		if began != shared {
			t.Errorf("%d rounds began while the calls of other tasks hang, want %d", began, shared)
		}
		// And they end, and are written down, as if nothing were.
		time.Sleep(roundTakes + time.Second)
		synctest.Wait()
		for _, name := range names[private:] {
			var n v1beta1.NetReach
			if err := s.api.Get(t.Context(), types.NamespacedName{Name: name}, &n); err != nil || !n.Status.Finish {
				t.Errorf("%s has not finished: %+v, %v", name, n.Status, err)
			}
		}
		// Nor do those that hang keep each other from being tried.
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		api.mu.Lock()
		if len(api.tried) != private || api.most != ensureAtOnce {
			t.Errorf("%d of %d tasks were tried, %d at a time; want all, and %d", len(api.tried), private, api.most,
				ensureAtOnce)
		}
		api.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWhatIsUnderWayIsToldOnceAndFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects, _ := tasksOf(0, 3)
		going := netReach("u")
		going.Status = v1beta1.TaskStatus{RoundsGeneration: 1,
			History: []v1beta1.Record{{RoundNumber: 4, Status: v1beta1.RecordOngoing}}}
		s := newStage(t, append(objects, going)...)
		var told [][]schedule.Key
		s.Expect = func(keys []schedule.Key) {
			if len(s.runs) > 0 {
				t.Error("a round began before that")
			}
			told = append(told, keys)
		}
		for _, name := range []string{"task-01", "task", "task-02"} {
			if _, err := s.Reconcile(t.Context(), requestFor(name)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if diff := cmp.Diff([][]schedule.Key{{{UID: "u", Generation: 1, Round: 4}}}, told); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		time.Sleep(roundTakes + time.Second)
	})
}

func TestATaskIsNeverLookedAtTwiceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects, names := tasksOf(0, 30)
		s := newStage(t, objects...)
		ctx, cancel := context.WithCancel(t.Context())
		done := work(ctx, t, s.Reconciler, slices.Concat(names, names, names))
		for range 20 {
			for _, name := range names {
				s.wake(name)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		s.mu.Lock()
		if len(s.runs) != len(names) {
			t.Errorf("%d rounds ran, want one of each of %d tasks", len(s.runs), len(names))
		}
		s.mu.Unlock()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
