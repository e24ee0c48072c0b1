//go:build linux

package engine

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/probe"
	httpprobe "kdoctor.io/kdoctor/internal/probe/http"
)

// attempt is one attempt under way.
type attempt struct {
	lane           *lane
	previous, next int32
	fd             int
	due, start     time.Duration
	phase          probe.Phase
	// sent is how much of the request is written, left how much of the answer may still be read.
	sent, left int
	// buffer is nil until something arrives.
	buffer []byte
	parser parser
}

// begin starts an attempt on the lane.
func (s *shard) begin(l *lane, due time.Duration) {
	i := s.take()
	a := &s.attempts[i]
	a.lane, a.due, a.start, a.fd, a.left = l, due, s.now(), -1, httpprobe.MaxHeaderBytes
	if l.address == nil {
		s.finish(i, probe.Sample{Outcome: probe.NotSent, Message: "the address is not one that the engine can probe"}, false)
		return
	}
	a.phase = probe.Connect
	if err := s.connect(i, a); err != nil {
		s.fail(i, err)
	}
}

func (s *shard) connect(i int32, a *attempt) error {
	fd, err := unix.Socket(a.lane.domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	a.fd = fd
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	switch err := unix.Connect(fd, a.lane.address); {
	case err == nil, errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.EINTR):
	default:
		return err
	}
	return s.poller.watch(fd, i)
}

// handle goes on with an attempt whose socket has changed.
func (s *shard) handle(i int32, events uint32) {
	a := &s.attempts[i]
	if a.lane == nil {
		// A child of this process may hold a closed socket for a moment, which then still has events.
		return
	}
	hangup := events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	if a.phase == probe.Connect {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			if code, err := unix.GetsockoptInt(a.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
				s.fail(i, syscall.Errno(code)) // #nosec G115 -- the kernel's own number
				return
			}
		}
		if events&unix.EPOLLOUT == 0 {
			return
		}
		a.phase = probe.FirstByte
	}
	for a.sent < len(a.lane.request) {
		n, err := unix.Write(a.fd, a.lane.request[a.sent:])
		switch {
		case err == nil:
			a.sent += n
		case errors.Is(err, unix.EAGAIN):
			return
		case !errors.Is(err, unix.EINTR):
			s.fail(i, err)
			return
		}
	}
	if hangup || events&unix.EPOLLIN != 0 {
		s.receive(i, hangup)
	}
}

// receive reads until the answer is complete or nothing is left. After a hang-up it reads up to the end or the error behind what arrived;
// otherwise a read that does not fill the buffer has emptied the socket, and the next event comes with what arrives later.
func (s *shard) receive(i int32, hangup bool) {
	a := &s.attempts[i]
	for {
		grown, ok := s.buffers.grow(a.buffer)
		if !ok || a.left <= 0 {
			s.fail(i, httpprobe.ErrBody)
			return
		}
		a.buffer = grown
		have := len(a.buffer)
		space := a.buffer[have:min(cap(a.buffer), have+a.left)]
		n, err := unix.Read(a.fd, space)
		switch {
		case err == nil && n == 0:
			s.ended(i)
			return
		case err == nil:
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return
		default:
			s.fail(i, err)
			return
		}
		a.left -= n
		a.buffer = a.buffer[:have+n]
		if s.parse(i) || n < len(space) && !hangup {
			return
		}
	}
}

// parse looks at what arrived, and reports whether that ended the attempt.
func (s *shard) parse(i int32) bool {
	a := &s.attempts[i]
	for {
		n, v, err := a.parser.feed(a.buffer)
		a.buffer = a.buffer[:n]
		switch v {
		case more:
			return false
		case final:
			var sample probe.Sample
			if !s.engine.probe.JudgeStatus(a.parser.status, &sample) {
				s.finish(i, sample, false)
				return true
			}
			a.phase, a.left = probe.Body, httpprobe.MaxBodyBytes+httpprobe.MaxFraming
		case complete:
			s.judge(i)
			return true
		case broken:
			s.fail(i, err)
			return true
		}
	}
}

// ended is for the end of the connection, which ends some answers.
func (s *shard) ended(i int32) {
	if !s.attempts[i].parser.ended() {
		s.fail(i, io.ErrUnexpectedEOF)
		return
	}
	s.judge(i)
}

func (s *shard) judge(i int32) {
	a := &s.attempts[i]
	sample := a.answer()
	s.engine.probe.JudgeBody(a.lane.target, a.buffer[:a.parser.body], &sample)
	s.finish(i, sample, true)
}

// fail ends an attempt with an error. The caller's end comes first: what it breaks says nothing about the network.
func (s *shard) fail(i int32, err error) {
	a := &s.attempts[i]
	if s.outer != nil && s.outer.Err() != nil {
		s.abort(i)
		return
	}
	sample := a.answer()
	s.engine.probe.JudgeError(a.phase, err, &sample)
	s.finish(i, sample, false)
}

func (s *shard) abort(i int32) {
	a := &s.attempts[i]
	sample := a.answer()
	httpprobe.Abort(a.phase, &sample)
	s.finish(i, sample, false)
}

// answer is what a sample says of the answer so far.
func (a *attempt) answer() (sample probe.Sample) {
	if a.phase == probe.Body {
		sample.Status, sample.Bytes = a.parser.status, int64(a.parser.body)
	}
	return sample
}

// finish measures and records the attempt and frees what it held. read tells that the answer was read to its end.
func (s *shard) finish(i int32, sample probe.Sample, read bool) {
	a := &s.attempts[i]
	sample.Start, sample.Due = s.base.Add(a.start), s.base.Add(a.due)
	sample.Latency = s.now() - a.start
	if sample.Outcome == probe.OK && sample.Latency > s.engine.probe.Timeout {
		s.engine.probe.JudgeError(probe.Body, context.DeadlineExceeded, &sample)
	}
	if a.fd >= 0 {
		a.lane.retransmits += s.retransmitted(a.fd)
		if read {
			// Everything was read, so a reset loses nothing, and neither a port here nor conntrack entries on the way linger for minutes.
			_ = unix.SetsockoptLinger(a.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		}
		_ = unix.Close(a.fd)
	}
	l := a.lane
	s.give(i)
	s.record(l, sample)
}

// retransmitted asks the kernel how many segments of the connection were sent again.
func (s *shard) retransmitted(fd int) uint64 {
	s.info.Total_retrans = 0
	size := uint32(unsafe.Sizeof(s.info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&s.info)), uintptr(unsafe.Pointer(&size)), 0) // #nosec G103 -- the kernel fills both
	if errno != 0 {
		return 0
	}
	return uint64(s.info.Total_retrans)
}
