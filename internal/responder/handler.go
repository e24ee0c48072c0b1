package responder

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"kdoctor.io/kdoctor/internal/echo"
)

// delayedWriteTime is how long a client may take to receive a delayed answer.
const delayedWriteTime = 10 * time.Second

// Handler answers every request with its identity, and counts requests by round. It runs on net/http: it is the
// reference for Responder, which serves by it wherever the epoll loop cannot run. It is safe for concurrent use.
type Handler struct {
	Rounds
	identity echo.Identity
}

// NewHandler makes a handler that answers with the identity.
func NewHandler(identity echo.Identity) *Handler {
	return &Handler{identity: identity}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := json.Marshal(echo.Answer{
		Kdoctor:       h.identity,
		ClientAddress: r.RemoteAddr,
		Method:        r.Method[:min(len(r.Method), echo.MaxEchoBytes)],
		Path:          r.URL.Path[:min(len(r.URL.Path), echo.MaxEchoBytes)],
		Host:          r.Host[:min(len(r.Host), echo.MaxEchoBytes)],
	})
	if err != nil {
		http.Error(w, "no answer", http.StatusInternalServerError)
		return
	}
	if status := readBody(w, r); status != http.StatusOK {
		w.Header().Set("Connection", "close")
		http.Error(w, http.StatusText(status), status)
		return
	}
	round := []byte(r.Header.Get(echo.RoundHeader))
	options := h.Options(round)
	// The count precedes the write: a client that has read its answer finds it counted.
	h.Count(round)
	if !wait(w, r, options.Delay) {
		return
	}
	write(w, body, options)
}

// readBody reads the request to its end, and returns the status of its answer.
func readBody(w http.ResponseWriter, r *http.Request) int {
	if r.ContentLength > echo.MaxRequestBody {
		// Otherwise the server would wait for a body that nobody wants, before the answer and after it.
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		_ = control.SetReadDeadline(time.Now())
		return http.StatusRequestEntityTooLarge
	}
	_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, echo.MaxRequestBody))
	var tooLong *http.MaxBytesError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// wait reports whether the client is still there after the delay. It moves the server's deadlines, which would end a
// long delay.
func wait(w http.ResponseWriter, r *http.Request, delay time.Duration) bool {
	if delay == 0 {
		return true
	}
	// Without a connection, as in tests, there is no deadline.
	control, until := http.NewResponseController(w), time.Now().Add(delay+delayedWriteTime)
	_ = control.SetReadDeadline(until)
	_ = control.SetWriteDeadline(until)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func write(w http.ResponseWriter, body []byte, options echo.Options) {
	status := options.Status
	if status == 0 {
		status = http.StatusOK
	}
	if bodyless(status) {
		w.WriteHeader(status)
		return
	}
	if missing := options.Bytes - len(body); missing > 0 {
		body = append(body, bytes.Repeat([]byte(" "), missing)...)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // The client is gone if this fails; it knows better than we do what it received.
}

// bodyless reports whether answers with the status have no body.
func bodyless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}
