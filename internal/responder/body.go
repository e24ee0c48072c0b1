package responder

import (
	"net/http"

	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/httpbytes"
)

// Bounds of the framing of a body in chunks, in bytes: maxExtension of the line of a size, maxTrailer of what follows
// the last chunk, maxFraming of all framing.
const (
	maxExtension = 4096
	maxTrailer   = 4096
	maxFraming   = 64 << 10
)

// bodyState is what a body's reader expects next.
type bodyState uint8

const (
	bodyEnd bodyState = iota
	bodyData
	chunkSize
	chunkExtension
	chunkSizeEnd
	chunkData
	chunkReturn
	chunkEnd
	trailerStart
	trailerName
	trailerValue
	trailerLineEnd
	trailerEnd
)

// body throws a request's body away as it arrives. It stores nothing of the body and allocates nothing.
type body struct {
	state bodyState
	// left is how much is missing of a body with a length, or of a chunk. While a size is read, digits counts its
	// digits.
	left   uint64
	digits uint8
	// sum is the length of all chunks.
	sum uint64
	// lineLength is the length of the line or trailer being read, framing the length of all framing.
	lineLength, framing int32
}

// begin starts a body of the length, which is at most echo.MaxRequestBody, or chunked.
func (o *body) begin(length int64) {
	*o = body{}
	switch {
	case length == chunked:
		o.state = chunkSize
	case length > 0:
		o.state, o.left = bodyData, uint64(length)
	}
}

// feed consumes what it can of b, and returns how much. The status is other than 200 for a body that is refused. more
// reports that the body goes on.
func (o *body) feed(b []byte) (n int, more bool, status int) {
	for n < len(b) && o.state != bodyEnd {
		if o.state == bodyData || o.state == chunkData {
			n += o.skip(len(b) - n)
			continue
		}
		if status := o.step(b[n]); status != http.StatusOK {
			return n, false, status
		}
		n++
		if o.framing++; o.framing > maxFraming {
			return n, false, http.StatusRequestEntityTooLarge
		}
	}
	return n, o.state != bodyEnd, http.StatusOK
}

func (o *body) skip(most int) int {
	n := min(o.left, uint64(most)) // #nosec G115 -- a length is not negative
	o.left -= n
	if o.left == 0 {
		if o.state == bodyData {
			o.state = bodyEnd
		} else {
			o.state = chunkReturn
		}
	}
	return int(n) // #nosec G115 -- it is at most an int
}

// step consumes one byte of the framing, which is as strict as in net/http: lines end by CR and LF.
func (o *body) step(c byte) int {
	if o.state >= trailerStart {
		return o.trailer(c)
	}
	switch o.state {
	case chunkSize:
		return o.size(c)
	case chunkExtension:
		if o.lineLength++; c == '\n' || o.lineLength > maxExtension {
			return http.StatusBadRequest
		}
		if c == '\r' {
			o.state = chunkSizeEnd
		}
		return http.StatusOK
	case chunkSizeEnd:
		return o.expect(c, '\n', o.afterSize())
	case chunkReturn:
		return o.expect(c, '\r', chunkEnd)
	case chunkEnd:
		o.left, o.digits, o.lineLength = 0, 0, 0
		return o.expect(c, '\n', chunkSize)
	case bodyEnd, bodyData, chunkData, trailerStart, trailerName, trailerValue, trailerLineEnd, trailerEnd:
	}
	return http.StatusBadRequest
}

func (o *body) expect(c, want byte, next bodyState) int {
	if c != want {
		return http.StatusBadRequest
	}
	if next == chunkData {
		if o.left > echo.MaxRequestBody-o.sum {
			return http.StatusRequestEntityTooLarge
		}
		o.sum += o.left
	}
	o.state = next
	return http.StatusOK
}

// afterSize returns what follows the line of a size.
func (o *body) afterSize() bodyState {
	if o.left == 0 {
		o.lineLength = 0
		return trailerStart
	}
	return chunkData
}

func (o *body) size(c byte) int {
	digit, ok := httpbytes.HexDigit(c)
	switch {
	case ok:
	case o.digits == 0:
		return http.StatusBadRequest
	case c == '\r':
		o.state = chunkSizeEnd
		return http.StatusOK
	case c == ';':
		o.state = chunkExtension
		return http.StatusOK
	default:
		return http.StatusBadRequest
	}
	if o.digits++; o.digits > httpbytes.MaxHexDigits {
		return http.StatusBadRequest
	}
	o.left = o.left<<4 | uint64(digit)
	return http.StatusOK
}

// trailer consumes a byte of the fields after the last chunk, which nobody needs.
func (o *body) trailer(c byte) int {
	if o.lineLength++; o.lineLength > maxTrailer {
		return http.StatusBadRequest
	}
	switch o.state {
	case trailerStart:
		if c == '\r' {
			o.state = trailerEnd
			return http.StatusOK
		}
		if !httpbytes.NameByte(c) {
			return http.StatusBadRequest
		}
		o.state = trailerName
	case trailerName:
		if c == ':' {
			o.state = trailerValue
		} else if !httpbytes.NameByte(c) {
			return http.StatusBadRequest
		}
	case trailerValue:
		if c == '\r' {
			o.state = trailerLineEnd
		} else if httpbytes.Control(c) {
			return http.StatusBadRequest
		}
	case trailerLineEnd:
		return o.expect(c, '\n', trailerStart)
	case trailerEnd:
		return o.expect(c, '\n', bodyEnd)
	case bodyEnd, bodyData, chunkSize, chunkExtension, chunkSizeEnd, chunkData, chunkReturn, chunkEnd:
		return http.StatusBadRequest
	}
	return http.StatusOK
}
