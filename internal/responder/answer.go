package responder

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
)

// continueAnswer is the interim answer to a client that waits for one before it sends a body.
const continueAnswer = "HTTP/1.1 100 Continue\r\n\r\n"

// writer writes the answers of one identity. It is for one goroutine.
type writer struct {
	// front is the JSON of an answer up to the client's address.
	front []byte
	// body is the buffer of the last answer's body.
	body []byte
	// date is the value of the Date field. It is right until dateUntil.
	date      [len(http.TimeFormat)]byte
	dateUntil time.Duration
}

func newWriter(identity echo.Identity) (*writer, error) {
	who, err := json.Marshal(identity)
	if err != nil {
		return nil, fmt.Errorf("write identity: %w", err)
	}
	return &writer{front: fmt.Appendf(nil, `{"kdoctor":%s,"clientAddress":"`, who)}, nil
}

// tick keeps the date right; now is the time since the server's start.
func (w *writer) tick(now time.Duration) {
	if now < w.dateUntil {
		return
	}
	wall := time.Now().UTC()
	copy(w.date[:], wall.Format(http.TimeFormat))
	w.dateUntil = now + time.Second - time.Duration(wall.Nanosecond())
}

// answer appends the answer to a request of the client, whose address needs no escapes. The body's last padding bytes
// are blanks. It allocates nothing where the request has no characters that JSON escapes.
func (w *writer) answer(out []byte, r *request, client []byte, options echo.Options, last bool) (all []byte,
	padding int) {
	status := http.StatusOK
	if options.Status != 0 {
		status = options.Status
	}
	if bodyless(status) {
		out = w.head(out, status)
		if status == http.StatusResetContent {
			out = append(out, "Content-Length: 0\r\n"...)
		}
		return endHead(out, r.http10, last), 0
	}
	b := w.body[:0]
	b = append(b, w.front...)
	b = append(b, client...)
	b = append(b, `","method":`...)
	b = appendText(b, r.method)
	b = append(b, `,"path":`...)
	b = appendText(b, r.path)
	b = append(b, `,"host":`...)
	b = appendText(b, r.host)
	b = append(b, '}')
	w.body = b
	padding = max(options.Bytes-len(b), 0)
	out = w.head(out, status)
	out = append(out, "Content-Type: application/json\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(b)+padding), 10)
	out = append(out, '\r', '\n')
	out = endHead(out, r.http10, last)
	if string(r.method) == http.MethodHead {
		return out, 0
	}
	out = append(out, b...)
	for range padding {
		out = append(out, ' ')
	}
	return out, padding
}

// refuse appends the answer to what is no request. The connection ends with it.
func (w *writer) refuse(out []byte, status int) []byte {
	text := http.StatusText(status)
	out = w.head(out, status)
	out = append(out, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(text)+1), 10)
	out = append(out, '\r', '\n')
	out = endHead(out, false, true)
	out = append(out, text...)
	return append(out, '\n')
}

// head appends the status line and the Date field.
func (w *writer) head(out []byte, status int) []byte {
	if status == http.StatusOK {
		out = append(out, "HTTP/1.1 200 OK\r\nDate: "...)
	} else {
		out = append(out, "HTTP/1.1 "...)
		out = strconv.AppendInt(out, int64(status), 10)
		out = append(out, ' ')
		out = append(out, http.StatusText(status)...)
		out = append(out, "\r\nDate: "...)
	}
	out = append(out, w.date[:]...)
	return append(out, '\r', '\n')
}

// endHead appends the Connection field where the version of HTTP needs one, and the blank line.
func endHead(out []byte, old, last bool) []byte {
	switch {
	case last:
		out = append(out, "Connection: close\r\n"...)
	case old:
		out = append(out, "Connection: keep-alive\r\n"...)
	}
	return append(out, '\r', '\n')
}

// appendText appends a bounded string in JSON, the same bytes as encoding/json.
func appendText(out, text []byte) []byte {
	text = text[:min(len(text), echo.MaxEchoBytes)]
	for _, c := range text {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return appendEscaped(out, string(text))
		}
	}
	out = append(out, '"')
	out = append(out, text...)
	return append(out, '"')
}

func appendEscaped(out []byte, text string) []byte {
	escaped, err := json.Marshal(text)
	if err != nil {
		return append(out, '"', '"') // It does not happen: every string has a JSON.
	}
	return append(out, escaped...)
}
