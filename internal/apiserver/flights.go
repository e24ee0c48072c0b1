package apiserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kdoctor.io/kdoctor/internal/schedule"
)

const (
	// waitWithin bounds how long callers wait for one read of the store or of the tasks, and also how long one request
	// waits for reads that do not end. slowWithin takes its place for what did not end in time when it was read last,
	// or for reads after a request has used up its wait.
	waitWithin, slowWithin = 10 * time.Second, 500 * time.Millisecond
	// hungAfter is after which time a read gives its slot to another one.
	hungAfter = 3 * time.Second
	// mostSlow is how many further slow reads one request waits for after it has used up its wait.
	mostSlow = 3
	// lookWithin bounds how long one read takes, and failedFor is how long a latest round that could not be read is not
	// tried again.
	lookWithin, failedFor = time.Minute, 5 * time.Second
)

// errSlow is why a caller gets nothing, or what is known from before: a read did not end in time.
var errSlow = errors.New("the store of rounds did not answer in time; ask again")

// slow reports whether a read did not end in time, so that nothing is known of what it would have brought.
func slow(err error) bool {
	return errors.Is(err, errSlow) || errors.Is(err, errUnread) || errors.Is(err, context.DeadlineExceeded)
}

// failure is the API error for a read that failed: 504 for a read that did not end in time, 500 for any other.
func failure(err error) error {
	if slow(err) {
		return apierrors.NewTimeoutError(err.Error(), 0)
	}
	return apierrors.NewInternalError(err)
}

// laggards remembers what did not end in time when it was read last: a subject, and also what stands before its last
// slash, so that all rounds of a task are known as slow when one of them is. Its zero value is empty.
type laggards struct {
	mu   sync.Mutex
	late map[string]bool
}

// within is how long callers wait for a read of the subject.
func (l *laggards) within(subject string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late[subject] || l.late[path.Dir(subject)] {
		return slowWithin
	}
	return waitWithin
}

// mark notes whether the last read of the subject did not end in time.
func (l *laggards) mark(subject string, late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late == nil {
		l.late = map[string]bool{}
	}
	for _, s := range []string{subject, path.Dir(subject)} {
		if late {
			l.late[s] = true
		} else {
			delete(l.late, s)
		}
	}
}

// forget forgets all subjects of a task.
func (l *laggards) forget(uid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.late, func(subject string, _ bool) bool { return strings.HasPrefix(subject, uid+"/") })
}

// The subjects of reads.
const tasksSubject = "tasks/all"

func latestSubject(uid string) string { return uid + "/latest/key" }

func keysSubject(uid string) string { return uid + "/keys/all" }

func roundSubject(key schedule.Key) string {
	return fmt.Sprintf("%s/rounds/%d.%d", key.UID, key.Generation, key.Round)
}

// allowance is how long one request may still wait for reads that do not end.
type allowance struct {
	mu   sync.Mutex
	left time.Duration
	// slow is how many reads were given up after nothing was left.
	slow int
}

type allowanceKey struct{}

// withAllowance puts a new allowance into the context of a request.
func withAllowance(ctx context.Context) context.Context {
	return context.WithValue(ctx, allowanceKey{}, &allowance{left: waitWithin})
}

// allowanceOf returns the request's allowance, and a new one for callers that are no requests.
func allowanceOf(ctx context.Context) *allowance {
	if a, ok := ctx.Value(allowanceKey{}).(*allowance); ok {
		return a
	}
	return &allowance{left: waitWithin}
}

// limit is how long the request may wait for the next read.
func (a *allowance) limit() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.left > 0:
		return a.left
	case a.slow < mostSlow:
		return slowWithin
	}
	return 0
}

// spend takes a wait that brought nothing off the allowance.
func (a *allowance) spend(waited time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left <= 0 {
		a.slow++
	}
	a.left -= waited
}

// pulse is when a read last brought something: one that goes on bringing something is not slow.
type pulse struct {
	began time.Time
	// last is how long after began the read last brought something.
	last atomic.Int64
}

// quiet is how long the read has brought nothing.
func (p *pulse) quiet() time.Duration { return time.Since(p.began) - time.Duration(p.last.Load()) }

type pulseKey struct{}

// beat notes that the read of the context has brought something.
func beat(ctx context.Context) {
	if p, ok := ctx.Value(pulseKey{}).(*pulse); ok {
		p.last.Store(int64(time.Since(p.began)))
	}
}

// flight is one read that all callers share who want the same.
type flight struct {
	pulse *pulse
	// done is closed when the read is over; value and err are then set.
	done  chan struct{}
	value any
	err   error
}

func newFlight() *flight { return &flight{pulse: &pulse{began: time.Now()}, done: make(chan struct{})} }

// flights are the reads that are under way, by what they read. A read goes on when those who asked for it are gone:
// whoever asks next wants the same.
type flights struct {
	// run runs a read until the server ends; it is false when the server has ended.
	run  func(read func(context.Context)) bool
	late *laggards

	mu    sync.Mutex
	byKey map[string]*flight
}

// begin returns the read of that name that is under way, or begins one.
func (f *flights) begin(subject, key string, read func(context.Context) (any, error)) (*flight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if running := f.byKey[key]; running != nil {
		return running, nil
	}
	begun := newFlight()
	ok := f.run(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(context.WithValue(ctx, pulseKey{}, begun.pulse), lookWithin)
		defer cancel()
		begun.value, begun.err = read(ctx)
		f.late.mark(subject, slow(begun.err))
		f.mu.Lock()
		delete(f.byKey, key)
		f.mu.Unlock()
		close(begun.done)
	})
	if !ok {
		return nil, context.Canceled
	}
	f.byKey[key] = begun
	return begun, nil
}

// await waits until the read is over, until it has brought nothing for longer than reads of the subject may, until the
// request has used up its allowance or until the caller is gone.
func await(ctx context.Context, late *laggards, subject string, done <-chan struct{}, p *pulse) error {
	allowed, asked := allowanceOf(ctx), time.Now()
	for {
		select {
		case <-done:
			return nil
		default:
		}
		here := min(p.quiet(), time.Since(asked))
		wait := min(late.within(subject)-p.quiet(), allowed.limit()-here)
		if wait <= 0 {
			allowed.spend(here)
			if p.quiet() >= waitWithin {
				late.mark(subject, true)
			}
			return errSlow
		}
		timer := time.NewTimer(wait)
		select {
		case <-done:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		timer.Stop()
	}
}

// share returns what a read brings that all callers share who want the same at the same time. Nobody may change it.
// The subject is what the store is asked for, the key what the read makes of it.
func share[T any](ctx context.Context, f *flights, subject, key string,
	read func(context.Context) (T, error)) (T, error) {
	var none T
	running, err := f.begin(subject, key, func(ctx context.Context) (any, error) { return read(ctx) })
	if err != nil {
		return none, err
	}
	if err := await(ctx, f.late, subject, running.done, running.pulse); err != nil {
		return none, err
	}
	if running.err != nil {
		return none, running.err
	}
	value, ok := running.value.(T)
	if !ok {
		return none, fmt.Errorf("two kinds of reads have the name %q", key)
	}
	return value, nil
}
