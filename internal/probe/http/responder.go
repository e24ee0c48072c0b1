package httpprobe

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
)

// MaxRounds is how many rounds a Responder counts at once; the one that was quiet for longest makes room for a new one.
const MaxRounds = 64

// maxEchoBytes bounds what is echoed of a request's path and host.
const maxEchoBytes = 1024

// Responder answers every request with status 200 and who it is, and counts the answers by round.
// It is safe for concurrent use.
type Responder struct {
	identity Identity

	mu     sync.Mutex
	clock  uint64
	rounds map[string]*served
}

type served struct{ count, last uint64 }

// NewResponder makes a responder of the identity.
func NewResponder(identity Identity) *Responder {
	return &Responder{identity: identity, rounds: make(map[string]*served)}
}

// Served is how many requests of the round were answered; round is schedule.Key.String.
func (h *Responder) Served(round string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s, ok := h.rounds[round]; ok {
		return s.count
	}
	return 0
}

// ServeHTTP implements http.Handler.
func (h *Responder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := json.Marshal(Answer{
		Kdoctor:       h.identity,
		ClientAddress: r.RemoteAddr,
		Method:        r.Method,
		Path:          r.URL.Path[:min(len(r.URL.Path), maxEchoBytes)],
		Host:          r.Host[:min(len(r.Host), maxEchoBytes)],
	})
	if err != nil {
		http.Error(w, "no answer", http.StatusInternalServerError)
		return
	}
	// Counted before it is written: whoever has read the answer finds it counted.
	h.count(r.Header.Get(RoundHeader))
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // The client is gone if this fails; it knows better than we do what it received.
}

func (h *Responder) count(round string) {
	if !validRound(round) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	s, ok := h.rounds[round]
	if !ok {
		h.makeRoom()
		s = &served{}
		h.rounds[round] = s
	}
	s.count++
	s.last = h.clock
}

func (h *Responder) makeRoom() {
	if len(h.rounds) < MaxRounds {
		return
	}
	quietest, last := "", h.clock
	for round, s := range h.rounds {
		if s.last < last {
			quietest, last = round, s.last
		}
	}
	delete(h.rounds, quietest)
}
