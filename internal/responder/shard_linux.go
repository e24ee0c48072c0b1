package responder

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/epoll"
	"kdoctor.io/kdoctor/internal/slots"
)

const (
	// acceptBatch is how many connections are accepted before other sockets have their turn.
	acceptBatch = 64
	// retryAccept is the delay before accepting again after running out of descriptors or memory.
	retryAccept = 100 * time.Millisecond
	// listenKey is the key of the listener's events.
	listenKey = -3
	// never is a moment that does not come.
	never = time.Duration(1<<63 - 1)
)

// shard is one thread's part of the connections. Moments are counted from the shard's start.
type shard struct {
	rounds *Rounds
	poller *epoll.Poller
	writer *writer
	base   time.Time
	// now is when the events being handled were taken from the kernel.
	now time.Duration

	listener, limit int
	accepting       bool
	// full tells the other shards that this one accepts no more connections. It may have been the only one to hear of
	// those that wait.
	full func()
	// resume is when to accept again after a failure.
	resume time.Duration
	// stopping is set from the end of the context on. The shard ends at until.
	stopping bool
	until    time.Duration

	// connections are the open ones, and free slots, whose fd is -1.
	connections slots.Table[connection]
	open        int
	// waiting lists the connections of each queue in the order of their deadlines; limits is the time that each queue
	// allows.
	waiting [queues]slots.List
	limits  [queues]time.Duration
	delays  delays
	// unread are connections that had more to read than their turn allows.
	unread []handle

	lender lender
	// request is the one being answered. input and output have room for what is read and written at once.
	request       request
	input, output []byte
	peer          unix.RawSockaddrAny
}

// handle names a connection that may be gone, and its slot another's.
type handle struct{ connection, generation int32 }

func newShard(r *Responder, listener, limit int) (*shard, error) {
	w, err := newWriter(r.config.Identity)
	if err != nil {
		return nil, err
	}
	p, err := epoll.Open(epoll.Config{Hold: runtime.GOMAXPROCS(0) > r.config.Shards})
	if err != nil {
		return nil, err
	}
	s := &shard{rounds: &r.handler.Rounds, poller: p, writer: w, base: time.Now(), listener: listener, limit: limit,
		resume: never, lender: newLender(),
		input: make([]byte, MaxHeader), output: make([]byte, 0, 2*flushAt+echo.MaxBodyBytes)}
	s.delays.moved = func(connection, at int32) { s.connections.At(connection).delayed = at }
	for q := range s.waiting {
		s.waiting[q] = slots.NewList()
	}
	s.limits = [queues]time.Duration{inRequest: r.config.Header, inBody: r.config.Request - r.config.Header,
		inAnswer: r.config.Write, inIdle: r.config.Idle, inLinger: lingerTime}
	return s, nil
}

// thread runs the shard on a thread of its own, until the context has ended and the answers under way have.
func (s *shard) thread(ctx context.Context) error {
	runtime.LockOSThread()
	defer s.dropAll()
	if err := s.accept(true); err != nil {
		return err
	}
	for {
		events, err := s.poller.Wait(s.pause())
		if err != nil {
			return err
		}
		s.now = time.Since(s.base)
		s.writer.tick(s.now)
		for i := range events {
			s.handle(&events[i])
		}
		s.readRest()
		s.expire()
		if ctx.Err() != nil && !s.stopping {
			s.stop()
		}
		if s.stopping && (s.open == 0 || s.now >= s.until) {
			return nil
		}
		if err := s.accept(s.open < s.limit && !s.stopping && s.resume == never); err != nil {
			return err
		}
	}
}

// pause returns how long to wait for events, negative for no limit.
func (s *shard) pause() time.Duration {
	if len(s.unread) > 0 {
		return 0
	}
	until := s.resume
	for q := range s.waiting {
		if i := s.waiting[q].First; i != slots.None {
			until = min(until, s.deadline(i))
		}
	}
	if len(s.delays.waiting) > 0 {
		until = min(until, s.delays.waiting[0].until)
	}
	if s.stopping {
		until = min(until, s.until)
	}
	if until == never {
		return -1
	}
	return max(until-time.Since(s.base), 0)
}

func (s *shard) handle(e *unix.EpollEvent) {
	switch e.Fd {
	case epoll.InterruptKey:
		s.poller.Resume()
		if s.accepting {
			s.acceptSome()
		}
	case listenKey:
		s.acceptSome()
	default:
		if c := s.connections.At(e.Fd); c.fd < 0 || c.generation != e.Pad {
			// The connection was closed by an earlier event.
			return
		}
		s.changed(e.Fd, e.Events)
	}
}

// readRest gives another turn to the connections that had more to read.
func (s *shard) readRest() {
	turn := s.unread
	s.unread = nil
	for _, h := range turn {
		if c := s.connections.At(h.connection); c.fd >= 0 && c.generation == h.generation {
			s.changed(h.connection, unix.EPOLLIN|unix.EPOLLRDHUP)
		}
	}
}

// accept starts or ends the watch of the listener. One of the shards that watch it hears of a connection. What waits
// while this shard does not watch is accepted by another shard, or later.
func (s *shard) accept(want bool) error {
	if want == s.accepting {
		return nil
	}
	s.accepting = want
	if !want {
		s.poller.Remove(s.listener)
		s.full()
		return nil
	}
	if err := s.poller.Add(s.listener, unix.EPOLLIN|unix.EPOLLEXCLUSIVE, listenKey, 0); err != nil {
		return fmt.Errorf("watch listener: %w", err)
	}
	return nil
}

// stop closes connections that wait for a request. Answers under way go on until the deadline.
func (s *shard) stop() {
	s.stopping, s.until = true, s.now+stopTime
	for i := range int32(s.connections.Len()) { // #nosec G115 -- connections are bounded
		c := s.connections.At(i)
		if c.fd >= 0 && (c.queue == inIdle || c.queue == inRequest && c.in == nil) {
			s.drop(i)
		}
	}
}

func (s *shard) dropAll() {
	for i := range int32(s.connections.Len()) { // #nosec G115 -- connections are bounded
		if s.connections.At(i).fd >= 0 {
			s.drop(i)
		}
	}
}

// expire writes the delayed answers that are due, and ends connections at their deadlines.
func (s *shard) expire() {
	for len(s.delays.waiting) > 0 && s.delays.waiting[0].until <= s.now {
		i := s.delays.waiting[0].connection
		s.delays.remove(0)
		s.flush(i)
	}
	for q := range s.waiting {
		for l := &s.waiting[q]; l.First != slots.None && s.now >= s.deadline(l.First); {
			s.overdue(l.First)
		}
	}
	if s.now >= s.resume {
		s.resume = never
	}
}

func (s *shard) overdue(i int32) {
	c := s.connections.At(i)
	if c.queue == inRequest && c.head > 0 && s.limits[inBody] > 0 {
		s.enqueue(i, inBody)
		return
	}
	if c.queue == inAnswer {
		// Discard what the client does not take: the kernel would hold it for minutes.
		epoll.DiscardOnClose(c.fd)
	}
	s.drop(i)
}

// deadline returns when a connection in a queue is overdue.
func (s *shard) deadline(i int32) time.Duration {
	c := s.connections.At(i)
	return c.since + s.limits[c.queue]
}

// enqueue moves the connection to the end of a queue.
func (s *shard) enqueue(i int32, q queue) {
	s.dequeue(i)
	c := s.connections.At(i)
	c.queue, c.since = q, s.now
	s.connections.PushBack(&s.waiting[q], i)
}

// dequeue takes the connection out of its queue.
func (s *shard) dequeue(i int32) {
	c := s.connections.At(i)
	if c.queue == noQueue {
		return
	}
	s.connections.Remove(&s.waiting[c.queue], i)
	c.queue = noQueue
}
