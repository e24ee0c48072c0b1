//go:build linux

package engine

import (
	"context"
	"math"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/probe"
)

const (
	// startBatch is how many attempts are started before sockets are looked at again.
	startBatch = 32
	// never is a moment that does not come.
	never = time.Duration(math.MaxInt64)
	// none is the index of no attempt.
	none = -1
)

// shard is one thread's part of the load. Moments are counted from the load's start.
type shard struct {
	engine *Engine
	poller *poller
	base   time.Time
	outer  context.Context
	// record takes what came of an attempt.
	record func(*lane, probe.Sample)

	// lanes stand in the order in which they are due; round and next are the attempt that is due next.
	lanes []*lane
	round uint64
	next  int

	// attempts are those under way, and free places. Those under way are linked in the order in which they began, which is that of their deadlines.
	attempts    []attempt
	free        []int32
	first, last int32
	underWay    int

	buffers buffers
	info    unix.TCPInfo
}

func newShard(e *Engine, lanes []*lane, p *poller, base time.Time) *shard {
	return &shard{engine: e, lanes: lanes, poller: p, base: base, first: none, last: none,
		record: func(l *lane, s probe.Sample) { l.Record(s) }}
}

func (s *shard) now() time.Duration { return time.Since(s.base) }

// thread runs the shard on a thread of its own. The thread ends with it, so that nobody inherits its timer slack.
func (s *shard) thread(ctx context.Context) {
	runtime.LockOSThread()
	// Without it the kernel may wake the thread 50 us late, which is not worth a failure.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	s.run(ctx)
}

// run goes on until all attempts have ended, or until the context has: then it aborts those under way.
func (s *shard) run(ctx context.Context) {
	s.outer = ctx
	for ctx.Err() == nil {
		s.expire()
		due := s.startDue()
		if due == never && s.underWay == 0 {
			return
		}
		if s.first != none {
			due = min(due, s.attempts[s.first].start+s.engine.probe.Timeout)
		}
		events, err := s.poller.wait(due - s.now())
		if err != nil {
			// It cannot happen with the descriptors that the poller holds; without it no attempt can go on.
			s.fall(err)
			return
		}
		for i := range events {
			if key := events[i].Fd; key >= 0 {
				s.handle(key, events[i].Events)
			}
		}
	}
	for s.first != none {
		s.abort(s.first)
	}
}

// startDue starts what is due, a batch at most, and returns when it wants to be called again.
func (s *shard) startDue() time.Duration {
	for range startBatch {
		if s.round >= s.engine.requests || len(s.lanes) == 0 {
			return never
		}
		l := s.lanes[s.next]
		due, now := s.engine.pace.Offset(s.round)+l.phase, s.now()
		if due > now {
			return due
		}
		if s.next++; s.next == len(s.lanes) {
			s.next = 0
			s.round++
		}
		if now-due > s.engine.lateness || s.engine.inFlight.Load() >= s.engine.limit {
			l.Miss(1)
			continue
		}
		s.begin(l, due)
	}
	return 0
}

// expire ends the attempts whose time is over. All have the same time, so they end in the order in which they began.
func (s *shard) expire() {
	if s.first == none {
		return
	}
	now := s.now()
	for s.first != none && now >= s.attempts[s.first].start+s.engine.probe.Timeout {
		s.fail(s.first, context.DeadlineExceeded)
	}
}

// fall ends a shard that cannot wait: its attempts fail with the error, and what was still to come is missed.
func (s *shard) fall(err error) {
	for s.first != none {
		s.fail(s.first, err)
	}
	for i, l := range s.lanes {
		n := s.engine.requests - s.round
		if n > 0 && i < s.next {
			n--
		}
		l.Miss(n)
	}
}

// take finds a place for an attempt and puts it at the end of the line.
func (s *shard) take() int32 {
	var i int32
	if n := len(s.free); n > 0 {
		i, s.free = s.free[n-1], s.free[:n-1]
	} else {
		i = int32(len(s.attempts)) // #nosec G115 -- the bound of attempts in flight is far below
		s.attempts = append(s.attempts, attempt{})
	}
	s.attempts[i] = attempt{previous: s.last, next: none}
	if s.last == none {
		s.first = i
	} else {
		s.attempts[s.last].next = i
	}
	s.last = i
	s.underWay++
	s.engine.inFlight.Add(1)
	return i
}

// give frees the place.
func (s *shard) give(i int32) {
	a := &s.attempts[i]
	if a.previous == none {
		s.first = a.next
	} else {
		s.attempts[a.previous].next = a.next
	}
	if a.next == none {
		s.last = a.previous
	} else {
		s.attempts[a.next].previous = a.previous
	}
	s.buffers.give(a.buffer)
	a.buffer, a.lane = nil, nil
	s.free = append(s.free, i)
	s.underWay--
	s.engine.inFlight.Add(-1)
}
