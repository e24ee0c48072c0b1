package httpprobe

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Bounds of what is read of an answer.
const (
	// MaxHeaderBytes bounds the headers, those of interim answers included.
	MaxHeaderBytes = 16 << 10
	// MaxBodyBytes bounds the body without its framing.
	MaxBodyBytes = 64 << 10
	// MaxFraming is room for the chunk sizes around a body.
	MaxFraming = 64 << 10
	// MaxInterim bounds the 1xx answers before the real one.
	MaxInterim = 4
)

// Config is what all attempts of one round have in common.
type Config struct {
	// Round is the round's key as text, Source the pod that sends: both travel in headers, so neither may hold a line break.
	Round, Source string
	// Installation is whose agents may answer.
	Installation string
	// Timeout bounds an attempt from name resolution to the end of the body; it must be positive.
	Timeout time.Duration
	// Status is the HTTP status that counts as success; 0 is 200.
	Status int
}

// Prober makes attempts over plain HTTP/1.1, each over a connection of its own. It follows no redirect, knows no proxy and
// never tries twice: one call is one request on the wire. It is safe for concurrent use.
type Prober struct {
	config Config
	dialer net.Dialer
}

// New makes a Prober.
func New(config Config) *Prober {
	// Neither happy eyeballs nor multipath: an attempt tests one way.
	return &Prober{config: config, dialer: net.Dialer{FallbackDelay: -1, KeepAlive: -1}}
}

// attempt is one attempt under way.
type attempt struct {
	*Prober
	target target.Target
	url    *url.URL
	sample probe.Sample
	// outer is the caller's context: when it is done, the attempt is aborted and has not failed.
	outer context.Context
}

// Probe makes one attempt. The sample's Due equals its Start: only the caller knows better.
func (p *Prober) Probe(ctx context.Context, t target.Target) probe.Sample {
	a := &attempt{Prober: p, target: t, outer: ctx}
	a.sample.Start = time.Now()
	a.sample.Due = a.sample.Start
	timed, cancel := context.WithDeadline(ctx, a.sample.Start.Add(p.config.Timeout))
	defer cancel()
	a.run(timed)
	a.sample.Latency = time.Since(a.sample.Start)
	if a.sample.Outcome == probe.OK && a.sample.Latency > p.config.Timeout {
		// On a busy machine the answer can be read before the timer is heard; it was too late all the same.
		a.failed(probe.Body, context.DeadlineExceeded)
	}
	return a.sample
}

func (a *attempt) run(ctx context.Context) {
	var err error
	if a.url, err = url.Parse(a.target.Address); err != nil || a.url.Scheme != "http" || a.url.Host == "" {
		a.fail(probe.NotSent, probe.NoPhase, "the address is not a plain http URL")
		return
	}
	address, ok := a.resolve(ctx)
	if !ok {
		return
	}
	conn, err := a.dialer.DialContext(ctx, network(a.target.Family), address)
	if err != nil {
		a.failed(probe.Connect, err)
		return
	}
	complete := false
	defer func() {
		if tcp, ok := conn.(*net.TCPConn); ok && complete {
			// Everything was read, so a reset loses nothing, and neither a port here nor conntrack entries on the way linger for minutes.
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}()
	_ = conn.SetDeadline(a.sample.Start.Add(a.config.Timeout))
	// Registered after the deadline, so that an end that came meanwhile is not overwritten.
	stop := context.AfterFunc(a.outer, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	complete = a.exchange(conn)
}

// resolve returns what to dial: the URL's own address, or the first one of its name in the target's family.
func (a *attempt) resolve(ctx context.Context) (string, bool) {
	port := a.url.Port()
	if port == "" {
		port = "80"
	}
	host := a.url.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(host, port), true
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+network(a.target.Family)[len("tcp"):], host)
	if err != nil {
		a.failed(probe.Resolve, err)
		return "", false
	}
	if len(found) == 0 {
		a.fail(probe.DNSFailed, probe.Resolve, fmt.Sprintf("the name has no %s address", a.target.Family))
		return "", false
	}
	return net.JoinHostPort(found[0].Unmap().String(), port), true
}

func network(f topology.Family) string {
	switch f {
	case topology.IPv4:
		return "tcp4"
	case topology.IPv6:
		return "tcp6"
	default:
		return "tcp"
	}
}

// exchange sends the request and judges the answer. It reports whether the answer was read to its end.
func (a *attempt) exchange(conn net.Conn) bool {
	request := a.config.request(a.url)
	wire, err := a.config.Request(a.url)
	if err != nil {
		a.fail(probe.NotSent, probe.NoPhase, "the request cannot be written")
		return false
	}
	if _, err := conn.Write(wire); err != nil {
		a.failed(probe.FirstByte, err)
		return false
	}
	in := &input{r: conn, left: MaxHeaderBytes}
	answer, err := readHeaders(bufio.NewReader(in), request)
	if err != nil {
		if in.left <= 0 {
			a.failed(probe.FirstByte, ErrHeaders)
			return false
		}
		a.failed(probe.FirstByte, cmp.Or(in.err, err))
		return false
	}
	defer func() { _ = answer.Body.Close() }()
	if !a.config.JudgeStatus(answer.StatusCode, &a.sample) {
		return false
	}
	in.left = MaxBodyBytes + MaxFraming
	body, err := io.ReadAll(io.LimitReader(answer.Body, MaxBodyBytes+1))
	a.sample.Bytes = int64(len(body))
	switch {
	case len(body) > MaxBodyBytes, err != nil && in.left <= 0:
		a.failed(probe.Body, ErrBody)
		return false
	case err != nil:
		a.failed(probe.Body, cmp.Or(in.err, err))
		return false
	}
	a.config.JudgeBody(a.target, body, &a.sample)
	return true
}

// input reads at most left bytes, and keeps the connection's own error: parsers replace it by what they make of the rest.
type input struct {
	r    io.Reader
	left int
	err  error
}

func (in *input) Read(b []byte) (int, error) {
	if in.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := in.r.Read(b[:min(len(b), in.left)])
	in.left -= n
	if err != nil {
		in.err = err
	}
	return n, err
}

// readHeaders reads the first answer that is not an interim one.
func readHeaders(r *bufio.Reader, request *http.Request) (*http.Response, error) {
	for range MaxInterim + 1 {
		answer, err := http.ReadResponse(r, request)
		if err != nil {
			return nil, err
		}
		if answer.StatusCode >= 200 {
			return answer, nil
		}
		if answer.StatusCode < 100 || answer.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	return nil, ErrStatus
}

func (a *attempt) fail(outcome probe.Outcome, phase probe.Phase, message string) {
	fail(&a.sample, outcome, phase, message)
}

// failed judges an error of the given phase. The caller's end comes first: what it breaks says nothing about the network.
func (a *attempt) failed(phase probe.Phase, err error) {
	if a.outer.Err() != nil {
		Abort(phase, &a.sample)
		return
	}
	a.config.JudgeError(phase, err, &a.sample)
}
