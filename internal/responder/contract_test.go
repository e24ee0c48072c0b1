package responder

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/echo"
)

// patience bounds every wait of these tests.
const patience = time.Minute

// server is one implementation under test.
type server struct {
	*Responder
	address string
	// end stops it and returns what Serve returned.
	end func() error
}

// plain hides what a listener is, so that net/http serves.
type plain struct{ net.Listener }

func start(t testing.TB, portable bool, network string, config Config) *server {
	t.Helper()
	host := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "tcp": ":0"}[network]
	var open net.ListenConfig
	open.SetMultipathTCP(false)
	l, err := open.Listen(t.Context(), network, host)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Responder: New(config), address: l.Addr().String()}
	if portable {
		l = plain{l}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	ended, result := false, error(nil)
	s.end = func() error {
		if !ended {
			cancel()
			result, ended = <-done, true
		}
		return result
	}
	t.Cleanup(func() {
		if err := s.end(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func identity() echo.Identity {
	return echo.Identity{Installation: "k/agent", Pod: "a<b", PodUID: "u", Node: "n"}
}

// both runs a test for both implementations, in both families.
func both(t *testing.T, config Config, test func(*testing.T, *server)) {
	t.Helper()
	config.Identity = identity()
	for _, portable := range []bool{false, true} {
		for _, network := range []string{"tcp4", "tcp6"} {
			t.Run(fmt.Sprintf("portable=%v,%s", portable, network), func(t *testing.T) {
				t.Parallel()
				test(t, start(t, portable, network, config))
			})
		}
	}
}

// client is one connection.
type client struct {
	*net.TCPConn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, address string) *client {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		t.Fatal("no TCP")
	}
	return &client{tcp, t, bufio.NewReader(conn)}
}

func (c *client) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// hear reads one answer to a request with the method.
func (c *client) hear(method string) (*http.Response, []byte) {
	c.t.Helper()
	answer, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer, body
}

// closed waits for the server's end of the connection.
func (c *client) closed() {
	c.t.Helper()
	if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
		c.t.Errorf("at the end came %d bytes: %.100q, %v", len(b), b, err)
	}
}

func (c *client) hearOurs(method, path, host string) *http.Response {
	c.t.Helper()
	answer, body := c.hear(method)
	var got echo.Answer
	if err := json.Unmarshal(body, &got); err != nil {
		c.t.Fatalf("%v in %.300q with status %d", err, body, answer.StatusCode)
	}
	want := echo.Answer{Kdoctor: identity(), ClientAddress: c.LocalAddr().String(), Method: method, Path: path,
		Host: host}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("answer (-want +got):\n%s", diff)
	}
	if answer.ContentLength != int64(len(body)) || answer.Header.Get("Content-Type") != "application/json" ||
		answer.Header.Get("Date") == "" {
		c.t.Errorf("headers %v of a body of %d bytes", answer.Header, len(body))
	}
	return answer
}

func TestRequestsAreAnsweredInOrder(t *testing.T) {
	length := func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n, strings.Repeat("b", n)) }
	for _, c := range []struct {
		name, request      string
		method, path, host string
		close, keeps       bool
	}{
		{"a usual request", "GET /kdoctoragent HTTP/1.1\r\nHost: h:80\r\n\r\n", "GET", "/kdoctoragent", "h:80", false,
			false},
		{"another method", "PURGE /x?y=z HTTP/1.1\r\nhost: h\r\n\r\n", "PURGE", "/x", "h", false, false},
		{"a method with a character that JSON escapes", "A&B / HTTP/1.1\r\nHost: h\r\n\r\n", "A&B", "/", "h", false,
			false},
		{"escapes in the path", "GET /%3Ca%22%0a%ff%e2%80%a8/\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", "GET",
			"/<a\"\n\ufffd\u2028/ä", "h", false, false},
		{"a whole URL", "GET http://other.example/p HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/p", "other.example", false,
			false},
		{"a star", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS", "*", "h", false, false},
		{"a body with a length", "POST / HTTP/1.1\r\nHost: h\r\n" + length(10), "POST", "/", "h", false, false},
		{"the longest body", "PUT / HTTP/1.1\r\nHost: h\r\n" + length(echo.MaxRequestBody), "PUT", "/", "h", false,
			false},
		{"a body in chunks",
			"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" +
				"A;x=y\r\n0123456789\r\n0\r\nA: b\r\n\r\n",
			"POST", "/", "h", false, false},
		{"a length and chunks, which win",
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" +
				"3\r\nabc\r\n0\r\n\r\n",
			"POST", "/", "h", false, false},
		{"a request that ends the connection", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n", "GET", "/",
			"h", true, false},
		{"a request that ends the connection among other things",
			"GET / HTTP/1.1\r\nHost: h\r\nConnection: a, close\r\n\r\n", "GET", "/", "h", true, false},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "GET", "/", "", true, false},
		{"HTTP/1.0 that asks for a persistent connection",
			"GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: h\r\n\r\n", "GET", "/", "h", false, true},
		{"a head of many kilobytes", "GET / HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("a", 8000) + "\r\n\r\n",
			"GET", "/", "h", false, false},
		{"lines without returns", "GET / HTTP/1.1\nHost: h\n\n", "GET", "/", "h", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			both(t, Config{}, func(t *testing.T, s *server) {
				// Torn at several places, and in one piece with a second request behind it.
				for _, tear := range []int{0, 3, len(c.request) / 2, len(c.request) - 1} {
					conn := dial(t, s.address)
					conn.say(c.request[:tear])
					conn.say(c.request[tear:] + "GET /second HTTP/1.1\r\nHost: i\r\n\r\n")
					answer := conn.hearOurs(c.method, c.path, c.host)
					if answer.StatusCode != http.StatusOK || answer.Close != c.close ||
						(answer.Header.Get("Connection") == "keep-alive") != c.keeps {
						t.Errorf("status %d, close %v, headers %v", answer.StatusCode, answer.Close, answer.Header)
					}
					if c.close {
						conn.closed()
						continue
					}
					conn.hearOurs("GET", "/second", "i")
				}
			})
		})
	}
}

func TestWhatIsTooLongIsCutInTheAnswer(t *testing.T) {
	both(t, Config{}, func(t *testing.T, s *server) {
		conn := dial(t, s.address)
		conn.say("GET /" + strings.Repeat("p", 3000) + " HTTP/1.1\r\nHost: " + strings.Repeat("h", 3000) + "\r\n\r\n")
		conn.hearOurs("GET", "/"+strings.Repeat("p", 1023), strings.Repeat("h", 1024))
	})
}

func TestHeadersWithoutBody(t *testing.T) {
	both(t, Config{}, func(t *testing.T, s *server) {
		conn := dial(t, s.address)
		conn.say("HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET /g HTTP/1.1\r\nHost: h\r\n\r\n")
		answer, _ := conn.hear("HEAD")
		if answer.StatusCode != http.StatusOK || answer.ContentLength < 100 {
			t.Errorf("status %d, length %d", answer.StatusCode, answer.ContentLength)
		}
		conn.hearOurs("GET", "/g", "h")
	})
}

func TestBadRequestsAreRefused(t *testing.T) {
	chunks := "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name, request string
		want          []int
	}{
		{"no HTTP", "hello\r\n\r\n", []int{400}},
		{"no version", "GET /\r\n\r\n", []int{400}},
		{"no host", "GET / HTTP/1.1\r\n\r\n", []int{400}},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", []int{400}},
		{"a host with a blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", []int{400}},
		{"a name with a space", "GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n", []int{400}},
		{"a line without a colon", "GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n", []int{400}},
		{"a path with a broken escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", []int{400}},
		{"another version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", []int{505}},
		{"two lengths", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", []int{400}},
		{"a length with a sign", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", []int{400}},
		{"an unknown coding", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", []int{400, 501}},
		{"a chunk without a size", chunks + "x\r\n", []int{400}},
		{"a chunk that is longer than its size", chunks + "1\r\nab\r\n0\r\n\r\n", []int{400}},
		{"a body too long by its length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n", []int{413}},
		{"a body too long by its chunks", chunks + "10001\r\n" + strings.Repeat("x", 65537) + "\r\n0\r\n\r\n",
			[]int{413}},
		{"an expectation that nobody meets", "GET / HTTP/1.1\r\nHost: h\r\nExpect: wonders\r\n\r\n", []int{417}},
		{"a head that is too long", "GET / HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("a", 20000) + "\r\n\r\n",
			[]int{431}},
		{"a request line that is too long", "GET /" + strings.Repeat("a", 20000), []int{431, 414}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			both(t, Config{}, func(t *testing.T, s *server) {
				conn := dial(t, s.address)
				conn.say("GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
				conn.hearOurs("GET", "/first", "h")
				conn.say(c.request)
				answer, _ := conn.hear("GET")
				if !contained(c.want, answer.StatusCode) || !answer.Close {
					t.Errorf("status %d, close %v, want one of %v", answer.StatusCode, answer.Close, c.want)
				}
				conn.closed()
			})
		})
	}
}

func contained(all []int, one int) bool {
	for _, i := range all {
		if i == one {
			return true
		}
	}
	return false
}

func TestClientThatWaitsForPermissionGetsIt(t *testing.T) {
	both(t, Config{}, func(t *testing.T, s *server) {
		conn := dial(t, s.address)
		for range 2 {
			conn.say("POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
			if answer, _ := conn.hear("POST"); answer.StatusCode != http.StatusContinue {
				t.Fatalf("status %d before the body", answer.StatusCode)
			}
			conn.say("abc")
			conn.hearOurs("POST", "/p", "h")
		}
	})
}

func TestRoundsAreCountedBeforeTheirAnswers(t *testing.T) {
	both(t, Config{}, func(t *testing.T, s *server) {
		conn := dial(t, s.address)
		for i := range uint64(3) {
			conn.say("POST / HTTP/1.1\r\nHost: h\r\nKdoctor-Round: u/1/2\r\nContent-Length: 3\r\n\r\nab")
			if n := s.Served("u/1/2"); n != i {
				t.Errorf("%d requests are counted, want %d", n, i)
			}
			conn.say("cGET / HTTP/1.1\r\nHost: h\r\nKDOCTOR-ROUND:  nonsense \r\n\r\n")
			conn.hearOurs("POST", "/", "h")
			if n := s.Served("u/1/2"); n != i+1 {
				t.Errorf("%d requests are counted, want %d", n, i+1)
			}
			conn.hearOurs("GET", "/", "h")
		}
		if n := s.Served("nonsense"); n != 0 {
			t.Errorf("nonsense counts %d", n)
		}
	})
}

func TestOptionsOfARoundChangeItsAnswers(t *testing.T) {
	both(t, Config{}, func(t *testing.T, s *server) {
		set := func(o echo.Options) {
			t.Helper()
			if err := s.SetOptions("u/1/1", o); err != nil {
				t.Fatal(err)
			}
		}
		ask := func(round string) string {
			return "GET /" + round + " HTTP/1.1\r\nHost: h\r\nKdoctor-Round: " + round + "\r\n\r\n"
		}
		conn := dial(t, s.address)
		set(echo.Options{Bytes: echo.MaxBodyBytes, Status: http.StatusServiceUnavailable})
		conn.say(ask("u/1/2") + ask("u/1/1") + ask("u/1/2") + ask("u/1/1"))
		for range 2 {
			if answer := conn.hearOurs("GET", "/u/1/2", "h"); answer.StatusCode != http.StatusOK ||
				answer.ContentLength > 1000 {
				t.Errorf("status %d with %d bytes to another round", answer.StatusCode, answer.ContentLength)
			}
			if answer := conn.hearOurs("GET", "/u/1/1", "h"); answer.StatusCode != http.StatusServiceUnavailable ||
				answer.ContentLength != echo.MaxBodyBytes {
				t.Errorf("status %d with %d bytes", answer.StatusCode, answer.ContentLength)
			}
		}
		set(echo.Options{Delay: 50 * time.Millisecond, Bytes: 10})
		before := time.Now()
		conn.say(ask("u/1/2") + ask("u/1/1") + ask("u/1/1") + ask("u/1/2"))
		conn.hearOurs("GET", "/u/1/2", "h")
		conn.hearOurs("GET", "/u/1/1", "h")
		conn.hearOurs("GET", "/u/1/1", "h")
		if took := time.Since(before); took < 100*time.Millisecond {
			t.Errorf("two delays of 50 ms took %v", took)
		}
		conn.hearOurs("GET", "/u/1/2", "h")
		for _, status := range []int{204, 205, 304} {
			set(echo.Options{Status: status, Bytes: 100})
			conn.say(ask("u/1/1"))
			if answer, body := conn.hear("GET"); answer.StatusCode != status || len(body) != 0 {
				t.Errorf("status %d with %d bytes", answer.StatusCode, len(body))
			}
		}
		s.Forget("u/1/1")
		conn.say(ask("u/1/1"))
		if answer := conn.hearOurs("GET", "/u/1/1", "h"); answer.StatusCode != http.StatusOK || s.Served("u/1/1") != 8 {
			t.Errorf("status %d and count %d after all", answer.StatusCode, s.Served("u/1/1"))
		}
	})
}

func TestImpatientClientsAreNoError(t *testing.T) {
	both(t, Config{}, func(t *testing.T, s *server) {
		if err := s.SetOptions("u/1/1", echo.Options{Delay: time.Minute}); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"", "GET", "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: h\r\nKdoctor-Round: u/1/1\r\n\r\n"} {
			for _, linger := range []int{-1, 0} {
				conn := dial(t, s.address)
				conn.say(text)
				if err := errors.Join(conn.SetLinger(linger), conn.Close()); err != nil {
					t.Error(err)
				}
			}
		}
		conn := dial(t, s.address)
		conn.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		conn.hearOurs("GET", "/", "h")
		conn.closed()
	})
}

func TestDeadlinesEndConnections(t *testing.T) {
	short := 60 * time.Millisecond
	long := time.Hour
	for _, c := range []struct {
		name, first, then string
		config            Config
	}{
		{"no request", "", "", Config{Header: short, Request: long, Write: long, Idle: long}},
		{"half a head", "GET / HTTP/1.1\r\n", "", Config{Header: short, Request: long, Write: long, Idle: long}},
		{"half a head after a complete request", "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /", "GET",
			Config{Header: short, Request: long, Write: long, Idle: long}},
		{"half a body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na", "",
			Config{Header: short, Request: 2 * short, Write: long, Idle: long}},
		{"nothing more", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET",
			Config{Header: long, Request: long, Write: long, Idle: short}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			both(t, c.config, func(t *testing.T, s *server) {
				conn := dial(t, s.address)
				conn.say(c.first)
				if c.then != "" {
					conn.hearOurs(c.then, "/", "h")
				}
				// An answer that says why is as good as none.
				if _, err := io.Copy(io.Discard, conn.r); err != nil && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the server kept the connection: %v", err)
				}
			})
		})
	}
}

func TestClientThatDoesNotReadIsCutOff(t *testing.T) {
	both(t, Config{Write: 100 * time.Millisecond}, func(t *testing.T, s *server) {
		if err := s.SetOptions("u/1/1", echo.Options{Bytes: echo.MaxBodyBytes}); err != nil {
			t.Fatal(err)
		}
		conn := dial(t, s.address)
		request := []byte(strings.Repeat("GET / HTTP/1.1\r\nHost: h\r\nKdoctor-Round: u/1/1\r\n\r\n", 100))
		for {
			if _, err := conn.Write(request); err != nil {
				if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
					t.Errorf("the server kept the connection: %v", err)
				}
				return
			}
		}
	})
}

func TestSlowReaderGetsEveryByte(t *testing.T) {
	both(t, Config{Write: patience}, func(t *testing.T, s *server) {
		if err := s.SetOptions("u/1/1", echo.Options{Bytes: echo.MaxBodyBytes}); err != nil {
			t.Fatal(err)
		}
		conn := dial(t, s.address)
		// More than the kernel buffers.
		const requests = 200
		var all bytes.Buffer
		for i := range requests {
			fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: h\r\nKdoctor-Round: u/1/1\r\n\r\n", i)
		}
		conn.say(all.String())
		for i := range requests {
			if answer := conn.hearOurs("GET", fmt.Sprintf("/%d", i), "h"); answer.ContentLength != echo.MaxBodyBytes {
				t.Errorf("%d bytes", answer.ContentLength)
			}
		}
	})
}

func TestLongPipelinesAreAnsweredToTheEnd(t *testing.T) {
	both(t, Config{}, func(t *testing.T, s *server) {
		conn := dial(t, s.address)
		// Many times what the server reads at once.
		const requests = 10_000
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(conn,
				strings.Repeat("GET / HTTP/1.1\r\nHost: h\r\nKdoctor-Round: u/1/1/kept\r\n\r\n", requests))
			sent <- err
		}()
		for range requests {
			conn.hear("GET")
		}
		if err := <-sent; err != nil || conn.r.Buffered() != 0 {
			t.Errorf("%d bytes behind the last answer, %v", conn.r.Buffered(), err)
		}
		if kept, counted := s.Served("u/1/1/kept"), s.Served("u/1/1"); kept != requests || counted != 0 {
			t.Errorf("%d requests are counted as kept and %d as counted, want %d and none", kept, counted, requests)
		}
	})
}

func TestConnectionsAreBoundedAndOthersWait(t *testing.T) {
	t.Run("one shard", func(t *testing.T) { both(t, Config{MaxConnections: 2, Shards: 1}, thirdWaits) })
	t.Run("two shards", func(t *testing.T) { both(t, Config{MaxConnections: 2, Shards: 2}, thirdWaits) })
}

func thirdWaits(t *testing.T, s *server) {
	t.Helper()
	ask := "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	var open []*client
	for range 2 {
		conn := dial(t, s.address)
		conn.say(ask)
		conn.hearOurs("GET", "/", "h")
		open = append(open, conn)
	}
	third := dial(t, s.address)
	third.say(ask)
	if err := third.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if b, err := third.r.Peek(1); err == nil {
		t.Errorf("a third connection got %q", b)
	}
	_ = open[1].Close()
	third.r.Reset(third.TCPConn)
	if err := third.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	third.hearOurs("GET", "/", "h")
}

func TestEndFinishesWhatIsUnderWay(t *testing.T) {
	both(t, Config{}, func(t *testing.T, s *server) {
		for round, delay := range map[string]time.Duration{"u/1/1": 300 * time.Millisecond, "u/1/2": time.Minute} {
			if err := s.SetOptions(round, echo.Options{Delay: delay}); err != nil {
				t.Fatal(err)
			}
		}
		idle, soon, late := dial(t, s.address), dial(t, s.address), dial(t, s.address)
		idle.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		idle.hearOurs("GET", "/", "h")
		soon.say("GET / HTTP/1.1\r\nHost: h\r\nKdoctor-Round: u/1/1\r\n\r\n")
		late.say("GET / HTTP/1.1\r\nHost: h\r\nKdoctor-Round: u/1/2\r\n\r\n")
		for end := time.Now().Add(patience); s.Served("u/1/1") == 0 || s.Served("u/1/2") == 0; {
			if time.Now().After(end) {
				t.Fatal("the requests did not arrive")
			}
		}
		before := time.Now()
		if err := s.end(); err != nil {
			t.Errorf("Serve returned %v", err)
		}
		if took := time.Since(before); took > 5*time.Second {
			t.Errorf("the end took %v", took)
		}
		idle.closed()
		soon.hearOurs("GET", "/", "h")
		if b, err := io.ReadAll(late.r); len(b) > 0 {
			t.Errorf("a late answer came: %.100q, %v", b, err)
		}
		if conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.address); err == nil {
			_ = conn.Close()
			t.Error("somebody still listens")
		}
	})
}

func TestBothFamiliesOnOneListener(t *testing.T) {
	for _, portable := range []bool{false, true} {
		s := start(t, portable, "tcp", Config{Identity: identity(), Shards: 3})
		_, port, err := net.SplitHostPort(s.address)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"127.0.0.1", "::1"} {
			conn := dial(t, net.JoinHostPort(host, port))
			conn.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			conn.hearOurs("GET", "/", "h")
		}
	}
}
