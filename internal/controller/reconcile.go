package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	ctrlcontroller "sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/workload"
)

// How tasks share the reconciler, so that none holds another up. An API server that hangs is met with a bound on every
// call.
const (
	// workers is how many tasks are looked at at a time, ensureAtOnce for how many of them agents of their own are made
	// or looked at: the others are free for what needs no such calls, above all to begin rounds.
	workers      = 24
	ensureAtOnce = 16
	// ensureTimeout is how long one such place may be held. A task without a place is woken when its turn comes;
	// ensureRetry is when it looks by itself, should nobody wake it.
	ensureTimeout = 15 * time.Second
	ensureRetry   = 2 * ensureTimeout
	// frontRetry is how soon it is looked again whether the default agents' Services are there.
	frontRetry = 500 * time.Millisecond
	// reconcileWithin is how long a worker may be held in all.
	reconcileWithin = 30 * time.Second
	// retryFirst and retryLast are the shortest and the longest wait after an error. The longest is well below the time
	// in which a round may still start.
	retryFirst = 100 * time.Millisecond
	retryLast  = 15 * time.Second
)

// errBusy is returned where the agents of too many other tasks are being made or looked at.
var errBusy = errors.New("agents of too many other tasks are being made or looked at")

// FieldOwner is the name under which the controller owns the status.
const FieldOwner = "kdoctor-controller"

// Config is what a Reconciler works with.
type Config struct {
	Kind kind.Kind
	// Client reads tasks from the cache and writes their status.
	Client client.Client
	Rounds *Rounds
	Events events.EventRecorder
	// Agents makes agents of tasks' own and removes them.
	Agents Agents
	// Gone is told that a task is no more; nil where nobody needs to know.
	Gone func()
	// Expect is told once, before anything else, which rounds another process left under way; nil where nobody needs to
	// know.
	Expect func(keys []schedule.Key)
	// Now tells the time; nil is the clock.
	Now func() time.Time
}

// Reconciler brings the tasks of one kind to life.
type Reconciler struct {
	Config
	// ensuring has a place for each task whose own agents are made or looked at.
	ensuring *turns
	// first guards told, which is true once Expect was told.
	first sync.Mutex
	told  bool
	mu    sync.Mutex
	// uids are those of the tasks by name: the only trace of one that was deleted, or deleted and made anew.
	uids  map[string]string
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// New returns a reconciler.
func New(c Config) *Reconciler {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Reconciler{Config: c, ensuring: newTurns(ensureAtOnce), uids: map[string]string{}}
}

// Register adds the reconciler to the manager.
func (r *Reconciler) Register(mgr ctrl.Manager) error {
	ends := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.queue = queue
		return nil
	})
	if err := ctrl.NewControllerManagedBy(mgr).For(r.Kind.New()).WatchesRawSource(ends).WithOptions(options()).Complete(
		r); err != nil {
		return fmt.Errorf("register the controller of %s: %w", r.Kind.Name, err)
	}
	return nil
}

// options are how tasks share the reconciler. The queue never has one task looked at twice at a time.
func options() ctrlcontroller.Options {
	return ctrlcontroller.Options{
		MaxConcurrentReconciles: workers, ReconciliationTimeout: reconcileWithin,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryFirst, retryLast),
	}
}

// wake has tasks looked at again.
func (r *Reconciler) wake(names ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queue == nil {
		return
	}
	for _, name := range names {
		r.queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
	}
}

// Reconcile reads, makes or removes agents of the task's own, decides, writes the status, and only then begins a round:
// a crash in between repeats a step and skips none.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if err := r.announce(ctx); err != nil {
		return ctrl.Result{}, err
	}
	object := r.Kind.New()
	err := r.Client.Get(ctx, req.NamespacedName, object)
	if err != nil && !apierrors.IsNotFound(err) {
		return ctrl.Result{}, fmt.Errorf("read the task: %w", err)
	}
	if err := r.forgetOther(ctx, req.Name, string(object.GetUID())); err != nil {
		return ctrl.Result{}, err
	}
	if err != nil {
		r.wake(r.ensuring.leave(req.Name)...)
		if r.Gone != nil {
			r.Gone()
		}
		return ctrl.Result{}, nil
	}
	task, err := r.Kind.Read(object)
	if err != nil {
		r.wake(r.ensuring.leave(req.Name)...)
		return ctrl.Result{}, reconcile.TerminalError(err)
	}
	standard, err := r.Agents.Standard(ctx)
	if errors.Is(err, workload.ErrNotYet) {
		return ctrl.Result{RequeueAfter: frontRetry}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	in := state{task: task, workload: workloadOf(task, standard), now: r.Now()}
	in.own, err = r.ensureAgents(ctx, task, standard, in.now)
	if errors.Is(err, errBusy) {
		return ctrl.Result{RequeueAfter: ensureRetry}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	in.running, in.result = r.Rounds.Of(task.UID)
	if specChanged(task) {
		in.newest = r.Rounds.newest(ctx, task.UID)
	}
	d := decide(in)
	if d.withdraw {
		r.Rounds.Withdraw(task.UID)
	}
	if err := r.write(ctx, object, task.Status, d.status); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			// The cache is behind: what is there now will bring us back, and if not, this will.
			return ctrl.Result{RequeueAfter: time.Second}, nil
		}
		return ctrl.Result{}, err
	}
	for _, e := range d.events {
		r.announceEvent(object, e)
	}
	if in.own.refused != nil {
		// Only what stands in front of the default agents can be refused and a round begin all the same.
		in.workload.NoLoadBalancer = cmp.Or(in.workload.NoLoadBalancer, short(in.own.refused.Error()))
		in.workload.NoIngress = cmp.Or(in.workload.NoIngress, short(in.own.refused.Error()))
	}
	r.begin(ctx, task, in.workload, d)
	return ctrl.Result{RequeueAfter: d.after}, nil
}

// announce tells once which rounds are under way by what the tasks say.
func (r *Reconciler) announce(ctx context.Context) error {
	r.first.Lock()
	defer r.first.Unlock()
	if r.told || r.Expect == nil {
		return nil
	}
	list := r.Kind.NewList()
	if err := r.Client.List(ctx, list); err != nil {
		return fmt.Errorf("list the tasks: %w", err)
	}
	var keys []schedule.Key
	err := meta.EachListItem(list, func(item runtime.Object) error {
		object, _ := item.(client.Object)
		if task, err := r.Kind.Read(object); err == nil && underWay(task) && !task.Deleting {
			keys = append(keys, schedule.Key{UID: task.UID, Generation: task.Status.RoundsGeneration,
				Round: task.Status.History[0].RoundNumber})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the tasks: %w", err)
	}
	r.Expect(keys)
	r.told = true
	return nil
}

// ensureAgents takes the step that is due for agents of the task's own. What the API server refuses is for the
// decision; other errors are tried again. It waits for no other task: the error is errBusy where too many are.
func (r *Reconciler) ensureAgents(ctx context.Context, task Task, standard topology.Workload,
	now time.Time) (did agentState, err error) {
	did = agentState{step: stepOf(task, standard, now)}
	if did.step == noop {
		r.wake(r.ensuring.leave(task.Name)...)
		return did, nil
	}
	if !r.ensuring.take(task.Name) {
		return agentState{}, errBusy
	}
	defer func() { r.wake(r.ensuring.give()...) }()
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	wish := workload.DesiredAgents{
		Task: workload.Task{Kind: task.Kind, Name: task.Name, UID: types.UID(task.UID)}, Spec: value(task.OwnAgents),
		Names: privateWorkload(task, standard), Families: task.Want.Families,
		LoadBalancer: slices.Contains(task.Want.Kinds, target.LoadBalancer),
		Ingress:      slices.Contains(task.Want.Kinds, target.Ingress),
	}
	if did.step == remove {
		return did, r.Agents.Remove(ctx, wish)
	}
	if did.step == ensureFront {
		did.standing, err = r.Agents.EnsureStandard(ctx, demandOf(task, standard))
	} else {
		did.standing, err = r.Agents.Ensure(ctx, wish)
	}
	if workload.Refused(err) {
		did.refused, err = err, nil
	}
	return did, err
}

func (r *Reconciler) begin(ctx context.Context, task Task, of topology.Workload, d decision) {
	if d.begin.UID == "" {
		return
	}
	ctrl.LoggerFrom(ctx).Info("round begins", "round", d.begin.String(), "deadline", d.deadline)
	r.Rounds.Begin(round.Request{
		Key: d.begin, Task: report.TaskRef{Kind: r.Kind.Name, Name: task.Name}, Workload: of,
		Want: task.Want, Expect: task.Expect, Planned: d.planned, Deadline: d.deadline, Interval: d.interval,
		Ladder: task.Diagnose, Spec: task.Spec,
	}, func() { r.wake(task.Name) })
}

// forgetOther removes what is left of the task that had the name before. An empty uid means that no task has the name
// now.
func (r *Reconciler) forgetOther(ctx context.Context, name, uid string) error {
	r.mu.Lock()
	before := r.uids[name]
	r.mu.Unlock()
	if before != "" && before != uid {
		if err := r.Rounds.Forget(ctx, before); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uids[name] = uid
	if uid == "" {
		delete(r.uids, name)
	}
	return nil
}

// write applies the status when it changed. The resource version makes a decision on an outdated task a conflict.
func (r *Reconciler) write(ctx context.Context, object client.Object, before, after v1beta1.TaskStatus) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	gvk, err := apiutil.GVKForObject(object, r.Client.Scheme())
	if err != nil {
		return fmt.Errorf("find the kind of the task: %w", err)
	}
	status, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&after)
	if err != nil {
		return fmt.Errorf("encode the status: %w", err)
	}
	patch := &unstructured.Unstructured{Object: map[string]any{"status": status}}
	patch.SetGroupVersionKind(gvk)
	patch.SetName(object.GetName())
	patch.SetUID(object.GetUID())
	patch.SetResourceVersion(object.GetResourceVersion())
	err = r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(patch), client.ForceOwnership,
		client.FieldOwner(FieldOwner))
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}
