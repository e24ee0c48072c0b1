package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// created is when the tasks of these tests were made; all times in them count from it.
func created() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func at(d time.Duration) metav1.Time { return metav1.NewTime(created().Add(d)) }

func key(n int64) schedule.Key { return schedule.Key{UID: "u", Generation: 1, Round: n} }

// minutely is a task of three rounds, one a minute, whose load takes ten seconds.
func minutely() Task {
	return Task{Kind: "NetReach", Name: "task", UID: "u", Generation: 1, Revision: "one", Created: created(),
		Schedule: "0 1", Rounds: 3, Timeout: time.Minute,
		Want: mesh.Want{Load: mesh.Load{PerSecond: 10, Duration: 10 * time.Second, Timeout: time.Second}}}
}

func record(n int64, status v1beta1.RecordStatus, start time.Duration) v1beta1.Record {
	return v1beta1.Record{RoundNumber: n, Status: status, StartTimeStamp: at(start),
		DeadLineTimeStamp:   at(start + time.Minute),
		FailedAgentNodeList: []string{}, SucceedAgentNodeList: []string{}, NotReportAgentNodeList: []string{}}
}

// under is a task that the controller has seen before, with the history given, newest first.
func under(done int64, history ...v1beta1.Record) Task {
	t := minutely()
	t.Status = v1beta1.TaskStatus{ObservedGeneration: 1, Revision: "one", RoundsGeneration: 1, DoneRound: &done,
		ExpectedRound: &t.Rounds, History: history}
	return t
}

func passed(n int64, ended time.Duration) *Result {
	return &Result{Key: key(n),
		Summary: Summary{Result: verdict.Pass, Expected: 2, Succeeded: []string{"n0", "n1"},
			Ended: created().Add(ended)}}
}

// glance is the part of a decision that a case is about, in short words.
type glance struct {
	History    []string
	Done       int64
	Finish     bool
	Begin      string
	Deadline   time.Duration
	Withdraw   bool
	After      time.Duration
	Events     []string
	Conditions map[string]string
}

func glanceAt(d decision) glance {
	g := glance{Finish: d.status.Finish, Withdraw: d.withdraw, After: d.after, Conditions: map[string]string{}}
	if d.status.DoneRound != nil {
		g.Done = *d.status.DoneRound
	}
	for _, r := range d.status.History {
		g.History = append(g.History, fmt.Sprintf("%d %s %v", r.RoundNumber, r.Status, r.StartTimeStamp.Sub(created())))
	}
	if d.begin != (schedule.Key{}) {
		g.Begin, g.Deadline = d.begin.String(), d.deadline.Sub(created())
	}
	for _, e := range d.events {
		g.Events = append(g.Events, e.reason)
	}
	for _, c := range d.status.Conditions {
		if c.Type == LoadReduced {
			// It has a test of its own.
			continue
		}
		g.Conditions[c.Type] = string(c.Status) + " " + c.Reason
	}
	return g
}

func conditions(ready, progressing, succeeded, onTime string) map[string]string {
	c := map[string]string{"Ready": ready, "Progressing": progressing, "Succeeded": succeeded, "OnTime": onTime}
	for k, v := range c {
		if v == "" {
			delete(c, k)
		}
	}
	return c
}

const (
	accepted = "True Accepted"
	started  = "True RoundStarted"
	planned  = "True RoundPlanned"
	none     = "Unknown NoRoundYet"
	onTime   = "True NothingMissed"
	late     = "False RoundMissed"
	good     = "True RoundSucceeded"
	bad      = "False RoundFailed"
	paused   = "False Suspended"
)

// suspended is a task as it stands while it is suspended.
func suspended(t Task) Task {
	t.Status.Conditions = []metav1.Condition{{Type: Progressing, Status: metav1.ConditionFalse, Reason: Suspended,
		ObservedGeneration: 1}}
	return t
}

type decideCase struct {
	name    string
	task    Task
	change  func(*Task)
	running schedule.Key
	result  *Result
	now     time.Duration
	want    glance
}

func decideCases() []decideCase {
	return []decideCase{
		{name: "a new task without a delay starts its first round at once", task: minutely(),
			now: 300 * time.Millisecond,
			want: glance{History: []string{"1 ongoing 0s"}, Begin: "u/1/1", Deadline: time.Minute,
				Events:     []string{"RoundStarted"},
				Conditions: conditions(accepted, started, none, onTime)}},
		{name: "a delay counts from the task's creation, and the start is waited for", task: minutely(),
			change: func(t *Task) { t.Schedule = "5 1" }, now: time.Minute,
			want: glance{History: []string{"1 notstarted 5m0s"}, After: 4 * time.Minute,
				Conditions: conditions(accepted, planned, none, onTime)}},
		{name: "cron starts at the next time that fits", task: minutely(),
			change: func(t *Task) { t.Schedule = "30 * * * *" }, now: time.Second,
			want: glance{History: []string{"1 notstarted 30m0s"}, After: 30*time.Minute - time.Second,
				Conditions: conditions(accepted, planned, none, onTime)}},
		{name: "a planned round waits for its start", task: under(1, record(2, v1beta1.RecordNotStarted, time.Minute)),
			now: 50 * time.Second,
			want: glance{History: []string{"2 notstarted 1m0s"}, Done: 1, After: 10 * time.Second,
				Conditions: conditions(accepted, planned, "", "")}},
		{name: "a round that is due starts, late as well",
			task: under(1, record(2, v1beta1.RecordNotStarted, time.Minute)), now: 100 * time.Second,
			want: glance{History: []string{"2 ongoing 1m0s"}, Done: 1, Begin: "u/1/2", Deadline: 2 * time.Minute,
				Events: []string{"RoundStarted"}, Conditions: conditions(accepted, started, "", "")}},
		{name: "a start that is too late for the load is missed, and the round keeps its number",
			task: under(1, record(2, v1beta1.RecordNotStarted, time.Minute)), now: 110 * time.Second,
			want: glance{History: []string{"2 notstarted 2m0s"}, Done: 1, After: 10 * time.Second,
				Events: []string{"RoundMissed"}, Conditions: conditions(accepted, planned, "", late)}},
		{name: "after a long outage all missed starts are skipped and the round that is due starts",
			task: under(1, record(2, v1beta1.RecordNotStarted, time.Minute)), now: time.Hour + time.Second,
			want: glance{History: []string{"2 ongoing 1h0m0s"}, Done: 1, Begin: "u/1/2", Deadline: 61 * time.Minute,
				Events: []string{"RoundMissed", "RoundStarted"}, Conditions: conditions(accepted, started, "", late)}},
		{name: "a task made while the controller was down starts in the next window", task: minutely(),
			now: 10*time.Minute + time.Second,
			want: glance{History: []string{"1 ongoing 10m0s"}, Begin: "u/1/1", Deadline: 11 * time.Minute,
				Events:     []string{"RoundMissed", "RoundStarted"},
				Conditions: conditions(accepted, started, none, late)}},
		{name: "a round under way is left alone", task: under(0, record(1, v1beta1.RecordOngoing, 0)), running: key(1),
			now:  5 * time.Second,
			want: glance{History: []string{"1 ongoing 0s"}, Conditions: conditions(accepted, started, "", "")}},
		{name: "a round that a dead controller left is taken up under the same key",
			task: under(0, record(1, v1beta1.RecordOngoing, 0)), now: 20 * time.Second,
			want: glance{History: []string{"1 ongoing 0s"}, Begin: "u/1/1", Deadline: time.Minute,
				Conditions: conditions(accepted, started, "", "")}},
		{name: "a round that a dead controller left is taken up after its deadline too, for what can be collected",
			task: under(0, record(1, v1beta1.RecordOngoing, 0)), now: time.Hour,
			want: glance{History: []string{"1 ongoing 0s"}, Begin: "u/1/1", Deadline: time.Minute,
				Conditions: conditions(accepted, started, "", "")}},
		{name: "the end of a round plans the next one after the planned start",
			task: under(0, record(1, v1beta1.RecordOngoing, 0)), result: passed(1, 11*time.Second),
			now: 11 * time.Second,
			want: glance{History: []string{"2 notstarted 1m0s", "1 succeed 0s"}, Done: 1, After: 49 * time.Second,
				Events: []string{"RoundSucceeded"}, Conditions: conditions(accepted, planned, good, onTime)}},
		{name: "a round that took until the next start is followed at once",
			task: under(0, record(1, v1beta1.RecordOngoing, 0)), result: passed(1, time.Minute), now: time.Minute,
			want: glance{History: []string{"2 ongoing 1m0s", "1 succeed 0s"}, Done: 1, Begin: "u/1/2",
				Deadline: 2 * time.Minute, Events: []string{"RoundSucceeded", "RoundStarted"},
				Conditions: conditions(accepted, started, good, onTime)}},
		{name: "a round that took longer than the next window skips it",
			task: under(0, record(1, v1beta1.RecordOngoing, 0)), result: passed(1, 110*time.Second),
			now: 110 * time.Second,
			want: glance{History: []string{"2 notstarted 2m0s", "1 succeed 0s"}, Done: 1, After: 10 * time.Second,
				Events:     []string{"RoundSucceeded", "RoundMissed"},
				Conditions: conditions(accepted, planned, good, late)}},
		{name: "the last round finishes the task", task: under(2, record(3, v1beta1.RecordOngoing, 0)),
			result: passed(3, 11*time.Second), now: 11 * time.Second,
			want: glance{History: []string{"3 succeed 0s"}, Done: 3, Finish: true, Events: []string{"RoundSucceeded"},
				Conditions: conditions(accepted, "False Finished", good, onTime)}},
		{name: "a task for ever goes on", task: under(2, record(3, v1beta1.RecordOngoing, 0)),
			change: func(t *Task) { t.Rounds = -1 }, result: passed(3, 11*time.Second), now: 11 * time.Second,
			want: glance{History: []string{"4 notstarted 1m0s", "3 succeed 0s"}, Done: 3, After: 49 * time.Second,
				Events: []string{"RoundSucceeded"}, Conditions: conditions(accepted, planned, good, onTime)}},
		{name: "a finished task rests", task: under(3, record(3, v1beta1.RecordSucceed, 0)),
			change: func(t *Task) { t.Status.Finish = true }, result: passed(3, time.Second), now: time.Hour,
			want: glance{History: []string{"3 succeed 0s"}, Done: 3, Finish: true,
				Conditions: conditions(accepted, "False Finished", "", "")}},
		{name: "a round that could not be run fails", task: under(2, record(3, v1beta1.RecordOngoing, 0)),
			result: &Result{Key: key(3), Err: errors.New("no API")}, now: 11 * time.Second,
			want: glance{History: []string{"3 fail 0s"}, Done: 3, Finish: true, Events: []string{"RoundFailed"},
				Conditions: conditions(accepted, "False Finished", bad, onTime)}},
		{name: "a round whose report is lost keeps its verdict and says so",
			task: under(2, record(3, v1beta1.RecordOngoing, 0)), change: nil, now: 11 * time.Second,
			result: func() *Result { r := passed(3, 11*time.Second); r.Err = errors.New("disk full"); return r }(),
			want: glance{History: []string{"3 succeed 0s"}, Done: 3, Finish: true,
				Events:     []string{"RoundSucceeded", "ReportNotKept"},
				Conditions: conditions(accepted, "False Finished", good, onTime)}},
		{name: "the result of another round says nothing about this one",
			task: under(1, record(2, v1beta1.RecordOngoing, time.Minute)), result: passed(1, 0), running: key(2),
			now: 70 * time.Second,
			want: glance{History: []string{"2 ongoing 1m0s"}, Done: 1,
				Conditions: conditions(accepted, started, "", "")}},
		{name: "an edited task starts anew from round 1, once its old round has stopped",
			task:   under(1, record(2, v1beta1.RecordOngoing, time.Minute)),
			change: func(t *Task) { t.Generation, t.Revision = 2, "two" }, running: key(2), now: 70 * time.Second,
			want: glance{History: []string{"1 notstarted 1m10s"}, Withdraw: true,
				Conditions: conditions(accepted, planned, none, onTime)}},
		{name: "an edited task starts at once when nothing of it runs",
			task:   under(3, record(3, v1beta1.RecordFail, 0)),
			change: func(t *Task) { t.Generation, t.Revision = 2, "two"; t.Status.Finish = true },
			now:    70 * time.Second,
			want: glance{History: []string{"1 ongoing 1m10s"}, Begin: "u/2/1", Deadline: 130 * time.Second,
				Events: []string{"RoundStarted"}, Conditions: conditions(accepted, started, none, onTime)}},
		{name: "a schedule that cannot be read is refused", task: minutely(),
			change: func(t *Task) { t.Schedule = "soon" }, now: time.Second,
			want: glance{Events: []string{"ScheduleInvalid"},
				Conditions: conditions("False ScheduleInvalid", "False NotReady", none, onTime)}},
		{name: "an edit to a refused task withdraws the round of the generation before",
			task:   under(0, record(1, v1beta1.RecordOngoing, 0)),
			change: func(t *Task) { t.Generation, t.Revision = 2, "two"; t.Schedule = "soon" }, running: key(1),
			now: time.Second,
			want: glance{Withdraw: true, Events: []string{"ScheduleInvalid"},
				Conditions: conditions("False ScheduleInvalid", "False NotReady", none, onTime)}},
		{name: "a suspended task starts nothing, however late",
			task:   under(1, record(2, v1beta1.RecordNotStarted, time.Minute)),
			change: func(t *Task) { t.Generation, t.Suspended = 2, true }, now: time.Hour,
			want: glance{History: []string{"2 notstarted 1m0s"}, Done: 1,
				Conditions: conditions(accepted, paused, "", "")}},
		{name: "suspending a task lets its running round end, and keeps its rounds",
			task:   under(1, record(2, v1beta1.RecordOngoing, time.Minute)),
			change: func(t *Task) { t.Generation, t.Suspended = 2, true }, running: key(2), now: 70 * time.Second,
			want: glance{History: []string{"2 ongoing 1m0s"}, Done: 1,
				Conditions: conditions(accepted, started, "", "")}},
		{name: "a resumed task goes on with the next start and has missed nothing",
			task:   suspended(under(1, record(2, v1beta1.RecordNotStarted, time.Minute))),
			change: func(t *Task) { t.Generation = 3 }, now: time.Hour + 55*time.Second,
			want: glance{History: []string{"2 notstarted 1h1m0s"}, Done: 1, After: 5 * time.Second,
				Conditions: conditions(accepted, planned, "", "")}},
		{name: "a new token starts the round that waits at once",
			task: under(1, record(2, v1beta1.RecordNotStarted, time.Minute)), change: func(t *Task) { t.RunNow = "a" },
			now: 30 * time.Second,
			want: glance{History: []string{"2 ongoing 30s"}, Done: 1, Begin: "u/1/2", Deadline: 90 * time.Second,
				Events: []string{"RunNowAccepted", "RoundStarted"}, Conditions: conditions(accepted, started, "", "")}},
		{name: "a new token adds a round to a finished task", task: under(3, record(3, v1beta1.RecordSucceed, 0)),
			change: func(t *Task) { t.RunNow, t.Status.Finish, t.Status.LastRunNow = "b", true, "a" }, now: time.Hour,
			want: glance{History: []string{"4 ongoing 1h0m0s", "3 succeed 0s"}, Done: 3, Begin: "u/1/4",
				Deadline: time.Hour + time.Minute, Events: []string{"RunNowAccepted", "RoundStarted"},
				Conditions: conditions(accepted, started, "", "")}},
		{name: "a token waits for the end of the round under way",
			task: under(1, record(2, v1beta1.RecordOngoing, time.Minute)), change: func(t *Task) { t.RunNow = "a" },
			running: key(2), now: 70 * time.Second,
			want: glance{History: []string{"2 ongoing 1m0s"}, Done: 1,
				Conditions: conditions(accepted, started, "", "")}},
		{name: "a token runs a suspended task as well",
			task:   suspended(under(1, record(2, v1beta1.RecordNotStarted, time.Minute))),
			change: func(t *Task) { t.Suspended, t.RunNow = true, "a" }, now: time.Hour,
			want: glance{History: []string{"2 ongoing 1h0m0s"}, Done: 1, Begin: "u/1/2", Deadline: time.Hour +
				time.Minute, Events: []string{"RunNowAccepted", "RoundStarted"},
				Conditions: conditions(accepted, started, "", "")}},
		{name: "a token that was obeyed is not obeyed again",
			task:   under(1, record(2, v1beta1.RecordNotStarted, time.Minute)),
			change: func(t *Task) { t.RunNow, t.Status.LastRunNow = "a", "a" }, now: 30 * time.Second,
			want: glance{History: []string{"2 notstarted 1m0s"}, Done: 1, After: 30 * time.Second,
				Conditions: conditions(accepted, planned, "", "")}},
		{name: "a time zone that there is not is refused", task: minutely(),
			change: func(t *Task) { t.Zone = "Mars/Olympus" }, now: time.Second,
			want: glance{Events: []string{"ScheduleInvalid"},
				Conditions: conditions("False ScheduleInvalid", "False NotReady", none, onTime)}},
		{name: "a clock that is set back starts nothing twice and plans nothing anew",
			task: under(1, record(2, v1beta1.RecordNotStarted, time.Hour),
				record(1, v1beta1.RecordSucceed, 59*time.Minute)), now: 10 * time.Minute,
			want: glance{History: []string{"2 notstarted 1h0m0s", "1 succeed 59m0s"}, Done: 1, After: 50 * time.Minute,
				Conditions: conditions(accepted, planned, "", "")}},
		{name: "a clock that is set ahead misses starts, says so, and goes on",
			task: under(1, record(2, v1beta1.RecordNotStarted, time.Minute), record(1, v1beta1.RecordSucceed, 0)),
			now:  24*time.Hour + 55*time.Second,
			want: glance{History: []string{"2 notstarted 24h1m0s", "1 succeed 0s"}, Done: 1, After: 5 * time.Second,
				Events: []string{"RoundMissed"}, Conditions: conditions(accepted, planned, "", late)}},
		{name: "a round that ends before it began by a clock that was set back is closed all the same",
			task: under(0, record(1, v1beta1.RecordOngoing, time.Hour)), result: passed(1, 10*time.Minute),
			now: 10 * time.Minute,
			want: glance{History: []string{"2 notstarted 1h1m0s", "1 succeed 1h0m0s"}, Done: 1, After: 51 * time.Minute,
				Events: []string{"RoundSucceeded"}, Conditions: conditions(accepted, planned, good, onTime)}},
		{name: "a task that is being deleted has its round withdrawn and its status left alone",
			task: under(0, record(1, v1beta1.RecordOngoing, 0)), change: func(t *Task) { t.Deleting = true },
			running: key(1), now: time.Second,
			want: glance{History: []string{"1 ongoing 0s"}, Withdraw: true, Conditions: map[string]string{}}},
	}
}

func TestDecide(t *testing.T) {
	for _, c := range decideCases() {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				c.change(&c.task)
			}
			before := *c.task.Status.DeepCopy()
			in := state{task: c.task, workload: topology.Workload{Kind: topology.DaemonSet, Name: "kdoctor-agent"},
				running: c.running, result: c.result, now: created().Add(c.now)}
			d := decide(in)
			if diff := cmp.Diff(c.want, glanceAt(d)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, in.task.Status); diff != "" {
				t.Errorf("the status that was given is changed:\n%s", diff)
			}
			in.task.Status, in.running = d.status, schedule.Key{}
			if d.begin != (schedule.Key{}) {
				in.running = d.begin
			}
			again := decide(in)
			if c.task.Deleting || d.withdraw {
				return
			}
			if diff := cmp.Diff(d.status, again.status); diff != "" || len(again.events) != 0 {
				t.Errorf("the same state decided again changes the status or tells %v again:\n%s", again.events, diff)
			}
		})
	}
}

func TestHistoryHoldsTheTenNewestRounds(t *testing.T) {
	task := minutely()
	task.Rounds = 12
	var result *Result
	for n := int64(1); n <= 12; n++ {
		now := created().Add(time.Duration(n-1) * time.Minute)
		d := decide(state{task: task, result: result, now: now})
		task.Status = d.status
		result = passed(n, now.Sub(created())+11*time.Second)
		task.Status = decide(state{task: task, result: result, now: result.Ended}).status
	}
	if n := len(task.Status.History); n != 10 || task.Status.History[0].RoundNumber != 12 ||
		task.Status.History[9].RoundNumber != 3 || !task.Status.Finish {
		t.Errorf("history of %d from round %d, finished: %t; want 10 from round 12, finished", n,
			task.Status.History[0].RoundNumber, task.Status.Finish)
	}
}

func TestRecordOfAClosedRound(t *testing.T) {
	text := func(s string) *string { return &s }
	number := func(n int64) *int64 { return &n }
	end := at(11 * time.Second)
	base := v1beta1.Record{RoundNumber: 1, StartTimeStamp: at(0), DeadLineTimeStamp: at(time.Minute),
		EndTimeStamp: &end, Duration: text("11.25s")}
	ended := created().Add(11250 * time.Millisecond)
	cases := []struct {
		name   string
		result Result
		want   func(*v1beta1.Record)
	}{
		{name: "a success lists the nodes and has no reason",
			result: Result{Summary: Summary{Result: verdict.Pass, Expected: 2, Succeeded: []string{"n0", "n1"},
				Ended: ended}},
			want: func(r *v1beta1.Record) {
				r.Status, r.ExpectedActorNumber = v1beta1.RecordSucceed, number(2)
				r.SucceedAgentNodeList, r.FailedAgentNodeList, r.NotReportAgentNodeList = []string{"n0", "n1"},
					[]string{}, []string{}
			}},
		{name: "a failure tells its reasons, and an agent without a node has no place in the list",
			result: Result{Summary: Summary{Result: verdict.Fail, Reasons: []string{"one", "two"}, Expected: 3,
				Succeeded: []string{"n0"}, Failed: []string{"n2", "n1", "n2"}, Silent: []string{""}, Ended: ended}},
			want: func(r *v1beta1.Record) {
				r.Status, r.ExpectedActorNumber, r.FailureReason = v1beta1.RecordFail, number(3), "one; two"
				r.SucceedAgentNodeList, r.FailedAgentNodeList, r.NotReportAgentNodeList = []string{"n0"},
					[]string{"n1", "n2"}, []string{}
			}},
		{name: "no data is a failure",
			result: Result{Summary: Summary{Result: verdict.NoData, Reasons: []string{"no agent reported"},
				Ended: ended}},
			want: func(r *v1beta1.Record) {
				r.Status, r.ExpectedActorNumber, r.FailureReason = v1beta1.RecordFail, number(0), "no agent reported"
				r.SucceedAgentNodeList, r.FailedAgentNodeList, r.NotReportAgentNodeList = []string{}, []string{},
					[]string{}
			}},
		{name: "a round does not end before it began, whatever the clock says",
			result: Result{Summary: Summary{Result: verdict.Pass, Expected: 1, Succeeded: []string{"n0"},
				Ended: created().Add(-time.Hour)}},
			want: func(r *v1beta1.Record) {
				begun := at(0)
				r.EndTimeStamp, r.Duration = &begun, text("0s")
				r.Status, r.ExpectedActorNumber = v1beta1.RecordSucceed, number(1)
				r.SucceedAgentNodeList, r.FailedAgentNodeList, r.NotReportAgentNodeList = []string{"n0"}, []string{},
					[]string{}
			}},
		{name: "a round that was slept through says so", result: Result{Err: fmt.Errorf("run: %w", round.ErrOverdue)},
			want: func(r *v1beta1.Record) {
				r.Status, r.ExpectedActorNumber, r.FailureReason = v1beta1.RecordFail, number(0),
					"the controller was down until after the deadline"
				r.SucceedAgentNodeList, r.FailedAgentNodeList, r.NotReportAgentNodeList = []string{}, []string{},
					[]string{}
			}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, want := v1beta1.Record{RoundNumber: 1, StartTimeStamp: at(0), DeadLineTimeStamp: at(time.Minute)}, base
			write(&got, c.result, ended)
			c.want(&want)
			want.FailedAgentNodeNumber = number(int64(len(want.FailedAgentNodeList)))
			want.SucceedAgentNodeNumber = number(int64(len(want.SucceedAgentNodeList)))
			want.NotReportAgentNodeNumber = number(int64(len(want.NotReportAgentNodeList)))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheStatusOfALargeClusterStaysSmall(t *testing.T) {
	const nodes, rounds, most = 5000, 10, 100_000
	name := func(n int) string { return fmt.Sprintf("%060d", n) }
	all := make([]string, 0, nodes)
	for n := range nodes {
		all = append(all, name(nodes-1-n))
	}
	task := minutely()
	task.Rounds = rounds
	var result *Result
	for n := range int64(rounds) {
		now := created().Add(time.Duration(n) * time.Minute)
		task.Status = decide(state{task: task, result: result, now: now}).status
		result = &Result{Key: key(n + 1), Summary: Summary{Result: verdict.Fail, Expected: nodes, Reasons: all,
			Succeeded: all, Failed: all, Silent: all, Ended: now.Add(11 * time.Second)}}
		task.Status = decide(state{task: task, result: result, now: result.Ended}).status
	}
	if n := len(task.Status.History); n != rounds {
		t.Fatalf("the history has %d rounds, want %d", n, rounds)
	}
	written, err := json.Marshal(task.Status)
	if err != nil {
		t.Fatal(err)
	}
	if len(written) > most {
		t.Errorf("the status has %d bytes, want at most %d", len(written), most)
	}
	for _, r := range task.Status.History {
		for _, list := range []struct {
			names  []string
			number *int64
		}{{r.FailedAgentNodeList, r.FailedAgentNodeNumber}, {r.SucceedAgentNodeList, r.SucceedAgentNodeNumber},
			{r.NotReportAgentNodeList, r.NotReportAgentNodeNumber}} {
			if len(list.names) != 20 || list.names[0] != name(0) || list.names[19] != name(19) ||
				list.number == nil || *list.number != nodes {
				t.Fatalf("round %d lists %d of %v nodes, want the first 20 of 5000", r.RoundNumber, len(list.names),
					list.number)
			}
		}
	}
	t.Logf("the status has %d bytes", len(written))
}
