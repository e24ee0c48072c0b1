package tlsprobe_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/tlsprobe"
	"kdoctor.io/kdoctor/internal/target"
)

// chain redirects n times, from /n to /0, where the agent answers. seen counts requests.
func chain(seen *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		switch {
		case err != nil || n == 0:
			agent().ServeHTTP(rw, r)
		case n%2 == 0:
			http.Redirect(rw, r, strconv.Itoa(n-1), http.StatusMovedPermanently)
		default:
			http.Redirect(rw, r, fmt.Sprintf("https://%s/%d", r.Host, n-1), http.StatusTemporaryRedirect)
		}
	})
}

func TestRedirects(t *testing.T) {
	w := newWorld(t)
	ok := want{probe.OK, probe.NoPhase, 200, ""}
	for _, c := range []struct {
		name            string
		length, follow  int
		keep            bool
		want            want
		requests, conns int64
	}{
		{"none is followed unless asked for", 1, 0, false, want{probe.BadStatus, probe.FirstByte, 307, ""}, 1, 1},
		{"one is followed", 1, 1, false, ok, 2, 2},
		{"as many as asked for", 10, 10, false, ok, 11, 11},
		{"one more than asked for is a wrong status", 10, 9, false, want{probe.BadStatus, probe.FirstByte, 307, ""},
			10, 10},
		{"a hundred", 100, 100, true, ok, 101, 1},
		{"thirty over new connections", 30, 100, false, ok, 31, 31},
		{"never more than a hundred", 101, 200, true, want{probe.BadStatus, probe.FirstByte, 307, ""}, 101, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, protocol target.Protocol) {
				var seen atomic.Int64
				server, conns := counted(t, w, chain(&seen))
				config := w.config(long)
				config.Redirects, config.Keep = c.follow, c.keep
				prober := tlsprobe.New(config)
				defer prober.Close()
				got := prober.Probe(t.Context(), at(protocol, server+"/"+strconv.Itoa(c.length)))
				check(t, got, c.want)
				if seen.Load() != c.requests || conns.Load() != c.conns || got.Reused {
					t.Errorf("%d requests over %d connections, want %d over %d; reused is %v", seen.Load(),
						conns.Load(), c.requests, c.conns, got.Reused)
				}
			})
		})
	}
	for _, c := range []struct{ name, location string }{
		{"nowhere", ""}, {"another scheme", "ftp://127.0.0.1/"}, {"no URL", "http://[::1"}, {"no host", "https:///x"},
	} {
		t.Run("a redirect to "+c.name+" is a wrong status", func(t *testing.T) {
			server := serve(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				if c.location != "" {
					rw.Header().Set("Location", c.location)
				}
				rw.WriteHeader(http.StatusFound)
			}), &tls.Config{Certificates: []tls.Certificate{w.good}})
			config := w.config(long)
			config.Redirects = 5
			check(t, tlsprobe.New(config).Probe(t.Context(), at(target.HTTPS, server.URL)),
				want{probe.BadStatus, probe.FirstByte, 302, ""})
		})
	}
	t.Run("what is dialled is for the target's own host only", func(t *testing.T) {
		var seen atomic.Int64
		final, _ := counted(t, w, chain(&seen))
		first := serve(t, http.RedirectHandler(final+"/0", http.StatusFound),
			&tls.Config{Certificates: []tls.Certificate{w.known.sign(t, "name.example", long)}})
		to := at(target.HTTPS, "https://name.example/")
		to.Dial = first.Listener.Addr().String()
		config := w.config(long)
		config.Redirects = 1
		check(t, tlsprobe.New(config).Probe(t.Context(), to), ok)
	})
	t.Run("an expected redirect is not followed", func(t *testing.T) {
		var seen atomic.Int64
		server, _ := counted(t, w, chain(&seen))
		config := w.config(long)
		config.Redirects, config.Status = 5, http.StatusTemporaryRedirect
		// The answer is not an agent's, which its status does not excuse.
		check(t, tlsprobe.New(config).Probe(t.Context(), at(target.HTTPS, server+"/3")),
			want{probe.BadAnswer, probe.Body, 307, ""})
	})
}

// counted starts a server and counts its connections.
func counted(t *testing.T, w world, handler http.Handler) (url string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	server := serve(t, handler, &tls.Config{Certificates: []tls.Certificate{w.good},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			connections.Add(1)
			return nil, nil //nolint:nilnil // it stands for the configuration itself
		}})
	return server.URL, connections
}

func TestConnectionsAreNewUnlessKept(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name           string
		keep, tickets  bool
		conns, resumed int64
	}{
		{"each attempt has a connection and a full handshake", false, false, 3, 0},
		{"tickets make later handshakes short", false, true, 3, 2},
		{"a persistent connection serves all", true, false, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, protocol target.Protocol) {
				var resumed atomic.Int64
				server, conns := counted(t, w, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if r.TLS.DidResume {
						resumed.Add(1)
					}
					agent().ServeHTTP(rw, r)
				}))
				config := w.config(long)
				config.Keep, config.Tickets = c.keep, c.tickets
				prober := tlsprobe.New(config)
				defer prober.Close()
				for i := range 3 {
					got := prober.Probe(t.Context(), at(protocol, server))
					check(t, got, want{probe.OK, probe.NoPhase, 200, ""})
					if got.Reused != (c.keep && i > 0) || (got.Phases[probe.TLS] > 0) == got.Reused {
						t.Errorf("attempt %d: reused is %v, phases %v", i, got.Reused, got.Phases)
					}
				}
				if conns.Load() != c.conns || resumed.Load() != c.resumed {
					t.Errorf("%d connections, %d resumed, want %d and %d", conns.Load(), resumed.Load(), c.conns,
						c.resumed)
				}
			})
		})
	}
}

func TestKeptConnectionsOverTLS(t *testing.T) {
	w := newWorld(t)
	const body = `{"kdoctor":{"installation":"k/a","pod":"b"}}`
	good := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for _, c := range []struct {
		name string
		// texts answer the requests of the first connection; behind the last one it is closed. Others get good answers.
		texts []string
		// later are the outcomes of the second attempt and its flags.
		want           want
		reused, closed bool
		connections    int64
	}{
		{"a connection is used again", []string{good, good, good}, want{probe.OK, probe.NoPhase, 200, ""}, true,
			false, 1},
		{"bytes behind the answer in the same record end it", []string{good + good, good},
			want{probe.OK, probe.NoPhase, 200, ""}, false, false, 2},
		{"bytes behind the answer in another record end it", []string{good + "\x00" + good, good},
			want{probe.OK, probe.NoPhase, 200, ""}, false, false, 2},
		{"many bytes behind the answer end it", []string{good + strings.Repeat("x", 10_000), good},
			want{probe.OK, probe.NoPhase, 200, ""}, false, false, 2},
		{"a connection that is closed when the next request comes fails that attempt alone", []string{good, ""},
			want{probe.BadAnswer, probe.FirstByte, 0, ""}, true, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			listener, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{w.good}})
			if err != nil {
				t.Fatal(err)
			}
			var connections atomic.Int64
			written := make(chan struct{}, len(c.texts)+3)
			accept(t, listener, func(conn net.Conn) {
				texts := []string{good, good, good}
				if connections.Add(1) == 1 {
					texts = c.texts
				}
				for _, text := range texts {
					request := make([]byte, 4096)
					if n, err := conn.Read(request); err != nil || n == 0 {
						return
					}
					for record := range strings.SplitSeq(text, "\x00") {
						_, _ = io.WriteString(conn, record)
					}
					written <- struct{}{}
				}
			})
			config := w.config(long)
			config.Keep = true
			prober := tlsprobe.New(config)
			to := at(target.HTTPS, "https://"+listener.Addr().String())
			check(t, prober.Probe(t.Context(), to), want{probe.OK, probe.NoPhase, 200, ""})
			// What comes later than the next request cannot be told from its answer.
			<-written
			got := prober.Probe(t.Context(), to)
			check(t, got, c.want)
			if got.Reused != c.reused || got.Closed != c.closed {
				t.Errorf("reused is %v and closed %v, want %v and %v", got.Reused, got.Closed, c.reused, c.closed)
			}
			check(t, prober.Probe(t.Context(), to), want{probe.OK, probe.NoPhase, 200, ""})
			if connections.Load() != c.connections {
				t.Errorf("%d connections, want %d", connections.Load(), c.connections)
			}
			prober.Close()
		})
	}
}

func TestKeptConnectionsThatServersCloseWhileIdleAreReplaced(t *testing.T) {
	w := newWorld(t)
	both(t, func(t *testing.T, protocol target.Protocol) {
		server := serve(t, agent(), &tls.Config{Certificates: []tls.Certificate{w.good}})
		config := w.config(long)
		config.Keep = true
		prober := tlsprobe.New(config)
		defer prober.Close()
		for range 5 {
			got := prober.Probe(t.Context(), at(protocol, server.URL))
			server.CloseClientConnections()
			check(t, got, want{probe.OK, probe.NoPhase, 200, ""})
			if got.Reused {
				t.Error("a closed connection was used again")
			}
		}
	})
}

func TestWholeAnswersAreFollowedByAReset(t *testing.T) {
	w := newWorld(t)
	const body = `{"kdoctor":{"installation":"k/a","pod":"b"}}`
	listener, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{w.good}})
	if err != nil {
		t.Fatal(err)
	}
	ends := make(chan error, 1)
	accept(t, listener, func(conn net.Conn) {
		request := make([]byte, 4096)
		_, _ = conn.Read(request)
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		_, err := conn.Read(request)
		ends <- err
	})
	check(t, tlsprobe.New(w.config(long)).Probe(t.Context(), at(target.HTTPS, "https://"+listener.Addr().String())),
		want{probe.OK, probe.NoPhase, 200, ""})
	if err := <-ends; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ended by %v", err)
	}
}
