package oracle

import (
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
)

// stream is what one agent did on one target, over new connections or over one that stays open.
type stream struct {
	attempts []attempt
	// idleResets and idleCloses count connections that the other side ended while nothing was under way.
	idleResets, idleCloses int
	// idleFaults are those of idleResets that a fault caused.
	idleFaults int
}

// connection is one that stays open, to a pod.
type connection struct {
	pod  int
	used time.Duration
}

// idleFor is how long a connection must be idle to be met by the fault that resets idle ones.
const idleFor = 100 * time.Millisecond

// fresh makes the requests of a stream of which each opens a connection.
func (p *path) fresh(due []time.Duration) stream {
	s := stream{attempts: make([]attempt, 0, len(due))}
	for _, t := range due {
		s.attempts = append(s.attempts, p.send(t, nobody))
	}
	return s
}

// persistent makes the requests of a stream over a connection that stays open as long as it can.
func (p *path) persistent(due []time.Duration) stream {
	s := stream{attempts: make([]attempt, 0, len(due))}
	c := connection{pod: nobody}
	for _, t := range due {
		p.idle(&s, &c, t)
		reused := c.pod != nobody
		a := p.send(t, c.pod)
		a.reused = reused && !a.missed && a.outcome != probe.NotSent
		if reused && a.outcome != probe.OK && a.outcome != probe.NotSent && !a.missed {
			p.overOld(&a)
		}
		s.attempts = append(s.attempts, a)
		switch {
		case a.missed || a.outcome == probe.NotSent:
		case a.outcome != probe.OK && a.outcome != probe.WrongPeer:
			c.pod = nobody
		default:
			c = connection{pod: int(a.to), used: t}
		}
	}
	return s
}

// overOld is how a request ends over a connection whose other side is gone: nothing is connected any more, so nothing
// is refused.
func (p *path) overOld(a *attempt) {
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

// idle is what becomes of the connection between two requests.
func (p *path) idle(s *stream, c *connection, t time.Duration) {
	if c.pod == nobody {
		return
	}
	for _, i := range p.w.faults[IdleReset] {
		f := p.w.s.Faults[i]
		meets := f.Node == nobody || f.Node == p.r.from || f.Node == p.w.pods[c.pod].node
		if meets && t-c.used >= idleFor && t >= f.From && t < f.To && p.random.Float64() < f.Rate {
			s.idleResets++
			s.idleFaults++
			c.pod = nobody
			return
		}
	}
	// A proxy that speaks HTTP keeps its side open when it loses a pod; a pod that ends in good order closes its
	// connections.
	if p.r.kind == target.Ingress {
		return
	}
	for _, o := range p.w.pods[c.pod].outages {
		if o.cause.Culprit == ByChange && o.from > c.used && o.from <= t {
			s.idleCloses++
			c.pod = nobody
			return
		}
	}
}
