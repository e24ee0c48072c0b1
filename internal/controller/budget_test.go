package controller

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
)

// asks is what a round asks for that sends so many requests a second from each of ten agents, with ten targets each.
func asks(perAgent int) mesh.Ask {
	return mesh.Ask{Load: mesh.Load{PerSecond: perAgent / 10, Duration: time.Second, Connection: mesh.NewConnection}, Most: 10, All: 100}
}

func TestRoundsShareTheBudget(t *testing.T) {
	type taken struct {
		task, agents string
		ask          int
		// begun tells that the round only begins, over that it ends; running that another process began it.
		begun, over, running bool
		want                 mesh.Limits
	}
	cases := []struct {
		name            string
		perAgent, total int
		steps           []taken
	}{
		{"a round that is alone may use all", 1000, 5000, []taken{{task: "a", ask: 500, want: mesh.Limits{PerAgent: 1000, Total: 5000}}}},
		{"no limit stays none", 0, 0, []taken{{task: "a", ask: 500}, {task: "b", ask: 700, want: mesh.Limits{Others: 500, OthersTotal: 5000}}}},
		{"a second round has what the first one leaves", 1000, 0, []taken{{task: "a", ask: 300, want: mesh.Limits{PerAgent: 1000}},
			{task: "b", ask: 900, want: mesh.Limits{PerAgent: 700, Others: 300, OthersTotal: 3000}}}},
		{"a second round has its fair part of what the first one took whole", 1000, 0, []taken{{task: "a", ask: 2000, want: mesh.Limits{PerAgent: 1000}},
			{task: "b", ask: 2000, want: mesh.Limits{PerAgent: 500, Others: 1000, OthersTotal: 10000}}}},
		{"rounds that begin together have equal parts and stay within the limit", 1000, 0, []taken{{task: "a", begun: true}, {task: "b", begun: true},
			{task: "a", ask: 2000, want: mesh.Limits{PerAgent: 500}}, {task: "b", ask: 2000, want: mesh.Limits{PerAgent: 500, Others: 500, OthersTotal: 5000}}}},
		{"agents of a task's own have a budget of their own, and share that of the cluster", 1000, 10000, []taken{
			{task: "a", ask: 800, want: mesh.Limits{PerAgent: 1000, Total: 10000}},
			{task: "b", agents: "own", ask: 900, want: mesh.Limits{PerAgent: 1000, Total: 5000, OthersTotal: 8000}}}},
		{"a round that is over gives its part back", 1000, 0, []taken{{task: "a", ask: 900, want: mesh.Limits{PerAgent: 1000}}, {task: "a", over: true},
			{task: "b", ask: 900, want: mesh.Limits{PerAgent: 1000}}}},
		{"a round that was under way before counts as it is", 1000, 0, []taken{{task: "a", begun: true}, {task: "b", begun: true}, {task: "a", ask: 900, running: true, want: mesh.Limits{PerAgent: 500}},
			{task: "b", ask: 900, want: mesh.Limits{PerAgent: 500, Others: 900, OthersTotal: 9000}}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := NewBudget(c.perAgent, c.total)
			entered := map[string]bool{}
			for i, s := range c.steps {
				k := schedule.Key{UID: s.task, Generation: 1, Round: 1}
				if s.over {
					b.Leave(k)
					continue
				}
				if !entered[s.task] {
					entered[s.task] = true
					b.Enter(k, topology.Workload{Kind: topology.DaemonSet, Name: s.agents})
				}
				if s.begun {
					continue
				}
				ask := asks(s.ask)
				ask.Running = s.running
				if diff := cmp.Diff(s.want, b.Take(k, ask)); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", i, diff)
				}
			}
		})
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
		{"a round that got all says so without an event", passed(1, 11*time.Second), "False LoadAsAsked The last round got the load that the task asks for.", ""},
		{"one that got less is told once", reduced(2, 71*time.Second), "True LoadAboveLimit In round 2 " + why + ".", LoadAboveLimit},
		{"and not again while it lasts", reduced(3, 131*time.Second), "True LoadAboveLimit In round 3 " + why + ".", ""},
		{"its end is told", passed(4, 191*time.Second), "False LoadAsAsked The last round got the load that the task asks for.", LoadAsAsked},
		{"a round without an outcome changes nothing", &Result{Key: key(5), Err: errWithdrawn}, "False LoadAsAsked The last round got the load that the task asks for.", ""},
	}
	task.Rounds = 10
	for i, s := range steps {
		task.Status = decide(state{task: task, now: created().Add(time.Duration(i) * time.Minute)}).status
		d := decide(state{task: task, result: s.result, now: created().Add(time.Duration(i)*time.Minute + 11*time.Second)})
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
	if c := meta.FindStatusCondition(decide(state{task: task, now: created().Add(time.Hour)}).status.Conditions, LoadReduced); c != nil {
		t.Errorf("a new revision begins with %+v of the old one", c)
	}
}
