package reach_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kdoctor.io/kdoctor/internal/kube/reach"
)

func lease() client.ObjectKey { return client.ObjectKey{Namespace: "k", Name: "lease"} }

func replicas() map[string]string { return map[string]string{"component": "controller"} }

// held is the lease with a holder, which is empty for nobody, and with when a leader gave it up.
func held(holder string, gaveUp time.Time) *coordinationv1.Lease {
	l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "k", Name: "lease"}}
	if holder != "" {
		l.Spec.HolderIdentity = &holder
	}
	if !gaveUp.IsZero() {
		l.Annotations = map[string]string{reach.GaveUp: gaveUp.Format(time.RFC3339)}
	}
	return l
}

func replica(name string, ready corev1.ConditionStatus) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "k", Name: name, Labels: replicas()},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}}
}

func leaving(name string) *corev1.Pod {
	pod := replica(name, corev1.ConditionTrue)
	now := metav1.Now()
	pod.DeletionTimestamp, pod.Finalizers = &now, []string{"test/stays"}
	return pod
}

// way is whether the leader is reached. An API server that is away answers nothing.
type way struct {
	mu         sync.Mutex
	broken     bool
	serverAway bool
	// refused says that the API server says at once that it does not reach the leader.
	refused bool
}

func (w *way) set(broken, serverAway bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken, w.serverAway = broken, serverAway
}

func (w *way) ask(ctx context.Context) reach.Answer {
	w.mu.Lock()
	out, refused := w.broken || w.serverAway, w.refused
	w.mu.Unlock()
	if out && refused {
		return reach.Unreached
	}
	if out {
		<-ctx.Done()
		return reach.Unreached
	}
	return reach.Reached
}

func (w *way) list(ctx context.Context, c client.WithWatch, l client.ObjectList, o ...client.ListOption) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.serverAway {
		return errors.New("the API server is away")
	}
	return c.List(ctx, l, o...)
}

// leading is a leader of the test. It began to lead when the test began.
type leading struct {
	way    *way
	api    client.Client
	told   []string
	gaveUp chan time.Time
}

// lead has a leader prove that it is reached, until the test ends.
func lead(t *testing.T, objects ...client.Object) *leading {
	t.Helper()
	return leadOver(t, &way{}, objects...)
}

// leadOver leads over a way that may be broken from the first moment on.
func leadOver(t *testing.T, w *way, objects ...client.Object) *leading {
	t.Helper()
	l := &leading{way: w, gaveUp: make(chan time.Time, 10)}
	l.api = fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).
		WithInterceptorFuncs(interceptor.Funcs{List: w.list}).Build()
	ctx, cancel := context.WithCancel(t.Context())
	prover := &reach.Prover{Ask: w.ask, Client: l.api, Lease: lease(), Pod: "a", Replicas: replicas(),
		Tell: func(_ context.Context, sentence string) error {
			l.told = append(l.told, sentence)
			return errors.New("a leader gives up whether it can tell or not")
		},
		GiveUp: func() { l.gaveUp <- time.Now(); cancel() }}
	var running sync.WaitGroup
	running.Go(func() {
		if err := prover.Start(ctx); err != nil {
			t.Errorf("Start ended with %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return l
}

// gives returns after how long from the moment the leader gave up; false when it does not within that long.
func (l *leading) gives(from time.Time, within time.Duration) (time.Duration, bool) {
	select {
	case at := <-l.gaveUp:
		return at.Sub(from), true
	case <-time.After(within - time.Since(from)):
		return 0, false
	}
}

func TestALeaderOutOfReachGivesUpInTime(t *testing.T) {
	const long = 20 * time.Minute
	ready, not := corev1.ConditionTrue, corev1.ConditionFalse
	for _, test := range []struct {
		name string
		pods []client.Object
		// gaveUp is how long before the test a leader gave up, 0 for never; wait is how long the way works.
		gaveUp, wait time.Duration
		least, most  time.Duration
		never        bool
	}{
		{name: "at the worst moment within 12 s", pods: []client.Object{replica("b", ready)},
			wait: 60*time.Second + time.Millisecond, least: 8 * time.Second, most: 12 * time.Second},
		{name: "just before the next question within 12 s", pods: []client.Object{replica("b", ready)},
			wait: 63*time.Second - time.Millisecond, least: 8 * time.Second, most: 12 * time.Second},
		{name: "a new leader after half a minute", pods: []client.Object{replica("b", ready)},
			least: 30 * time.Second, most: 35 * time.Second},
		{name: "of three replicas one is ready", pods: []client.Object{replica("b", not), replica("c", ready)},
			wait: time.Minute, least: 8 * time.Second, most: 12 * time.Second},
		{name: "not while it is the only replica", wait: time.Minute, never: true},
		{name: "not while the other one is not ready", pods: []client.Object{replica("b", not)}, wait: time.Minute,
			never: true},
		{name: "not while the other one is being deleted", pods: []client.Object{leaving("b")}, wait: time.Minute,
			never: true},
		{name: "five minutes after the last one to do so, and not before", pods: []client.Object{replica("b", ready)},
			gaveUp: time.Minute, wait: time.Minute, least: 3 * time.Minute, most: 3*time.Minute + 5*time.Second},
		{name: "an hour after the last one where it was never reached", pods: []client.Object{replica("b", ready)},
			gaveUp: 50 * time.Minute, least: 10 * time.Minute, most: 10*time.Minute + 5*time.Second},
		{name: "as soon as ever where the last one did so long ago", pods: []client.Object{replica("b", ready)},
			gaveUp: time.Hour, wait: time.Minute, least: 8 * time.Second, most: 12 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var gaveUp time.Time
				if test.gaveUp > 0 {
					gaveUp = time.Now().Add(-test.gaveUp)
				}
				l := leadOver(t, &way{broken: test.wait == 0},
					append(test.pods, replica("a", ready), held("a_1", gaveUp))...)
				time.Sleep(test.wait)
				l.way.set(true, false)
				after, gave := l.gives(time.Now(), long)
				if gave == test.never || gave && (after < test.least || after > test.most) {
					t.Errorf("gave up: %t after %v; want %t, after %v to %v", gave, after, !test.never, test.least,
						test.most)
				}
				if gave != (len(l.told) == 1) {
					t.Errorf("told %q", l.told)
				}
				var found coordinationv1.Lease
				if err := l.api.Get(t.Context(), lease(), &found); err != nil {
					t.Fatal(err)
				}
				noted, _ := time.Parse(time.RFC3339, found.Annotations[reach.GaveUp])
				if recent := time.Since(noted) < 5*time.Second; recent != gave {
					t.Errorf("the lease says %q; gave up: %t", found.Annotations[reach.GaveUp], gave)
				}
			})
		})
	}
}

// The API server follows a new leader after half a second, and the way breaks a second later: a leader that did not ask
// in between would take it for a way that never worked, and wait for half a minute.
func TestANewLeaderThatWasReachedForASecondGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := leadOver(t, &way{broken: true, refused: true}, replica("a", corev1.ConditionTrue),
			replica("b", corev1.ConditionTrue), held("a_1", time.Time{}))
		time.Sleep(500 * time.Millisecond)
		l.way.set(false, false)
		time.Sleep(time.Second)
		l.way.set(true, false)
		if after, gave := l.gives(time.Now(), time.Hour); !gave || after > 12*time.Second {
			t.Errorf("gave up: %t after %v; want at most 12 s", gave, after)
		}
	})
}

func TestALeaderThatIsReachedOrWithoutAnAPIServerGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lead(t, replica("a", corev1.ConditionTrue), replica("b", corev1.ConditionTrue), held("a_1", time.Time{}))
		time.Sleep(time.Hour)
		// A short break.
		l.way.set(true, false)
		time.Sleep(5 * time.Second)
		l.way.set(false, false)
		time.Sleep(time.Minute)
		// The API server answers nobody; when it is back it does not yet reach the leader, for a moment.
		l.way.set(true, true)
		time.Sleep(5 * time.Minute)
		l.way.set(true, false)
		time.Sleep(2 * time.Second)
		l.way.set(false, false)
		if after, gave := l.gives(time.Now(), time.Hour); gave {
			t.Errorf("gave up after %v", after)
		}
	})
}

func TestWhoGaveUpLeavesTheLeaseToOthers(t *testing.T) {
	for _, test := range []struct {
		name string
		// taken is after how long another replica takes the lease; 0 is never.
		taken, least, most time.Duration
	}{
		{"another one takes it after three seconds", 3 * time.Second, 3 * time.Second, 4 * time.Second},
		{"nobody takes it", 0, 10 * time.Second, 10 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(held("", time.Time{})).Build()
				if test.taken > 0 {
					time.AfterFunc(test.taken, func() {
						var found coordinationv1.Lease
						if err := api.Get(t.Context(), lease(), &found); err != nil {
							t.Error(err)
						}
						found.Spec = held("b_1", time.Time{}).Spec
						if err := api.Update(t.Context(), &found); err != nil {
							t.Error(err)
						}
					})
				}
				began := time.Now()
				reach.StandBack(t.Context(), api, lease())
				if took := time.Since(began); took < test.least || took > test.most {
					t.Errorf("stood back for %v, want %v to %v", took, test.least, test.most)
				}
			})
		})
	}
}

func TestWhatTheAPIServerAnswersIsUnderstood(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   reach.Answer
	}{
		{"our API answers", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
		}, reach.Reached},
		{"the API server says that nobody answers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "service unavailable", http.StatusServiceUnavailable)
		}, reach.Unreached},
		{"nothing comes", nil, reach.Unreached},
		{"the API is not registered", http.NotFound, reach.Unclear},
		{"the question is forbidden", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
		}, reach.Unclear},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked atomic.Int64
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				if r.URL.Path != "/apis/g.example/v1" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				if test.answer == nil {
					cancel()
					<-r.Context().Done()
					return
				}
				test.answer(w, r)
			}))
			defer server.Close()
			ask, err := reach.Through(&rest.Config{Host: server.URL}, "g.example/v1")
			if err != nil {
				t.Fatal(err)
			}
			if got := ask(ctx); got != test.want || asked.Load() != 1 {
				t.Errorf("answer %v after %d questions, want %v after one", got, asked.Load(), test.want)
			}
		})
	}
}
