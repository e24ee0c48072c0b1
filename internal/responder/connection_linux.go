package responder

import (
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/epoll"
	"kdoctor.io/kdoctor/internal/slots"
)

const (
	// flushAt is how many bytes of answers to pipelined requests are collected before they are written.
	flushAt = 16 << 10
	// readsPerTurn is how often a connection may fill the input before other connections have their turn.
	readsPerTurn = 16
	// arrivals watches what a client sends, until the connection is closed.
	arrivals = unix.EPOLLIN | unix.EPOLLRDHUP | epoll.Edge
	// moreRoom is the least room that a buffer has for the rest of a head, in bytes.
	moreRoom = 256
)

// connection is one client. An idle connection holds no buffer.
type connection struct {
	// queue is what the connection waits for, since a moment.
	queue      queue
	since      time.Duration
	fd         int
	generation int32
	// watched says that the poller reports what arrives, writes that it reports room to write, and last that the
	// connection ends with the answer in out.
	watched, writes, last bool
	// in is what arrived of an incomplete request, or the requests that wait until the answer before them is written.
	// Its first searched bytes do not end a head. While the body of a request arrives, in holds the head alone and head
	// is its length.
	in             []byte
	searched, head int32
	body           body
	// out from sent on is still to be written, and padding blanks after it. delayed is the connection's position among
	// the delays.
	out                    []byte
	sent, padding, delayed int32
	// address is the client's address with its port.
	address       [64]byte
	addressLength uint8
}

// changed goes on with a connection whose socket has changed.
func (s *shard) changed(i int32, events uint32) {
	c := s.connections.At(i)
	hangup := events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	switch {
	case c.delayed != slots.None:
		// A client that has ended only its own side still wants the answer.
		if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			s.drop(i)
		}
	case c.queue == inAnswer:
		s.flush(i)
	case c.queue == inLinger:
		s.drain(i)
	case hangup || events&unix.EPOLLIN != 0:
		s.receive(i, hangup)
	}
}

// receive reads and answers until nothing is left. After a hang-up it reads up to the end, or up to the error, that
// follows what arrived. Otherwise a read that does not fill the buffer has emptied the socket, and what arrives later
// is another event.
func (s *shard) receive(i int32, hangup bool) {
	for range readsPerTurn {
		c := s.connections.At(i)
		b := s.input[:0]
		if c.head == 0 && c.in != nil {
			if !s.holdInput(i, c.in) {
				s.drop(i)
				return
			}
			b = c.in
		}
		have := len(b)
		n, errno := epoll.Receive(c.fd, b[have:cap(b)])
		switch errno {
		case 0:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			s.watch(i)
			return
		default:
			s.drop(i)
			return
		}
		if n == 0 {
			s.drop(i)
			return
		}
		emptied := n < cap(b)-have
		if !s.process(i, b[:have+n], emptied) {
			return
		}
		if emptied && !hangup {
			s.watch(i)
			return
		}
	}
	s.watch(i)
	s.unread = append(s.unread, handle{i, s.connections.At(i).generation})
}

// process answers the requests that are complete in b, and holds the rest. emptied says that nothing more was in the
// socket. It reports whether to read on: the connection may be gone, or wait.
func (s *shard) process(i int32, b []byte, emptied bool) bool {
	c := s.connections.At(i)
	out, padding, answered := s.output[:0], 0, false
	for len(b) > 0 {
		n, f, status := s.advance(i, b)
		if status != http.StatusOK {
			return s.conclude(i, s.writer.refuse(out, status), 0, false)
		}
		if f == partial {
			b = b[n:]
			if s.request.expectsContinue && c.head > 0 && len(b) == 0 {
				out, padding = append(out, continueAnswer...), 0
				s.request.expectsContinue = false
			}
			break
		}
		options := s.rounds.Options(s.request.round)
		if len(out) > flushAt || len(out) > 0 && options != (echo.Options{}) {
			// The request is parsed again when those before it are answered.
			if !s.send(i, out, padding) {
				return false
			}
			if c.out != nil {
				s.holdRequests(i, b)
				return false
			}
			out = out[:0]
		}
		// The count precedes the write: a client that has read its answer finds it counted.
		s.rounds.Count(s.request.round)
		b, answered = b[n:], true
		c.last = s.request.close || s.stopping
		out, padding = s.writer.answer(out, &s.request, c.address[:c.addressLength], options, c.last)
		s.forgetHead(c)
		if options.Delay > 0 {
			s.delay(i, out, padding, b, options)
			return false
		}
		if c.last {
			return s.conclude(i, out, padding, emptied && len(b) == 0)
		}
	}
	if c.head == 0 && !s.holdInput(i, b) {
		s.drop(i)
		return false
	}
	if len(out) > 0 && !s.send(i, out, padding) {
		return false
	}
	return c.out == nil && s.queueReader(i, answered)
}

// queueReader puts a connection that reads into the right queue.
func (s *shard) queueReader(i int32, answered bool) bool {
	c := s.connections.At(i)
	switch {
	case c.in == nil && s.stopping:
		s.drop(i)
		return false
	case c.in == nil:
		if answered {
			s.enqueue(i, inIdle)
		}
	case answered || c.queue != inRequest && c.queue != inBody:
		s.enqueue(i, inRequest)
	}
	return true
}

// advance parses the next request in b: its head, or its body where the head is held. It returns how much of b was
// consumed. A complete request is in s.request, and is consumed when it is answered.
func (s *shard) advance(i int32, b []byte) (n int, f parsed, status int) {
	c := s.connections.At(i)
	if c.head > 0 {
		s.request.expectsContinue = false
		n, more, status := c.body.feed(b)
		if more || status != http.StatusOK {
			return n, partial, status
		}
		_, f, status = s.head(c.in, 0)
		return n, f, status
	}
	n, f, status = s.head(b, int(c.searched))
	switch {
	case status != http.StatusOK:
		return 0, partial, status
	case f == partial:
		c.searched = int32(len(b)) // #nosec G115 -- it is at most MaxHeader
		return 0, partial, status
	case s.request.expectsOther:
		return 0, partial, http.StatusExpectationFailed
	case s.request.length > echo.MaxRequestBody:
		return 0, partial, http.StatusRequestEntityTooLarge
	}
	c.searched = 0
	if s.request.length == 0 {
		return n, complete, status
	}
	c.body.begin(s.request.length)
	taken, more, status := c.body.feed(b[n:])
	if !more || status != http.StatusOK {
		return n + taken, complete, status
	}
	s.request.expectsContinue = s.request.expectsContinue && taken == 0
	if !s.holdInput(i, b[:n]) {
		return 0, partial, http.StatusServiceUnavailable
	}
	c.head = int32(n) // #nosec G115 -- it is at most MaxHeader
	return len(b), partial, status
}

// head parses a head, whose end is not in the first scanned bytes.
func (s *shard) head(b []byte, scanned int) (n int, f parsed, status int) {
	if b[0] == '\n' || b[0] == '\r' {
		return 0, partial, http.StatusBadRequest
	}
	end := 0
	if scanned > 0 {
		end = headEnd(b, scanned)
	}
	if scanned == 0 || end > 0 {
		if n, f = s.request.parse(b); f == complete {
			return n, complete, http.StatusOK
		}
		if f == unusual && end == 0 {
			end = headEnd(b, 0)
		}
	}
	if end == 0 {
		if len(b) >= MaxHeader {
			return 0, partial, http.StatusRequestHeaderFieldsTooLarge
		}
		return 0, partial, http.StatusOK
	}
	return end, complete, s.request.examine(b[:end])
}

// holdInput stores what is left of the input in in, with room for more; left may be a part of in. It reports false when
// too many buffers are lent.
func (s *shard) holdInput(i int32, left []byte) bool {
	c := s.connections.At(i)
	if len(left) == 0 {
		s.lender.release(c.in)
		c.in = nil
		return true
	}
	room := min(len(left)+moreRoom, MaxHeader)
	if cap(c.in) >= room {
		c.in = c.in[:cap(c.in)]
		c.in = c.in[:copy(c.in, left)]
		return true
	}
	lent, ok := s.lender.lend(left, room)
	if !ok {
		return false
	}
	s.lender.release(c.in)
	c.in = lent
	return true
}

// forgetHead releases the head of a request that is answered.
func (s *shard) forgetHead(c *connection) {
	if c.head > 0 {
		s.lender.release(c.in)
		c.in, c.head = nil, 0
	}
}

// watch has the poller report the connection's changes from now on, and those since the connection was accepted.
func (s *shard) watch(i int32) {
	c := s.connections.At(i)
	if c.watched {
		return
	}
	if s.poller.Add(c.fd, arrivals, i, c.generation) != nil {
		s.drop(i)
		return
	}
	c.watched = true
}

// watchWrites has the poller also report room to write. It reports false when the connection is gone.
func (s *shard) watchWrites(i int32) bool {
	c := s.connections.At(i)
	if c.writes {
		return true
	}
	watch := s.poller.Add
	if c.watched {
		watch = s.poller.Modify
	}
	if watch(c.fd, arrivals|unix.EPOLLOUT, i, c.generation) != nil {
		s.drop(i)
		return false
	}
	c.watched, c.writes = true, true
	return true
}

// drop closes a connection.
func (s *shard) drop(i int32) {
	c := s.connections.At(i)
	s.dequeue(i)
	if c.delayed != slots.None {
		s.delays.remove(c.delayed)
	}
	s.lender.release(c.in)
	s.lender.release(c.out)
	epoll.CloseSocket(c.fd)
	*c = connection{fd: -1, generation: c.generation, delayed: slots.None}
	s.connections.Release(i)
	s.open--
}
