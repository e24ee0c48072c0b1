package oracle

import (
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
)

// stream is the requests of one agent to one target, over new connections or over a persistent one.
type stream struct {
	attempts []attempt
	// idleResets and idleCloses count connections that the other side ended while no request was under way.
	idleResets, idleCloses int
	// idleFaults are how many of idleResets a fault caused.
	idleFaults int
}

// connection is a persistent connection to a pod.
type connection struct {
	pod      int
	lastUsed time.Duration
}

// minIdle is how long a connection must be idle before the fault that resets idle connections can end it.
const minIdle = 100 * time.Millisecond

// newConnections makes the requests of a stream, each over a connection of its own.
func (p *path) newConnections(due []time.Duration) stream {
	s := stream{attempts: make([]attempt, 0, len(due))}
	for _, t := range due {
		s.attempts = append(s.attempts, p.send(t, nobody))
	}
	return s
}

// persistentConnection makes the requests of a stream over a connection that stays open as long as it can.
func (p *path) persistentConnection(due []time.Duration) stream {
	s := stream{attempts: make([]attempt, 0, len(due))}
	c := connection{pod: nobody}
	for _, t := range due {
		p.passIdleTime(&s, &c, t)
		reused := c.pod != nobody
		a := p.send(t, c.pod)
		a.reused = reused && !a.missed && a.outcome != probe.NotSent
		if reused && a.outcome != probe.OK && a.outcome != probe.NotSent && !a.missed {
			p.failOverExisting(&a)
		}
		s.attempts = append(s.attempts, a)
		switch {
		case a.missed || a.outcome == probe.NotSent:
		case a.outcome != probe.OK && a.outcome != probe.WrongPeer:
			c.pod = nobody
		default:
			c = connection{pod: int(a.to), lastUsed: t}
		}
	}
	return s
}

// failOverExisting sets how a request ends over a connection whose other side is gone. Such a request does not connect,
// so it is not refused.
func (p *path) failOverExisting(a *attempt) {
	switch a.outcome {
	case probe.Refused:
		a.outcome, a.phase, a.closed = probe.Reset, probe.FirstByte, true
	case probe.Reset:
		a.closed = a.phase == probe.FirstByte
	case probe.Timeout, probe.Unreachable:
		a.outcome, a.phase = probe.Timeout, probe.FirstByte
		a.latency = micros(p.timeout)
	default:
	}
}

// passIdleTime sets what becomes of the connection between two requests.
func (p *path) passIdleTime(s *stream, c *connection, t time.Duration) {
	if c.pod == nobody {
		return
	}
	for _, i := range p.w.faults[IdleReset] {
		f := p.w.s.Faults[i]
		meets := f.Node == nobody || f.Node == p.r.from || f.Node == p.w.pods[c.pod].node
		if meets && t-c.lastUsed >= minIdle && t >= f.From && t < f.To && p.random.Float64() < f.Rate {
			s.idleResets++
			s.idleFaults++
			c.pod = nobody
			return
		}
	}
	// An HTTP proxy keeps its side open when it loses a pod. A pod that ends in good order closes its connections.
	if p.r.kind == target.Ingress {
		return
	}
	for _, o := range p.w.pods[c.pod].outages {
		if o.cause.Culprit == ByChange && o.from > c.lastUsed && o.from <= t {
			s.idleCloses++
			c.pod = nobody
			return
		}
	}
}
