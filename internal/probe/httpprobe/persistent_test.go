package httpprobe_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
	"kdoctor.io/kdoctor/internal/responder"
	"kdoctor.io/kdoctor/internal/target"
)

func keepConfig() httpprobe.Config {
	return httpprobe.Config{Round: "u/1/1" + echo.PersistentSuffix, Source: "a", Installation: "k/a",
		Timeout: 20 * time.Second, Keep: true}
}

// opened counts the connections of a server whose answers wait until as many requests as want have come.
func opened(t *testing.T, want int) (url string, connections func() (opened, closed int)) {
	t.Helper()
	var mu sync.Mutex
	var all, gone int
	var arrived int
	turn := make(chan struct{})
	handler := responder.NewHandler(echo.Identity{Installation: "k/a", Pod: "b"})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		mine := turn
		if arrived++; arrived == want {
			arrived, turn = 0, make(chan struct{})
			close(mine)
		}
		mu.Unlock()
		<-mine
		handler.ServeHTTP(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		switch state {
		case http.StateNew:
			all++
		case http.StateClosed:
			gone++
		case http.StateActive, http.StateIdle, http.StateHijacked:
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, func() (opened, closed int) {
		mu.Lock()
		defer mu.Unlock()
		return all, gone
	}
}

func TestAttemptsAtOnceHaveConnectionsOfTheirOwnAndLaterOnesUseThemAgain(t *testing.T) {
	const together = 8
	url, connections := opened(t, together)
	prober := httpprobe.New(keepConfig())
	for round := range 3 {
		var attempts sync.WaitGroup
		for range together {
			attempts.Go(func() {
				got := prober.Probe(t.Context(), target.Target{ID: "t", Address: url, Pod: "b"})
				if got.Outcome != probe.OK || got.Reused != (round > 0) {
					t.Errorf("round %d: outcome %v (%s), reused %v", round, got.Outcome, got.Message, got.Reused)
				}
			})
		}
		attempts.Wait()
	}
	if all, _ := connections(); all != together {
		t.Errorf("%d connections were opened, want %d", all, together)
	}
	prober.Close()
	deadline := time.Now().Add(10 * time.Second)
	for _, gone := connections(); gone != together; _, gone = connections() {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d connections were closed with the prober", gone, together)
		}
	}
}

func TestTargetsOfOneAddressDoNotShareConnections(t *testing.T) {
	url, connections := opened(t, 1)
	prober := httpprobe.New(keepConfig())
	defer prober.Close()
	for range 2 {
		for _, id := range []string{"t1", "t2", "t3"} {
			if got := prober.Probe(t.Context(), target.Target{ID: id, Address: url,
				Pod: "b"}); got.Outcome != probe.OK {
				t.Errorf("outcome %v (%s)", got.Outcome, got.Message)
			}
		}
	}
	if all, _ := connections(); all != 3 {
		t.Errorf("%d connections were opened for 3 targets", all)
	}
}

func TestClosedProberKeepsNothing(t *testing.T) {
	url, connections := opened(t, 1)
	prober := httpprobe.New(keepConfig())
	prober.Close()
	for range 2 {
		if got := prober.Probe(t.Context(), target.Target{ID: "t", Address: url,
			Pod: "b"}); got.Outcome != probe.OK || got.Reused {
			t.Errorf("outcome %v (%s), reused %v", got.Outcome, got.Message, got.Reused)
		}
	}
	if all, _ := connections(); all != 2 {
		t.Errorf("%d connections were opened", all)
	}
}

// sayer is a server that answers each request with the text of the moment.
type sayer struct {
	listener net.Listener
	mu       sync.Mutex
	text     []byte
	// hold leaves the connection open behind the text.
	hold bool
	// written has one value for each text that was written as far as the other side wanted it.
	written chan struct{}
}

func newSayer(t testing.TB) *sayer {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sayer{listener: listener, written: make(chan struct{}, 1)}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	return s
}

func (s *sayer) serve(conn net.Conn) {
	defer conn.Close()
	for {
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		request := make([]byte, 0, 4096)
		for !bytes.Contains(request, []byte("\r\n\r\n")) {
			n, err := conn.Read(request[len(request):cap(request)])
			if err != nil {
				return
			}
			request = request[:len(request)+n]
		}
		s.mu.Lock()
		text, hold := s.text, s.hold
		s.mu.Unlock()
		_, _ = conn.Write(text)
		if !hold {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			s.written <- struct{}{}
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		s.written <- struct{}{}
	}
}

// ask makes one attempt that the server answers with the text.
func (s *sayer) ask(t *testing.T, prober probe.Prober, text []byte, hold bool) probe.Sample {
	t.Helper()
	s.mu.Lock()
	s.text, s.hold = text, hold
	s.mu.Unlock()
	got := prober.Probe(t.Context(), target.Target{ID: "t", Family: "IPv4",
		Address: "http://" + s.listener.Addr().String(), Pod: "b"})
	<-s.written
	return got
}

// selfDelimited reports whether the text has a complete answer that does not need the connection's end.
func selfDelimited(text []byte) bool {
	r := bufio.NewReader(bytes.NewReader(text))
	for {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return false
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode >= 200 {
			return err == nil && len(body) <= echo.MaxBodyBytes &&
				(answer.ContentLength >= 0 || len(answer.TransferEncoding) > 0)
		}
	}
}

// FuzzKept asks over one prober for: the given bytes, a good answer, the given bytes again, a good answer.
// Whatever the bytes are, the good answers must be seen as good ones, and the bytes as they are seen without keeping.
func FuzzKept(f *testing.F) {
	const ours = `{"kdoctor":{"installation":"k/a","pod":"b"}}`
	good := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(ours), ours))
	longer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s ", len(ours)+1, ours)
	for _, seed := range []string{
		"",
		"\r\n",
		"HTTP/1.1",
		string(good),
		longer,
		longer + "\r\n",
		longer + longer,
		longer + "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
		longer[:len(longer)-2],
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2d\r\n" + ours + " \r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2d\r\n" + ours + " \r\n0\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n" + ours,
		"HTTP/2.0 200 OK\r\nContent-Length: 44\r\n\r\n" + ours,
		"HTTP/1.1 204 No\r\nContent-Length: 44\r\n\r\n" + ours,
		"HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n",
		"HTTP/1.1 100 C\r\n\r\n" + longer, "HTTP/1.1 101 S\r\n\r\n" + longer,
	} {
		f.Add([]byte(seed))
	}
	server := newSayer(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 32<<10 {
			// What does not fit into the socket's buffer could arrive behind the attempt.
			return
		}
		prober, hold := httpprobe.New(keepConfig()), selfDelimited(text)
		defer prober.Close()
		alone := keepConfig()
		alone.Keep = false
		want := server.ask(t, httpprobe.New(alone), text, hold)
		for range 2 {
			got := server.ask(t, prober, text, hold)
			if got.Outcome != want.Outcome || got.Phase != want.Phase || got.Status != want.Status ||
				got.Bytes != want.Bytes || got.Peer != want.Peer || got.Message != want.Message {
				t.Errorf("%q is %v at %q (%s) over a persistent connection and %v at %q (%s) alone", text, got.Outcome,
					got.Phase, got.Message, want.Outcome, want.Phase, want.Message)
			}
			after := server.ask(t, prober, good, true)
			if diff := cmp.Diff([]any{probe.OK, int64(len(ours)), 200},
				[]any{after.Outcome, after.Bytes, after.Status}); diff != "" {
				t.Errorf("after %q the good answer is not (-want +got):\n%s%s", text, diff, after.Message)
			}
		}
	})
}
