//go:build linux

package engine

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/epoll"
	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// Config is one load.
type Config struct {
	// Round, Source, Installation and Status are those of httpprobe.Config. Round is the round of the counted requests.
	Round, Source, Installation string
	Status                      int
	// Targets are what to probe. Attempts at a target for which Supports is false count as not sent.
	Targets []target.Target
	// Load is the load on each target. Its rate must be 1 or more, and its timeout positive.
	Load mesh.Load
	// InFlight bounds the attempts under way at once, on all targets and of both streams together; 0 is
	// load.DefaultInFlight.
	InFlight int
	// Shards is how many threads share the targets; 0 leaves one CPU to the rest of the process.
	Shards int
	// Wake says when threads wake up; the zero value lets the load decide.
	Wake Wake
	// Saturate, if positive, keeps that many attempts under way on each target for Load.Duration, at whatever rate
	// results. Load.PerSecond and InFlight are then ignored, no attempt is missed, and there is no persistent stream.
	Saturate int
	// Plain leaves out what makes measurements exact: the kernel's stamps, phases and retransmits.
	Plain bool
}

// Wake is when threads wake up.
type Wake uint8

const (
	// WakeByLoad is WakePrecise up to about gridEvents events a second on a thread, and WakeGrid above.
	WakeByLoad Wake = iota
	// WakePrecise wakes for everything that is due or arrives.
	WakePrecise
	// WakeGrid wakes every half millisecond. An attempt starts up to half a millisecond late, which counts as the
	// agent's own lag. The kernel's stamps say when answers arrived.
	WakeGrid
)

// gridEvents is how many events a second a thread wakes up for one by one. A wake-up costs several times what an
// attempt does.
const gridEvents = 2000

// How many events an attempt has: the attempt is due, it is connected, its answer arrives.
const (
	eventsOfNew        = 3
	eventsOfPersistent = 2
	eventsOfConnect    = 2
)

// Engine is a load that runs once. Its counts can be read while it runs.
type Engine struct {
	config  Config
	answers recogniser
	limit   int64
	// paths are in the order of Config.Targets.
	paths []path
	parts []part

	inFlight atomic.Int64
	// lent is how many large buffers hold answers.
	lent atomic.Int64
}

// path is the streams of one target; persistent is nil without a persistent stream.
type path struct{ counted, persistent *targetStream }

// part is what one thread does.
type part struct {
	counted, persistent pacer
	grid                bool
}

// New prepares a load.
func New(config Config) *Engine {
	e := &Engine{config: config, answers: newRecogniser(config.Installation),
		limit: int64(cmp.Or(config.InFlight, load.DefaultInFlight))}
	counted := httpprobe.Config{Round: config.Round, Source: config.Source, Installation: config.Installation,
		Timeout: config.Load.Timeout, Status: config.Status, Keep: config.Load.Connection == mesh.KeepAlive}
	persistent := counted
	persistent.Round, persistent.Keep = config.Round+echo.PersistentSuffix, true
	pace, persistentPace := load.PaceOf(config.Load), load.PersistentPaceOf(config.Load)
	e.parts = make([]part, max(1, min(len(config.Targets), cmp.Or(config.Shards, runtime.GOMAXPROCS(0)-1))))
	for i := range e.parts {
		e.parts[i].counted = pacer{offset: pace.Offset, requests: config.Load.Requests(), lateness: pace.Lateness()}
		e.parts[i].persistent = pacer{offset: persistentPace.Offset, requests: persistentPace.Requests,
			lateness: persistentPace.Lateness()}
	}
	for i, t := range config.Targets {
		p, to := path{counted: newTargetStream(t, &counted, pace.Phase(config.Source, t.ID))}, &e.parts[i%len(e.parts)]
		to.counted.add(p.counted)
		// A connection that carries no request cannot be used again.
		if persistentPace.Requests > 0 && config.Saturate == 0 &&
			(p.counted.address.length == 0 || !p.counted.connectsOnly()) {
			p.persistent = newTargetStream(t, &persistent, persistentPace.Phase(config.Source, t.ID))
			to.persistent.add(p.persistent)
		}
		e.paths = append(e.paths, p)
	}
	for i := range e.parts {
		e.parts[i].grid = e.grid(&e.parts[i])
	}
	return e
}

// grid decides whether the part's thread wakes up at fixed moments. Without the kernel's stamps a grid would distort
// the results.
func (e *Engine) grid(p *part) bool {
	if e.config.Wake != WakeByLoad || e.config.Saturate > 0 || e.config.Plain {
		return e.config.Wake == WakeGrid && e.config.Saturate == 0
	}
	events := 0
	for _, l := range p.counted.streams {
		switch {
		case l.connectsOnly():
			events += eventsOfConnect
		case l.probe.Keep:
			events += eventsOfPersistent
		default:
			events += eventsOfNew
		}
	}
	return events*e.config.Load.PerSecond > gridEvents*max(e.config.Load.Every, 1)
}

// Grid reports whether a thread wakes up at fixed moments and relies on the kernel's stamps.
func (e *Engine) Grid() bool {
	for i := range e.parts {
		if e.parts[i].grid {
			return true
		}
	}
	return false
}

// Run makes all attempts that are due, waits for the last one, and reports whether the load came to its end. Run must
// be called once, and leaves no connection open.
//
// When the context ends first, attempts under way are aborted and counted: they are Sent, and failed as Aborted.
// Attempts due later are counted nowhere: Scheduled ends with the context. Where the process has no descriptors left to
// wait with, all attempts are missed at once.
func (e *Engine) Run(ctx context.Context) (complete bool) {
	if !e.config.Plain {
		if fd := stampAll(); fd >= 0 {
			defer func() { _ = unix.Close(fd) }()
		}
	}
	start := time.Now()
	e.each(func(l *targetStream) { l.Begin(start) })
	shards := e.split(start)
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		for _, s := range shards {
			s.poller.Interrupt()
		}
	})
	var running sync.WaitGroup
	for _, s := range shards {
		running.Go(func() { s.thread(ctx) })
	}
	running.Wait()
	if !stop() {
		<-interrupted
	}
	for _, s := range shards {
		s.poller.Close()
	}
	end := time.Now()
	e.each(func(l *targetStream) { l.End(start, end) })
	return ctx.Err() == nil
}

func (e *Engine) each(do func(*targetStream)) {
	for _, p := range e.paths {
		do(p.counted)
		if p.persistent != nil {
			do(p.persistent)
		}
	}
}

// split makes the shards, one for each part.
func (e *Engine) split(start time.Time) []*shard {
	var shards []*shard
	for i := range e.parts {
		p, err := epoll.Open(epoll.Config{Precise: true, Hold: runtime.GOMAXPROCS(0) > len(e.parts)})
		if err != nil {
			e.parts[i].counted.missRest()
			e.parts[i].persistent.missRest()
			continue
		}
		shards = append(shards, newShard(e, &e.parts[i], p, start))
	}
	return shards
}

// Paths returns what was measured so far, in the order of Config.Targets. Attempts under way are left out, so that what
// report.Path promises of its counts holds at every moment. Paths may be called at any time, from any goroutine.
func (e *Engine) Paths() []report.Path {
	paths := make([]report.Path, len(e.paths))
	for i, p := range e.paths {
		paths[i] = p.counted.Report()
		if p.persistent != nil {
			persistent := p.persistent.Report()
			paths[i].Persistent = &persistent
		}
	}
	return paths
}
