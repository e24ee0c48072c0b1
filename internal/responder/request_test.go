package responder

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/slots"
)

const usual = "GET /kdoctoragent HTTP/1.1\r\nHost: 198.51.100.7:5710\r\nUser-Agent: kdoctor-agent\r\n" +
	"Kdoctor-Round: 0b5f4a1e/1/2\r\nKdoctor-Source: a\r\nConnection: close\r\n\r\n"

// heads are requests at the edges of what is accepted.
func heads() []string {
	all := []string{
		usual, "", "\r\n", "GET", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.0\r\n\r\n",
		"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
		"GET / HTTP/1.2\r\nHost: h\r\n\r\n",
		"GET / HTTP/3.1\r\nHost: h\r\n\r\n",
		"get /a?b=%zz HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET //a/b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET mailto:a HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET http://u:p@h:1/x%2fy HTTP/1.1\r\nHost: i\r\n\r\n",
		"CONNECT h:1 HTTP/1.1\r\n\r\n",
		"CONNECT /a HTTP/1.1\r\nHost: h\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
		"G(T / HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /\xff?\xfe HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\nHost:h\n\n",
		"GET / HTTP/1.1\r\nHost:\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nhOST: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h/\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n",
		"GET / HTTP/1.1\r\n A: b\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nA:\x00\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nA: \xff \t\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nKdoctor-Round: \t a/1/1 \t\r\nKdoctor-Round: b/1/1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nKdoctor-Round:\r\n\r\n",
		"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
		"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: x , CLOSE\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: closed\r\nConnection: close\r\n\r\n",
	}
	for _, framing := range []string{"Content-Length: 0", "Content-Length: 5", "Content-Length: 05",
		"Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 05", "Content-Length:",
		"Content-Length: -0",
		"Content-Length: 5 ",
		"Content-Length: 5, 5",
		"Content-Length: 9999999999999999999",
		"Content-Length: 000000000000000000005",
		"Transfer-Encoding: chunked",
		"Transfer-Encoding: Chunked\r\nContent-Length: 3",
		"Transfer-Encoding: chunked\r\nContent-Length: x",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: identity",
		"Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\r\nTrailer: A",
		"Transfer-Encoding: chunked\r\nTrailer: Content-Length", "Trailer: A"} {
		all = append(all, "POST / HTTP/1.1\r\nHost: h\r\n"+framing+"\r\n\r\n", "POST / HTTP/1.0\r\n"+framing+"\r\n\r\n")
	}
	return all
}

// seen is what either implementation makes of a head.
type seen struct {
	Accepted                  bool
	Method, Path, Host, Round string
	Length                    int64
	Close                     bool
}

// ours reads as the server does.
func ours(head []byte) seen {
	var r request
	_, f := r.parse(head)
	if f != complete && r.examine(head) != http.StatusOK || r.expectsOther {
		return seen{}
	}
	return seen{true, string(r.method), string(r.path), string(r.host), string(r.round), r.length, r.close}
}

// wire is a connection that has a request to read and ends with its answer.
type wire struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (w *wire) Read(b []byte) (int, error)  { return w.in.Read(b) }
func (w *wire) Write(b []byte) (int, error) { return w.out.Write(b) }

// once is a listener with one connection.
type once struct {
	conn   net.Conn
	served chan struct{}
}

func (o *once) Accept() (net.Conn, error) {
	if conn := o.conn; conn != nil {
		o.conn = nil
		return conn, nil
	}
	<-o.served
	return nil, io.EOF
}
func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return &net.TCPAddr{} }

// theirs has net/http's server read the head.
func theirs(t *testing.T, head []byte) (got seen) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	w := &wire{Conn: far, in: bytes.NewReader(head)}
	o := &once{conn: w, served: make(chan struct{})}
	server := &http.Server{
		DisableGeneralOptionsHandler: true,
		Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = seen{true, r.Method, r.URL.Path, r.Host, r.Header.Get(echo.RoundHeader), r.ContentLength, r.Close}
			panic(http.ErrAbortHandler)
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				close(o.served)
			}
		},
	}
	if err := server.Serve(o); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return got
}

func sameHead(t *testing.T, text []byte) {
	t.Helper()
	end := headEnd(text, 0)
	if end == 0 || end > MaxHeader || text[0] == '\n' || text[0] == '\r' {
		return
	}
	head := text[:end]
	if bytes.Contains(head, []byte("\n ")) || bytes.Contains(head, []byte("\n\t")) {
		// A line that is folded: it is refused here, and joined there.
		if got := ours(head); got.Accepted {
			t.Errorf("of %q with a folded line came %+v", head, got)
		}
		return
	}
	got, want := ours(head), theirs(t, head)
	if bytes.Contains(bytes.ToLower(head), []byte("expect")) && !got.Accepted {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("of %q (-net/http +ours):\n%s", head, diff)
	}
}

func FuzzHead(f *testing.F) {
	for _, head := range heads() {
		f.Add([]byte(head))
	}
	f.Fuzz(sameHead)
}

func FuzzBody(f *testing.F) {
	for _, body := range []string{
		"0\r\n\r\n",
		"3\r\nabc\r\n0\r\n\r\n",
		"3;a=b\r\nabc\r\n0\r\nA: b\r\n\r\nmore",
		"3\nabc\r\n0\r\n\r\n",
		"g\r\n",
		"\r\n",
		"3\r\nabcd\r\n",
		"ffffffffffffffff\r\n",
		"00000000000000003\r\nabc\r\n0\r\n\r\n",
		"FfF\r\n" + strings.Repeat("x", 4095) + "\r\n0\r\n\r\n",
		"0\r\nA\r\n\r\n",
		"0\r\n\n",
		"0\r\nA: b\n\r\n",
		"1;" + strings.Repeat("x", 4000) + "\r\na\r\n0\r\n\r\n",
		"10000\r\n",
		"10001\r\n",
	} {
		f.Add([]byte(body), uint16(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, tear uint16) {
		var o body
		o.begin(chunked)
		cut := int(tear) % (len(text) + 1)
		n, more, status := o.feed(text[:cut])
		if more && status == http.StatusOK {
			var m int
			m, more, status = o.feed(text[cut:])
			n += m
		}
		accepted := !more && status == http.StatusOK
		read, err := http.ReadRequest(bufio.NewReader(io.MultiReader(
			strings.NewReader("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"),
			bytes.NewReader(text))))
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(read.Body)
		switch {
		case accepted && (err != nil || len(content) > echo.MaxRequestBody):
			t.Errorf("%q is accepted up to %d; net/http says %v after %d bytes", text, n, err, len(content))
		case accepted && o.sum != uint64(len(content)):
			t.Errorf("%q has %d bytes, want %d", text, o.sum, len(content))
		case err == nil && !accepted && len(content) <= echo.MaxRequestBody && len(text) <= maxExtension &&
			!strings.Contains(string(text), "0\r\n"):
			// Trailers are read more strictly here.
			t.Errorf("%q is refused with %d, more %v", text, status, more)
		}
	})
}

func TestUsualHeadsNeedNoSecondLook(t *testing.T) {
	var r request
	n, f := r.parse([]byte(usual + "GET"))
	if n != len(usual) || f != complete || string(r.round) != "0b5f4a1e/1/2" || !r.close ||
		string(r.path) != "/kdoctoragent" {
		t.Errorf("%d bytes, %v, %+v", n, f, r)
	}
	for i := range usual {
		if n, f := r.parse([]byte(usual[:i])); f != partial {
			t.Errorf("the first %d bytes are %v, %d", i, f, n)
		}
		if end := headEnd([]byte(usual), i); end != len(usual) {
			t.Errorf("from %d the end is at %d, want %d", i, end, len(usual))
		}
	}
}

func TestAnswersAreThoseOfEncodingJSON(t *testing.T) {
	w, err := newWriter(identity())
	if err != nil {
		t.Fatal(err)
	}
	w.tick(1)
	for _, text := range []string{"", "/a", "/\"\\<>&'", "/\x00\x1f\x7f\b\f\n\r\t", "/ä\u2028\u2029\xff\xc3",
		strings.Repeat("ä", 600), "a" + strings.Repeat("ä", 600)} {
		for _, size := range []int{0, 200, 5000} {
			r := request{method: []byte("A&B"), path: []byte(text), host: []byte(text)}
			out, padding := w.answer(nil, &r, []byte("[::1]:80"), echo.Options{Bytes: size}, false)
			answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			shown := text[:min(len(text), echo.MaxEchoBytes)]
			want, err := json.Marshal(echo.Answer{Kdoctor: identity(), ClientAddress: "[::1]:80", Method: "A&B",
				Path: shown, Host: shown})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(body[:len(body)-padding], want) || len(body) != max(size, len(want)) ||
				len(bytes.TrimRight(body, " ")) != len(want) {
				t.Errorf("body %q of %d bytes with padding %d, want %q", body, len(body), padding, want)
			}
		}
	}
}

func TestUsualRequestsCostNoAllocation(t *testing.T) {
	w, err := newWriter(identity())
	if err != nil {
		t.Fatal(err)
	}
	var rounds Rounds
	var r request
	head, client, out := []byte(usual), []byte("127.0.0.1:1000"), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		if _, f := r.parse(head); f != complete {
			t.Error("the request is unusual")
		}
		rounds.Count(r.round)
		w.answer(out, &r, client, rounds.Options(r.round), r.close)
	}); n != 0 {
		t.Errorf("a request costs %v allocations", n)
	}
}

func TestDelaysEndInTheirOrder(t *testing.T) {
	at := map[int32]int32{}
	d := delays{moved: func(connection, place int32) { at[connection] = place }}
	x := uint32(1)
	for i := range int32(500) {
		x = x*1664525 + 1013904223
		d.add(i, time.Duration(x%1000))
	}
	for i := int32(0); i < 500; i += 3 {
		d.remove(at[i])
		if at[i] != slots.None {
			t.Fatalf("%d still has place %d", i, at[i])
		}
	}
	last := time.Duration(0)
	for n := 333; len(d.waiting) > 0; n-- {
		first := d.waiting[0]
		if first.until < last || at[first.connection] != 0 || first.connection%3 == 0 || n == 0 {
			t.Fatalf("%+v after %v, at %d, with %d left", first, last, at[first.connection], n)
		}
		last = first.until
		d.remove(0)
	}
}
