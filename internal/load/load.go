// Package load makes attempts at a fixed pace, whatever their answers do: an open loop.
//
// On every target, attempt i is due at start + phase + i/rate, where the phase, less than one interval, comes from a
// hash of the source and the target: agents and targets do not beat in step, and the same pair always has the same
// phase. What is due while the bound of attempts in flight is reached, or is looked at later than the lateness bound,
// is counted as missed and never made up for, so that no backlog builds up: a burst of late requests would measure
// something else than what was asked for.
//
// Beside the counted attempts there may be a kept stream, slower and over connections that stay open
// (report.Path.Kept). Attempt i of it is due at start + its own phase + i x its interval, and nothing of the one stream
// waits for the other.
//
// Each stream waits by one timer of the runtime, set anew for every attempt to the moment when it is due, so that
// errors do not add up. The runtime waits in whole milliseconds (its netpoller rounds shorter waits up to one), so that
// attempts start 0.6 to 0.8 ms late at the median, at 10 as at 1000 a second on one target (measured on a virtual
// machine with 2 CPUs), and later where CPU is short: Lag tells by how much. Where that is too coarse, package engine
// is the scheduler.
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

// Lateness is the least that an attempt may start late before it is missed; at rates below 4 a second it is one
// interval.
const Lateness = 250 * time.Millisecond

// Config is one load.
type Config struct {
	// Prober makes the counted attempts. Whoever made it closes it, after Run.
	Prober probe.Prober
	// Kept makes the attempts of the kept stream, where the load has one (mesh.Load.Kept); nil leaves it out.
	// TCP targets have none in any case: a connection on which nobody speaks cannot be used again.
	Kept probe.Prober
	// Source is the pod that sends; it only goes into the phases.
	Source  string
	Targets []target.Target
	// Load's rate must be 1 or more. Its timeout is the probers' business.
	Load mesh.Load
	// InFlight bounds the attempts under way at once, on all targets and of both streams together; 0 is
	// DefaultInFlight.
	InFlight int
}

// Load is a load that can be run once and looked at while it runs.
type Load struct {
	limit   int64
	paths   []path
	streams []stream

	inFlight atomic.Int64
	attempts sync.WaitGroup
}

// path is what is counted of one target; kept is nil without a kept stream.
type path struct{ counted, kept *Account }

// stream is a sequence of attempts on each of some targets.
type stream struct {
	prober   probe.Prober
	requests uint64
	lateness time.Duration
	// offset is when the attempt of the number is due, without the lane's phase.
	offset func(uint64) time.Duration
	// lanes are in the order in which they are due within one interval.
	lanes []lane
}

// lane is one target of a stream.
type lane struct {
	*Account
	phase time.Duration
}

// New prepares a load.
func New(config Config) *Load {
	l := &Load{limit: int64(cmp.Or(config.InFlight, DefaultInFlight))}
	pace, keptPace := PaceOf(config.Load), KeptPaceOf(config.Load)
	counted := stream{prober: config.Prober, requests: config.Load.Requests(), lateness: pace.Lateness(),
		offset: pace.Offset}
	kept := stream{prober: config.Kept, requests: keptPace.Requests, lateness: keptPace.Lateness(),
		offset: keptPace.Offset}
	for _, t := range config.Targets {
		p := path{counted: NewAccount(t)}
		counted.lanes = append(counted.lanes, lane{p.counted, pace.Phase(config.Source, t.ID)})
		if kept.prober != nil && kept.requests > 0 && t.Persistent() {
			p.kept = NewAccount(t)
			kept.lanes = append(kept.lanes, lane{p.kept, keptPace.Phase(config.Source, t.ID)})
		}
		l.paths = append(l.paths, p)
	}
	l.streams = []stream{counted}
	if len(kept.lanes) > 0 {
		l.streams = append(l.streams, kept)
	}
	for _, s := range l.streams {
		slices.SortStableFunc(s.lanes, func(a, b lane) int { return cmp.Compare(a.phase, b.phase) })
	}
	return l
}

// Run makes all attempts that are due, waits for the last one, and reports whether the load came to its end. When the
// context ends first, attempts under way are aborted by the prober and counted so (they are Sent, and failed as
// Aborted); attempts that would have become due later are counted nowhere: Scheduled ends with them. Run must be called
// once.
func (l *Load) Run(ctx context.Context) (complete bool) {
	start := time.Now()
	l.each(func(a *Account) { a.Begin(start) })
	var streams sync.WaitGroup
	for _, s := range l.streams {
		streams.Go(func() { l.keepPace(ctx, start, s) })
	}
	streams.Wait()
	l.attempts.Wait()
	end := time.Now()
	l.each(func(a *Account) { a.End(start, end) })
	return ctx.Err() == nil
}

func (l *Load) each(do func(*Account)) {
	for _, p := range l.paths {
		do(p.counted)
		if p.kept != nil {
			do(p.kept)
		}
	}
}

// Paths is what was measured so far, in the order of the targets. Attempts under way are not in it, so that
// what report.Path promises of its counts holds at every moment. It may be called at any time.
func (l *Load) Paths() []report.Path {
	paths := make([]report.Path, len(l.paths))
	for i, p := range l.paths {
		paths[i] = p.counted.Report()
		if p.kept != nil {
			kept := p.kept.Report()
			paths[i].Persistent = &kept
		}
	}
	return paths
}

// keepPace starts every attempt of the stream when it is due. Phases are shorter than the interval, so going round the
// targets in their order goes forward in time.
func (l *Load) keepPace(ctx context.Context, start time.Time, s stream) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range s.requests {
		base := start.Add(s.offset(i))
		for _, p := range s.lanes {
			due := base.Add(p.phase)
			if !sleep(ctx, timer, time.Until(due)) {
				return
			}
			l.attempt(ctx, s, p, due)
		}
	}
}

// sleep waits unless there is nothing to wait for, and reports whether the context is still alive.
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

func (l *Load) attempt(ctx context.Context, s stream, p lane, due time.Time) {
	late := func() bool { return time.Since(due) > s.lateness }
	if l.inFlight.Add(1) > l.limit || late() {
		l.inFlight.Add(-1)
		p.Miss(1)
		return
	}
	l.attempts.Go(func() {
		defer l.inFlight.Add(-1)
		// Asked again: on a machine that is short of CPU the goroutine itself may have waited.
		if late() {
			p.Miss(1)
			return
		}
		sample := s.prober.Probe(ctx, p.target)
		sample.Due = due
		p.Record(&sample)
	})
}
