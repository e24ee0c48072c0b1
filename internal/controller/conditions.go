package controller

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/schedule"
)

// The types of conditions.
const (
	// Ready reports whether the task can run.
	Ready = "Ready"
	// Progressing reports whether rounds are under way or to come.
	Progressing = "Progressing"
	// Succeeded tells how the last round ended. It is Unknown while a round is to come that an edit or a run-now token
	// asked for, so that whoever waits for the condition waits for that round.
	Succeeded = "Succeeded"
	// OnTime is False from a missed start until a round is over.
	OnTime = "OnTime"
	// LoadReduced reports whether the last round got less load than the task asks for.
	LoadReduced = "LoadReduced"
	// AgentsReady reports whether the agents of the task's own are ready; a task without such agents does not have it.
	AgentsReady = "AgentsReady"
)

// The reasons of conditions and events. They are stable: alerts and scripts may rely on them.
const (
	Accepted         = "Accepted"
	AgentsNotMade    = "AgentsNotMade"
	AgentsStarting   = "AgentsStarting"
	AgentsCreated    = "AgentsCreated"
	AgentsIncomplete = "AgentsIncomplete"
	AgentsRemoved    = "AgentsRemoved"
	AddressesPending = "AddressesPending"
	FrontRefused     = "FrontRefused"
	ScheduleInvalid  = "ScheduleInvalid"
	NotReady         = "NotReady"
	RoundPlanned     = "RoundPlanned"
	RoundStarted     = "RoundStarted"
	RoundSucceeded   = "RoundSucceeded"
	RoundFailed      = "RoundFailed"
	RoundMissed      = "RoundMissed"
	NothingMissed    = "NothingMissed"
	NoRoundYet       = "NoRoundYet"
	ReportNotKept    = "ReportNotKept"
	Finished         = "Finished"
	Suspended        = "Suspended"
	RunNowAccepted   = "RunNowAccepted"
	LoadAboveLimit   = "LoadAboveLimit"
	LoadAsAsked      = "LoadAsAsked"
)

const (
	normal  = corev1.EventTypeNormal
	warning = corev1.EventTypeWarning
)

// event is one event to be told.
type event struct{ kind, reason, note string }

func (d *decider) event(kind, reason, format string, args ...any) {
	d.events = append(d.events, event{kind: kind, reason: reason, note: short(fmt.Sprintf(format, args...))})
}

// condition sets a condition and reports whether its status or reason is another than before.
func (d *decider) condition(kind string, status metav1.ConditionStatus, reason, message string) bool {
	before := meta.FindStatusCondition(d.status.Conditions, kind)
	differs := before == nil || before.Status != status || before.Reason != reason ||
		before.ObservedGeneration != d.task.Generation
	meta.SetStatusCondition(&d.status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: d.task.Generation, LastTransitionTime: metav1.NewTime(d.now.Truncate(1e9)),
	})
	return differs
}

// confirm says of all conditions that they are of this generation: an edit that starts no round, such as that of the
// suspension, leaves them as they are, and "kubectl wait" takes no condition of an earlier generation.
func (d *decider) confirm() {
	for i := range d.status.Conditions {
		d.status.Conditions[i].ObservedGeneration = d.task.Generation
	}
}

// withdrawSuccess takes back what the condition Succeeded says of the round before: who asked for another round wants to
// know of that one.
func (d *decider) withdrawSuccess(number int64) {
	if meta.FindStatusCondition(d.status.Conditions, Succeeded) != nil {
		d.condition(Succeeded, metav1.ConditionUnknown, RunNowAccepted,
			fmt.Sprintf("Round %d, which the annotation %s asks for, is not over yet.", number, kind.RunNow))
	}
}

// reportLoad reports whether the round got all the load that the task asks for, by an event only where that is another
// than before. A round without an outcome says nothing about it.
func (d *decider) reportLoad(number int64, result Result) {
	switch {
	case !result.Judged():
	case result.Reduced != "":
		sentence := fmt.Sprintf("In round %d %s.", number, short(result.Reduced))
		if d.condition(LoadReduced, metav1.ConditionTrue, LoadAboveLimit, sentence) {
			d.event(warning, LoadAboveLimit, "%s", sentence)
		}
	default:
		before := meta.IsStatusConditionTrue(d.status.Conditions, LoadReduced)
		d.condition(LoadReduced, metav1.ConditionFalse, LoadAsAsked,
			"The last round got the load that the task asks for.")
		if before {
			d.event(normal, LoadAsAsked, "Round %d got the load that the task asks for.", number)
		}
	}
}

// describe puts into words where the rounds stand.
func (d *decider) describe() {
	if d.held {
		d.describeStart()
		return
	}
	total := fmt.Sprintf(" of %d", d.task.Rounds)
	if d.task.Rounds == schedule.Forever {
		total = ""
	}
	if d.status.Finish {
		d.condition(Progressing, metav1.ConditionFalse, Finished,
			fmt.Sprintf("All rounds are over: %d%s.", *d.status.DoneRound, total))
		return
	}
	newest := d.status.History[0]
	if newest.Status == v1beta1.RecordOngoing {
		d.condition(Progressing, metav1.ConditionTrue, RoundStarted,
			fmt.Sprintf("Round %d%s is under way.", newest.RoundNumber, total))
		return
	}
	if d.task.Suspended {
		d.condition(Progressing, metav1.ConditionFalse, Suspended, fmt.Sprintf("Round %d%s waits until spec.suspend "+
			"is false.", newest.RoundNumber, total))
		return
	}
	d.condition(Progressing, metav1.ConditionTrue, RoundPlanned,
		fmt.Sprintf("Round %d%s waits for its planned start.", newest.RoundNumber, total))
}
