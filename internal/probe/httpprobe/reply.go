package httpprobe

import (
	"bufio"
	"cmp"
	"io"
	"net/http"
	"time"
)

// Reply reads one answer of HTTP/1 from a connection, within the bounds of this package: Head, then Body, then Discard.
type Reply struct {
	// Response is the final headers, nil before Head has read them.
	Response *http.Response
	// First is when the first byte from the other side was read; zero without one.
	First time.Time

	in       io.Reader
	buffered *bufio.Reader
	// left is how much may still be read, in bytes.
	left int
	// broken is the connection's own error. Parsers hide it behind what they make of the rest.
	broken error
}

// NewReply prepares to read an answer from the connection.
func NewReply(conn io.Reader) *Reply {
	r := &Reply{in: conn, left: MaxHeaderBytes}
	r.buffered = bufio.NewReader(bounded{r})
	return r
}

// Answered reports whether anything arrived.
func (r *Reply) Answered() bool { return !r.First.IsZero() }

// Head reads up to the headers of the final answer. The error is one for Config.JudgeError.
func (r *Reply) Head(request *http.Request) error {
	for range MaxInterim + 1 {
		answer, err := http.ReadResponse(r.buffered, request) //nolint:bodyclose // Leave does it
		switch {
		case err != nil && r.left <= 0:
			return ErrHeaders
		case err != nil:
			return cmp.Or(r.broken, err)
		case answer.StatusCode >= 200:
			r.Response = answer
			return nil
		case answer.StatusCode < 100, answer.StatusCode == http.StatusSwitchingProtocols:
			return ErrStatus
		}
	}
	return ErrStatus
}

// Body reads the body. More than limit bytes are ErrBody. With an error it returns what came before.
func (r *Reply) Body(limit int) ([]byte, error) {
	r.left = limit + MaxFraming
	body, err := io.ReadAll(io.LimitReader(r.Response.Body, int64(limit)+1))
	switch {
	case len(body) > limit, err != nil && r.left <= 0:
		return body, ErrBody
	case err != nil:
		return body, cmp.Or(r.broken, err)
	}
	return body, nil
}

// Reusable reports, when the whole body was read, whether the connection may carry another request. By RFC 9112,
// section 9.3, it may after an answer of HTTP/1.1 without "Connection: close", and only where nothing followed the
// answer. net/http counts a body that ends with the connection as closing too. HTTP/1.0 is not persistent even where it
// offers to be.
func (r *Reply) Reusable() bool {
	return r.Response.ProtoMajor == 1 && r.Response.ProtoMinor == 1 && !r.Response.Close && r.buffered.Buffered() == 0
}

// Discard closes the body. It does not wait for what has not arrived.
func (r *Reply) Discard() {
	r.left = 0
	_ = r.Response.Body.Close()
}

// bounded is the connection as far as it may be read.
type bounded struct{ *Reply }

func (b bounded) Read(to []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.in.Read(to[:min(len(to), b.left)])
	if n > 0 && b.First.IsZero() {
		b.First = time.Now()
	}
	b.left -= n
	if err != nil {
		b.broken = err
	}
	return n, err
}
