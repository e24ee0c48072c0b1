package controller

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
)

// waitEnds reports whether "kubectl wait --for=condition=Succeeded" or, with another status, "=Succeeded=False" would
// end: the condition has the status and is of the task's generation.
func waitEnds(generation int64, d decision, status metav1.ConditionStatus) bool {
	c := meta.FindStatusCondition(d.status.Conditions, Succeeded)
	return c != nil && c.ObservedGeneration >= generation && c.Status == status
}

// turn decides once and puts the status into the task.
func turn(task *Task, now time.Duration, running, over int64) decision {
	in := state{task: *task, now: created().Add(now)}
	if running > 0 {
		in.running = key(running)
		in.running.Generation = task.Status.RoundsGeneration
	}
	if over > 0 {
		in.result = passed(over, now)
		in.result.Key.Generation = task.Status.RoundsGeneration
	}
	d := decide(in)
	task.Status = d.status
	return d
}

// oneRound is a task whose only round has succeeded.
func oneRound(t *testing.T) Task {
	t.Helper()
	task := minutely()
	task.Rounds = 1
	if waitEnds(1, turn(&task, 0, 0, 0), metav1.ConditionTrue) {
		t.Fatal("a wait ends before the first round")
	}
	turn(&task, time.Second, 0, 0)
	if !waitEnds(1, turn(&task, 20*time.Second, 1, 1), metav1.ConditionTrue) {
		t.Fatalf("a wait does not end with the first round: %+v", task.Status)
	}
	return task
}

func TestAWaitForSucceededIsForTheRoundThatAnEditAsksFor(t *testing.T) {
	task := oneRound(t)
	task.Generation, task.Revision = 2, "two"
	if waitEnds(2, decision{status: task.Status}, metav1.ConditionTrue) {
		t.Error("it ends before the controller has seen the edit")
	}
	if waitEnds(2, turn(&task, time.Minute, 0, 0), metav1.ConditionTrue) {
		t.Error("it ends as soon as the controller has seen the edit")
	}
	if waitEnds(2, turn(&task, time.Minute+time.Second, 1, 0), metav1.ConditionTrue) {
		t.Error("it ends while the round is under way")
	}
	if !waitEnds(2, turn(&task, 2*time.Minute, 1, 1), metav1.ConditionTrue) {
		t.Errorf("it does not end with the round: %+v", task.Status)
	}
}

func TestAWaitForSucceededIsForTheRoundThatATokenAsksFor(t *testing.T) {
	task := oneRound(t)
	task.RunNow = "again"
	for name, d := range map[string]decision{
		"as soon as the controller has seen the token": turn(&task, time.Minute, 0, 0),
		"while the round is under way":                 turn(&task, time.Minute+time.Second, 2, 0),
	} {
		if waitEnds(1, d, metav1.ConditionTrue) || waitEnds(1, d, metav1.ConditionFalse) {
			t.Errorf("it ends %s", name)
		}
		if d.status.LastRunNow != "again" {
			t.Errorf("the token is not in the status %s", name)
		}
	}
	if !waitEnds(1, turn(&task, 2*time.Minute, 2, 2), metav1.ConditionTrue) {
		t.Errorf("it does not end with the round: %+v", task.Status)
	}
}

func TestAWaitForSucceededEndsAfterAnEditThatStartsNoRound(t *testing.T) {
	task := oneRound(t)
	task.Generation, task.Suspended = 2, true
	if !waitEnds(2, turn(&task, time.Minute, 0, 0), metav1.ConditionTrue) {
		t.Errorf("conditions are %+v", task.Status.Conditions)
	}
}

func TestAWaitForSucceededOfAHeartbeatIsForTheRoundThatIsOver(t *testing.T) {
	task := under(1, record(2, v1beta1.RecordOngoing, time.Minute), record(1, v1beta1.RecordSucceed, 0))
	task.Status.Conditions = []metav1.Condition{{Type: Succeeded, Status: metav1.ConditionTrue, Reason: RoundSucceeded,
		ObservedGeneration: 1}}
	if !waitEnds(1, turn(&task, 70*time.Second, 2, 0), metav1.ConditionTrue) {
		t.Errorf("conditions are %+v", task.Status.Conditions)
	}
}
