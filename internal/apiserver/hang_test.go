package apiserver

import (
	"context"
	"iter"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/warning"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/apiserver/roundtest"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// hanging is a store, and a list of tasks, of which one kind of call hangs for one task; for the list of tasks the task
// does not matter.
type hanging struct {
	*memory
	call, uid string
	// deaf calls do not notice that their context is over, as calls of a file system do not.
	deaf bool

	mu    sync.Mutex
	hung  chan struct{}
	calls int
}

// stop makes calls hang until release is called.
func (h *hanging) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hung = make(chan struct{})
}

// release lets all calls go on.
func (h *hanging) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hung != nil {
		close(h.hung)
	}
	h.hung = nil
}

func (h *hanging) wait(ctx context.Context, call, uid string) error {
	h.mu.Lock()
	hung := h.hung
	if call != h.call || uid != h.uid && call != "Tasks" {
		hung = nil
	} else {
		h.calls++
	}
	h.mu.Unlock()
	if hung == nil {
		return nil
	}
	over := ctx.Done()
	if h.deaf {
		over = nil
	}
	select {
	case <-hung:
		return nil
	case <-over:
		return ctx.Err()
	}
}

func (h *hanging) LatestKey(ctx context.Context, uid string) (schedule.Key, bool, error) {
	if err := h.wait(ctx, "LatestKey", uid); err != nil {
		return schedule.Key{}, false, err
	}
	return memoryReports{h.memory}.LatestKey(ctx, uid)
}

func (h *hanging) Rounds(ctx context.Context, uid string) ([]schedule.Key, error) {
	if err := h.wait(ctx, "Rounds", uid); err != nil {
		return nil, err
	}
	return memoryReports{h.memory}.Rounds(ctx, uid)
}

func (h *hanging) Round(ctx context.Context, key schedule.Key) (verdict.StoredRound, bool, error) {
	if err := h.wait(ctx, "Round", key.UID); err != nil {
		return verdict.StoredRound{}, false, err
	}
	return memoryReports{h.memory}.Round(ctx, key)
}

func (h *hanging) Parts(ctx context.Context, key schedule.Key) (Parts, bool, error) {
	if err := h.wait(ctx, "Parts", key.UID); err != nil {
		return Parts{}, false, err
	}
	parts, found, err := memoryReports{h.memory}.Parts(ctx, key)
	agents := parts.Agents
	parts.Agents = func(want func(pod, node string) bool) iter.Seq2[Agent, error] {
		return func(yield func(Agent, error) bool) {
			if err := h.wait(ctx, "Agents", key.UID); err != nil {
				yield(Agent{}, err)
				return
			}
			agents(want)(yield)
		}
	}
	return parts, found, err
}

func (h *hanging) Watch(ctx context.Context, changed func([]string)) error {
	return memoryReports{h.memory}.Watch(ctx, changed)
}

// hangingTasks lists the tasks.
type hangingTasks struct{ *hanging }

func (h hangingTasks) List(ctx context.Context) ([]render.ReportedTask, error) {
	if err := h.wait(ctx, "Tasks", ""); err != nil {
		return nil, err
	}
	return memoryTasks{h.memory}.List(ctx)
}

func (h hangingTasks) Watch(ctx context.Context, changed func()) error {
	return memoryTasks{h.memory}.Watch(ctx, changed)
}

// warnings collects what a caller is warned of.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) AddWarning(_, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

// asked is a request of a client that ends a watch as soon as it has begun.
type asked func(context.Context, *hub) (runtime.Object, error)

func getting(name string) asked {
	return func(ctx context.Context, h *hub) (runtime.Object, error) {
		return (&reportREST{hub: h}).Get(ctx, name, &metav1.GetOptions{})
	}
}

func listed(resource, selector string) asked {
	return func(ctx context.Context, h *hub) (runtime.Object, error) {
		options := &metainternalversion.ListOptions{FieldSelector: fields.ParseSelectorOrDie(selector)}
		if resource == "paths" {
			return (&pathREST{hub: h}).List(ctx, options)
		}
		return (&reportREST{hub: h}).List(ctx, options)
	}
}

func tabling(selector string) asked {
	return func(ctx context.Context, h *hub) (runtime.Object, error) {
		ctx = context.WithValue(ctx, lineKey{}, true)
		list, err := listed("reports", selector)(ctx, h)
		if err != nil {
			return nil, err
		}
		return (&reportREST{hub: h}).ConvertToTable(ctx, list, nil)
	}
}

func watching(version string) asked {
	return func(ctx context.Context, h *hub) (runtime.Object, error) {
		w, err := (&reportREST{hub: h}).Watch(ctx, &metainternalversion.ListOptions{ResourceVersion: version})
		if err == nil {
			w.Stop()
		}
		return nil, err
	}
}

// request is the context of one request.
func request(ctx context.Context) (context.Context, *warnings) {
	told := &warnings{}
	return warning.WithWarningRecorder(withAllowance(ctx), told), told
}

// timed returns how long a request took.
func timed(ctx context.Context, h *hub, do asked) (time.Duration, error) {
	began := time.Now()
	ctx, _ = request(ctx)
	_, err := do(ctx, h)
	return time.Since(began), err
}

// bothStored has two tasks with two stored rounds each: one of task a has sums, all others are small.
func bothStored() *memory {
	m := &memory{}
	m.set(netReach("a", "u-a"), netReach("b", "u-b"))
	m.keep("u-a", 1)
	m.keep("u-a", 2)
	m.keep("u-b", 1)
	m.keep("u-b", 2)
	return m
}

// hungCalls are the calls that may hang, and what is asked for that needs them.
func hungCalls() map[string]map[string]asked {
	latest := map[string]asked{
		"get": getting("netreach-a"), "list": listed("reports", ""), "table": tabling(""), "watch": watching(""),
		"paths": listed("paths", "report=netreach-a"), "paths of a node": listed("paths", "report=netreach-a,node=n"),
	}
	stored := map[string]asked{
		"get a round": getting("netreach-a:1"), "list rounds": listed("reports", "spec.TaskName=a"),
		"list rounds of all tasks": listed("reports", "spec.ReportRoundNumber=1"),
		"table of rounds":          tabling("spec.TaskName=a"),
		"paths of a round":         listed("paths", "report=netreach-a:1"),
	}
	read := map[string]asked{"get": latest["get"], "list": latest["list"], "get a round": stored["get a round"],
		"list rounds": stored["list rounds"], "table of rounds": stored["table of rounds"]}
	parts := map[string]asked{"paths": latest["paths"], "paths of a round": stored["paths of a round"]}
	tasks := map[string]asked{}
	maps.Copy(tasks, latest)
	maps.Copy(tasks, stored)
	maps.Copy(parts, read)
	return map[string]map[string]asked{"LatestKey": latest, "Rounds": stored, "Round": read, "Parts": parts,
		"Agents": {"paths": latest["paths"], "paths of a round": stored["paths of a round"]}, "Tasks": tasks}
}

// eachHang runs a test for every call that may hang and everything that needs it, in a bubble of its own.
func eachHang(t *testing.T, test func(t *testing.T, h *hub, s *hanging, do asked)) {
	for call, all := range hungCalls() {
		for name, do := range all {
			for _, deaf := range []bool{false, true} {
				title := call + " hangs: " + name
				if deaf {
					title = call + " hangs and is deaf: " + name
				}
				t.Run(title, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := &hanging{memory: bothStored(), call: call, uid: "u-a", deaf: deaf}
						h := newHub(hangingTasks{s}, s, time.Now())
						s.stop()
						t.Cleanup(h.end)
						t.Cleanup(s.release)
						test(t, h, s, do)
					})
				})
			}
		}
	}
}

func TestCallersOfAHungStoreWaitSideBySide(t *testing.T) {
	eachHang(t, func(t *testing.T, h *hub, _ *hanging, do asked) {
		begin := time.Now()
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				_, _ = timed(t.Context(), h, do)
				if took := time.Since(begin); took > waitWithin+mostSlow*slowWithin {
					t.Errorf("caller %d came back after %s", i, took)
				}
			})
		}
		all.Wait()
	})
}

func TestTheNextCallerOfAHungStoreDoesNotWaitAgain(t *testing.T) {
	eachHang(t, func(t *testing.T, h *hub, _ *hanging, do asked) {
		_, _ = timed(t.Context(), h, do)
		for i := range 20 {
			if took, _ := timed(t.Context(), h, do); took > 2*time.Second {
				t.Errorf("caller %d waited for %s", i, took)
			}
			time.Sleep(7 * time.Second)
		}
	})
}

func TestCallersOfAHungStoreKeepTheirOwnDeadlines(t *testing.T) {
	eachHang(t, func(t *testing.T, h *hub, _ *hanging, do asked) {
		go func() { _, _ = timed(t.Context(), h, do) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if took, _ := timed(ctx, h, do); took > time.Second {
			t.Errorf("a caller with a limit of 1s waited for %s", took)
		}
	})
}

func TestAHungStoreThatRecoversAnswersAtOnce(t *testing.T) {
	eachHang(t, func(t *testing.T, h *hub, s *hanging, do asked) {
		for range 3 {
			_, _ = timed(t.Context(), h, do)
		}
		s.release()
		time.Sleep(failedFor)
		ctx, told := request(t.Context())
		began := time.Now()
		if _, err := do(ctx, h); err != nil || len(told.text) > 0 || time.Since(began) > 0 {
			t.Errorf("after %s: error %v, warnings %q", time.Since(began), err, told.text)
		}
	})
}

func TestACallerWhoGoesAwayCancelsNobodyElsesRead(t *testing.T) {
	eachHang(t, func(t *testing.T, h *hub, s *hanging, do asked) {
		first, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { _, _ = timed(first, h, do) })
		synctest.Wait()
		var second error
		all.Go(func() { _, second = timed(t.Context(), h, do) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		s.release()
		all.Wait()
		if second != nil {
			t.Errorf("the second caller got %v", second)
		}
	})
}

func TestCallersShareOneRead(t *testing.T) {
	eachHang(t, func(t *testing.T, h *hub, s *hanging, do asked) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() { _, _ = timed(t.Context(), h, do) })
		}
		synctest.Wait()
		s.mu.Lock()
		calls := s.calls
		s.mu.Unlock()
		if calls > 1 {
			t.Errorf("8 callers made %d calls", calls)
		}
		s.release()
		all.Wait()
	})
}

func TestAHungTaskKeepsNobodyWaitingWhoAsksForAnother(t *testing.T) {
	others := map[string]asked{"get": getting("netreach-b"), "get a round": getting("netreach-b:1"),
		"paths": listed("paths", "report=netreach-b"), "list rounds": listed("reports", "spec.TaskName=b"),
		"table of rounds": tabling("spec.TaskName=b")}
	eachHang(t, func(t *testing.T, h *hub, s *hanging, do asked) {
		if s.call == "Tasks" {
			return
		}
		go func() { _, _ = timed(t.Context(), h, do) }()
		synctest.Wait()
		for name, other := range others {
			if took, err := timed(t.Context(), h, other); took > hungAfter || err != nil {
				t.Errorf("%s took %s: %v", name, took, err)
			}
		}
	})
}

// hungHub is a hub whose store hangs for task a after both reports were seen, and a new round of a was announced.
func hungHub(t *testing.T, call string) (*hub, *hanging) {
	t.Helper()
	s := &hanging{memory: bothStored(), call: call, uid: "u-a"}
	h := newHub(hangingTasks{s}, s, time.Now())
	t.Cleanup(h.end)
	if err := h.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.stop()
	t.Cleanup(s.release)
	s.keep("u-a", 3)
	h.touch([]string{"u-a"})
	return h, s
}

func TestAReportThatIsKnownIsServedWithAWarningWhileTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := hungHub(t, "LatestKey")
		for i, limit := range []time.Duration{waitWithin, slowWithin, slowWithin} {
			ctx, told := request(t.Context())
			began := time.Now()
			got, err := getting("netreach-a")(ctx, h)
			report, ok := got.(*systemv1beta1.KdoctorReport)
			if err != nil || !ok || report.Spec.ReportRoundNumber != 2 || len(report.Spec.Report) == 0 {
				t.Fatalf("call %d: got %+v, %v; want round 2", i, got, err)
			}
			if len(told.text) != 1 || !strings.Contains(told.text[0], "netreach-a is as it was seen last") {
				t.Errorf("call %d: warnings are %q", i, told.text)
			}
			if took := time.Since(began); took > limit {
				t.Errorf("call %d took %s, want at most %s", i, took, limit)
			}
		}
	})
}

func TestAWatchAfterAListDoesNotWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := hungHub(t, "LatestKey")
		_, version := h.all()
		if took, err := timed(t.Context(), h, watching(text(version))); took > 0 || err != nil {
			t.Errorf("took %s: %v", took, err)
		}
	})
}

func TestAListSaysWhatItLacks(t *testing.T) {
	cases := map[string]struct {
		call string
		do   asked
		want string
	}{
		"a report never seen": {"LatestKey", listed("reports", ""), "1 reports are left out: netreach-a;"},
		"in a table":          {"LatestKey", tabling(""), "1 reports are left out: netreach-a;"},
		"rounds that cannot be listed": {"Rounds", listed("reports", "spec.ReportRoundNumber=1"),
			"1 reports are left out: all rounds of netreach-a;"},
		"a round that cannot be read": {"Round", listed("reports", "spec.ReportRoundNumber=1"),
			"1 reports are left out: netreach-a:1.1;"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &hanging{memory: bothStored(), call: test.call, uid: "u-a"}
				h := newHub(hangingTasks{s}, s, time.Now())
				s.stop()
				t.Cleanup(h.end)
				t.Cleanup(s.release)
				ctx, told := request(t.Context())
				if _, err := test.do(ctx, h); err != nil {
					t.Fatal(err)
				}
				if len(told.text) != 1 || !strings.HasPrefix(told.text[0], test.want) {
					t.Errorf("warnings are %q, want %q", told.text, test.want)
				}
			})
		})
	}
}

func TestWhatIsNotKnownIsATimeoutAndNotAMissingReport(t *testing.T) {
	eachHang(t, func(t *testing.T, h *hub, s *hanging, do asked) {
		for range 2 {
			_, err := timed(t.Context(), h, do)
			if apierrors.IsNotFound(err) || err != nil && !apierrors.IsTimeout(err) {
				t.Errorf("got %v, want a timeout or what is known", err)
			}
		}
		if s.call == "Tasks" {
			if _, err := timed(t.Context(), h, do); !apierrors.IsTimeout(err) {
				t.Errorf("nothing is known, and the answer is %v", err)
			}
		}
	})
}

// A read that goes on bringing agents is not slow, however long it takes as a whole.
func TestAReadThatGoesOnIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := bothStored()
		m.store("u-a", roundtest.Shape{Agents: 20, Dead: -1})
		s := &steady{memoryReports: memoryReports{m}, pause: waitWithin / 5}
		h := newHub(memoryTasks{m}, s, time.Now())
		t.Cleanup(h.end)
		if err := h.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.on = true
		took, err := timed(t.Context(), h, listed("paths", "report=netreach-a,result=nothing"))
		if err != nil || took < 2*waitWithin {
			t.Errorf("got %v after %s", err, took)
		}
	})
}

// steady is a store that brings an agent after each pause.
type steady struct {
	memoryReports
	pause time.Duration
	on    bool
}

func (s *steady) Parts(ctx context.Context, key schedule.Key) (Parts, bool, error) {
	parts, found, err := s.memoryReports.Parts(ctx, key)
	agents := parts.Agents
	parts.Agents = func(want func(pod, node string) bool) iter.Seq2[Agent, error] {
		return func(yield func(Agent, error) bool) {
			for a, err := range agents(want) {
				if s.on {
					time.Sleep(s.pause)
				}
				if !yield(a, err) {
					return
				}
			}
		}
	}
	return parts, found, err
}
