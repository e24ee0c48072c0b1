package engine

import (
	"bytes"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/httpbytes"
	"kdoctor.io/kdoctor/internal/probe/httpprobe"
)

// maxWindow bounds the line of a chunk's size and the trailer, in bytes, as net/http does.
const maxWindow = 4096

// stage is what the parser reads next.
type stage uint8

const (
	atStatus stage = iota
	atHeaders
	atFixed
	atRest
	atChunkSize
	atChunkData
	atChunkEnd
	atTrailer
	atEnd
)

// parser reads one answer, in pieces and in a buffer of the caller's. It allocates nothing. It judges every sequence of
// bytes as net/http does within httpprobe's bounds, and at the same byte.
type parser struct {
	stage    stage
	version  version
	status   int
	messages int
	header   headerReader
	// left is how much of a body or chunk is missing.
	left uint64
	// body is the length of the decoded body, which stands at the buffer's front. raw is where the bytes start that are
	// not decoded.
	body, raw int
	// overhead is how much framing the chunks had beyond what is reasonable.
	overhead int64
}

// verdict is the parser's result after each piece.
type verdict uint8

const (
	// more: the answer goes on.
	more verdict = iota
	// final: the headers are complete, and status is set. The next call goes on with the body.
	final
	// complete: the body is complete, in the first bytes of the buffer.
	complete
	// broken: the answer is refused, with the error.
	broken
)

// feed parses the buffer, to which bytes were appended since the last call. It may move them, and returns the buffer's
// new length.
func (p *parser) feed(b []byte) (n int, v verdict, err error) {
	if p.stage <= atHeaders {
		v, err = p.head(b)
		if v != final {
			return len(b), v, err
		}
		// The body starts at the front.
		n = copy(b, b[p.header.pos:])
		return n, final, nil
	}
	v, err = p.decode(b)
	if p.raw > p.body {
		n = p.body + copy(b[p.body:], b[p.raw:])
		p.raw = p.body
		return n, v, err
	}
	return len(b), v, err
}

// ended reports whether the end of the connection completes the answer: only that of a body without framing does.
func (p *parser) ended() bool { return p.stage == atRest }

// persistent reports whether the connection may outlive a complete answer (RFC 9112, section 9.3).
func (p *parser) persistent() bool {
	return p.stage == atEnd && p.version.current && !p.header.framing.closes
}

// head reads up to the end of the final headers.
func (p *parser) head(b []byte) (verdict, error) {
	for {
		if p.stage == atStatus {
			end := bytes.IndexByte(b[p.header.scan:], '\n')
			if end < 0 {
				p.header.scan = len(b)
				return p.tooLong(b)
			}
			end += p.header.scan
			var err error
			if p.status, p.version, err = statusLine(b[p.header.pos:httpbytes.LineEnd(b, p.header.pos,
				end)]); err != nil {
				return broken, err
			}
			p.header = headerReader{pos: end + 1, scan: end + 1}
			p.stage = atHeaders
		}
		done, err := p.header.read(b)
		if err != nil {
			return broken, err
		}
		if !done {
			return p.tooLong(b)
		}
		length, err := p.header.framing.body(b, p.status, p.version.encoded)
		if err != nil {
			return broken, err
		}
		if p.status >= 200 {
			p.begin(length)
			return final, nil
		}
		if p.messages++; p.status < 100 || p.status == 101 || p.messages == maxMessages {
			return broken, httpprobe.ErrStatus
		}
		p.stage, p.header = atStatus, headerReader{pos: p.header.pos, scan: p.header.pos}
	}
}

func (*parser) tooLong(b []byte) (verdict, error) {
	if len(b) >= httpprobe.MaxHeaderBytes {
		return broken, httpprobe.ErrHeaders
	}
	return more, nil
}

func (p *parser) begin(length int64) {
	switch length {
	case 0:
		p.stage = atEnd
	case untilClosed:
		p.stage = atRest
	case inChunks:
		p.stage = atChunkSize
	default:
		p.stage, p.left = atFixed, uint64(length) // #nosec G115 -- it is positive
	}
}

// decode goes on with the body. b holds the decoded part and, from raw on, what arrived.
func (p *parser) decode(b []byte) (verdict, error) {
	for {
		var v verdict
		var err error
		switch p.stage {
		case atEnd:
			return complete, nil
		case atRest:
			p.appendBody(b, len(b)-p.raw)
			v = more
		case atFixed, atChunkData:
			v = p.data(b)
		case atChunkSize:
			v, err = p.chunkSize(b)
		case atChunkEnd:
			v, err = p.chunkEnd(b)
		case atTrailer:
			v, err = p.trailer(b)
		case atStatus, atHeaders:
			return broken, errMalformed
		}
		switch {
		case v == broken:
			return broken, err
		case p.body > echo.MaxBodyBytes:
			return broken, httpprobe.ErrBody
		case v == more:
			return more, nil
		}
	}
}

// appendBody moves up to n raw bytes to the body. One byte above the bound is enough to know that the body is too long.
func (p *parser) appendBody(b []byte, n int) int {
	n = min(n, len(b)-p.raw, echo.MaxBodyBytes+1-p.body)
	copy(b[p.body:], b[p.raw:p.raw+n])
	p.body += n
	p.raw += n
	return n
}

// The steps below return complete when their own part is complete and the next stage can go on.

func (p *parser) data(b []byte) verdict {
	want := len(b) - p.raw
	if p.left < uint64(want) { // #nosec G115 -- a length is not negative
		want = int(p.left) // #nosec G115 -- it is smaller than a length
	}
	p.left -= uint64(p.appendBody(b, want)) // #nosec G115 -- a length is not negative
	if p.left > 0 {
		return more
	}
	if p.stage == atFixed {
		p.stage = atEnd
	} else {
		p.stage = atChunkEnd
	}
	return complete
}

func (p *parser) chunkEnd(b []byte) (verdict, error) {
	if len(b)-p.raw < 2 {
		return more, nil
	}
	if b[p.raw] != '\r' || b[p.raw+1] != '\n' {
		return broken, errMalformed
	}
	p.raw += 2
	p.stage = atChunkSize
	return complete, nil
}

func (p *parser) chunkSize(b []byte) (verdict, error) {
	window := b[p.raw:min(len(b), p.raw+maxWindow)]
	end := bytes.IndexByte(window, '\n')
	if end < 0 {
		if len(window) == maxWindow {
			return broken, errMalformed
		}
		return more, nil
	}
	line := window[:end]
	if bytes.IndexByte(line, '\r') != len(line)-1 || len(line) == 0 {
		return broken, errMalformed
	}
	p.raw += end + 1
	line = line[:len(line)-1]
	p.overhead += int64(len(line)) + 2
	for len(line) > 0 && httpbytes.Blank(line[len(line)-1]) {
		line = line[:len(line)-1]
	}
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		line = line[:i]
	}
	size, ok := httpbytes.Hex(line)
	if !ok {
		return broken, errMalformed
	}
	if size == 0 {
		p.stage = atTrailer
		return complete, nil
	}
	// Sixteen bytes a chunk and twice its size are reasonable; more than 16 KB beyond that are not.
	// An absurd size fails a few lines later, by its length.
	p.overhead = max(p.overhead-16-2*int64(size), 0) // #nosec G115 -- see above
	if p.overhead > 16<<10 {
		return broken, errMalformed
	}
	p.stage, p.left = atChunkData, size
	return complete, nil
}

func (p *parser) trailer(b []byte) (verdict, error) {
	window := b[p.raw:min(len(b), p.raw+maxWindow)]
	if len(window) < 2 {
		return more, nil
	}
	if window[0] == '\r' && window[1] == '\n' {
		p.raw += 2
		p.stage = atEnd
		return complete, nil
	}
	end := bytes.Index(window, []byte("\r\n\r\n"))
	if end < 0 {
		if len(window) == maxWindow {
			return broken, errMalformed
		}
		return more, nil
	}
	var l headerReader
	if done, err := l.read(window[:end+4]); err != nil || !done {
		return broken, errMalformed
	}
	p.raw += end + 4
	p.stage = atEnd
	return complete, nil
}
