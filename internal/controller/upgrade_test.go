package controller

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/verdict"
)

// finishedByAnEarlierRelease is a task of five rounds that are over, as a release wrote it whose spec hashed otherwise.
func finishedByAnEarlierRelease() Task {
	t := under(5, record(5, v1beta1.RecordSucceed, 0))
	when, five := at(time.Minute), int64(5)
	t.Rounds = 5
	t.Status.ExpectedRound, t.Status.Finish, t.Status.FinishTime = &five, true, &when
	t.Status.Revision = "as an earlier release hashed it"
	return t
}

func TestANewDefaultStartsNothingWhileTheGenerationIsTheSame(t *testing.T) {
	task := finishedByAnEarlierRelease()
	d := decide(state{task: task, workload: standard(), now: created().Add(time.Hour)})
	if !d.status.Finish || *d.status.DoneRound != 5 || d.begin != (schedule.Key{}) || d.status.RoundsGeneration != 1 {
		t.Errorf("an upgrade began %v; status %+v", d.begin, d.status)
	}
	// From now on the hash of this release tells an edit of the suspension alone from others.
	task.Status = d.status
	task.Generation, task.Suspended = 2, true
	d = decide(state{task: task, workload: standard(), now: created().Add(2 * time.Hour)})
	if !d.status.Finish || d.status.RoundsGeneration != 1 || d.status.ObservedGeneration != 2 {
		t.Errorf("a suspended task counts its rounds from 1: %+v", d.status)
	}
	task.Status, task.Generation, task.Revision = d.status, 3, "edited"
	task.Suspended = false
	d = decide(state{task: task, workload: standard(), now: created().Add(3 * time.Hour)})
	if d.status.Finish || d.begin.String() != "u/3/1" {
		t.Errorf("an edited task begins %v, want round 1 of generation 3", d.begin)
	}
}

func TestAHeartbeatGoesOnAcrossANewDefault(t *testing.T) {
	task := under(4999, record(5000, v1beta1.RecordNotStarted, time.Hour))
	task.Rounds, task.Status.Revision = schedule.Forever, "as an earlier release hashed it"
	d := decide(state{task: task, workload: standard(), now: created().Add(time.Hour)})
	if d.begin.String() != "u/1/5000" || *d.status.DoneRound != 4999 {
		t.Errorf("the heartbeat begins %v after %d rounds, want round 5000", d.begin, *d.status.DoneRound)
	}
}

func TestNoKeyOfARoundIsUsedTwice(t *testing.T) {
	hour := created().Add(2 * time.Hour)
	for name, c := range map[string]struct {
		task   Task
		newest newest
		now    time.Time
		want   int64
	}{
		"a new task": {minutely(), newest{}, created(), 1},
		"a status that is lost, with rounds kept":     {minutely(), newest{key: key(5000)}, created(), 2},
		"a status that is lost, with a later series":  {minutely(), newest{key: schedule.Key{UID: "u", Generation: 7}}, hour, 8},
		"a status that is lost, with nothing kept":    {minutely(), newest{}, hour, hour.Unix()},
		"a status that is lost, with a store that is": {minutely(), newest{unknown: true}, created(), created().Unix()},
		"an edit": {func() Task {
			task := under(3)
			task.Generation, task.Revision = 2, "two"
			return task
		}(), newest{key: key(3)}, created(), 2},
		"an edit after a series that was out of turn": {func() Task {
			task := under(3)
			task.Generation, task.Revision, task.Status.RoundsGeneration = 2, "two", hour.Unix()
			return task
		}(), newest{}, hour, hour.Unix() + 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(state{task: c.task, workload: standard(), newest: c.newest, now: c.now})
			if d.status.RoundsGeneration != c.want {
				t.Errorf("rounds count from 1 in series %d, want %d", d.status.RoundsGeneration, c.want)
			}
		})
	}
}

func TestAStatusThatSomebodyClearedTakesNoKeyThatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, netReach("u"))
		s.shelf.newest = key(5000)
		s.reconcile(t)
		if status := s.task(t).Status; status.RoundsGeneration != 2 {
			t.Errorf("rounds count from 1 in series %d, want the one after that of the kept rounds",
				status.RoundsGeneration)
		}
		time.Sleep(2 * roundTakes)
	})
}

// sink acts when the end of a round is logged, which is between the round's result and its removal.
type sink struct{ act func() }

func (sink) Init(logr.RuntimeInfo)            {}
func (sink) Enabled(int) bool                 { return true }
func (s sink) Info(int, string, ...any)       { s.act() }
func (s sink) Error(error, string, ...any)    { s.act() }
func (s sink) WithValues(...any) logr.LogSink { return s }
func (s sink) WithName(string) logr.LogSink   { return s }

func TestATaskDeletedAsItsRoundEndsKeepsNothing(t *testing.T) {
	for name, result := range map[string]error{"with a result": nil, "without one": errors.New("no round")} {
		t.Run(name, func(t *testing.T) {
			kept := &shelf{uids: []string{"u"}}
			var rounds *Rounds
			var once sync.Once
			rounds = NewRounds(func(context.Context, round.Request) (Summary, error) {
				return Summary{Result: verdict.Pass}, result
			}, kept, logr.New(sink{func() {
				once.Do(func() {
					if err := rounds.Forget(context.Background(), "u"); err != nil {
						t.Error(err)
					}
				})
			}}))
			done := make(chan struct{})
			rounds.Begin(round.Request{Key: key(1)}, func() { close(done) })
			<-done
			if len(kept.uids) > 0 {
				t.Error("the task was deleted, its round has ended, and nobody has removed its reports")
			}
			if running, result := rounds.Of("u"); running != (schedule.Key{}) || result != nil {
				t.Errorf("of the deleted task a round runs, %v, or has ended, %+v", running, result)
			}
		})
	}
}
