// Package load sends requests at a fixed rate, however long their answers take: an open loop.
//
// On every target, attempt i is due at start + phase + i/rate. The phase is less than one interval and comes from a
// hash of the source and the target: agents and targets do not beat in step, and the same pair always has the same
// phase. An attempt is missed when it is due while the bound of attempts in flight is reached, or when it would start
// later than the lateness bound. Missed attempts are counted and never made up for: a burst of late requests would
// measure something else than what was asked for.
//
// Beside the counted attempts there may be a persistent stream, slower and over connections that stay open
// (report.Path.Persistent). Attempt i of the persistent stream is due at start + a phase of its own + i x its interval.
// Neither stream waits for the other.
//
// Each stream waits by one timer of the runtime. The timer is set to the moment at which the next attempt is due, so
// that errors do not add up. The runtime waits in whole milliseconds (its netpoller rounds shorter waits up to one).
// Attempts therefore start 0.6 to 0.8 ms late at the median, at 10 as at 1000 a second on one target (measured on a
// virtual machine with 2 CPUs), and later where CPU is short; Lag has the delays. Package engine is the scheduler for
// when that is too coarse.
package load

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// DefaultInFlight is the bound on attempts in flight where Config names none. Each holds one descriptor and one port.
const DefaultInFlight = 8192

// Lateness is how late an attempt may start before it is missed. At rates below 4 a second the bound is one interval
// instead, which is longer.
const Lateness = 250 * time.Millisecond

// Config says what load to run.
type Config struct {
	// Prober makes the counted attempts. The caller closes it, after Run.
	Prober probe.Prober
	// Persistent makes the attempts of the persistent stream, where the load has one (mesh.Load.Persistent); nil leaves
	// the stream out. TCP targets have no persistent stream: a connection on which nobody speaks cannot be used again.
	Persistent probe.Prober
	// Source is the pod that sends; only the phases depend on it.
	Source  string
	Targets []target.Target
	// Load's rate must be 1 or more. Its timeout is the probers' business.
	Load mesh.Load
	// InFlight bounds the attempts under way at once, on all targets and of both streams together; 0 is
	// DefaultInFlight.
	InFlight int
}

// Runner makes a load. It runs once, and Paths may be called while it runs.
type Runner struct {
	limit   int64
	paths   []path
	streams []stream

	inFlight atomic.Int64
	attempts sync.WaitGroup
}

// path has the accounts of one target; persistent is nil without a persistent stream.
type path struct{ counted, persistent *Account }

// stream is a sequence of attempts on each of its targets.
type stream struct {
	prober   probe.Prober
	requests uint64
	lateness time.Duration
	// offset returns when the attempt with the number is due, without the target's phase.
	offset func(uint64) time.Duration
	// targets are in the order in which they are due within one interval.
	targets []targetStream
}

// targetStream is a stream's attempts on one target.
type targetStream struct {
	*Account
	phase time.Duration
}

// New returns a runner for the load.
func New(config Config) *Runner {
	r := &Runner{limit: int64(cmp.Or(config.InFlight, DefaultInFlight))}
	pace, persistentPace := PaceOf(config.Load), PersistentPaceOf(config.Load)
	counted := stream{prober: config.Prober, requests: config.Load.Requests(), lateness: pace.Lateness(),
		offset: pace.Offset}
	persistent := stream{prober: config.Persistent, requests: persistentPace.Requests,
		lateness: persistentPace.Lateness(),
		offset:   persistentPace.Offset}
	for _, t := range config.Targets {
		p := path{counted: NewAccount(t)}
		counted.targets = append(counted.targets, targetStream{p.counted, pace.Phase(config.Source, t.ID)})
		if persistent.prober != nil && persistent.requests > 0 && t.Persistent() {
			p.persistent = NewAccount(t)
			persistent.targets = append(persistent.targets,
				targetStream{p.persistent, persistentPace.Phase(config.Source, t.ID)})
		}
		r.paths = append(r.paths, p)
	}
	r.streams = []stream{counted}
	if len(persistent.targets) > 0 {
		r.streams = append(r.streams, persistent)
	}
	for _, s := range r.streams {
		slices.SortStableFunc(s.targets, func(a, b targetStream) int { return cmp.Compare(a.phase, b.phase) })
	}
	return r
}

// Run makes all attempts that are due, waits for the last one, and reports whether the load came to its end. When the
// context ends first, the prober aborts the attempts under way, which count as Sent and as failed with Aborted.
// Attempts that would have become due later are counted nowhere: Scheduled leaves them out. Run must be called once.
func (r *Runner) Run(ctx context.Context) (complete bool) {
	start := time.Now()
	r.each(func(a *Account) { a.Begin(start) })
	var streams sync.WaitGroup
	for _, s := range r.streams {
		streams.Go(func() { r.keepPace(ctx, start, s) })
	}
	streams.Wait()
	r.attempts.Wait()
	end := time.Now()
	r.each(func(a *Account) { a.End(start, end) })
	return ctx.Err() == nil
}

func (r *Runner) each(do func(*Account)) {
	for _, p := range r.paths {
		do(p.counted)
		if p.persistent != nil {
			do(p.persistent)
		}
	}
}

// Paths returns what was measured so far, in the order of the targets. Attempts under way are not counted, so that what
// report.Path promises of its counts holds at every moment. Paths may be called at any time.
func (r *Runner) Paths() []report.Path {
	paths := make([]report.Path, len(r.paths))
	for i, p := range r.paths {
		paths[i] = p.counted.Report()
		if p.persistent != nil {
			persistent := p.persistent.Report()
			paths[i].Persistent = &persistent
		}
	}
	return paths
}

// keepPace starts every attempt of the stream when it is due. Phases are shorter than the interval, so one pass over
// the targets after the other goes forward in time.
func (r *Runner) keepPace(ctx context.Context, start time.Time, s stream) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range s.requests {
		base := start.Add(s.offset(i))
		for _, p := range s.targets {
			due := base.Add(p.phase)
			if !sleep(ctx, timer, time.Until(due)) {
				return
			}
			r.attempt(ctx, s, p, due)
		}
	}
}

// sleep waits for d, not at all when d is not positive, and reports whether the context is still alive.
func sleep(ctx context.Context, timer *time.Timer, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer.Reset(d)
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (r *Runner) attempt(ctx context.Context, s stream, p targetStream, due time.Time) {
	late := func() bool { return time.Since(due) > s.lateness }
	if r.inFlight.Add(1) > r.limit || late() {
		r.inFlight.Add(-1)
		p.Miss(1)
		return
	}
	r.attempts.Go(func() {
		defer r.inFlight.Add(-1)
		// The second check: on a machine that is short of CPU the goroutine itself may have waited.
		if late() {
			p.Miss(1)
			return
		}
		sample := s.prober.Probe(ctx, p.target)
		sample.Due = due
		p.Record(&sample)
	})
}
