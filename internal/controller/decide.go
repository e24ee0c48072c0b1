package controller

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
)

// longestHistory is how many rounds the status shows.
const longestHistory = 10

// state is all that a decision depends on.
type state struct {
	task Task
	// workload runs the agents, own is how they stand when they are the task's own.
	workload topology.Workload
	own      agentState
	// running is the key of the task's round that is being run, the zero key when there is none.
	running schedule.Key
	// result is that of the last round that was run, nil when there was none since the controller started.
	result *Result
	// newest is the newest round that is kept of the task, read where the task has no status or was edited.
	newest newest
	now    time.Time
}

// newest is the key of the newest round that is kept of a task, the zero key where none is. Unknown reports that the
// store could not tell.
type newest struct {
	key     schedule.Key
	unknown bool
}

// decision is what is to be done, in this order: withdraw, write the status, tell the events, begin.
type decision struct {
	status v1beta1.TaskStatus
	// withdraw ends the running round without a report.
	withdraw bool
	events   []event
	// begin is the round to run, the zero key for none. It is under way in the status already; to begin it twice does
	// no harm.
	begin             schedule.Key
	planned, deadline time.Time
	// interval is the time between two rounds, 0 for a task of one round.
	interval time.Duration
	// after is when to look again; 0 when only a change or the end of a round can bring something new.
	after time.Duration
}

// decide compares a task with the time and the state of its round. It changes nothing that it is given.
func decide(in state) decision {
	d := &decider{state: in, decision: decision{status: *in.task.Status.DeepCopy()}}
	d.run()
	return d.decision
}

type decider struct {
	state
	decision
	timetable schedule.Schedule
	// asked reports that a token asked for the newest round.
	asked bool
	// fresh tells that the task is of a new revision, held that no round may start because the task's own agents are
	// not ready.
	fresh, held bool
}

func (d *decider) run() {
	busy := d.running != schedule.Key{}
	if d.task.Deleting {
		d.withdraw = busy
		return
	}
	seen := d.observe()
	d.withdraw = busy && d.running.Generation != d.status.RoundsGeneration
	if !d.accept() {
		return
	}
	d.recordAgentState()
	if len(d.status.History) == 0 && !d.status.Finish && !d.held {
		d.plan(1, d.timetable.First(seen))
	}
	d.resume()
	for d.runNow() || d.step() {
	}
	d.scheduleRemoval()
	d.describe()
}

// observe turns to a new revision of the task, whose rounds count from 1, and returns the time from which its schedule
// counts. A token that was there before the first round is none to obey: the first round is what it asks for.
func (d *decider) observe() (seen time.Time) {
	seen = d.now.Truncate(time.Second)
	token := d.status.LastRunNow
	if d.status.ObservedGeneration == 0 {
		token = d.task.RunNow
	}
	// Agents of the task's own have to be there first: its schedule counts from then.
	if d.status.ObservedGeneration == 0 && d.task.OwnAgents == nil {
		seen = d.task.Created
	}
	d.fresh = specChanged(d.task)
	if d.fresh {
		d.status = v1beta1.TaskStatus{ObservedGeneration: d.task.Generation, RoundsGeneration: d.series(),
			LastRunNow: token, Conditions: d.status.Conditions, Resource: d.status.Resource}
		d.condition(Succeeded, metav1.ConditionUnknown, NoRoundYet, "No round is over yet.")
		d.condition(OnTime, metav1.ConditionTrue, NothingMissed, "No planned start was missed.")
		meta.RemoveStatusCondition(&d.status.Conditions, LoadReduced)
	}
	d.status.ObservedGeneration, d.status.Revision = d.task.Generation, d.task.Revision
	d.confirm()
	if d.task.OwnAgents == nil {
		d.status.Resource = resourceOf(d.workload, runtimeCreated)
		meta.RemoveStatusCondition(&d.status.Conditions, AgentsReady)
	}
	d.status.ExpectedRound, d.status.Schedule = &d.task.Rounds, d.task.When()
	if d.status.DoneRound == nil {
		d.status.DoneRound = new(int64)
	}
	return seen
}

// rememberedFor is how long agents know a round after its end at most. A task without a status that is older may have
// rounds that nothing but agents tells of.
const rememberedFor = time.Hour

// series returns the number under which rounds count from 1 from now on, which no round of the task has had: the
// task's generation, or the next number where that one was used. Where the status is lost and nothing kept tells which
// were used, it is the time in Unix seconds, which is larger than any of them.
func (d *decider) series() int64 {
	used := max(d.status.RoundsGeneration, d.newest.key.Generation)
	next := max(d.task.Generation, used+1)
	lost := d.status.ObservedGeneration == 0 && used == 0 && d.now.Sub(d.task.Created) > rememberedFor
	if lost || d.newest.unknown {
		next = max(next, d.now.Unix())
	}
	return next
}

// accept reports whether the task can be understood; why not, and why it cannot run all the same, goes to the
// conditions.
func (d *decider) accept() bool {
	timetable, err := d.task.Timetable()
	if err != nil {
		d.refuse(ScheduleInvalid, fmt.Sprintf("spec.schedule cannot be used: %v.", err))
		d.condition(Progressing, metav1.ConditionFalse, NotReady, "The task cannot run; see the condition Ready.")
		return false
	}
	d.timetable = timetable
	if d.own.refused != nil && d.own.step != ensureFront {
		d.refuse(AgentsNotMade,
			fmt.Sprintf("The task's own agents could not be made: %s.", short(d.own.refused.Error())))
		return true
	}
	d.condition(Ready, metav1.ConditionTrue, Accepted, "The task can run.")
	return true
}

func (d *decider) refuse(reason, sentence string) {
	if d.condition(Ready, metav1.ConditionFalse, reason, sentence) {
		d.event(warning, reason, "%s", sentence)
	}
}

// resume plans the round that waited while the task was suspended, or while its own agents started. What passed in that
// time was not missed.
func (d *decider) resume() {
	before := meta.FindStatusCondition(d.status.Conditions, Progressing)
	if d.task.Suspended || d.held || before == nil || len(d.status.History) == 0 ||
		!slices.Contains([]string{Suspended, AgentsStarting, AddressesPending, NotReady}, before.Reason) {
		return
	}
	if waiting := d.status.History[0]; waiting.Status == v1beta1.RecordNotStarted {
		start := waiting.StartTimeStamp.Time
		if !d.now.Before(start.Add(d.window())) {
			start, _ = d.timetable.Next(start, d.now, d.window())
		}
		d.status.History = d.status.History[1:]
		d.plan(waiting.RoundNumber, start)
	}
}

// runNow starts a round at once when there is a new token: the one that waits, or one more when all are over. While a
// round is under way the token waits for its end. The schedule goes on from the start of the round.
func (d *decider) runNow() bool {
	if d.held || d.task.RunNow == "" || d.task.RunNow == d.status.LastRunNow {
		return false
	}
	number := *d.status.DoneRound + 1
	if len(d.status.History) > 0 {
		switch newest := d.status.History[0]; newest.Status {
		case v1beta1.RecordOngoing:
			return false
		case v1beta1.RecordNotStarted:
			number = newest.RoundNumber
			d.status.History = d.status.History[1:]
		case v1beta1.RecordSucceed, v1beta1.RecordFail:
		}
	}
	d.status.LastRunNow, d.status.Finish, d.status.FinishTime = d.task.RunNow, false, nil
	d.asked = true
	d.plan(number, d.now.Truncate(time.Second))
	d.withdrawSuccess(number)
	d.event(normal, RunNowAccepted, "Round %d starts now, as the annotation %s asks.", number, kind.RunNow)
	return true
}

// step moves the newest round on by one state and reports whether it may move again.
func (d *decider) step() bool {
	if d.status.Finish || len(d.status.History) == 0 {
		return false
	}
	record := &d.status.History[0]
	key := schedule.Key{UID: d.task.UID, Generation: d.status.RoundsGeneration, Round: record.RoundNumber}
	switch record.Status {
	case v1beta1.RecordNotStarted:
		return d.await(record, key)
	case v1beta1.RecordOngoing:
		switch {
		case d.result != nil && d.result.Key == key:
			d.close(record, *d.result)
			return true
		case d.running == schedule.Key{}:
			// The controller restarted: the same round is taken up.
			d.begins(key, record)
		}
	}
	return false
}

func (d *decider) begins(key schedule.Key, record *v1beta1.Record) {
	d.begin, d.planned, d.deadline = key, record.StartTimeStamp.Time, record.DeadLineTimeStamp.Time
	if d.task.Rounds != 1 {
		d.interval = d.timetable.Interval(d.planned)
	}
}

// await starts the round when its time has come, and plans it again when the time has passed.
func (d *decider) await(record *v1beta1.Record, key schedule.Key) bool {
	start := record.StartTimeStamp.Time
	switch {
	case d.held, d.task.Suspended && !d.asked:
		return false
	case d.now.Before(start):
		d.lookAgain(start.Sub(d.now))
		return false
	case !d.now.Before(start.Add(d.window())):
		next, more := d.timetable.Next(start, d.now, d.window())
		d.missed(record.RoundNumber, more+1)
		d.status.History = d.status.History[1:]
		d.plan(record.RoundNumber, next)
		return true
	case d.running != schedule.Key{}:
		// Rounds of a task never overlap: the end of the one that is still running brings us back.
		return false
	}
	record.Status = v1beta1.RecordOngoing
	d.begins(key, record)
	if !d.task.Brief() {
		d.event(normal, RoundStarted, "Round %d has started.", record.RoundNumber)
	}
	return false
}

// lookAgain has the task looked at again after so long, or earlier where something else asks for that.
func (d *decider) lookAgain(after time.Duration) {
	if d.after == 0 || after < d.after {
		d.after = after
	}
}

// window is how late a round may start: late enough to forgive a restart of the controller,
// early enough that the load fits in before the deadline, as far as it fits at all. A brief round also leaves the tenth
// of its time in which the last reports are collected: the round before may end late, time and again.
func (d *decider) window() time.Duration {
	load := d.task.Want.Load
	left := d.task.Timeout - load.Duration - load.Timeout
	if d.task.Brief() {
		left -= d.task.Timeout / 10
		return max(left, d.task.Timeout/10)
	}
	return max(left, d.task.Timeout/4)
}

// plan puts a round that has not started on top of the history. A schedule that never comes again ends the task.
func (d *decider) plan(number int64, start time.Time) {
	if start.IsZero() {
		d.finish(d.now)
		return
	}
	record := v1beta1.Record{
		Status: v1beta1.RecordNotStarted, RoundNumber: number,
		StartTimeStamp: metav1.NewTime(start), DeadLineTimeStamp: metav1.NewTime(start.Add(d.task.Timeout)),
		FailedAgentNodeList: []string{}, SucceedAgentNodeList: []string{}, NotReportAgentNodeList: []string{},
	}
	d.status.History = append([]v1beta1.Record{record}, d.status.History...)
	d.status.History = d.status.History[:min(len(d.status.History), longestHistory)]
}

// missed tells of planned starts that passed without a round.
func (d *decider) missed(number, count int64) {
	if count == 0 {
		return
	}
	times := fmt.Sprintf("%d planned starts of round %d were", count, number)
	if count == 1 {
		times = fmt.Sprintf("1 planned start of round %d was", number)
	}
	sentence := times + " missed, because the controller was down or the round before took too long; the round waits " +
		"for the next one."
	d.condition(OnTime, metav1.ConditionFalse, RoundMissed, sentence)
	if !d.task.Brief() || !meta.IsStatusConditionFalse(d.task.Status.Conditions, OnTime) {
		d.event(warning, RoundMissed, "%s", sentence)
	}
}

// close writes the result of a round down and plans the next one.
func (d *decider) close(record *v1beta1.Record, result Result) {
	write(record, result, d.now)
	done := *d.status.DoneRound + 1
	d.status.DoneRound = &done
	d.condition(OnTime, metav1.ConditionTrue, NothingMissed, "No planned start was missed.")
	last := v1beta1.Succeed
	if record.Status == v1beta1.RecordFail {
		last = v1beta1.Failed
		sentence := failed(record.RoundNumber, result)
		if d.condition(Succeeded, metav1.ConditionFalse, RoundFailed, sentence) || !d.task.Brief() {
			d.event(warning, RoundFailed, "%s", sentence)
		}
	} else {
		sentence := succeeded(record.RoundNumber, result)
		if d.condition(Succeeded, metav1.ConditionTrue, RoundSucceeded, sentence) || !d.task.Brief() {
			d.event(normal, RoundSucceeded, "%s", sentence)
		}
	}
	d.announceFindings(record.RoundNumber, result.changes)
	d.status.LastRoundStatus = &last
	d.reportLoad(record.RoundNumber, result)
	if result.Err != nil && result.Judged() {
		d.event(warning, ReportNotKept, "The report of round %d is not kept: %s.", record.RoundNumber,
			short(result.Err.Error()))
	}
	if d.task.Rounds != schedule.Forever && done >= d.task.Rounds {
		d.finish(record.EndTimeStamp.Time)
		return
	}
	number := record.RoundNumber + 1
	next, missed := d.timetable.Next(record.StartTimeStamp.Time, d.now, d.window())
	d.missed(number, missed)
	d.plan(number, next)
}

func (d *decider) finish(at time.Time) {
	when := metav1.NewTime(at.Truncate(time.Second))
	d.status.Finish, d.status.FinishTime = true, &when
}
