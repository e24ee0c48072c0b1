package controller

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/verdict"
)

// pulse is a task whose rounds follow each other after ten seconds for ever.
func pulse() Task {
	return Task{Kind: "NetReach", Name: "task", UID: "u", Generation: 1, Revision: "one", Created: created(),
		Schedule: "0 1", Every: 10 * time.Second, Timeout: 10 * time.Second, Rounds: -1,
		Want: mesh.Want{Load: mesh.Load{PerSecond: 5, Duration: 2 * time.Second, Timeout: 500 * time.Millisecond}}}
}

// stepped is the task with the status that the decision wrote.
func stepped(t Task, d decision) Task {
	t.Status = d.status
	return t
}

func TestRoundsCloserThanAMinuteFollowEachOtherBackToBack(t *testing.T) {
	task := pulse()
	for n := int64(1); n <= 3; n++ {
		start := time.Duration(n-1) * 10 * time.Second
		begun := decide(state{task: task, now: created().Add(start)})
		if begun.begin != key(n) || !begun.deadline.Equal(created().Add(start+10*time.Second)) ||
			begun.interval != 10*time.Second {
			t.Fatalf("round %d: begins %s until %v, every %v; want it to end as the next one begins", n, begun.begin,
				begun.deadline.Sub(created()), begun.interval)
		}
		closed := decide(state{task: stepped(task, begun), result: passed(n, start+3*time.Second),
			now: created().Add(start + 3*time.Second)})
		if closed.begin.UID != "" || closed.after != 7*time.Second {
			t.Fatalf("round %d over after 3 s: begins %s, looks again after %v; want to wait 7 s", n, closed.begin,
				closed.after)
		}
		task = stepped(task, closed)
	}
}

func TestARoundThatWaitedForTheOneBeforeStartsAsLongAsItsReportsCanBeCollected(t *testing.T) {
	for name, c := range map[string]struct {
		load mesh.Load
		late time.Duration
		// starts reports whether the round starts so late.
		starts bool
	}{
		"two seconds late":              {pulse().Want.Load, 2 * time.Second, true},
		"before the load cannot fit in": {pulse().Want.Load, 6400 * time.Millisecond, true},
		"no time for the last reports":  {pulse().Want.Load, 6500 * time.Millisecond, false},
		"the longest load that the API server takes, two seconds late": {
			mesh.Load{PerSecond: 1, Duration: 6 * time.Second, Timeout: time.Second}, 1900 * time.Millisecond, true},
		"the longest load, too late": {
			mesh.Load{PerSecond: 1, Duration: 6 * time.Second, Timeout: time.Second}, 2 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			task := pulse()
			task.Want.Load = c.load
			done := int64(1)
			task.Status = v1beta1.TaskStatus{ObservedGeneration: 1, Revision: "one", RoundsGeneration: 1,
				DoneRound: &done, History: []v1beta1.Record{record(2, v1beta1.RecordNotStarted, 10*time.Second)}}
			d := decide(state{task: task, now: created().Add(10*time.Second + c.late)})
			if got := d.begin == key(2); got != c.starts {
				t.Errorf("starts %v late: %t, want %t", c.late, got, c.starts)
			}
		})
	}
}

// An event for every round of ten seconds would be 17,000 a day and task.
func TestRoundsCloserThanAMinuteAreToldOfWhereTheirResultChanges(t *testing.T) {
	fail := func(n int64, ended time.Duration) *Result {
		r := passed(n, ended)
		r.Result, r.Reasons = verdict.Fail, []string{"one"}
		return r
	}
	lost := func(n int64, _ time.Duration) *Result { return &Result{Key: key(n), Err: errors.New("no API")} }
	rounds := []struct {
		result func(int64, time.Duration) *Result
		// late is how long after its planned start the round is over.
		late time.Duration
		want []string
	}{
		{passed, 3 * time.Second, []string{RoundSucceeded}},
		{passed, 3 * time.Second, nil},
		{fail, 3 * time.Second, []string{RoundFailed}},
		{fail, 3 * time.Second, nil},
		{lost, 3 * time.Second, nil},
		{passed, 3 * time.Second, []string{RoundSucceeded}},
		{passed, 18 * time.Second, []string{RoundMissed}},
		{passed, 18 * time.Second, nil},
		{passed, 3 * time.Second, nil},
		{passed, 18 * time.Second, []string{RoundMissed}},
	}
	task := pulse()
	task.Status = decide(state{task: task, now: created()}).status
	for i, r := range rounds {
		n, start := int64(i+1), task.Status.History[0].StartTimeStamp.Sub(created())
		closed := decide(state{task: task, result: r.result(n, start+r.late), now: created().Add(start + r.late)})
		var got []string
		for _, e := range closed.events {
			got = append(got, e.reason)
		}
		next := closed.status.History[0]
		begun := decide(state{task: stepped(task, closed), now: next.StartTimeStamp.Time})
		for _, e := range begun.events {
			got = append(got, e.reason)
		}
		if diff := cmp.Diff(r.want, got); diff != "" {
			t.Errorf("round %d: events (-want +got):\n%s", n, diff)
		}
		task = stepped(task, begun)
	}
}

func TestATaskWithAnImpossibleIntervalIsRefused(t *testing.T) {
	task := pulse()
	task.Every = 9 * time.Second
	d := decide(state{task: task, now: created()})
	for _, c := range d.status.Conditions {
		if c.Type == Ready && c.Status == metav1.ConditionFalse && c.Reason == ScheduleInvalid {
			return
		}
	}
	t.Errorf("the conditions are %+v, want Ready to be False", d.status.Conditions)
}

func TestTheStatusSaysWhenRoundsStart(t *testing.T) {
	task := minutely()
	for _, c := range []struct {
		name     string
		schedule string
		every    time.Duration
		want     string
	}{
		{"minutes", "5 60", 0, "5 60"},
		{"cron", "*/10 * * * *", 0, "*/10 * * * *"},
		{"an interval, beside the default of the field that it replaces", "0 1", 30 * time.Second, "every 30 s"},
		{"an hour's interval", "0 1", time.Hour, "every 3600 s"},
		{"a schedule that cannot be used", "often", 0, "often"},
	} {
		task.Schedule, task.Every = c.schedule, c.every
		if got := decide(state{task: task, now: created()}).status.Schedule; got != c.want {
			t.Errorf("%s: the status says %q, want %q", c.name, got, c.want)
		}
	}
}
