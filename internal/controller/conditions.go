package controller

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/kind"
	"kdoctor.io/kdoctor/internal/report"
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
	// Accepted is Ready: the task can run.
	Accepted = "Accepted"
	// ScheduleInvalid is not Ready: spec.schedule cannot be used.
	ScheduleInvalid = "ScheduleInvalid"
	// AgentsNotMade is not Ready: the API server refuses agents of the task's own; it is tried again.
	AgentsNotMade = "AgentsNotMade"
	// AgentsStarting is not AgentsReady, and Progressing: rounds wait for agents of the task's own.
	AgentsStarting = "AgentsStarting"
	// AgentsCreated is AgentsReady: all agents of the task's own are ready.
	AgentsCreated = "AgentsCreated"
	// AgentsIncomplete is not AgentsReady: rounds run without some of them, which did not become ready in time.
	AgentsIncomplete = "AgentsIncomplete"
	// AgentsRemoved is not AgentsReady: the task has finished, and its agents are gone.
	AgentsRemoved = "AgentsRemoved"
	// AddressesPending is Progressing: rounds wait for addresses of a load balancer or Ingress, or for nodes to know
	// them.
	AddressesPending = "AddressesPending"
	// FrontRefused is an event: the API server refuses a load balancer or an Ingress, and the report has a gap for it.
	FrontRefused = "FrontRefused"
	// NotReady is not Progressing: the task cannot run; the condition Ready says why.
	NotReady = "NotReady"
	// RoundPlanned is Progressing: the next round waits for its start.
	RoundPlanned = "RoundPlanned"
	// RoundStarted is Progressing: a round is under way.
	RoundStarted = "RoundStarted"
	// Suspended is not Progressing: spec.suspend keeps rounds from starting.
	Suspended = "Suspended"
	// Finished is not Progressing: all rounds are over.
	Finished = "Finished"
	// RoundSucceeded is Succeeded: the last round did.
	RoundSucceeded = "RoundSucceeded"
	// RoundFailed is not Succeeded: the last round failed, or could not be judged.
	RoundFailed = "RoundFailed"
	// NoRoundYet leaves open whether the task Succeeded: no round is over since it was made, edited or asked to run.
	NoRoundYet = "NoRoundYet"
	// NothingMissed is OnTime: no planned start passed without a round since the last round.
	NothingMissed = "NothingMissed"
	// RoundMissed is not OnTime: a planned start passed without a round.
	RoundMissed = "RoundMissed"
	// LoadAboveLimit is LoadReduced: the last round got less load than the task asks for.
	LoadAboveLimit = "LoadAboveLimit"
	// LoadAsAsked is not LoadReduced.
	LoadAsAsked = "LoadAsAsked"
	// RunNowAccepted is an event: the annotation kdoctor.io/run-now starts a round.
	RunNowAccepted = "RunNowAccepted"
	// FindingOpened is an event, also on the nodes where the fault is: a round found what the round before did not.
	FindingOpened = "FindingOpened"
	// FindingCleared is an event, also on those nodes: a round that measured enough no longer finds it.
	FindingCleared = "FindingCleared"
	// ReportNotKept is an event: the report of a round could not be stored.
	ReportNotKept = "ReportNotKept"
)

const (
	normal  = corev1.EventTypeNormal
	warning = corev1.EventTypeWarning
)

// event is one event to be told.
type event struct {
	kind, reason, note string
	// finding is what the event is about, nil for other events. nodes are those on which the event is told of too.
	// elsewhere reports that it is told of on nodes alone.
	finding   *report.Finding
	nodes     []string
	elsewhere bool
}

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

// withdrawSuccess takes back what the condition Succeeded says of the round before: who asked for another round wants
// to know of that one.
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
