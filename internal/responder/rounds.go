package responder

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"

	"kdoctor.io/kdoctor/internal/echo"
)

// MaxRounds is how many rounds a responder counts at once, and how many may have options at once. A new round
// displaces the count of the round whose last request is the oldest.
const MaxRounds = 64

// Rounds counts requests by round, and knows how the requests of a round are to be answered. The zero value is ready.
// It is safe for concurrent use.
type Rounds struct {
	mu     sync.Mutex
	clock  uint64
	rounds map[string]*served
	// options are by the round's key, and serve its persistent stream too. optional says without the lock whether there
	// are any.
	options  map[string]echo.Options
	optional atomic.Bool
}

type served struct{ count, last uint64 }

// Served returns how many requests of the round arrived completely. round is the value of echo.RoundHeader:
// schedule.Key.String for counted requests, followed by echo.PersistentSuffix for the persistent stream. A client that
// has read its answer finds it counted.
func (r *Rounds) Served(round string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.rounds[round]; ok {
		return s.count
	}
	return 0
}

// SetOptions sets how requests of the round are answered until Forget, those of its persistent stream included. It
// fails for options out of range, for a key of the wrong form, and when MaxRounds rounds have options.
func (r *Rounds) SetOptions(round string, o echo.Options) error {
	if err := o.Validate(); err != nil {
		return fmt.Errorf("options of round %q: %w", round, err)
	}
	if !echo.ValidRound(round) {
		return fmt.Errorf("options of round %q: it is no round", round)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.options[round]; !ok && len(r.options) >= MaxRounds {
		return fmt.Errorf("options of round %q: %d rounds have some already", round, MaxRounds)
	}
	if r.options == nil {
		r.options = make(map[string]echo.Options)
	}
	r.options[round] = o
	r.optional.Store(true)
	return nil
}

// Forget removes the round's options. Its counts stay.
func (r *Rounds) Forget(round string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.options, round)
	r.optional.Store(len(r.options) > 0)
}

// Options returns how a request is to be answered; round is the value of its echo.RoundHeader.
func (r *Rounds) Options(round []byte) echo.Options {
	if !r.optional.Load() {
		return echo.Options{}
	}
	round, _ = bytes.CutSuffix(round, []byte(echo.PersistentSuffix))
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.options[string(round)]
}

// Count counts a request. It ignores a value that no round has: anybody who can reach the responder may send one.
func (r *Rounds) Count(round []byte) {
	if len(round) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.rounds[string(round)]
	if !ok {
		if !echo.ValidRound(string(round)) {
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
