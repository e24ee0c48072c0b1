package engine

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
)

// result is what the parser makes of a whole answer.
type result struct {
	verdict verdict
	status  int
	body    string
	err     error
	// persistent says that the connection may outlive the answer.
	persistent bool
}

// parseIn hands the answer to a parser in pieces of the size, with the end of the connection behind it.
func parseIn(answer string, size int) result {
	return parseWith(new(headerCache), answer, size)
}

func parseWith(m *headerCache, answer string, size int) result {
	var p parser
	lent := newLender(new(atomic.Int64))
	var b []byte
	for answer != "" {
		b, _ = lent.grow(b)
		n := min(size, len(answer), cap(b)-len(b))
		b, answer = append(b, answer[:n]...), answer[n:]
		for v := final; v == final; {
			var err error
			n, v, err = m.feed(&p, b)
			b = b[:n]
			if v == complete || v == broken {
				return result{v, p.status, string(b[:p.body]), err, v == complete && p.persistent()}
			}
		}
	}
	if p.ended() {
		return result{complete, p.status, string(b[:p.body]), nil, p.persistent()}
	}
	return result{verdict: more, status: p.status}
}

func TestParserReadsWhatEndsTheBody(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name, answer string
		want         result
	}{
		{"a length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", result{complete, 200, "abc", nil, true}},
		{"a length of nothing", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", result{complete, 200, "", nil, true}},
		{"the connection's end", "HTTP/1.1 200 OK\r\n\r\nabc", result{complete, 200, "abc", nil, false}},
		{"chunks", chunked + "2\r\nab\r\nA;x=y\r\n0123456789\r\n0\r\n\r\nrest",
			result{complete, 200, "ab0123456789", nil, true}},
		{"chunks with a trailer", chunked + "1\r\na\r\n0\r\nA: b\r\nC: d\r\n e\r\n\r\n",
			result{complete, 200, "a", nil, true}},
		{"a status without a body", "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc",
			result{complete, 204, "", nil, true}},
		{"not modified", "HTTP/1.1 304 No\r\n\r\nabc", result{complete, 304, "", nil, true}},
		{"interim answers",
			"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
			result{complete, 200, "a", nil, true}},
		{"line feeds alone", "HTTP/1.1 200 OK\nContent-Length: 1\n\na", result{complete, 200, "a", nil, true}},
		{"a folded length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\t 1\r\n\r\na",
			result{complete, 200, "a", nil, true}},
		{"a switch of protocols", "HTTP/1.1 101 S\r\n\r\n", result{broken, 101, "", httpprobe.ErrStatus, false}},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
			result{broken, 200, "", errTransfer, false}},
		{"a foreign encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
			result{broken, 200, "", errTransfer, false}},
		{"a bad chunk", chunked + "2\r\nabc\r\n", result{broken, 200, "ab", errMalformed, false}},
		{"a long body", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("a", 70000),
			result{broken, 200, strings.Repeat("a", 65537), httpprobe.ErrBody, false}},
		{"long headers", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 4000),
			result{broken, 200, "", httpprobe.ErrHeaders, false}},
		{"a connection that ends", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
			result{complete, 200, "a", nil, false}},
		{"a connection that ends, in a list",
			"HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: y,\tCLOSE ,z\r\nContent-Length: 1\r\n\r\na",
			result{complete, 200, "a", nil, false}},
		{"a connection that says something else",
			"HTTP/1.1 200 OK\r\nConnection: closed, Keep-Alive\r\nContent-Length: 1\r\n\r\na", result{complete, 200,
				"a", nil, true}},
		{"an old version", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
			result{complete, 200, "a", nil, false}},
		{"half an answer", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", result{more, 200, "", nil, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m headerCache
			for _, size := range []int{1, 2, 3, 7, 100, 1 << 20, 1 << 20} {
				got := parseWith(&m, c.answer, size)
				if got.verdict != c.want.verdict || got.status != c.want.status || got.body != c.want.body ||
					!errors.Is(got.err, c.want.err) || got.persistent != c.want.persistent {
					t.Errorf("in pieces of %d: verdict %d, status %d, %d bytes of body, %v, persistent %v", size,
						got.verdict, got.status, len(got.body), got.err, got.persistent)
				}
			}
		})
	}
}

// FuzzParser holds the parser against net/http, and against itself with the answer in other pieces.
func FuzzParser(f *testing.F) {
	for i, seed := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.0 200 OK\r\nA: b\r\n c\r\n\r\nabc", "HTTP/1.1 304 OK\n\n"} {
		f.Add([]byte(seed), uint8(i))
	}
	f.Fuzz(func(t *testing.T, answer []byte, size uint8) {
		got, torn := parseIn(string(answer), len(answer)+1), parseIn(string(answer), int(size)+1)
		if got != torn {
			t.Fatalf("%q: verdict %d, status %d, body %q, %v in one piece; %d, %d, %q, %v in pieces of %d",
				answer, got.verdict, got.status, got.body, got.err,
				torn.verdict, torn.status, torn.body, torn.err, int(size)+1)
		}
		var m headerCache
		for range 2 {
			// The second time the head is known. Half of the answer is known with another end.
			for _, text := range []string{string(answer), string(answer[:len(answer)/2])} {
				if got, want := parseWith(&m, text, len(text)+1), parseIn(text, len(text)+1); got != want {
					t.Fatalf("%q: %v with a known head, %v without", text, got, want)
				}
			}
		}
		if len(answer) >= httpprobe.MaxHeaderBytes {
			return
		}
		reference, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
		if err != nil {
			if got.verdict == complete {
				t.Fatalf("%q: accepted with status %d, net/http says %v", answer, got.status, err)
			}
			return
		}
		defer reference.Body.Close()
		body, err := io.ReadAll(reference.Body)
		if reference.StatusCode < 200 || len(body) > echo.MaxBodyBytes {
			return
		}
		persistent := reference.ProtoMajor == 1 && reference.ProtoMinor == 1 && !reference.Close
		if err == nil && got.persistent != persistent {
			t.Fatalf("%q: the connection may be kept is %v, net/http says %v", answer, got.persistent, persistent)
		}
		if (err == nil) != (got.verdict == complete) || got.status != reference.StatusCode || err == nil &&
			got.body != string(body) {
			t.Fatalf("%q: verdict %d, status %d, body %q, %v; net/http: status %d, body %q, %v", answer, got.verdict,
				got.status, got.body, got.err, reference.StatusCode, body, err)
		}
	})
}

const typical = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 150\r\n" +
	"Date: Tue, 24 Nov 2026 00:00:00 GMT\r\nConnection: close\r\n\r\n"

func BenchmarkParser(b *testing.B) {
	answer := typical + strings.Repeat("x", 150)
	chunks := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("10\r\n0123456789abcdef\r\n",
		10) + "0\r\n\r\n"
	for _, c := range []struct{ name, answer string }{{"length", answer}, {"chunked", chunks}} {
		b.Run(c.name, func(b *testing.B) {
			buffer := make([]byte, 0, smallBuffer)
			b.ReportAllocs()
			for b.Loop() {
				if v := parseOnce(append(buffer[:0], c.answer...)); v != complete {
					b.Fatal(v)
				}
			}
		})
	}
}

func parseOnce(buffer []byte) verdict {
	var p parser
	n, v, _ := p.feed(buffer)
	if v == final {
		_, v, _ = p.feed(buffer[:n])
	}
	return v
}

func TestParserAllocatesNothing(t *testing.T) {
	answer := []byte(typical + strings.Repeat("x", 150))
	buffer := make([]byte, 0, smallBuffer)
	if n := testing.AllocsPerRun(100, func() { parseOnce(append(buffer, answer...)) }); n != 0 {
		t.Errorf("an answer costs %v allocations", n)
	}
}
