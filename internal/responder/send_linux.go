package responder

import (
	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/epoll"
)

// send writes answers whose last padding bytes are blanks. It holds what the socket does not take; out is then not nil.
// It reports false when the connection is gone.
func (s *shard) send(i int32, out []byte, padding int) bool {
	n, errno := sendAll(s.connections.At(i).fd, out, 0)
	if errno != 0 && errno != unix.EAGAIN {
		s.drop(i)
		return false
	}
	if n == len(out) {
		return true
	}
	if !s.holdOutput(i, out[n:], padding) {
		return false
	}
	s.enqueue(i, inAnswer)
	return s.watchWrites(i)
}

// holdOutput stores what is to be written later. It reports false when it had to close the connection.
func (s *shard) holdOutput(i int32, out []byte, padding int) bool {
	c := s.connections.At(i)
	padding = min(padding, len(out))
	text := out[:len(out)-padding]
	held, ok := s.lender.lend(text, len(text))
	if !ok {
		s.drop(i)
		return false
	}
	c.out, c.sent, c.padding = held, 0, int32(padding) // #nosec G115 -- it is at most MaxBodyBytes
	return true
}

// holdRequests stores the requests that arrived meanwhile until the answer before them is written.
func (s *shard) holdRequests(i int32, b []byte) {
	if !s.holdInput(i, b) {
		s.drop(i)
	}
}

// delay holds an answer until its moment.
func (s *shard) delay(i int32, out []byte, padding int, b []byte, options echo.Options) {
	if !s.holdOutput(i, out, padding) {
		return
	}
	s.dequeue(i)
	s.delays.add(i, s.now+options.Delay)
	if !s.holdInput(i, b) {
		s.drop(i)
		return
	}
	s.watch(i)
}

// flush goes on with an answer that is held. When it is written, the requests after it have their turn.
func (s *shard) flush(i int32) {
	c := s.connections.At(i)
	for int(c.sent) < len(c.out) || c.padding > 0 {
		rest := c.out[c.sent:]
		blanks := len(rest) == 0
		if blanks {
			// The output is free: nothing is collected while an answer is held.
			rest = s.output[:min(int(c.padding), flushAt)]
			for j := range rest {
				rest[j] = ' '
			}
		}
		n, errno := sendAll(c.fd, rest, 0)
		if errno != 0 && errno != unix.EAGAIN {
			s.drop(i)
			return
		}
		if blanks {
			c.padding -= int32(n) // #nosec G115 -- it is at most the padding
		} else {
			c.sent += int32(n) // #nosec G115 -- it is at most the length
		}
		if errno == unix.EAGAIN {
			if c.queue != inAnswer {
				s.enqueue(i, inAnswer)
			}
			s.watchWrites(i)
			return
		}
	}
	s.lender.release(c.out)
	c.out, c.sent = nil, 0
	if c.last {
		s.linger(i)
		return
	}
	switch {
	case c.in == nil && s.stopping:
		s.drop(i)
		return
	case c.in == nil:
		s.enqueue(i, inIdle)
	case !s.process(i, c.in, false):
		return
	}
	// Events that came meanwhile were not handled.
	s.receive(i, true)
}

// conclude writes the last answer and ends the connection. clean says that nothing is left to read: then the end
// travels with the answer, in one segment. Otherwise a close would be a reset, which discards answers that the client
// has not read. It reports false: the connection is not to be read on.
func (s *shard) conclude(i int32, out []byte, padding int, clean bool) bool {
	c := s.connections.At(i)
	c.last = true
	s.lender.release(c.in)
	c.in, c.head = nil, 0
	if clean {
		n, errno := sendAll(c.fd, out, unix.MSG_MORE)
		if n == len(out) || errno != unix.EAGAIN {
			s.drop(i)
			return false
		}
		out = out[n:]
	}
	if s.send(i, out, padding) && c.out == nil {
		s.linger(i)
	}
	return false
}

// linger ends our side of the connection and waits for the client's end.
func (s *shard) linger(i int32) {
	c := s.connections.At(i)
	if unix.Shutdown(c.fd, unix.SHUT_WR) != nil {
		s.drop(i)
		return
	}
	s.enqueue(i, inLinger)
	s.watch(i)
	if s.connections.At(i).fd >= 0 {
		s.drain(i)
	}
}

// drain throws away what the client still sends. A client that never stops sending is disconnected.
func (s *shard) drain(i int32) {
	fd := s.connections.At(i).fd
	for range readsPerTurn {
		n, errno := epoll.Receive(fd, s.input)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return
		case errno != 0, n == 0:
			s.drop(i)
			return
		}
	}
	s.drop(i)
}

// sendAll writes until everything is written or the socket takes no more; the error is then EAGAIN.
func sendAll(fd int, b []byte, flags uintptr) (n int, errno unix.Errno) {
	for n < len(b) {
		sent, errno := epoll.Send(fd, b[n:], flags)
		switch errno {
		case 0:
			n += sent
		case unix.EINTR:
		default:
			return n, errno
		}
	}
	return n, 0
}
