package controller

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"kdoctor.io/kdoctor/internal/limits"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
)

// asks is what a round asks for that sends so many requests a second from each of ten agents, with ten targets each.
func asks(perAgent int) limits.Demand {
	return limits.Demand{Load: mesh.Load{PerSecond: perAgent / 10, Duration: time.Second,
		Connection: mesh.NewConnection},
		Most: 10, All: 100}
}

func roundOf(task string) schedule.Key { return schedule.Key{UID: task, Generation: 1, Round: 1} }

func (b *Budget) enter(task, agents string) {
	b.Register(roundOf(task), report.TaskRef{Kind: "NetReach", Name: task},
		topology.Workload{Kind: topology.DaemonSet, Name: agents})
}

// atOnce is a context in which nothing waits.
func atOnce(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestRoundsShareTheBudget(t *testing.T) {
	type taken struct {
		task, agents string
		ask          int
		// begun tells that the round only begins, over that it ends; running that another process began it.
		begun, over, running bool
		want                 limits.Share
	}
	cases := []struct {
		name            string
		perAgent, total int
		steps           []taken
	}{
		{"a round that is alone may use all", 1000, 5000,
			[]taken{{task: "a", ask: 500, want: limits.Share{PerAgent: 1000, Total: 5000}}}},
		{"no limit stays none", 0, 0,
			[]taken{{task: "a", ask: 500}, {task: "b", ask: 700, want: limits.Share{Others: 500, OthersTotal: 5000}}}},
		{"a second round has what the first one does not ask for", 1000, 0,
			[]taken{{task: "a", ask: 300, want: limits.Share{PerAgent: 1000}},
				{task: "b", ask: 900, want: limits.Share{PerAgent: 700, Others: 300, OthersTotal: 3000}}}},
		{"a second round has nothing of what the first one took whole", 1000, 0,
			[]taken{{task: "a", ask: 2000, want: limits.Share{PerAgent: 1000}},
				{task: "b", ask: 2000, want: limits.Share{PerAgent: -1, Others: 1000, OthersTotal: 10000}}}},
		{"and its fair part once the first one is planned anew", 1000, 0,
			[]taken{{task: "a", ask: 2000, want: limits.Share{PerAgent: 1000}},
				{task: "b", ask: 2000, want: limits.Share{PerAgent: -1, Others: 1000, OthersTotal: 10000}},
				{task: "a", over: true},
				{task: "a", ask: 2000, want: limits.Share{PerAgent: 500}},
				{task: "b", ask: 2000, want: limits.Share{PerAgent: 500, Others: 500, OthersTotal: 5000}}}},
		{"rounds that begin together have equal parts and stay within the limit", 1000, 0,
			[]taken{{task: "a", begun: true}, {task: "b", begun: true},
				{task: "a", ask: 2000, want: limits.Share{PerAgent: 500}},
				{task: "b", ask: 2000, want: limits.Share{PerAgent: 500, Others: 500, OthersTotal: 5000}}}},
		{"agents of a task's own have a budget of their own, and share that of the cluster", 1000, 10000, []taken{
			{task: "a", ask: 800, want: limits.Share{PerAgent: 1000, Total: 10000}},
			{task: "b", agents: "own", ask: 900, want: limits.Share{PerAgent: 1000, Total: 2000, OthersTotal: 8000}}}},
		{"a round that is over gives its part back", 1000, 0,
			[]taken{{task: "a", ask: 900, want: limits.Share{PerAgent: 1000}}, {task: "a", over: true},
				{task: "b", ask: 900, want: limits.Share{PerAgent: 1000}}}},
		{"a round that was under way before counts as it is", 1000, 0,
			[]taken{{task: "a", begun: true}, {task: "b", begun: true},
				{task: "a", ask: 900, running: true, want: limits.Share{PerAgent: 500}},
				{task: "b", ask: 900, want: limits.Share{PerAgent: 100, Others: 900, OthersTotal: 9000}}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := NewBudget(c.perAgent, c.total)
			for i, s := range c.steps {
				k := roundOf(s.task)
				if s.over {
					b.Release(k)
					continue
				}
				if b.rounds[k] == nil {
					b.enter(s.task, s.agents)
				}
				if s.begun {
					continue
				}
				ask := asks(s.ask)
				ask.Running = s.running
				got := b.Acquire(atOnce(t), k, ask)
				got.Cap, got.CapTotal, got.Users, got.UsersTotal = 0, 0, "", ""
				if diff := cmp.Diff(s.want, got); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestARoundWaitsForOthersThatLeaveItTooLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1000, 0)
		for _, task := range []string{"a", "b"} {
			b.enter(task, "agents")
			b.Acquire(atOnce(t), roundOf(task), asks(500))
		}
		b.enter("late", "agents")
		shares := make(chan limits.Share)
		go func() { shares <- b.Acquire(t.Context(), roundOf("late"), asks(2000)) }()
		synctest.Wait()
		select {
		case l := <-shares:
			t.Fatalf("it did not wait, and got %+v", l)
		default:
		}
		b.Release(roundOf("a"))
		if l := <-shares; l.PerAgent != 500 || l.Others != 500 || l.Users != "NetReach b" || l.Cap != 1000 {
			t.Errorf("it got %+v, want half", l)
		}
		huge := limits.Demand{Load: mesh.Load{PerSecond: 1, Duration: time.Second}, Most: 1001, All: 1001}
		b.enter("huge", "agents")
		if l := b.Acquire(t.Context(), roundOf("huge"), huge); l.PerAgent != -1 {
			t.Errorf("a round that is too large even alone got %+v", l)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		b.enter("later", "agents")
		began := time.Now()
		if l := b.Acquire(ctx, roundOf("later"), asks(2000)); l.PerAgent != -1 || time.Since(began) != time.Minute ||
			l.Users != "NetReach b, NetReach late" {
			t.Errorf("after %v it got %+v; want nothing after a minute", time.Since(began), l)
		}
	})
}

func TestRoundsWaitForThoseThatAnotherProcessBegan(t *testing.T) {
	cases := []struct {
		name string
		// then is what happens after three seconds.
		then func(b *Budget)
		want limits.Share
		wait time.Duration
	}{
		{"one that is taken up keeps what it has", func(b *Budget) {
			ask := asks(900)
			ask.Running = true
			b.enter("before", "agents")
			b.Acquire(t.Context(), roundOf("before"), ask)
		}, limits.Share{PerAgent: 100, Others: 900, OthersTotal: 9000}, 3 * time.Second},
		{"one whose plan is lost is planned anew", func(b *Budget) {
			b.enter("before", "agents")
			b.Acquire(t.Context(), roundOf("before"), asks(2000))
		}, limits.Share{PerAgent: 500, Others: 500, OthersTotal: 5000}, 3 * time.Second},
		{"one that is over leaves all", func(b *Budget) { b.Release(roundOf("before")) }, limits.Share{PerAgent: 1000},
			3 * time.Second},
		{"one that never comes is not waited for for ever", func(*Budget) {}, limits.Share{PerAgent: 1000},
			expectWithin},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBudget(1000, 0)
				b.Expect([]schedule.Key{roundOf("before")})
				b.enter("new", "agents")
				time.AfterFunc(3*time.Second, func() { c.then(b) })
				began := time.Now()
				got := b.Acquire(t.Context(), roundOf("new"), asks(2000))
				got.Cap, got.CapTotal, got.Users, got.UsersTotal = 0, 0, "", ""
				if diff := cmp.Diff(c.want, got); diff != "" || time.Since(began) != c.wait {
					t.Errorf("after %v, want %v (-want +got):\n%s", time.Since(began), c.wait, diff)
				}
				time.Sleep(expectWithin)
			})
		})
	}
}

// given adds up what all rounds send, by workload and in all.
func (b *Budget) given() (byAgents map[string]int, total int) {
	byAgents = map[string]int{}
	for _, s := range b.rounds {
		byAgents[s.agents] += s.agent.Granted
		total += s.total.Granted
	}
	return byAgents, total
}

// anyAsk is what some round asks for, below and above what may be sent, of one of three workloads.
func anyAsk(r *rand.Rand) (limits.Demand, string) {
	agents := 1 + r.IntN(40)
	most := 1 + r.IntN(200)
	load := mesh.Load{PerSecond: 1 + r.IntN(30), Duration: time.Duration(1+r.IntN(30)) * time.Second,
		Connection: []mesh.Connection{mesh.NewConnection, mesh.KeepAlive, mesh.Both}[r.IntN(3)]}
	return limits.Demand{Load: load, Most: most, All: agents * most}, string("xyz"[r.IntN(3)])
}

func TestRoundsNeverExceedTheLimitsTogether(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0)) // #nosec G404 -- the same every time
		perAgent, total := []int{0, 7, 100, 1000}[r.IntN(4)], []int{0, 50, 5000}[r.IntN(3)]
		b := NewBudget(perAgent, total)
		for step := range 200 {
			task := string(rune('a' + r.IntN(8)))
			ask, agents := anyAsk(r)
			switch known := b.rounds[roundOf(task)] != nil; {
			case !known:
				b.enter(task, agents)
			case r.IntN(3) == 0:
				b.Release(roundOf(task))
			default:
				share := b.Acquire(atOnce(t), roundOf(task), ask)
				if a, all := ask.GrantedRates(share); all > 0 && (a < 1 || all < a) {
					t.Fatalf("seed %d, step %d: %d for an agent and %d in all", seed, step, a, all)
				}
			}
			byAgents, sum := b.given()
			for name, n := range byAgents {
				if perAgent > 0 && n > perAgent {
					t.Fatalf("seed %d, step %d: agents of %s send %d, above the limit of %d", seed, step, name, n,
						perAgent)
				}
			}
			if total > 0 && sum > total {
				t.Fatalf("seed %d, step %d: all agents send %d, above the limit of %d", seed, step, sum, total)
			}
		}
	}
}

func TestRoundsHaveFairPartsOnceAllArePlannedAnew(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- the same every time
		const limit = 10_000
		tasks := strings.Split("abcdefgh", "")[:2+r.IntN(7)]
		b := NewBudget(limit, 0)
		asked := map[string]limits.Demand{}
		var all []limits.Claim
		for _, task := range tasks {
			asked[task] = limits.Demand{Load: mesh.Load{PerSecond: 1 + r.IntN(5000), Duration: 10 * time.Second},
				Most: 1,
				All:  1}
			all = append(all, limits.Claim{Demand: asked[task].Load.PerSecond})
			b.enter(task, "agents")
			b.Acquire(atOnce(t), roundOf(task), asked[task])
		}
		// The first time that all are planned anew, some may still keep more than their part from the others.
		for range 2 {
			for _, i := range r.Perm(len(tasks)) {
				b.Release(roundOf(tasks[i]))
				b.enter(tasks[i], "agents")
				b.Acquire(atOnce(t), roundOf(tasks[i]), asked[tasks[i]])
			}
		}
		for i, task := range tasks {
			others := slices.Delete(slices.Clone(all), i, i+1)
			want := min(all[i].Demand, limits.FairShare(limit, all[i].Demand, 1, others))
			// What does not divide evenly goes to somebody.
			if got := b.rounds[roundOf(task)].agent.Granted; got < want-len(tasks) || got > want+len(tasks) {
				t.Errorf("seed %d: task %s has %d of %d, want %d", seed, task, got, all[i].Demand, want)
			}
		}
	}
}

func TestTheStatusTellsOfAReducedLoad(t *testing.T) {
	const why = "each target got 5 requests a second instead of 10: x"
	reduced := func(n int64, ended time.Duration) *Result {
		r := passed(n, ended)
		r.Reduced = why
		return r
	}
	task := minutely()
	steps := []struct {
		name   string
		result *Result
		status string
		event  string
	}{
		{"a round that got all says so without an event", passed(1, 11*time.Second),
			"False LoadAsAsked The last round got the load that the task asks for.", ""},
		{"one that got less is told once", reduced(2, 71*time.Second), "True LoadAboveLimit In round 2 " + why + ".",
			LoadAboveLimit},
		{"and not again while it lasts", reduced(3, 131*time.Second), "True LoadAboveLimit In round 3 " + why + ".",
			""},
		{"its end is told", passed(4, 191*time.Second), "False LoadAsAsked The last round got the load that the task " +
			"asks for.", LoadAsAsked},
		{"a round without an outcome changes nothing", &Result{Key: key(5), Err: errWithdrawn},
			"False LoadAsAsked The last round got the load that the task asks for.", ""},
	}
	task.Rounds = 10
	for i, s := range steps {
		task.Status = decide(state{task: task, now: created().Add(time.Duration(i) * time.Minute)}).status
		d := decide(state{task: task, result: s.result,
			now: created().Add(time.Duration(i)*time.Minute + 11*time.Second)})
		task.Status = d.status
		got := ""
		if c := meta.FindStatusCondition(d.status.Conditions, LoadReduced); c != nil {
			got = string(c.Status) + " " + c.Reason + " " + c.Message
		}
		told := ""
		for _, e := range d.events {
			if e.reason == LoadAboveLimit || e.reason == LoadAsAsked {
				told += e.reason
			}
		}
		if got != s.status || told != s.event {
			t.Errorf("%s: condition %q, events %q; want %q, %q", s.name, got, told, s.status, s.event)
		}
	}
	task.Revision, task.Generation = "two", 2
	if c := meta.FindStatusCondition(decide(state{task: task, now: created().Add(time.Hour)}).status.Conditions,
		LoadReduced); c != nil {
		t.Errorf("a new revision begins with %+v of the old one", c)
	}
}
