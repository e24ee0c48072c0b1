package engine

import (
	"bytes"
	"errors"

	"kdoctor.io/kdoctor/internal/httpbytes"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
)

// What the parser refuses. Both errors mean that the answer is not HTTP; they differ for those who debug.
var (
	errMalformed = errors.New("malformed HTTP")
	errTransfer  = errors.New("contradictory framing of the body")
)

// span is a piece of the buffer.
type span struct{ from, to int }

// headerReader reads the header lines of one message, in pieces as they arrive and in place: folded lines are joined in
// the buffer itself. It accepts exactly what net/textproto accepts, at the same byte: a line is complete when the byte
// after it shows that the line is not continued, so that both implementations wait for the same byte.
type headerReader struct {
	// pos is where the line being read starts, scan where the search for its end goes on.
	pos, scan int
	// field is the logical line so far. It waits for the next byte while pending.
	field   span
	pending bool
	begun   bool
	// joined is set when lines were joined, so that the buffer was changed.
	joined bool
	// framing is what the fields say of the body.
	framing framing
}

// framing is what a message's fields say of its body.
type framing struct {
	// lengths and encodings count the Content-Length and Transfer-Encoding fields; length is the value of the first
	// length.
	lengths, encodings int
	length             span
	conflict           bool
	chunked            bool
	// badTrailer is set where the Trailer field announces fields that a trailer must not have.
	badTrailer bool
	// closes is set where the connection ends with the message.
	closes bool
}

// read goes on until the blank line. done reports that the blank line was read; pos is then after it.
func (l *headerReader) read(b []byte) (done bool, err error) {
	for {
		continued := false
		if l.pending {
			if l.pos >= len(b) {
				return false, nil
			}
			continued = httpbytes.Blank(b[l.pos])
			if !continued {
				if err := l.framing.add(b, l.field); err != nil {
					return false, err
				}
				l.pending = false
			}
		}
		end := bytes.IndexByte(b[l.scan:], '\n')
		if end < 0 {
			l.scan = len(b)
			return false, nil
		}
		end += l.scan
		line := span{l.pos, httpbytes.LineEnd(b, l.pos, end)}
		l.pos, l.scan = end+1, end+1
		switch {
		case continued:
			l.join(b, line)
			continue
		case line.from == line.to:
			return true, nil
		case !l.begun && httpbytes.Blank(b[line.from]), bytes.IndexByte(b[line.from:line.to], ':') < 0:
			return false, errMalformed
		}
		l.begun, l.pending, l.field = true, true, trim(b, line)
	}
}

// join appends a continuation to the field. The line break between them leaves room for a space.
func (l *headerReader) join(b []byte, line span) {
	line = trim(b, line)
	l.joined = true
	b[l.field.to] = ' '
	l.field.to += 1 + copy(b[l.field.to+1:], b[line.from:line.to])
}

// add notes one field, which must have the form that net/textproto accepts.
func (f *framing) add(b []byte, field span) error {
	line := b[field.from:field.to]
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return errMalformed
	}
	for _, c := range line[:colon] {
		if c != ' ' && !httpbytes.NameByte(c) {
			return errMalformed
		}
	}
	if !httpbytes.ValidValue(line[colon+1:]) {
		return errMalformed
	}
	value := trim(b, span{field.from + colon + 1, field.to})
	// A folded line leaves blanks at the end of an encoding's value; net/http counts them as part of the value.
	encoding := bytes.TrimLeft(line[colon+1:], " \t")
	switch name := line[:colon]; {
	case httpbytes.EqualFold(name, "content-length"):
		if f.lengths == 0 {
			f.length = value
		} else if !bytes.Equal(b[f.length.from:f.length.to], b[value.from:value.to]) {
			f.conflict = true
		}
		f.lengths++
	case httpbytes.EqualFold(name, "transfer-encoding"):
		f.encodings++
		f.chunked = httpbytes.EqualFold(encoding, "chunked")
	case httpbytes.EqualFold(name, "trailer"):
		f.badTrailer = f.badTrailer || httpbytes.Listed(b[value.from:value.to], "transfer-encoding", "trailer",
			"content-length")
	case httpbytes.EqualFold(name, "connection"):
		f.closes = f.closes || httpbytes.Listed(b[value.from:value.to], "close")
	}
	return nil
}

// untilClosed is the length of a body that ends with the connection, inChunks of a body whose chunks say their lengths.
const (
	untilClosed = -1
	inChunks    = -2
)

// body returns the length of the body of an answer with the status. Transfer encodings count from HTTP/1.1 on.
func (f *framing) body(b []byte, status int, encoded bool) (int64, error) {
	chunked := encoded && f.encodings > 0
	if chunked && (f.encodings > 1 || !f.chunked) {
		return 0, errTransfer
	}
	length := int64(untilClosed)
	if f.lengths > 0 {
		var ok bool
		if length, ok = httpbytes.Decimal(b[f.length.from:f.length.to]); f.conflict || !ok {
			return 0, errTransfer
		}
	}
	if chunked && f.badTrailer {
		return 0, errTransfer
	}
	switch {
	case status < 200, status == 204, status == 304:
		return 0, nil
	case chunked:
		return inChunks, nil
	}
	return length, nil
}

// version is what the version of HTTP allows.
type version struct {
	// encoded: transfer encodings count. current: it is HTTP/1.1, whose connections persist unless a field says
	// otherwise.
	encoded, current bool
}

// statusLine reads the first line of an answer. Numbers of three characters that are no final status are left to the
// caller.
func statusLine(line []byte) (status int, v version, err error) {
	proto, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return 0, version{}, errMalformed
	}
	rest = bytes.TrimLeft(rest, " ")
	if i := bytes.IndexByte(rest, ' '); i >= 0 {
		rest = rest[:i]
	}
	status, ok = statusCode(rest)
	if !ok {
		return 0, version{}, errMalformed
	}
	if len(proto) != len("HTTP/1.1") || string(proto[:5]) != "HTTP/" || proto[6] != '.' ||
		!httpbytes.Digit(proto[5]) || !httpbytes.Digit(proto[7]) {
		return 0, version{}, errMalformed
	}
	// net/http reads HTTP/0.0 as HTTP/1.1.
	v.encoded = proto[5] > '1' || proto[5] == '1' && proto[7] >= '1' || proto[5] == '0' && proto[7] == '0'
	v.current = proto[5] == '1' && proto[7] == '1'
	return status, v, nil
}

// statusCode reads three characters as strconv.Atoi does. A number with a sign is no status.
func statusCode(b []byte) (int, bool) {
	if len(b) != 3 {
		return 0, false
	}
	negative := b[0] == '-'
	if negative || b[0] == '+' {
		b = b[1:]
	}
	n := 0
	for _, c := range b {
		if !httpbytes.Digit(c) {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, !negative || n == 0
}

func trim(b []byte, s span) span {
	for s.from < s.to && httpbytes.Blank(b[s.from]) {
		s.from++
	}
	for s.to > s.from && httpbytes.Blank(b[s.to-1]) {
		s.to--
	}
	return s
}

// maxMessages is how many messages an answer may have, interim ones and the final one.
const maxMessages = httpprobe.MaxInterim + 1
