package tlsprobe_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/probe/probetest"
	"kdoctor.io/kdoctor/internal/probe/tlsprobe"
	"kdoctor.io/kdoctor/internal/responder"
	"kdoctor.io/kdoctor/internal/target"
)

const (
	long  = 10 * time.Second
	short = 300 * time.Millisecond
)

// plainly has TCP targets done by the prober that does them.
type plainly struct {
	*tlsprobe.Prober
	tcp *httpprobe.Prober
}

func (p plainly) Probe(ctx context.Context, t target.Target) probe.Sample {
	if t.Protocol == target.TCP {
		return p.tcp.Probe(ctx, t)
	}
	return p.Prober.Probe(ctx, t)
}

func TestPlainTargetsKeepTheContractOfProbers(t *testing.T) {
	probetest.HTTP(t, func(c httpprobe.Config) probe.Prober {
		return plainly{tlsprobe.New(tlsprobe.Config{Config: c}), httpprobe.New(c)}
	})
}

// want is the part of a sample that the contract fixes.
type want struct {
	outcome probe.Outcome
	phase   probe.Phase
	status  int
	// message is part of the sample's message.
	message string
}

func check(t *testing.T, got probe.Sample, w want) {
	t.Helper()
	if got.Outcome != w.outcome || got.Phase != w.phase || got.Status != w.status ||
		!strings.Contains(got.Message, w.message) {
		t.Errorf("sample is %v in phase %q with status %d (%s), want %v in phase %q with status %d (%s)",
			got.Outcome, got.Phase, got.Status, got.Message, w.outcome, w.phase, w.status, w.message)
	}
	if (got.Outcome == probe.OK) != (got.Message == "") || got.Start.IsZero() || got.Latency <= 0 {
		t.Errorf("outcome %v has message %q, start %v, latency %v", got.Outcome, got.Message, got.Start, got.Latency)
	}
	sum := time.Duration(0)
	for _, d := range got.Phases {
		sum += d
	}
	if sum > got.Latency {
		t.Errorf("phases %v take longer than the latency of %v", got.Phases, got.Latency)
	}
}

// world is an authority and what it signed.
type world struct {
	known, foreign authority
	good           tls.Certificate
}

func newWorld(t testing.TB) world {
	t.Helper()
	w := world{known: newAuthority(t, "known"), foreign: newAuthority(t, "foreign")}
	w.good = w.known.sign(t, "127.0.0.1", time.Hour)
	return w
}

func (w world) config(timeout time.Duration) tlsprobe.Config {
	return tlsprobe.Config{Config: httpprobe.Config{Round: "u/1/1", Source: "a", Installation: "k/a", Timeout: timeout},
		Authorities: map[string][]byte{"ours": w.known.text, "broken": []byte("no certificate")}}
}

func agent() http.Handler {
	return responder.NewHandler(echo.Identity{Installation: "k/a", Pod: "b"})
}

// serve starts a TLS server and returns its address. It speaks HTTP/2 too, unless protocols says something else.
func serve(t testing.TB, handler http.Handler, config *tls.Config) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = config
	server.EnableHTTP2 = len(config.NextProtos) == 0
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func at(protocol target.Protocol, address string) target.Target {
	return target.Target{ID: "t", Protocol: protocol, Address: address, Trust: "ours", Pod: "b"}
}

// both runs the test over HTTPS and over HTTP/2.
func both(t *testing.T, test func(t *testing.T, protocol target.Protocol)) {
	t.Helper()
	for _, protocol := range []target.Protocol{target.HTTPS, target.HTTP2} {
		t.Run(string(protocol), func(t *testing.T) { test(t, protocol) })
	}
}

func TestCertificates(t *testing.T) {
	w := newWorld(t)
	ok := want{probe.OK, probe.NoPhase, 200, ""}
	failed := func(message string) want { return want{probe.TLSFailed, probe.TLS, 0, message} }
	certificate := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	asking := func(version uint16) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{w.good}, ClientAuth: tls.RequireAndVerifyClientCert,
			ClientCAs: w.known.pool(), MaxVersion: version}
	}
	mine, theirs := w.known.sign(t, "client", time.Hour), w.foreign.sign(t, "client", time.Hour)
	for _, c := range []struct {
		name   string
		server *tls.Config
		client *tls.Certificate
		change func(*target.Target)
		want   want
	}{
		{name: "a certificate of the right authority for the address", server: certificate(w.good), want: ok},
		{name: "a certificate of another authority", server: certificate(w.foreign.sign(t, "127.0.0.1", time.Hour)),
			want: failed("authority that is not trusted")},
		{name: "a certificate that has expired", server: certificate(w.known.sign(t, "127.0.0.1", -time.Hour)),
			want: failed("expired")},
		{name: "a certificate for another name", server: certificate(w.known.sign(t, "other.example", time.Hour)),
			want: failed("not one for 127.0.0.1")},
		{name: "the name is the URL's, not what is dialled", server: certificate(w.known.sign(t, "name.example",
			time.Hour)),
			change: func(to *target.Target) {
				to.Dial = strings.TrimPrefix(to.Address, "https://")
				to.Address = "https://name.example:8443/"
			}, want: ok},
		{name: "the address is not enough where the URL has a name", server: certificate(w.good),
			change: func(to *target.Target) {
				to.Dial = strings.TrimPrefix(to.Address, "https://")
				to.Address = "https://name.example/"
			}, want: failed("not one for name.example")},
		{name: "the system does not know the authority", server: certificate(w.good),
			change: func(to *target.Target) { to.Trust = "" },
			want:   failed("authority that is not trusted")},
		{name: "an authority that the plan does not have", server: certificate(w.good),
			change: func(to *target.Target) { to.Trust = "nobody" },
			want:   want{probe.NotSent, probe.NoPhase, 0, "authority"}},
		{name: "an authority without a certificate", server: certificate(w.good),
			change: func(to *target.Target) { to.Trust = "broken" },
			want:   want{probe.NotSent, probe.NoPhase, 0, "authority"}},
		{name: "a client certificate that is asked for", server: asking(0), client: &mine, want: ok},
		{name: "a client certificate that is asked for, with TLS 1.2", server: asking(tls.VersionTLS12),
			client: &mine, want: ok},
		{name: "a client certificate that is missing", server: asking(0), want: failed("")},
		{name: "a client certificate that is missing, with TLS 1.2", server: asking(tls.VersionTLS12),
			want: failed("")},
		{name: "a client certificate of another authority", server: asking(0), client: &theirs, want: failed("")},
		{name: "a server that is too old", want: failed("refused"), server: &tls.Config{ // #nosec G402 -- refused
			Certificates: []tls.Certificate{w.good},
			MaxVersion:   tls.VersionTLS11,
			MinVersion:   tls.VersionTLS10, // #nosec G402 -- must be refused
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, protocol target.Protocol) {
				server := serve(t, agent(), c.server.Clone())
				config := w.config(long)
				config.Certificate = c.client
				to := at(protocol, server.URL)
				if c.change != nil {
					c.change(&to)
				}
				got := tlsprobe.New(config).Probe(t.Context(), to)
				check(t, got, c.want)
				if c.want.outcome == probe.OK && (got.Peer != "b" || got.Phases[probe.TLS] <= 0 ||
					got.Phases[probe.Connect] <= 0 || got.Phases[probe.FirstByte] <= 0) {
					t.Errorf("peer is %q, phases are %v", got.Peer, got.Phases)
				}
				if strings.Contains(got.Message, "2026") || strings.Contains(got.Message,
					server.Listener.Addr().String()) {
					t.Errorf("message %q differs between equal failures", got.Message)
				}
			})
		})
	}
}

func TestProtocolIsTheOneAskedFor(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name     string
		protocol target.Protocol
		offers   []string
		want     want
		major    int
	}{
		{"HTTP/2 where it is offered", target.HTTP2, nil, want{probe.OK, probe.NoPhase, 200, ""}, 2},
		{"HTTP/1.1 where HTTP/2 is offered too", target.HTTPS, nil, want{probe.OK, probe.NoPhase, 200, ""}, 1},
		{"HTTP/1.1 where nothing else is offered", target.HTTPS, []string{"http/1.1"},
			want{probe.OK, probe.NoPhase, 200, ""}, 1},
		{"HTTP/2 where it is not offered", target.HTTP2, []string{"http/1.1"},
			want{probe.TLSFailed, probe.TLS, 0, ""}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var major atomic.Int64
			server := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				major.Store(int64(r.ProtoMajor))
				agent().ServeHTTP(rw, r)
			}), &tls.Config{Certificates: []tls.Certificate{w.good}, NextProtos: c.offers})
			check(t, tlsprobe.New(w.config(long)).Probe(t.Context(), at(c.protocol, server.URL)), c.want)
			if major.Load() != int64(c.major) {
				t.Errorf("HTTP/%d was spoken, want %d", major.Load(), c.major)
			}
		})
	}
	t.Run("HTTP/2 where the server agrees to nothing", func(t *testing.T) {
		listener, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{w.good}})
		if err != nil {
			t.Fatal(err)
		}
		accept(t, listener, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		check(t, tlsprobe.New(w.config(long)).Probe(t.Context(),
			at(target.HTTP2, "https://"+listener.Addr().String())),
			want{probe.TLSFailed, probe.TLS, 0, "does not speak HTTP/2"})
	})
}

// accept handles the listener's connections until the test ends.
func accept(t *testing.T, listener net.Listener, handle func(net.Conn)) {
	t.Helper()
	done := make(chan struct{})
	t.Cleanup(func() { _ = listener.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			handle(conn)
			_ = conn.Close()
		}
	}()
}

func TestHandshakesThatFail(t *testing.T) {
	w := newWorld(t)
	reset := func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	for _, c := range []struct {
		name    string
		handle  func(net.Conn)
		timeout time.Duration
		want    want
	}{
		{"a handshake that stalls", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, short,
			want{probe.Timeout, probe.TLS, 0, "within 300ms"}},
		{"plain HTTP on a TLS port", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_, _ = c.Read(make([]byte, 4096))
		}, long,
			want{probe.TLSFailed, probe.TLS, 0, "does not speak TLS"}},
		{"a connection that is closed during the handshake", func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) },
			long, want{probe.TLSFailed, probe.TLS, 0, "closed"}},
		{"a connection that is reset during the handshake", reset, long, want{probe.Reset, probe.TLS, 0, "reset"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, protocol target.Protocol) {
				listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				accept(t, listener, c.handle)
				check(t, tlsprobe.New(w.config(c.timeout)).Probe(t.Context(),
					at(protocol, "https://"+listener.Addr().String())), c.want)
			})
		})
	}
	t.Run("a connection that ends without a word when a client certificate was asked for", func(t *testing.T) {
		both(t, func(t *testing.T, protocol target.Protocol) {
			offers := map[target.Protocol]string{target.HTTPS: "http/1.1", target.HTTP2: "h2"}
			listener, err := tls.Listen("tcp4", "127.0.0.1:0",
				&tls.Config{Certificates: []tls.Certificate{w.good}, ClientAuth: tls.RequestClientCert,
					NextProtos: []string{offers[protocol]}})
			if err != nil {
				t.Fatal(err)
			}
			accept(t, listener, func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) })
			check(t, tlsprobe.New(w.config(long)).Probe(t.Context(), at(protocol, "https://"+listener.Addr().String())),
				want{probe.TLSFailed, probe.TLS, 0, "asked for a client certificate"})
		})
	})
	t.Run("a round that is stopped during the handshake", func(t *testing.T) {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		accept(t, listener, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			cancel()
			_,
				_ = io.Copy(io.Discard, c)
		})
		check(t, tlsprobe.New(w.config(long)).Probe(ctx, at(target.HTTPS, "https://"+listener.Addr().String())),
			want{probe.Aborted, probe.TLS, 0, "stopped"})
	})
}

func TestAnswers(t *testing.T) {
	w := newWorld(t)
	padded := func(n int) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			body := `{"kdoctor":{"installation":"k/a","pod":"b"}}`
			_, _ = io.WriteString(rw, body+strings.Repeat(" ", n-len(body)))
		}
	}
	endless := func(rw http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(rw, strings.Repeat("a", 1000)); err != nil {
				return
			}
		}
	}
	stall := func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Length", "100")
		rw.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		maxBody int64
		timeout time.Duration
		want    want
	}{
		{"another status", func(rw http.ResponseWriter,
			_ *http.Request) {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}, 0, long, want{probe.BadStatus, probe.FirstByte, 503, ""}},
		{"another web server", func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "<html>") },
			0, long, want{probe.BadAnswer, probe.Body, 200, "JSON"}},
		{"another agent", responder.NewHandler(echo.Identity{Installation: "k/a", Pod: "c"}).ServeHTTP, 0, long,
			want{probe.WrongPeer, probe.Body, 200, ""}},
		{"as much as is allowed", padded(64 << 10), 0, long, want{probe.OK, probe.NoPhase, 200, ""}},
		{"a byte more than is allowed", padded(64<<10 + 1), 0, long,
			want{probe.BadAnswer, probe.Body, 200, "too long"}},
		{"as much as is allowed at most", padded(1 << 20), 5 << 20, long, want{probe.OK, probe.NoPhase, 200, ""}},
		{"a byte more than is allowed at most", padded(1<<20 + 1), 5 << 20, long,
			want{probe.BadAnswer, probe.Body, 200, "too long"}},
		{"a body without end", endless, 0, long, want{probe.BadAnswer, probe.Body, 200, "too long"}},
		{"silence", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 0, short,
			want{probe.Timeout, probe.FirstByte, 0, ""}},
		{"headers, then silence", stall, 0, short, want{probe.Timeout, probe.Body, 200, ""}},
		{"a redirect that is not to be followed", http.RedirectHandler("/x", http.StatusFound).ServeHTTP, 0, long,
			want{probe.BadStatus, probe.FirstByte, 302, ""}},
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, long,
			want{probe.BadAnswer, probe.FirstByte, 0, ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, protocol target.Protocol) {
				server := serve(t, c.handler, &tls.Config{Certificates: []tls.Certificate{w.good}})
				config := w.config(c.timeout)
				config.MaxBody = c.maxBody
				start := time.Now()
				check(t, tlsprobe.New(config).Probe(t.Context(), at(protocol, server.URL)), c.want)
				if took := time.Since(start); took > long/2 {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
	t.Run("a round that is stopped while the answer is awaited", func(t *testing.T) {
		both(t, func(t *testing.T, protocol target.Protocol) {
			ctx, cancel := context.WithCancel(t.Context())
			server := serve(t, http.HandlerFunc(func(_ http.ResponseWriter,
				r *http.Request) {
				cancel()
				<-r.Context().Done()
			}), &tls.Config{Certificates: []tls.Certificate{w.good}})
			check(t, tlsprobe.New(w.config(long)).Probe(ctx, at(protocol, server.URL)),
				want{probe.Aborted, probe.FirstByte, 0, "stopped"})
		})
	})
}

func TestTargetsThatAreNotUnderstoodAreNotSent(t *testing.T) {
	w := newWorld(t)
	for _, to := range []target.Target{
		at(target.TCP, "tcp://127.0.0.1:80"), at(target.HTTPS, "http://127.0.0.1:80"), at(target.HTTP2,
			"http://127.0.0.1:80"), at(target.HTTP, "https://127.0.0.1:80"),
		at("", "ftp://127.0.0.1:80"), at(target.HTTPS, "https://"), at(target.HTTPS, "::"), {},
	} {
		t.Run(fmt.Sprintf("%s by %q", to.Address, to.Protocol), func(t *testing.T) {
			check(t, tlsprobe.New(w.config(long)).Probe(t.Context(), to), want{probe.NotSent, probe.NoPhase, 0, ""})
		})
	}
}
