//go:build linux

package engine

import (
	"context"
	"time"

	"kdoctor.io/kdoctor/internal/epoll"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/probe/pool"
)

const (
	// oneSegment is the length of a request that fits into one segment on every path: the least that a host must
	// accept, without headers (RFC 9293, section 3.7.1).
	oneSegment = 536
	// shortestTimer is the age below which no connection can have retransmitted. The kernel retransmits when a timer
	// ends, which takes 200 ms at least (RFC 6298 says 1 s) and, where a route lowers it, a jiffy of 1 to 10 ms. The
	// kernel also retransmits when the other side reports a gap, which takes a second segment.
	shortestTimer = time.Millisecond
	// leastTimer is the kernel's least retransmission timer (TCP_RTO_MIN), unless a route, a sysctl or a BPF program
	// sets another. shortTrip is the longest round trip that still shows whether leastTimer applies: a first
	// measurement of R makes a timer of R + max(2R, leastTimer), in whole jiffies.
	leastTimer = 200 * time.Millisecond
	shortTrip  = 50 * time.Millisecond
	jiffy      = 10 * time.Millisecond
)

// noRetransmitFor returns the age below which a connection cannot have retransmitted, by the kernel's retransmission
// timer and first round trip: half the least timer where that applies, else shortestTimer. It saves attempts the system
// call that counts retransmits.
func noRetransmitFor(timer, trip time.Duration) time.Duration {
	if trip < shortTrip && timer >= leastTimer && timer <= leastTimer+trip+jiffy {
		return leastTimer / 2
	}
	return shortestTimer
}

// judge ends an attempt whose answer was read to its end. reusable says that the connection may serve another attempt.
// check says that the other side may have ended the connection already, or sent more.
func (s *shard) judge(i int32, reusable, check bool) {
	a := s.attempts.At(i)
	sample := s.answer(a)
	body := a.buffer[:a.parser.body]
	if pod, ok := s.engine.answers.pod(body); ok && (a.stream.target.Pod == "" || string(pod) == a.stream.target.Pod) {
		sample.Outcome, sample.Peer = probe.OK, s.name(a.stream, pod)
	} else {
		a.stream.probe.JudgeBody(a.stream.target, body, sample)
	}
	if check && reusable && sample.Outcome == probe.OK {
		state := httpprobe.CheckIdleDescriptor(a.fd)
		state.Note(&a.stream.lost)
		reusable = state == pool.Open
	}
	s.finish(i, true, reusable)
}

// maxNames bounds the names that are stored: they come from the network.
const maxNames = 4096

// name returns the pod's name as a string, one for all answers. Mostly the stream's last answer came from the same pod.
func (s *shard) name(l *targetStream, pod []byte) string {
	if string(pod) == l.peer {
		return l.peer
	}
	name, ok := s.names[string(pod)]
	if !ok {
		name = string(pod)
		if len(s.names) < maxNames {
			s.names[name] = name
		}
	}
	l.peer = name
	return name
}

// fail ends an attempt with an error. The end of the caller's context comes first: what it breaks says nothing about
// the network.
func (s *shard) fail(i int32, err error) {
	a := s.attempts.At(i)
	if s.caller != nil && s.caller.Err() != nil {
		s.abort(i)
		return
	}
	sample := s.answer(a)
	a.stream.probe.JudgeError(a.phase, err, sample)
	s.finish(i, false, false)
}

func (s *shard) abort(i int32) {
	a := s.attempts.At(i)
	sample := s.answer(a)
	httpprobe.Abort(a.phase, sample)
	s.finish(i, false, false)
}

// answer starts the sample of an attempt with what has arrived of its answer.
func (s *shard) answer(a *attempt) *probe.Sample {
	s.sample = probe.Sample{}
	if a.phase == probe.Body {
		s.sample.Status, s.sample.Bytes = a.parser.status, int64(a.parser.body)
	}
	return &s.sample
}

// finish measures and records an attempt that the shard's sample judges, and frees what the attempt held. readToEnd
// says that the answer was read to its end, reusable that the connection may serve another attempt.
func (s *shard) finish(i int32, readToEnd, reusable bool) {
	a, sample := s.attempts.At(i), &s.sample
	l := a.stream
	sample.Start, sample.Due = s.clock.base.Add(a.start), s.clock.base.Add(a.due)
	sample.Reused, sample.Lost = a.reused, a.lost
	s.measure(a, sample)
	httpprobe.JudgeReuse(a.first > 0, sample)
	sample.Retransmits = s.retransmits(a, sample)
	s.attempts.Remove(&s.underWay, i)
	s.busy--
	s.engine.inFlight.Add(-1)
	s.lender.release(a.buffer)
	a.buffer = nil
	switch {
	case reusable && sample.Outcome == probe.OK:
		a.idle = true
		s.attempts.PushFront(&l.idle, i)
	case a.fd < 0:
		s.release(i)
	case readToEnd:
		reset(a.fd)
		s.release(i)
	default:
		epoll.CloseSocket(a.fd)
		s.release(i)
	}
	s.record(l, sample)
	s.refillLater(l)
}

// refillLater has another attempt follow where Config.Saturate is set.
func (s *shard) refillLater(l *targetStream) {
	if s.engine.config.Saturate > 0 {
		s.refills = append(s.refills, l)
	}
}

// closeIdle closes an idle connection.
func (s *shard) closeIdle(i int32) {
	a := s.attempts.At(i)
	s.attempts.Remove(&a.stream.idle, i)
	reset(a.fd)
	s.release(i)
}

// measure sets the sample's times. An answer that the kernel received too late is a timeout. Where there is no stamp,
// the moment of reading counts.
func (s *shard) measure(a *attempt, sample *probe.Sample) {
	plain, timeout := s.engine.config.Plain, s.engine.config.Load.Timeout
	if plain || sample.Outcome != probe.OK {
		a.read = s.now()
		a.last = a.read
	}
	if sample.Outcome == probe.OK && a.last-a.start > timeout {
		a.stream.probe.JudgeError(a.lastPhase(), context.DeadlineExceeded, sample)
	}
	if !plain {
		a.setPhases(sample)
	}
	if plain || sample.Outcome != probe.OK {
		sample.Latency = max(a.read-a.start, 1)
		return
	}
	for _, d := range sample.Phases {
		sample.Latency += d
	}
	sample.Own = max(a.read-a.start-sample.Latency, 0)
	sample.Kernel = a.stamped
}

// lastPhase is the phase in which an attempt succeeds.
func (a *attempt) lastPhase() probe.Phase {
	if a.stream.connectsOnly() {
		return probe.Connect
	}
	return probe.Body
}

// setPhases sets how long the phases took. The last phase of a failure lasts until its end. 0 would say that there was
// no such phase.
func (a *attempt) setPhases(sample *probe.Sample) {
	phase := a.lastPhase()
	if sample.Outcome != probe.OK {
		phase = sample.Phase
	}
	if phase == probe.NoPhase {
		return
	}
	sample.Phases[probe.Connect] = a.connect
	switch phase {
	case probe.Connect:
		if a.connect == 0 {
			sample.Phases[probe.Connect] = max(a.last-a.start, 1)
		}
	case probe.FirstByte:
		sample.Phases[probe.FirstByte] = max(a.last-a.since, 1)
	default:
		sample.Phases[probe.FirstByte] = max(a.first-a.since, 1)
		sample.Phases[probe.Body] = max(a.last-a.first, 1)
	}
}

// retransmits returns how many segments were retransmitted during the attempt. The kernel is not asked about an attempt
// too short for any.
func (s *shard) retransmits(a *attempt, sample *probe.Sample) uint64 {
	if s.engine.config.Plain || a.fd < 0 || (sample.Outcome == probe.OK && len(a.stream.request) <= oneSegment &&
		a.last-a.start < a.noRetransmitFor) || !s.calls.readInfo(a.fd) {
		return 0
	}
	before := a.retransmits
	a.retransmits = s.calls.info.Total_retrans
	return uint64(a.retransmits - min(before, a.retransmits))
}
