package tlsprobe_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/tlsprobe"
	"kdoctor.io/kdoctor/internal/target"
)

// lastOf remembers the connection that the server accepted last.
type lastOf struct {
	mu   sync.Mutex
	conn net.Conn
}

func (l *lastOf) accepted(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if state == http.StateNew {
		l.conn = conn
	}
}

// end closes the connection, as a server does, or resets it, as something on the way does.
func (l *lastOf) end(reset bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	secure, ok := l.conn.(*tls.Conn)
	if !ok {
		return
	}
	if tcp, ok := secure.NetConn().(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
		return
	}
	_ = secure.Close()
}

func TestConnectionsOverTLSThatEndWhileIdleAreCounted(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name  string
		reset bool
	}{{"those that are closed", false}, {"those that are reset", true}} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, protocol target.Protocol) {
				last := &lastOf{}
				server := httptest.NewUnstartedServer(agent())
				server.TLS, server.EnableHTTP2 = &tls.Config{Certificates: []tls.Certificate{w.good}}, true
				server.Config.ConnState, server.Config.ErrorLog = last.accepted, log.New(io.Discard, "", 0)
				server.StartTLS()
				defer server.Close()
				config := w.config(long)
				config.Keep = true
				prober := tlsprobe.New(config)
				defer prober.Close()
				for i := range 6 {
					got := prober.Probe(t.Context(), at(protocol, server.URL))
					check(t, got, want{probe.OK, probe.NoPhase, 200, ""})
					ends := uint64(min(i, 1))
					wanted := probe.Lost{Closes: ends}
					// A server that closes before it has read all that the client of HTTP/2 says beside requests resets
					// thereby.
					if c.reset || protocol == target.HTTP2 && got.Lost.Closes == 0 {
						wanted = probe.Lost{Resets: ends}
					}
					if got.Reused || got.Lost != wanted {
						t.Errorf("attempt %d reused %v and found %+v, want %+v", i, got.Reused, got.Lost, wanted)
					}
					last.end(c.reset)
				}
			})
		})
	}
}

func TestConnectionsOverTLSThatStayOpenAreNotLost(t *testing.T) {
	w := newWorld(t)
	both(t, func(t *testing.T, protocol target.Protocol) {
		server := serve(t, agent(), &tls.Config{Certificates: []tls.Certificate{w.good}})
		config := w.config(long)
		config.Keep = true
		prober := tlsprobe.New(config)
		for i := range 4 {
			if got := prober.Probe(t.Context(), at(protocol, server.URL)); got.Outcome != probe.OK ||
				got.Reused != (i > 0) || got.Lost != (probe.Lost{}) {
				t.Errorf("attempt %d is %v (%s), reused %v, and found %+v", i, got.Outcome, got.Message, got.Reused,
					got.Lost)
			}
		}
		// Our own end of them is none that another attempt finds.
		prober.Close()
		if got := prober.Probe(t.Context(), at(protocol, server.URL)); got.Outcome != probe.OK ||
			got.Lost != (probe.Lost{}) {
			t.Errorf("after closing, an attempt is %v (%s) and found %+v", got.Outcome, got.Message, got.Lost)
		}
	})
}
