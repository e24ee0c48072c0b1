package httpprobe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// MaxRounds is how many rounds a responder counts at once; the one that was quiet for longest makes room for a new one.
// It is also how many rounds may have options at once.
const MaxRounds = 64

// Bounds of a responder.
const (
	// MaxEchoBytes bounds what is echoed of a request's method, path and host, each.
	MaxEchoBytes = 1024
	// MaxRequestBody bounds the body of a request, which is read and thrown away.
	MaxRequestBody = 64 << 10
	// MaxDelay bounds Options.Delay.
	MaxDelay = time.Minute
	// writeWithin is how long a client may take to receive an answer.
	writeWithin = 10 * time.Second
)

// Options say how the requests of a round are answered. The zero value is the plain answer. They come from the controller's plan,
// never from a request.
type Options struct {
	// Bytes is how long the body is at least, 0 to MaxBodyBytes: blanks behind the JSON fill it up. What an agent has to say is never cut.
	Bytes int
	// Delay is waited before the answer, 0 to MaxDelay.
	Delay time.Duration
	// Status is the status of the answer, 200 to 599; 0 is 200. Answers with status 204, 205 and 304 have no body.
	Status int
}

// Validate tells what is out of range.
func (o Options) Validate() error {
	switch {
	case o.Bytes < 0 || o.Bytes > MaxBodyBytes:
		return fmt.Errorf("an answer of %d bytes: 0 to %d are possible", o.Bytes, MaxBodyBytes)
	case o.Delay < 0 || o.Delay > MaxDelay:
		return fmt.Errorf("a delay of %v: 0 to %v are possible", o.Delay, MaxDelay)
	case o.Status != 0 && (o.Status < 200 || o.Status > 599):
		return fmt.Errorf("status %d: 200 to 599 are possible", o.Status)
	}
	return nil
}

// Bodyless tells whether answers with the status have no body.
func Bodyless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}

// Rounds counts requests by round, and knows how each round wants to be answered. The zero value is ready. It is safe for concurrent use.
type Rounds struct {
	mu     sync.Mutex
	clock  uint64
	rounds map[string]*served
	// options are by the round's key, which also stands for its kept stream; optional tells without the lock whether there are any.
	options  map[string]Options
	optional atomic.Bool
}

type served struct{ count, last uint64 }

// Served is how many requests of the round arrived whole; round is what stands in RoundHeader: schedule.Key.String for counted requests,
// the same with "/kept" behind it for the kept stream. Who has read an answer finds it counted.
func (r *Rounds) Served(round string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.rounds[round]; ok {
		return s.count
	}
	return 0
}

// SetOptions says how requests of the round, those of its kept stream included, are answered until Forget.
// It fails for options out of range, for what is no round, and when MaxRounds rounds have options.
func (r *Rounds) SetOptions(round string, o Options) error {
	if err := o.Validate(); err != nil {
		return fmt.Errorf("options of round %q: %w", round, err)
	}
	if !validRound(round) {
		return fmt.Errorf("options of round %q: it is no round", round)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.options[round]; !ok && len(r.options) >= MaxRounds {
		return fmt.Errorf("options of round %q: %d rounds have some already", round, MaxRounds)
	}
	if r.options == nil {
		r.options = make(map[string]Options)
	}
	r.options[round] = o
	r.optional.Store(true)
	return nil
}

// Forget takes back what SetOptions said of the round. What was counted stays.
func (r *Rounds) Forget(round string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.options, round)
	r.optional.Store(len(r.options) > 0)
}

// Options returns how a request with the round in its header is to be answered.
func (r *Rounds) Options(round []byte) Options {
	if !r.optional.Load() {
		return Options{}
	}
	round, _ = bytes.CutSuffix(round, []byte(KeptSuffix))
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.options[string(round)]
}

// Count counts a request. A round that is none is not counted: it comes from anybody who can reach the responder.
func (r *Rounds) Count(round []byte) {
	if len(round) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.rounds[string(round)]
	if !ok {
		if !validRound(string(round)) {
			return
		}
		if r.rounds == nil {
			r.rounds = make(map[string]*served)
		}
		r.makeRoom()
		s = &served{}
		r.rounds[string(round)] = s
	}
	r.clock++
	s.count++
	s.last = r.clock
}

func (r *Rounds) makeRoom() {
	if len(r.rounds) < MaxRounds {
		return
	}
	quietest, last := "", r.clock+1
	for round, s := range r.rounds {
		if s.last < last {
			quietest, last = round, s.last
		}
	}
	delete(r.rounds, quietest)
}

// Responder answers every request with who it is, and counts the answers by round. It runs on net/http, so everywhere;
// package responder has the fast one, for which this one is the reference. It is safe for concurrent use.
type Responder struct {
	Rounds
	identity Identity
}

// NewResponder makes a responder of the identity.
func NewResponder(identity Identity) *Responder {
	return &Responder{identity: identity}
}

// ServeHTTP implements http.Handler.
func (h *Responder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := json.Marshal(Answer{
		Kdoctor:       h.identity,
		ClientAddress: r.RemoteAddr,
		Method:        r.Method[:min(len(r.Method), MaxEchoBytes)],
		Path:          r.URL.Path[:min(len(r.URL.Path), MaxEchoBytes)],
		Host:          r.Host[:min(len(r.Host), MaxEchoBytes)],
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
	round := []byte(r.Header.Get(RoundHeader))
	options := h.Options(round)
	// Counted before it is written: whoever has read the answer finds it counted.
	h.Count(round)
	if !wait(w, r, options.Delay) {
		return
	}
	write(w, body, options)
}

// readBody reads the request to its end, and returns the status that it deserves.
func readBody(w http.ResponseWriter, r *http.Request) int {
	if r.ContentLength > MaxRequestBody {
		// Without them the server would wait for what nobody wants, before the answer and behind it.
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		_ = control.SetReadDeadline(time.Now())
		return http.StatusRequestEntityTooLarge
	}
	_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, MaxRequestBody))
	var tooLong *http.MaxBytesError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// wait reports whether the client is still there after the delay. The server's deadlines would end a long one.
func wait(w http.ResponseWriter, r *http.Request, delay time.Duration) bool {
	if delay == 0 {
		return true
	}
	// Where there is no connection, as in tests, there is no deadline either.
	control, until := http.NewResponseController(w), time.Now().Add(delay+writeWithin)
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

func write(w http.ResponseWriter, body []byte, options Options) {
	status := options.Status
	if status == 0 {
		status = http.StatusOK
	}
	if Bodyless(status) {
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
