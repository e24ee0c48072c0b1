package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/round"
	"kdoctor.io/kdoctor/internal/schedule"
)

// newestWithin bounds the question for the newest round that is kept of a task, which a task without a status waits
// for.
const newestWithin = 5 * time.Second

// errWithdrawn is why a round is stopped whose task was deleted or edited.
var errWithdrawn = errors.New("the task was deleted or edited")

// Runner runs one round to its end. The error means that there is no outcome, or, beside one, that its report could not
// be kept.
type Runner func(ctx context.Context, req round.Request) (Summary, error)

// Kept is what is kept of tasks, as rounds need it.
type Kept interface {
	// DeleteTask removes all that is kept of a task.
	DeleteTask(ctx context.Context, uid string) error
	// LatestKey returns the key of the newest round that is kept of a task; false when none is.
	LatestKey(ctx context.Context, uid string) (schedule.Key, bool, error)
	// Findings returns what the stored round of the key found; nothing where it is not stored.
	Findings(ctx context.Context, key schedule.Key) ([]report.Finding, error)
}

// Observer is told what rounds of tasks found, and that a task is gone.
type Observer interface {
	Observe(task string, s Summary, interval time.Duration)
	Forget(task string)
}

// Rounds owns the goroutines in which rounds run, at most one for a task at a time. Make it with NewRounds and add it
// to the manager: it ends with its context, and hands what is under way over to the next leader.
type Rounds struct {
	run  Runner
	kept Kept
	log  logr.Logger
	// observer is nil where nobody observes.
	observer Observer

	mu      sync.Mutex
	closed  bool
	running map[string]*running
	ended   map[string]*Result
	// open has the findings that are open after the last round of a task, by UID.
	open map[string][]report.Finding
	all  sync.WaitGroup
}

// running is a round under way; gone is set when its task was deleted, so that its end removes what is kept.
type running struct {
	key    schedule.Key
	cancel context.CancelCauseFunc
	gone   bool
}

// NewRounds returns an owner of rounds.
func NewRounds(run Runner, kept Kept, log logr.Logger) *Rounds {
	return &Rounds{run: run, kept: kept, log: log, running: map[string]*running{}, ended: map[string]*Result{},
		open: map[string][]report.Finding{}}
}

// Observed has the observer told of rounds; it is called before the first one.
func (r *Rounds) Observed(by Observer) { r.observer = by }

// NeedLeaderElection is true: two leaders would load the cluster twice.
func (r *Rounds) NeedLeaderElection() bool { return true }

// Start waits for the end of the context, hands all rounds over and returns once their goroutines are done.
func (r *Rounds) Start(ctx context.Context) error {
	<-ctx.Done()
	r.mu.Lock()
	r.closed = true
	for _, current := range r.running {
		current.cancel(round.ErrHandedOver)
	}
	r.mu.Unlock()
	r.all.Wait()
	return nil
}

// Begin runs a round and calls done once it is over. It does nothing while a round of the same task runs.
func (r *Rounds) Begin(req round.Request, done func()) {
	uid := req.Key.UID
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.running[uid] != nil {
		return
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	current := &running{key: req.Key, cancel: cancel}
	r.running[uid] = current
	delete(r.ended, uid)
	r.all.Go(func() {
		defer cancel(nil)
		summary, err := r.run(ctx, req)
		result := Result{Key: req.Key, Summary: summary, Err: err}
		if ctx.Err() == nil {
			r.compareWithBefore(ctx, &result)
			if r.observer != nil {
				r.observer.Observe(req.Key.UID, summary, req.Interval)
			}
		}
		r.end(ctx, current, result)
		done()
	})
}

// end notes how a round ended. One that was withdrawn or handed over has no result.
func (r *Rounds) end(ctx context.Context, current *running, result Result) {
	log := r.log.WithValues("round", current.key.String())
	r.mu.Lock()
	if ctx.Err() == nil {
		r.ended[current.key.UID] = &result
	}
	r.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		log.Info("round ended early", "cause", context.Cause(ctx).Error())
	case result.Err != nil:
		log.Error(result.Err, "round without a kept report")
	default:
		log.Info("round is over", "result", result.Result, "expected", result.Expected, "failedNodes",
			len(result.Failed), "silentNodes", len(result.Silent))
	}
	for r.leaves(current) {
		// The store must be empty before another round of the task, which there cannot be, and the sweep may not see it
		// half.
		if err := r.kept.DeleteTask(context.WithoutCancel(ctx), current.key.UID); err != nil {
			log.Error(err, "reports of a deleted task stay until a sweep")
		}
	}
}

// leaves takes a round from those that run, and reports whether what is kept of its task is to be erased before: the
// task was deleted. Its deletion after that erases by itself.
func (r *Rounds) leaves(current *running) (erase bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if current.gone {
		current.gone = false
		return true
	}
	delete(r.running, current.key.UID)
	return false
}

// Of returns the key of the task's round that is running, the zero key without one,
// and how the last one ended, nil without one since the controller started.
func (r *Rounds) Of(uid string) (schedule.Key, *Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var key schedule.Key
	if current := r.running[uid]; current != nil {
		key = current.key
	}
	return key, r.ended[uid]
}

// Withdraw stops the task's round, if there is one, without a report.
func (r *Rounds) Withdraw(uid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if current := r.running[uid]; current != nil {
		current.cancel(errWithdrawn)
	}
}

// Forget stops the round of a task that was deleted and removes all that is kept of it: at once, or as soon as the
// round has stopped.
func (r *Rounds) Forget(ctx context.Context, uid string) error {
	r.mu.Lock()
	if r.observer != nil {
		r.observer.Forget(uid)
	}
	delete(r.ended, uid)
	delete(r.open, uid)
	current := r.running[uid]
	if current != nil {
		current.gone = true
		current.cancel(errWithdrawn)
	}
	r.mu.Unlock()
	if current != nil {
		return nil
	}
	if err := r.kept.DeleteTask(ctx, uid); err != nil {
		return fmt.Errorf("delete the reports of the deleted task %s: %w", uid, err)
	}
	return nil
}

// newest returns which round of the task is the newest that is kept.
func (r *Rounds) newest(ctx context.Context, uid string) newest {
	ctx, cancel := context.WithTimeout(ctx, newestWithin)
	defer cancel()
	key, _, err := r.kept.LatestKey(ctx, uid)
	if err != nil {
		r.log.Error(err, "ask for the newest kept round of a task", "uid", uid)
	}
	return newest{key: key, unknown: err != nil}
}
