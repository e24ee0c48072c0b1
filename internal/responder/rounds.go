package responder

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"

	"kdoctor.io/kdoctor/internal/echo"
)

// MaxRounds is how many rounds a responder counts at once, and how many may have options at once. A new round displaces the
// count of the round whose last request is the oldest.
const MaxRounds = 64

// Rounds counts requests by round, and knows how each round wants to be answered. The zero value is ready. It is safe for concurrent use.
type Rounds struct {
	mu     sync.Mutex
	clock  uint64
	rounds map[string]*served
	// options are by the round's key, which also stands for its kept stream; optional tells without the lock whether there are any.
	options  map[string]echo.Options
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

// Forget takes back what SetOptions said of the round. What was counted stays.
func (r *Rounds) Forget(round string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.options, round)
	r.optional.Store(len(r.options) > 0)
}

// Options returns how a request with the round in its header is to be answered.
func (r *Rounds) Options(round []byte) echo.Options {
	if !r.optional.Load() {
		return echo.Options{}
	}
	round, _ = bytes.CutSuffix(round, []byte(echo.PersistentSuffix))
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
