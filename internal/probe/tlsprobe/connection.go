package tlsprobe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/probe/pool"
	"kdoctor.io/kdoctor/internal/target"
)

// destination is what a connection leads to. Targets do not share connections, even where they share an address: each
// is measured on its own.
type destination struct{ id, scheme, host, dial string }

// connection is one connection.
type connection struct {
	wire *wire
	// secure is nil for plain HTTP.
	secure *tls.Conn
	// client speaks HTTP/2; it is nil for HTTP/1.1.
	client *http.ClientConn
	// opener is the attempt that opened the connection.
	opener *attempt
	// http2 says that both sides agreed on HTTP/2.
	http2 bool
	// asked says that the server asked for a client certificate, proven that it has answered something since.
	asked, proven bool
}

// state returns what became of the idle connection. The client of HTTP/2 watches its connection itself and answers what
// the other side asks in between. An announced end (GOAWAY) is an end in good order, even before the connection ends.
func (c *connection) state() pool.State {
	if c.client == nil {
		return httpprobe.CheckIdle(c.wire.tcp)
	}
	// What the client has read of the end comes first, then what it has not read yet.
	unusable, state := c.client.Err() != nil, httpprobe.PeekIdle(c.wire.tcp)
	switch err := c.wire.broken(); {
	case errors.Is(err, io.EOF):
		return pool.Closed
	case err != nil:
		return httpprobe.StateOfError(err)
	case state == pool.Open && unusable:
		return pool.Closed
	}
	return state
}

// usable reports whether the connection of a client of HTTP/2 can carry another request.
func (c *connection) usable() bool { return c.client.Err() == nil }

// drained reports whether TLS holds nothing that followed the answer. A read after its deadline returns what is there
// and waits for nothing.
func (c *connection) drained() bool {
	if c.secure == nil {
		return true
	}
	_ = c.secure.SetReadDeadline(time.Unix(1, 0))
	n, err := c.secure.Read(make([]byte, 1))
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// stream returns what carries HTTP/1.1.
func (c *connection) stream() net.Conn {
	if c.secure != nil {
		return c.secure
	}
	return c.wire
}

// reset closes a connection with nothing under way. Everything was read, so that a reset loses nothing, and neither a
// port here nor conntrack entries on the way linger for minutes.
func (c *connection) reset() {
	_ = c.wire.tcp.SetLinger(0)
	c.close()
}

func (c *connection) close() {
	if c.client != nil {
		_ = c.client.Close()
	}
	_ = c.wire.tcp.Close()
}

// wire is a TCP connection that its user above cannot close, only end: the attempt decides how to close it.
type wire struct {
	net.Conn
	tcp *net.TCPConn
	// failure is the network's first error of reading or writing. It says more than what clients make of it.
	failure atomic.Pointer[error]
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.note(err)
	return n, err
}

func (w *wire) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	w.note(err)
	return n, err
}

func (w *wire) note(err error) {
	// Deadlines are set by the wire's own user.
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		w.failure.CompareAndSwap(nil, &err)
	}
}

// Close ends all that waits for the connection.
func (w *wire) Close() error { return w.SetDeadline(time.Unix(1, 0)) }

// broken returns what ended the connection, nil where only its user did.
func (w *wire) broken() error {
	if err := w.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// readyKey is the key of the connection that the transport is to use, in a context.
type readyKey struct{}

// newTransport makes a transport that turns connections into clients of HTTP/2. It opens and holds no connection.
func newTransport() *http.Transport {
	ready := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, ok := ctx.Value(readyKey{}).(*tls.Conn)
		if !ok {
			return nil, net.ErrClosed
		}
		return conn, nil
	}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	return &http.Transport{DialTLSContext: ready, Protocols: &protocols,
		DisableCompression: true, MaxResponseHeaderBytes: httpprobe.MaxHeaderBytes}
}

// connect returns a connection for a request to the URL: an idle one, or a new one.
func (a *attempt) connect(ctx context.Context, to *url.URL) (*connection, probe.Phase, error) {
	if a.config.Keep && a.outer.Err() == nil {
		c, lost, ok := a.idle.Acquire(a.destination(to))
		a.sample.Lost.Resets += lost.Resets
		a.sample.Lost.Closes += lost.Closes
		if ok {
			a.sample.Reused = a.sample.Reused || c.opener != a
			return c, probe.NoPhase, nil
		}
	}
	return a.open(ctx, to)
}

func (a *attempt) destination(to *url.URL) destination {
	return destination{a.target.ID, to.Scheme, to.Host, a.dialFor(to)}
}

// dialFor returns the target's Dial where the URL is the target's own, and nothing where the target redirected to it.
func (a *attempt) dialFor(to *url.URL) string {
	if own, err := url.Parse(a.target.Address); err != nil || own.Host != to.Host || own.Scheme != to.Scheme {
		return ""
	}
	return a.target.Dial
}

func (a *attempt) open(ctx context.Context, to *url.URL) (*connection, probe.Phase, error) {
	where := a.target
	where.Dial = a.dialFor(to)
	address, named, err := httpprobe.Address(ctx, where, to)
	if err != nil {
		return nil, probe.Resolve, err
	}
	if named {
		a.passed(probe.Resolve, time.Now())
	}
	dialled, err := a.dialer.DialContext(ctx, httpprobe.Network(a.target.Family), address)
	if err != nil {
		return nil, probe.Connect, err
	}
	a.passed(probe.Connect, time.Now())
	tcp, ok := dialled.(*net.TCPConn)
	if !ok {
		_ = dialled.Close()
		return nil, probe.Connect, httpprobe.ErrAddress
	}
	c := &connection{wire: &wire{Conn: tcp, tcp: tcp}, opener: a}
	if to.Scheme == "http" {
		return c, probe.NoPhase, nil
	}
	if err := a.handshake(ctx, c, to); err != nil {
		_ = tcp.Close()
		return nil, probe.TLS, err
	}
	a.passed(probe.TLS, time.Now())
	if c.http2 {
		if c.client, err = a.transport.NewClientConn(context.WithValue(ctx, readyKey{}, c.secure), to.Scheme,
			address); err != nil {
			_ = tcp.Close()
			return nil, probe.FirstByte, cause(c, err)
		}
	}
	return c, probe.NoPhase, nil
}

// handshake speaks TLS as the target's protocol wants it: HTTP/2 alone or HTTP/1.1 alone, because an attempt tests one
// path.
func (a *attempt) handshake(ctx context.Context, c *connection, to *url.URL) error {
	protocol := "http/1.1"
	if a.target.Protocol == target.HTTP2 {
		protocol = "h2"
	}
	c.secure = tls.Client(c.wire, &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            a.trust[a.target.Trust].roots,
		ServerName:         to.Hostname(),
		NextProtos:         []string{protocol},
		ClientSessionCache: a.sessions,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c.asked = true
			if a.config.Certificate == nil {
				return &tls.Certificate{}, nil
			}
			return a.config.Certificate, nil
		},
	})
	if err := c.secure.HandshakeContext(ctx); err != nil {
		return handshakeError(err)
	}
	c.http2 = protocol == "h2"
	if c.http2 && c.secure.ConnectionState().NegotiatedProtocol != protocol {
		return errNoHTTP2
	}
	return nil
}
