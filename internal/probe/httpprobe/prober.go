// Package httpprobe makes attempts over plain HTTP/1.1 and attempts that only connect. Prober sends one request, over a
// connection of its own or over a persistent one, and judges the answer. Other probers of HTTP share its requests and
// its judgement.
package httpprobe

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/pool"
	"kdoctor.io/kdoctor/internal/target"
)

// Bounds of what is read of an answer, beside echo.MaxBodyBytes for its body.
const (
	// MaxHeaderBytes bounds the headers, interim answers included.
	MaxHeaderBytes = 16 << 10
	// MaxFraming is room for the chunk sizes around a body.
	MaxFraming = 64 << 10
	// MaxInterim bounds the 1xx answers before the final one.
	MaxInterim = 4
)

// Config is what all attempts of one round have in common.
type Config struct {
	// Round is the round's key as text, followed by echo.PersistentSuffix for the persistent stream. Source is the pod
	// that sends. Both travel in headers, so that neither may hold a line break.
	Round, Source string
	// Installation is the installation whose agents may answer.
	Installation string
	// Timeout bounds an attempt from name resolution to the end of the body; it must be positive.
	Timeout time.Duration
	// Status is the HTTP status that counts as success; 0 is 200.
	Status int
	// Keep leaves connections open for later attempts at the same target, as far as answers allow it. Without it every
	// attempt opens and closes one.
	Keep bool
}

// Prober makes attempts over plain HTTP/1.1 and attempts that only connect (target.TCP). It follows no redirect, knows
// no proxy and never tries twice: one call is at most one connection and one request on the wire. It is safe for
// concurrent use.
//
// With Config.Keep an attempt uses the idle connection of its target that was used last, or opens another. The
// connection is stored again after a success whose answer was HTTP/1.1, said where it ends, did not announce the
// connection's end and was followed by nothing. After anything else the connection is closed. A connection that the
// other side ended while it was idle is replaced, and counted in the sample of the attempt that found it. An end is
// found when the next attempt looks for a connection. An end after the last attempt is therefore not counted, nor is
// the end of a connection that is never looked at because a younger one is open.
type Prober struct {
	config Config
	dialer net.Dialer
	idle   *pool.Pool[destination, *net.TCPConn]
}

// destination is what a connection leads to. Targets do not share connections, even where they share an address: each
// is measured on its own.
type destination struct{ id, address, dial string }

func destinationOf(t target.Target) destination { return destination{t.ID, t.Address, t.Dial} }

// New makes a Prober.
func New(config Config) *Prober {
	// An attempt tests one path: no happy eyeballs and no multipath.
	return &Prober{config: config, dialer: net.Dialer{FallbackDelay: -1, KeepAlive: -1},
		idle: pool.New[destination](CheckIdle,
			closeByReset)}
}

// Close closes the idle connections, and those of attempts under way when these end. The prober can be used on, without
// persistent connections.
func (p *Prober) Close() { p.idle.Close() }

// attempt is one attempt under way.
type attempt struct {
	*Prober
	target target.Target
	url    *url.URL
	sample probe.Sample
	// outer is the caller's context. When it is done, the attempt is aborted and has not failed.
	outer context.Context
	// since is when the phase under way began.
	since time.Time
}

// Probe makes one attempt. The sample's Due equals its Start: only the caller knows better. Its Retransmits leave out
// those of an attempt that did not connect, which the kernel does not report.
//
// Phases follow each other without gaps. FirstByte is from the connection (or, over a reused one, from the start) to
// the first byte from the other side, Body from there to the end of the answer. A failed attempt's last phase ends with
// the attempt.
func (p *Prober) Probe(ctx context.Context, t target.Target) probe.Sample {
	start := time.Now()
	a := &attempt{Prober: p, target: t, outer: ctx, since: start, sample: probe.Sample{Start: start, Due: start}}
	timed, cancel := context.WithDeadline(ctx, start.Add(p.config.Timeout))
	defer cancel()
	a.run(timed)
	return a.sample
}

func (a *attempt) run(ctx context.Context) {
	if !a.understood() {
		a.end(time.Now())
		return
	}
	conn := a.reuse()
	before := uint64(0)
	if conn != nil {
		before = Retransmits(conn)
	} else {
		var ok bool
		if conn, ok = a.connect(ctx); !ok {
			a.end(time.Now())
			return
		}
	}
	if a.url.Scheme == string(target.TCP) {
		a.sample.Outcome = probe.OK
		a.end(a.since)
		a.sample.Retransmits = Retransmits(conn)
		closeByReset(conn)
		return
	}
	_ = conn.SetDeadline(a.sample.Start.Add(a.config.Timeout))
	// The interruption is registered after the deadline, so that the deadline does not overwrite it.
	stop := context.AfterFunc(a.outer, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	readToEnd, reusable := a.exchange(conn)
	// An interruption about to come would hit the next user of the connection.
	undisturbed := stop()
	a.sample.Retransmits = Retransmits(conn) - before
	switch {
	case a.config.Keep && reusable && undisturbed && a.sample.Outcome == probe.OK:
		a.idle.Release(destinationOf(a.target), conn)
	case readToEnd:
		closeByReset(conn)
	default:
		_ = conn.Close()
	}
}

// understood reads the target's address.
func (a *attempt) understood() bool {
	var err error
	if a.url, err = url.Parse(a.target.Address); err != nil || a.url.Host == "" {
		a.notSent(probe.NoPhase, "the address is not a URL")
		return false
	}
	scheme := target.Protocol(a.url.Scheme)
	if protocol := cmp.Or(a.target.Protocol, scheme); protocol != scheme ||
		(scheme != target.HTTP && scheme != target.TCP) {
		a.notSent(probe.NoPhase, "the address is not a plain http or tcp URL")
		return false
	}
	return true
}

// reuse returns a connection that an earlier attempt opened, nil without one.
func (a *attempt) reuse() *net.TCPConn {
	if !a.config.Keep || a.url.Scheme != string(target.HTTP) || a.outer.Err() != nil {
		return nil
	}
	conn, lost, ok := a.idle.Acquire(destinationOf(a.target))
	a.sample.Reused, a.sample.Lost = ok, lost
	return conn
}

func (a *attempt) connect(ctx context.Context) (*net.TCPConn, bool) {
	address, named, err := Address(ctx, a.target, a.url)
	switch {
	case errors.Is(err, ErrAddress):
		a.notSent(probe.NoPhase, err.Error())
		return nil, false
	case err != nil:
		a.failed(probe.Resolve, err)
		return nil, false
	case named:
		a.passed(probe.Resolve, time.Now())
	}
	conn, err := a.dialer.DialContext(ctx, Network(a.target.Family), address)
	if err != nil {
		a.failed(probe.Connect, err)
		return nil, false
	}
	a.passed(probe.Connect, time.Now())
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close()
		a.notSent(probe.Connect, "the connection is not one of TCP")
		return nil, false
	}
	return tcp, true
}

// passed ends the phase under way at the time.
func (a *attempt) passed(phase probe.Phase, now time.Time) {
	// 0 would say that there was no such phase.
	a.sample.Phases[phase] = max(now.Sub(a.since), 1)
	a.since = now
}

// end measures the attempt, whose outcome is known but for the time it took.
func (a *attempt) end(now time.Time) {
	a.sample.Latency = max(now.Sub(a.sample.Start), 1)
	if a.sample.Outcome != probe.OK {
		if phase := a.sample.Phase; phase != probe.NoPhase {
			a.passed(phase, now)
		}
		return
	}
	if a.sample.Latency > a.config.Timeout {
		// On a busy machine the answer can be read before the timer is noticed. The answer was too late all the same.
		last := probe.Body
		if a.url.Scheme == string(target.TCP) {
			last = probe.Connect
		}
		a.failed(last, context.DeadlineExceeded)
	}
}

func (a *attempt) notSent(phase probe.Phase, message string) {
	fail(&a.sample, probe.NotSent, phase, message)
}

// failed judges an error of the given phase. The end of the caller's context comes first: what it breaks says nothing
// about the network.
func (a *attempt) failed(phase probe.Phase, err error) {
	if a.outer.Err() != nil {
		Abort(phase, &a.sample)
		return
	}
	a.config.JudgeError(phase, err, &a.sample)
}
