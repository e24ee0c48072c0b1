//go:build linux

package engine

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/epoll"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/slots"
)

const (
	// startBatch is how many attempts are started before sockets are looked at again.
	startBatch = 32
	// gridStep is the time between two wake-ups on a grid.
	gridStep = 500 * time.Microsecond
)

// shard is one thread's part of the load. Moments are counted from the load's start.
type shard struct {
	engine *Engine
	*part
	poller *epoll.Poller
	calls  calls
	clock  clock
	caller context.Context
	// record takes what came of an attempt.
	record func(*targetStream, *probe.Sample)
	// sample is what came of the attempt that ends at the moment.
	sample probe.Sample

	// attempts are those under way, idle connections, and free places.
	attempts slots.Table[attempt]
	// underWay is also in the order of deadlines, because all attempts have the same time; busy is how many there are.
	underWay slots.List
	busy     int
	// refills are the lanes that wait for another attempt where Config.Saturate is set.
	refills []*targetStream

	lender  lender
	headers headerCache
	// names are those of pods that answered, so that each is made once.
	names map[string]string
}

func newShard(e *Engine, p *part, with *epoll.Poller, base time.Time) *shard {
	s := &shard{engine: e, part: p, poller: with, clock: newClock(base), underWay: slots.NewList(), names: map[string]string{}, lender: newLender(&e.lent),
		record: func(l *targetStream, s *probe.Sample) { l.Record(s) }}
	for range e.config.Saturate {
		s.refills = append(s.refills, p.counted.streams...)
	}
	return s
}

func (s *shard) now() time.Duration { return time.Since(s.clock.base) }

// thread runs the shard on a thread of its own. The thread ends with it, so that nobody inherits its timer slack.
func (s *shard) thread(ctx context.Context) {
	runtime.LockOSThread()
	// Without it the kernel may wake the thread 50 us late, which is not worth a failure.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	s.run(ctx)
	s.closeAllIdle()
}

// run goes on until all attempts have ended, or until the context has: then it aborts those under way. Idle connections stay open.
func (s *shard) run(ctx context.Context) {
	s.caller = ctx
	for ctx.Err() == nil && s.step() {
	}
	for s.underWay.First != slots.None {
		s.abort(s.underWay.First)
	}
}

// step starts what is due, waits, and reads what came; it reports false when there is nothing left to do.
// What is written next is written after all that arrived was read.
func (s *shard) step() bool {
	s.clock.observe(time.Now())
	s.expire()
	next := s.start()
	if next == never && s.busy == 0 {
		return false
	}
	if i := s.underWay.First; i != slots.None {
		next = min(next, s.deadline(i))
	}
	if err := s.wait(next); err != nil {
		// It cannot happen with the descriptors that the poller holds; without it no attempt can go on.
		s.abandon(err)
		return false
	}
	return true
}

// start starts what is due and returns when it wants to be called again.
func (s *shard) start() time.Duration {
	if s.engine.config.Saturate > 0 {
		return s.refill()
	}
	for range startBatch {
		t := &s.counted
		due := t.nextDue()
		if kept := s.persistent.nextDue(); kept < due {
			t, due = &s.persistent, kept
		}
		if due == never {
			return never
		}
		now := s.now()
		if due > now {
			return due
		}
		l := t.advance()
		if now-due > t.lateness || s.engine.inFlight.Load() >= s.engine.limit {
			l.Miss(1)
			continue
		}
		s.begin(l, due, now)
	}
	return 0
}

// refill starts an attempt for each one that has ended. One that fails at once waits for the next turn.
func (s *shard) refill() time.Duration {
	n := len(s.refills)
	if s.now() >= s.engine.config.Load.Duration {
		s.refills = s.refills[:0]
		return never
	}
	for i := range n {
		now := s.now()
		s.begin(s.refills[i], now, now)
	}
	s.refills = s.refills[:copy(s.refills, s.refills[n:])]
	if len(s.refills) > 0 {
		return 0
	}
	return never
}

// wait handles what happens until the moment. On a grid it looks at sockets at the grid's moments only while attempts are under way.
func (s *shard) wait(until time.Duration) error {
	d := until - s.now()
	if s.grid && d > 0 {
		// Up to the grid's next moment, or that behind the wanted one when nothing else can happen.
		grid := gridStep - s.now()%gridStep
		if s.busy > 0 || d <= grid {
			sleep(grid)
			d = 0
		} else {
			d = (until+gridStep-1)/gridStep*gridStep - s.now()
		}
	}
	for {
		events, err := s.poller.Wait(max(d, 0))
		if err != nil {
			return err
		}
		for i := range events {
			if key := events[i].Fd; key >= 0 {
				s.handle(key, events[i].Pad, events[i].Events)
			}
		}
		if !s.grid || len(events) < epoll.BatchSize {
			return nil
		}
		d = 0
	}
}

// sleep waits for d, whatever arrives meanwhile. A signal may end it early.
func sleep(d time.Duration) {
	if d > 0 {
		span := unix.NsecToTimespec(int64(d))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &span, nil)
	}
}

func (s *shard) deadline(i int32) time.Duration {
	return s.attempts.At(i).start + s.engine.config.Load.Timeout
}

// expire ends the attempts whose time is over, unless their answer is there: then only this thread is late.
func (s *shard) expire() {
	if s.underWay.First == slots.None {
		return
	}
	now := s.now()
	for i := s.underWay.First; i != slots.None && now >= s.deadline(i); i = s.underWay.First {
		if s.readLateAnswer(i) {
			continue
		}
		s.fail(i, context.DeadlineExceeded)
	}
}

// abandon ends a shard that cannot wait: its attempts fail with the error, and what was still to come is missed.
func (s *shard) abandon(err error) {
	for s.underWay.First != slots.None {
		s.fail(s.underWay.First, err)
	}
	if s.engine.config.Saturate == 0 {
		s.counted.missRest()
		s.persistent.missRest()
	}
}

// closeAllIdle closes the idle connections.
func (s *shard) closeAllIdle() {
	for _, t := range []*pacer{&s.counted, &s.persistent} {
		for _, l := range t.streams {
			for l.idle.First != slots.None {
				s.closeIdle(l.idle.First)
			}
		}
	}
}

// release gives a slot back. Events of the socket that it had are not for its next owner.
func (s *shard) release(i int32) {
	a := s.attempts.At(i)
	a.serial++
	a.stream, a.fd = nil, -1
	s.attempts.Release(i)
}
