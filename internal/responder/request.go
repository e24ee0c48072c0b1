package responder

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/httpbytes"
)

// chunked is the length of a body in chunks.
const chunked = -1

// request is what a responder needs to know of a request's head. The slices point into the bytes that were parsed.
type request struct {
	method, path, host, round []byte
	// length is the length of the body, or chunked.
	length int64
	// http10 is set for HTTP/1.0.
	http10 bool
	// close says that the connection ends with the answer.
	close bool
	// expectsContinue is set for a client that waits for an interim answer before it sends the body, expectsOther for
	// any other expectation.
	expectsContinue, expectsOther bool
}

// parsed is the result of parsing the bytes of a head.
type parsed uint8

const (
	// partial: the head goes on.
	partial parsed = iota
	// complete: the head is complete and understood.
	complete
	// unusual: net/http's parser must read the head, once it is complete.
	unusual
)

// parse reads a head of the usual form and returns its length. It understands such a head as net/http does. All that is
// rare, or wrong, is unusual. It allocates nothing.
func (r *request) parse(b []byte) (int, parsed) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return 0, partial
	}
	*r = request{}
	if !r.requestLine(b[:httpbytes.LineEnd(b, 0, end)]) {
		return 0, unusual
	}
	var f fields
	for at := end + 1; ; {
		end = bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			return 0, partial
		}
		end += at
		line := b[at:httpbytes.LineEnd(b, at, end)]
		at = end + 1
		if len(line) == 0 {
			if !r.conclude(&f) {
				return 0, unusual
			}
			return at, complete
		}
		if !r.field(line, &f) {
			return 0, unusual
		}
	}
}

// requestLine reads the request line.
func (r *request) requestLine(line []byte) bool {
	const version = len(" HTTP/1.1")
	space := bytes.IndexByte(line, ' ')
	if space <= 0 || len(line) < space+1+len("/")+version {
		return false
	}
	r.method = line[:space]
	if !httpbytes.ValidName(r.method) {
		return false
	}
	target := line[space+1 : len(line)-version]
	switch string(line[len(line)-version:]) {
	case " HTTP/1.1":
	case " HTTP/1.0":
		r.http10 = true
	default:
		return false
	}
	if target[0] != '/' {
		return false
	}
	r.path = target
	for i, c := range target {
		switch {
		case c <= ' ', c == 0x7f:
			return false
		case c == '?' && len(r.path) == len(target):
			r.path = target[:i]
		case c == '%' && len(r.path) == len(target):
			return false
		}
	}
	return true
}

// fields says which fields a head has.
type fields struct{ host, length, coding, round, closes, keeps bool }

// field reads one field of the usual form.
func (r *request) field(line []byte, f *fields) bool {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return false
	}
	name, value := line[:colon], httpbytes.Trim(line[colon+1:])
	if !httpbytes.ValidName(name) || !httpbytes.ValidValue(value) {
		return false
	}
	switch len(name) {
	case len("host"):
		if httpbytes.EqualFold(name, "host") {
			r.host = value
			return first(&f.host) && httpbytes.ValidHost(value)
		}
	case len("expect"):
		return !httpbytes.EqualFold(name, "expect")
	case len("trailer"):
		return !httpbytes.EqualFold(name, "trailer")
	case len("connection"):
		if httpbytes.EqualFold(name, "connection") {
			f.closes = f.closes || httpbytes.Listed(value, "close")
			f.keeps = f.keeps || httpbytes.Listed(value, "keep-alive")
		}
	case len("kdoctor-round"):
		if httpbytes.EqualFold(name, "kdoctor-round") && first(&f.round) {
			r.round = value
		}
	case len("content-length"):
		if httpbytes.EqualFold(name, "content-length") {
			n, ok := httpbytes.Decimal(value)
			r.length = n
			return ok && first(&f.length)
		}
	case len("transfer-encoding"):
		if httpbytes.EqualFold(name, "transfer-encoding") {
			return !r.http10 && first(&f.coding) && httpbytes.EqualFold(value, "chunked")
		}
	}
	return true
}

// conclude decides at the end of a head what its fields mean together.
func (r *request) conclude(f *fields) bool {
	if !f.host && !r.http10 || f.coding && f.length {
		return false
	}
	if f.coding {
		r.length = chunked
	}
	r.close = f.closes || r.http10 && !f.keeps
	return true
}

// first reports whether it is called with the flag for the first time.
func first(seen *bool) bool {
	was := *seen
	*seen = true
	return !was
}

// examine reads a complete head of any form by net/http's own parser, and returns a status other than 200 for a head
// that is refused. Beyond what that parser refuses, a head must follow the rules of net/http's server and must not fold
// lines (RFC 9112, section 5.2).
func (r *request) examine(head []byte) int {
	hosts, ok := scanFields(head)
	if !ok {
		return http.StatusBadRequest
	}
	read, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return http.StatusBadRequest
	}
	if read.ProtoMajor != 1 {
		return http.StatusHTTPVersionNotSupported
	}
	if hosts == 0 && read.ProtoAtLeast(1, 1) && read.Method != http.MethodConnect {
		return http.StatusBadRequest
	}
	*r = request{
		method: []byte(read.Method), path: []byte(read.URL.Path), host: []byte(read.Host),
		round:  []byte(read.Header.Get(echo.RoundHeader)),
		length: read.ContentLength, close: read.Close, http10: !read.ProtoAtLeast(1, 1),
	}
	if expect := read.Header.Get("Expect"); expect != "" {
		r.expectsOther = !strings.EqualFold(expect, "100-continue")
		r.expectsContinue = !r.expectsOther && !r.http10
	}
	return http.StatusOK
}

// scanFields checks what net/http's parser leaves to its server, and counts Host fields.
func scanFields(head []byte) (hosts int, ok bool) {
	_, rest, _ := bytes.Cut(head, []byte("\n"))
	for {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		rest = after
		line = line[:httpbytes.LineEnd(line, 0, len(line))]
		if len(line) == 0 {
			return hosts, true
		}
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || !httpbytes.ValidName(name) {
			return 0, false
		}
		if httpbytes.EqualFold(name, "host") {
			if hosts++; !httpbytes.ValidHost(httpbytes.Trim(value)) {
				return 0, false
			}
		}
	}
}

// headEnd returns the length of a head whose end is not in the first from bytes, or 0 when the head goes on.
func headEnd(b []byte, from int) int {
	for at := max(0, from-3); ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return 0
		}
		at += i + 1
		switch {
		case at < len(b) && b[at] == '\n':
			return at + 1
		case at+1 < len(b) && b[at] == '\r' && b[at+1] == '\n':
			return at + 2
		}
	}
}
