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
	// startBatch is how many attempts are started before the sockets have their turn.
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
	// record is called with every attempt that ends.
	record func(*targetStream, *probe.Sample)
	// sample describes the attempt that is ending.
	sample probe.Sample

	// attempts are those under way and those that left an idle connection.
	attempts slots.Table[attempt]
	// underWay lists the attempts under way in the order of their starts. All attempts have the same time, so that this
	// is the order of their deadlines too. busy is their number.
	underWay slots.List
	busy     int
	// refills are the streams that wait for another attempt, where Config.Saturate is set.
	refills []*targetStream

	lender  lender
	headers headerCache
	// names are the names of pods that answered, so that each name is made once.
	names map[string]string
}

func newShard(e *Engine, p *part, with *epoll.Poller, base time.Time) *shard {
	s := &shard{engine: e, part: p, poller: with, clock: newClock(base), underWay: slots.NewList(),
		names: map[string]string{}, lender: newLender(&e.lent),
		record: func(l *targetStream, s *probe.Sample) { l.Record(s) }}
	for range e.config.Saturate {
		s.refills = append(s.refills, p.counted.streams...)
	}
	return s
}

func (s *shard) now() time.Duration { return time.Since(s.clock.base) }

// thread runs the shard on a thread of its own. The thread ends with the shard, so that no other goroutine inherits its
// timer slack.
func (s *shard) thread(ctx context.Context) {
	runtime.LockOSThread()
	// The kernel may wake a thread with timer slack 50 us late. Failing to remove the slack is not worth an error.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	s.run(ctx)
	s.closeAllIdle()
}

// run goes on until all attempts have ended. When the context ends first, run aborts the attempts under way. Idle
// connections stay open.
func (s *shard) run(ctx context.Context) {
	s.caller = ctx
	for ctx.Err() == nil && s.step() {
	}
	for s.underWay.First != slots.None {
		s.abort(s.underWay.First)
	}
}

// step starts what is due, waits, and reads what arrived. It reports false when there is nothing left to do. Requests
// are written after all that had arrived was read.
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
		// A wait does not fail with the descriptors that the poller has. If it does, no attempt can go on.
		s.abandon(err)
		return false
	}
	return true
}

// start starts what is due, a batch at most, and returns when it must be called again.
func (s *shard) start() time.Duration {
	if s.engine.config.Saturate > 0 {
		return s.refill()
	}
	for range startBatch {
		t := &s.counted
		due := t.nextDue()
		if persistent := s.persistent.nextDue(); persistent < due {
			t, due = &s.persistent, persistent
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

// refill starts an attempt for each one that has ended. An attempt that fails at once is followed by another in the
// next step.
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

// wait handles what happens until the moment. On a grid sockets are looked at only at the grid's moments, and only
// while attempts are under way.
func (s *shard) wait(until time.Duration) error {
	d := until - s.now()
	if s.grid && d > 0 {
		// Wait up to the grid's next moment, or, when nothing else can happen, up to the first one at or after the
		// wanted moment.
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

// expire ends the attempts whose time is over. An attempt whose answer has arrived is judged by its answer: only this
// thread is late.
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

// abandon ends a shard that cannot wait: the attempts under way fail with the error, and all attempts to come are
// missed.
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
