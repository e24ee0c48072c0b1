// Package tlsprobe is the prober for what plain HTTP/1.1 to an address is not: HTTPS, HTTP/2 over TLS, certificates of
// its own, redirects and long answers. It stands on net/http and crypto/tls and costs far more CPU than package engine:
// Budget says how much.
//
// Package httpprobe decides what an answer means, as for every other prober. Certificates are always verified.
package tlsprobe

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/probe/pool"
	"kdoctor.io/kdoctor/internal/target"
)

const (
	// DefaultMaxBody is the least value of Config.MaxBody, in bytes.
	DefaultMaxBody = echo.MaxBodyBytes
	// MostMaxBody is the largest value of Config.MaxBody, in bytes.
	MostMaxBody = 1 << 20
	// MaxRedirects is the largest value of Config.Redirects.
	MaxRedirects = 100
)

// Config is what all attempts of one round have in common.
type Config struct {
	httpprobe.Config
	// MaxBody bounds the answer's body in bytes. It counts as at least DefaultMaxBody and at most MostMaxBody.
	MaxBody int64
	// Redirects is how many redirects an attempt follows, at most MaxRedirects. The answer after them is judged by its
	// status, so that with 0 a redirect is a wrong status. Config.Timeout bounds all requests together.
	Redirects int
	// Certificate is shown to a server that asks for one; nil shows none.
	Certificate *tls.Certificate
	// Authorities are certificates in PEM, by the name that targets have in Trust.
	Authorities map[string][]byte
	// Tickets lets later attempts resume the TLS session of earlier ones. Without it every handshake is a full one.
	Tickets bool
}

// Prober makes attempts over HTTP/1.1, HTTPS and HTTP/2 over TLS. It knows no proxy and tries nothing twice. It is safe
// for concurrent use.
//
// Every request has a connection of its own, which a reset ends after a complete answer, unless Config.Keep leaves it
// open. With Config.Keep an attempt uses the idle connection of its target that was used last, or opens another. This
// holds for HTTP/2 too, where a connection carries one request at a time. Connections that the other side ended while
// they were idle are replaced, and counted as httpprobe.Prober counts them. Over HTTP/2 an announced end (GOAWAY)
// counts as a close, whether or not the end has come.
type Prober struct {
	config    Config
	dialer    net.Dialer
	transport *http.Transport
	trust     map[string]trust
	sessions  tls.ClientSessionCache
	idle      *pool.Pool[destination, *connection]
}

// New makes a Prober.
func New(config Config) *Prober {
	config.MaxBody = min(max(config.MaxBody, DefaultMaxBody), MostMaxBody)
	config.Redirects = min(config.Redirects, MaxRedirects)
	p := &Prober{
		config: config,
		// An attempt tests one path: no happy eyeballs and no multipath.
		dialer:    net.Dialer{FallbackDelay: -1, KeepAlive: -1},
		transport: newTransport(),
		trust:     trusts(config.Authorities),
		idle:      pool.New[destination]((*connection).state, (*connection).reset),
	}
	if config.Tickets {
		p.sessions = tls.NewLRUClientSessionCache(0)
	}
	return p
}

// Close closes the idle connections, and those of attempts under way when these end.
func (p *Prober) Close() { p.idle.Close() }

// attempt is one attempt under way.
type attempt struct {
	*Prober
	target target.Target
	sample probe.Sample
	// outer is the caller's context. When it is done, the attempt is aborted and has not failed.
	outer context.Context
	// since is when the phase under way began.
	since time.Time
}

// Probe makes one attempt. The sample's Due equals its Start: only the caller knows better. Its phases follow each
// other without gaps, as those of httpprobe.Prober do. Where redirects are followed, each phase is the sum over all
// requests.
func (p *Prober) Probe(ctx context.Context, t target.Target) probe.Sample {
	start := time.Now()
	a := &attempt{Prober: p, target: t, outer: ctx, since: start, sample: probe.Sample{Start: start, Due: start}}
	timed, cancel := context.WithDeadline(ctx, start.Add(p.config.Timeout))
	defer cancel()
	a.run(timed)
	return a.sample
}

func (a *attempt) run(ctx context.Context) {
	to, ok := a.understood()
	if !ok {
		a.end(time.Now())
		return
	}
	for redirects := a.config.Redirects; ; redirects-- {
		next, ended := a.request(ctx, to, redirects > 0)
		if !ended.IsZero() {
			a.end(ended)
			return
		}
		to = next
	}
}

// understood reads the target's address.
func (a *attempt) understood() (*url.URL, bool) {
	to, err := url.Parse(a.target.Address)
	if err != nil || to.Hostname() == "" {
		a.fail(probe.NotSent, probe.NoPhase, "the address is not a URL")
		return nil, false
	}
	if schemeOf(cmp.Or(a.target.Protocol, target.Protocol(to.Scheme))) != to.Scheme {
		a.fail(probe.NotSent, probe.NoPhase, "the address is not one of the target's protocol")
		return nil, false
	}
	// This holds for plain targets too: they may redirect to others.
	if _, ok := a.trust[a.target.Trust]; !ok {
		a.fail(probe.NotSent, probe.NoPhase, "the target's authority is not known or holds no certificate")
		return nil, false
	}
	return to, true
}

// schemeOf returns the scheme of URLs of the protocol, and what is no scheme for a protocol that is not spoken here.
func schemeOf(p target.Protocol) string {
	switch p {
	case target.HTTP:
		return "http"
	case target.HTTPS, target.HTTP2:
		return "https"
	case target.TCP:
	}
	return "-"
}

// passed ends the phase under way at the time. Phases of several requests add up.
func (a *attempt) passed(phase probe.Phase, now time.Time) {
	// 0 would say that there was no such phase.
	a.sample.Phases[phase] += max(now.Sub(a.since), 1)
	a.since = now
}

// end measures the attempt, whose outcome is known but for the time it took.
func (a *attempt) end(now time.Time) {
	a.sample.Latency = max(now.Sub(a.sample.Start), 1)
	switch phase := a.sample.Phase; {
	case a.sample.Outcome != probe.OK && phase != probe.NoPhase:
		a.passed(phase, now)
	case a.sample.Outcome == probe.OK && a.sample.Latency > a.config.Timeout:
		// On a busy machine the answer can be read before the timer is noticed. The answer was too late all the same.
		a.failed(probe.Body, context.DeadlineExceeded)
	}
}

func (a *attempt) fail(outcome probe.Outcome, phase probe.Phase, message string) {
	a.sample.Outcome, a.sample.Phase, a.sample.Message = outcome, phase, message
}

// failed judges an error of the given phase. The end of the caller's context comes first: what it breaks says nothing
// about the network.
func (a *attempt) failed(phase probe.Phase, err error) {
	switch {
	case a.outer.Err() != nil:
		httpprobe.Abort(phase, &a.sample)
	case errors.Is(err, httpprobe.ErrAddress):
		a.fail(probe.NotSent, probe.NoPhase, err.Error())
	case errors.Is(err, errTLS):
		a.fail(probe.TLSFailed, probe.TLS, tlsMessage(err))
	default:
		a.config.JudgeError(phase, err, &a.sample)
	}
}
