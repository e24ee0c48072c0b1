//go:build linux

package engine

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/epoll"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/probe/pool"
	"kdoctor.io/kdoctor/internal/slots"
)

// errUnasked is for an answer that arrived before its request was sent: it belongs to another request or to none.
var errUnasked = errors.New("an answer that nobody asked for")

// attempt is an attempt under way, or the idle connection that it left.
type attempt struct {
	stream *targetStream
	// serial tells the owners of a slot apart.
	serial int32
	fd     int
	// retransmits is the kernel's count of the connection's retransmitted segments when the attempt began.
	// noRetransmitFor is the age below which the connection cannot have retransmitted.
	retransmits     uint32
	noRetransmitFor time.Duration
	idle            bool
	reused          bool
	phase           probe.Phase
	// lost are the stream's idle connections that the other side had ended when the attempt began.
	lost probe.Lost
	// due and start are those of the sample. The request was written at since, after connecting took connect. The
	// answer arrived from first to last, by the kernel's stamps or as the thread saw it, and was read at read. 0 is not
	// yet.
	due, start, since, connect, first, last, read time.Duration
	// stamped is set where last is by the kernel's clock.
	stamped bool
	// sent is how much of the request is written, left how much of the answer may still be read, in bytes.
	sent, left int
	// buffer holds what arrived; it is nil until then.
	buffer []byte
	parser parser
}

// everyChange watches a socket for as long as it is open, and reports every change once.
const everyChange = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | epoll.Edge

// begin starts an attempt of the stream, over an idle connection if there is one.
func (s *shard) begin(l *targetStream, due, now time.Duration) {
	if l.address.length == 0 {
		s.sample = probe.Sample{Due: s.clock.base.Add(due), Start: s.clock.base.Add(now), Latency: 1,
			Outcome: probe.NotSent, Message: "the address is not one that the engine can probe"}
		s.record(l, &s.sample)
		s.refillLater(l)
		return
	}
	i := l.idle.First
	reused := i != slots.None
	if reused {
		s.attempts.Remove(&l.idle, i)
	} else {
		i = s.attempts.Acquire()
	}
	s.attempts.PushBack(&s.underWay, i)
	s.busy++
	s.engine.inFlight.Add(1)
	a := s.attempts.At(i)
	a.stream, a.due, a.start, a.since, a.idle, a.reused, a.lost = l, due, now, now, false, reused, l.lost
	l.lost = probe.Lost{}
	a.connect, a.first, a.last, a.read, a.stamped = 0, 0, 0, 0, false
	a.sent, a.left, a.parser = 0, httpprobe.MaxHeaderBytes, parser{}
	if reused {
		a.phase = probe.FirstByte
		s.send(i)
		return
	}
	s.open(i, a)
}

// open gives the attempt a connection of its own.
func (s *shard) open(i int32, a *attempt) {
	a.phase, a.fd, a.retransmits, a.noRetransmitFor = probe.Connect, -1, 0, shortestTimer
	if err := s.connect(i, a); err != nil {
		s.fail(i, err)
	}
}

func (s *shard) connect(i int32, a *attempt) (err error) {
	l := a.stream
	if a.fd, err = s.calls.open(l.address.domain); err != nil {
		a.fd = -1
		return err
	}
	if len(l.request) > oneSegment {
		if err := s.calls.enable(a.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil {
			return err
		}
	}
	if !s.engine.config.Plain && !l.connectsOnly() {
		// Where the kernel refuses to stamp, the thread's own clock serves.
		_ = s.calls.enable(a.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS)
	}
	if err := s.calls.connect(a.fd, &l.address); err != nil {
		return err
	}
	return s.poller.Add(a.fd, everyChange, i, a.serial)
}

// handle goes on with an attempt whose socket has changed.
func (s *shard) handle(i, serial int32, events uint32) {
	a := s.attempts.At(i)
	if a.serial != serial || a.stream == nil {
		// The socket was closed after the kernel had reported it, or a child of this process holds it for a moment.
		return
	}
	hangup := events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0
	if a.idle {
		if hangup || events&unix.EPOLLIN != 0 {
			if state := httpprobe.CheckIdleDescriptor(a.fd); state != pool.Open {
				state.Note(&a.stream.lost)
				s.closeIdle(i)
			}
		}
		return
	}
	if a.phase == probe.Connect {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			if code, err := unix.GetsockoptInt(a.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
				s.fail(i, unix.Errno(code)) // #nosec G115 -- the kernel's own number
				return
			}
		}
		if events&unix.EPOLLOUT == 0 || s.connected(i) {
			return
		}
	}
	if a.sent < len(a.stream.request) && !s.send(i) {
		return
	}
	if hangup || events&unix.EPOLLIN != 0 {
		s.receive(i, hangup)
	}
}

// connected notes that the connection is established, and reports whether the attempt is over with that.
func (s *shard) connected(i int32) (over bool) {
	a := s.attempts.At(i)
	a.since = s.now()
	a.connect = max(a.since-a.start, 1)
	if !s.engine.config.Plain && s.calls.readInfo(a.fd) && s.calls.info.Total_retrans == 0 {
		a.noRetransmitFor = noRetransmitFor(time.Duration(s.calls.info.Rto)*time.Microsecond,
			time.Duration(s.calls.info.Rtt)*time.Microsecond)
		// The handshake was the only exchange so far, so the kernel's round trip is how long it took. The rest of the
		// time passed in this process.
		if handshake := time.Duration(s.calls.info.Rtt) * time.Microsecond; handshake > 0 && handshake < a.connect {
			a.connect, a.stamped = handshake, true
		}
	}
	if !a.stream.connectsOnly() {
		a.phase, a.stamped = probe.FirstByte, false
		return false
	}
	a.read, a.last = a.since, a.start+a.connect
	s.sample = probe.Sample{Outcome: probe.OK}
	s.finish(i, true, false)
	return true
}

// send writes what is left of the request, and reports whether all is written.
func (s *shard) send(i int32) bool {
	a := s.attempts.At(i)
	for a.sent < len(a.stream.request) {
		n, errno := epoll.Send(a.fd, a.stream.request[a.sent:], 0)
		switch errno {
		case 0:
			a.sent += n
		case unix.EAGAIN:
			return false
		case unix.EINTR:
		default:
			if a.reused && a.sent == 0 {
				s.replace(i, errno)
				return false
			}
			s.fail(i, errno)
			return false
		}
	}
	return true
}

// replace opens another connection for an attempt whose idle connection had ended before anything of the request left.
// The end happened while the connection was idle: only its event has not been read yet.
func (s *shard) replace(i int32, errno unix.Errno) {
	a := s.attempts.At(i)
	httpprobe.StateOfError(errno).Note(&a.lost)
	epoll.CloseSocket(a.fd)
	a.serial++
	a.reused = false
	s.open(i, a)
}

// receive reads until the answer is complete or nothing is left, and reports whether the attempt is over. After a
// hang-up it reads up to the end, or up to the error, that follows what arrived. Otherwise a read that does not fill
// the buffer has emptied the socket, and what arrives later is another event.
func (s *shard) receive(i int32, hangup bool) (over bool) {
	a := s.attempts.At(i)
	for {
		grown, err := s.lender.grow(a.buffer)
		if err != nil || a.left <= 0 {
			s.overflow(i, err)
			return true
		}
		a.buffer = grown
		have := len(a.buffer)
		space := a.buffer[have:min(cap(a.buffer), have+a.left)]
		n, early, errno := s.read(a, space)
		switch {
		case errno == 0 && n == 0:
			s.ended(i)
			return true
		case errno == 0 && early:
			s.fail(i, errUnasked)
			return true
		case errno == 0:
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return false
		default:
			s.fail(i, errno)
			return true
		}
		a.left -= n
		a.buffer = a.buffer[:have+n]
		if s.parse(i, hangup, n == len(space)) {
			return true
		}
		if n < len(space) && !hangup {
			return false
		}
	}
}

// overflow ends an attempt whose answer is too long. An answer too long for the memory that is left is the agent's own
// limit.
func (s *shard) overflow(i int32, err error) {
	if !errors.Is(err, errRoom) {
		s.fail(i, httpprobe.ErrBody)
		return
	}
	s.sample = probe.Sample{Outcome: probe.NotSent, Phase: s.attempts.At(i).phase, Message: errRoom.Error()}
	s.finish(i, false, false)
}

// read reads once and notes when the bytes arrived. early reports that they arrived before the attempt began.
func (s *shard) read(a *attempt, b []byte) (n int, early bool, errno unix.Errno) {
	if s.engine.config.Plain {
		n, errno = epoll.Receive(a.fd, b)
		if n > 0 && a.first == 0 {
			a.first = a.since
		}
		return n, false, errno
	}
	n, stamp, errno := s.calls.receive(a.fd, b)
	if errno != 0 || n == 0 {
		return n, false, errno
	}
	a.read = s.clock.observe(time.Now())
	a.last, a.stamped, early = s.clock.received(stamp, a.since, a.read)
	if a.first == 0 {
		a.first = a.last
	}
	return n, early && a.reused, 0
}

// parse parses what arrived, and reports whether the attempt is over. full says that there may be more to read.
func (s *shard) parse(i int32, hangup, full bool) bool {
	a := s.attempts.At(i)
	for {
		n, v, err := s.headers.feed(&a.parser, a.buffer)
		a.buffer = a.buffer[:n]
		switch v {
		case more:
			return false
		case final:
			s.sample = probe.Sample{}
			if !a.stream.probe.JudgeStatus(a.parser.status, &s.sample) {
				s.finish(i, false, false)
				return true
			}
			a.phase, a.left = probe.Body, echo.MaxBodyBytes+httpprobe.MaxFraming
		case complete:
			s.judge(i, a.stream.probe.Keep && a.parser.persistent() && len(a.buffer) == a.parser.body, hangup || full)
			return true
		case broken:
			s.fail(i, err)
			return true
		}
	}
}

// ended handles the end of the connection, which completes an answer without framing.
func (s *shard) ended(i int32) {
	a := s.attempts.At(i)
	if !a.parser.ended() {
		s.fail(i, io.ErrUnexpectedEOF)
		return
	}
	// The kernel has no stamp for the end of a connection.
	a.read = s.now()
	a.last, a.stamped = a.read, false
	s.judge(i, false, false)
}

// readLateAnswer takes the answer of an attempt whose time is over, if the answer is there, and reports whether the
// attempt is over. The answer's time of arrival is judged as for every other answer.
func (s *shard) readLateAnswer(i int32) (over bool) {
	a := s.attempts.At(i)
	if a.phase != probe.Connect {
		return a.sent == len(a.stream.request) && s.receive(i, false)
	}
	if !s.calls.readInfo(a.fd) || s.calls.info.State != tcpEstablished {
		return false
	}
	if a.stream.connectsOnly() {
		return s.connected(i)
	}
	// The peer last acknowledged the handshake: nothing was sent since.
	made := s.now() - time.Duration(s.calls.info.Last_ack_recv)*time.Millisecond
	if made > s.deadline(i)-tooLittle {
		return false
	}
	s.sample = probe.Sample{Outcome: probe.NotSent, Phase: probe.FirstByte,
		Message: "the agent was too late to send the request"}
	s.finish(i, false, false)
	return true
}

// tooLittle is how long before its deadline a connection must be made at least, so that it is the agent's fault that
// the request is not sent. A connection that takes nearly all of the time is the network's fault: Linux sends a lost
// SYN again after 1, 3 and 7 s, and such numbers are usual for timeouts. The kernel counts in jiffies, of up to 10 ms.
const tooLittle = 20 * time.Millisecond

// tcpEstablished is TCP_ESTABLISHED in the kernel's list of states.
const tcpEstablished = 1
