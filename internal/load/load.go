// Package load makes attempts at a fixed pace, whatever their answers do: an open loop.
//
// On every target, attempt i is due at start + phase + i/rate, where the phase, less than one interval, comes from a hash of the
// source and the target: agents and targets do not beat in step, and the same pair always has the same phase.
// What is due while the bound of attempts in flight is reached, or is looked at later than the lateness bound, is counted as
// missed and never made up for, so that no backlog builds up: a burst of late requests would measure something else than what was asked for.
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

// Lateness is the least that an attempt may start late before it is missed; at rates below 4 a second it is one interval.
const Lateness = 250 * time.Millisecond

// Config is one load.
type Config struct {
	Prober probe.Prober
	// Source is the pod that sends; it only goes into the phases.
	Source  string
	Targets []target.Target
	// Load's rate must be 1 or more. Its timeout is the prober's business.
	Load mesh.Load
	// InFlight bounds the attempts under way at once, on all targets together; 0 is DefaultInFlight.
	InFlight int
}

// Load is a load that can be run once and looked at while it runs.
type Load struct {
	config Config
	pace   Pace
	// paths stands in the order of the targets, byPhase in the order in which they are due within one interval.
	paths   []*path
	byPhase []*path

	inFlight atomic.Int64
	attempts sync.WaitGroup
}

// path is one target with its account.
type path struct {
	*Account
	phase time.Duration
}

// New prepares a load.
func New(config Config) *Load {
	config.InFlight = cmp.Or(config.InFlight, DefaultInFlight)
	l := &Load{config: config, pace: Pace{PerSecond: config.Load.PerSecond}}
	for _, t := range config.Targets {
		l.paths = append(l.paths, &path{Account: NewAccount(t), phase: l.pace.Phase(config.Source, t.ID)})
	}
	l.byPhase = slices.Clone(l.paths)
	slices.SortStableFunc(l.byPhase, func(a, b *path) int { return cmp.Compare(a.phase, b.phase) })
	return l
}

// Run makes all attempts that are due, waits for the last one, and reports whether the load came to its end.
// When the context ends first, attempts under way are aborted by the prober and counted so (they are Sent, and failed as Aborted);
// attempts that would have become due later are counted nowhere: Scheduled ends with them. Run must be called once.
func (l *Load) Run(ctx context.Context) (complete bool) {
	start := time.Now()
	for _, p := range l.paths {
		p.Begin(start)
	}
	complete = l.keepPace(ctx, start)
	l.attempts.Wait()
	end := time.Now()
	for _, p := range l.paths {
		p.End(start, end)
	}
	return complete && ctx.Err() == nil
}

// Paths is what was measured so far, in the order of the targets. Attempts under way are not in it, so that
// what report.Path promises of its counts holds at every moment. It may be called at any time.
func (l *Load) Paths() []report.Path {
	paths := make([]report.Path, len(l.paths))
	for i, p := range l.paths {
		paths[i] = p.Report()
	}
	return paths
}

// keepPace starts every attempt when it is due. Phases are shorter than the interval, so going round the targets in their order
// goes forward in time.
func (l *Load) keepPace(ctx context.Context, start time.Time) bool {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range l.config.Load.Requests() {
		base := start.Add(l.pace.Offset(i))
		for _, p := range l.byPhase {
			due := base.Add(p.phase)
			if !sleep(ctx, timer, time.Until(due)) {
				return false
			}
			l.attempt(ctx, p, due)
		}
	}
	return true
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

func (l *Load) attempt(ctx context.Context, p *path, due time.Time) {
	if l.inFlight.Load() >= int64(l.config.InFlight) || l.late(due) {
		p.Miss(1)
		return
	}
	l.inFlight.Add(1)
	l.attempts.Go(func() {
		defer l.inFlight.Add(-1)
		// Asked again: on a machine that is short of CPU the goroutine itself may have waited.
		if l.late(due) {
			p.Miss(1)
			return
		}
		sample := l.config.Prober.Probe(ctx, p.target)
		sample.Due = due
		p.Record(sample)
	})
}

func (l *Load) late(due time.Time) bool { return time.Since(due) > l.pace.Lateness() }
