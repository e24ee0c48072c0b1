package reach

import "time"

// Answer is what one question for our own API, which the API server passes on to the leader, says of the way to the
// leader.
type Answer int

const (
	// Unclear says nothing of the way: our API is not registered, or the API server refuses the question itself.
	Unclear Answer = iota
	// Reached is an answer of our API.
	Reached
	// Unreached is no answer in time, or the API server's word that there is none.
	Unreached
)

const (
	// patience is how long a leader that was reached before may be out of reach.
	patience = 9 * time.Second
	// grace is how long a new leader may be out of reach. The API server follows a change of leader within seconds, but
	// may wait for a leader before that was of a release whose connections stay, for 45 at most.
	grace = 30 * time.Second
	// rested is how long after a leader gave up another one, or the same, may do so again that was reached meanwhile.
	// weary is the same for one that was not: where no replica is in reach rounds are not to be handed around.
	rested = 5 * time.Minute
	weary  = time.Hour
)

// Reign is what a leader knows of the way to itself. The zero value knows nothing; make it with NewReign.
type Reign struct {
	// since is the last moment at which nothing spoke against the way.
	since time.Time
	// reached reports whether the way was ever seen to work.
	reached bool
}

// NewReign returns the reign of a leader that begins to lead.
func NewReign(now time.Time) Reign { return Reign{since: now} }

// Note takes an answer in.
func (r *Reign) Note(answer Answer, now time.Time) {
	switch answer {
	case Reached:
		r.since, r.reached = now, true
	case Unclear:
		r.since = now
	case Unreached:
	}
}

// Lost returns for how long the leader has been out of reach, and whether that is too long. It is never negative.
func (r Reign) Lost(now time.Time) (time.Duration, bool) {
	lost, limit := max(0, now.Sub(r.since)), grace
	if r.reached {
		limit = patience
	}
	return lost, lost >= limit
}

// Pause returns how long after the last leader that gave up this one may do so.
func (r Reign) Pause() time.Duration {
	if r.reached {
		return rested
	}
	return weary
}

// Over reports whether the pause is over since the moment at which a leader last gave up; zero is never. The moment may
// be of another node's clock.
func Over(pause time.Duration, last, now time.Time) bool {
	return last.IsZero() || now.Sub(last).Abs() >= pause
}
