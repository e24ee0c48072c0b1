package load

import (
	"hash/fnv"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
)

// Pace says when attempts are due. Package engine uses it as well, so that requests to a target are due at the same
// moments whichever package sends them.
type Pace struct {
	// PerSecond is the number of attempts that are due on each target every Every seconds, 1 or more.
	PerSecond int
	// Every is in whole seconds; 0 is 1.
	Every int
}

// PaceOf returns the pace of the load's counted attempts.
func PaceOf(l mesh.Load) Pace { return Pace{PerSecond: max(l.PerSecond, 1), Every: l.Every} }

// Interval returns the time between two attempts on one target.
func (p Pace) Interval() time.Duration { return p.every() / time.Duration(p.PerSecond) }

// every returns the time in which PerSecond attempts are due.
func (p Pace) every() time.Duration { return time.Duration(max(p.Every, 1)) * time.Second }

// Lateness returns how late an attempt may start before it is missed.
func (p Pace) Lateness() time.Duration { return max(p.Interval(), Lateness) }

// Offset returns when attempt i of every target is due, counted from the load's start and without the target's phase.
func (p Pace) Offset(i uint64) time.Duration {
	// Multiplied before it is divided, so that no rounding adds up.
	return time.Duration(i) * p.every() / time.Duration(
		p.PerSecond) // #nosec G115 -- it is no more than PerSecond times the load's duration: a day at 1000 a second
}

// Phase returns the phase of the source and the target. Phases of many pairs are spread evenly over one interval.
func (p Pace) Phase(source, id string) time.Duration { return spread(source, id, p.Interval()) }

// PersistentPace says when attempts of the persistent stream are due, beside the counted attempts and with a phase of
// its own.
type PersistentPace struct {
	// Requests is the number of attempts that are due on each target, 0 without a persistent stream.
	Requests uint64
	// Every is the time between two attempts on one target.
	Every time.Duration
}

// PersistentPaceOf returns the pace of the load's persistent stream.
func PersistentPaceOf(l mesh.Load) PersistentPace {
	requests, every := l.Persistent()
	return PersistentPace{Requests: requests, Every: every}
}

// Lateness returns how late an attempt may start before it is missed.
func (p PersistentPace) Lateness() time.Duration { return max(p.Every, Lateness) }

// Offset returns when attempt i of every target is due, counted from the load's start and without the target's phase.
func (p PersistentPace) Offset(i uint64) time.Duration {
	return time.Duration(i) * p.Every // #nosec G115 -- it is within the load's duration
}

// Phase returns the phase of the source and the target. Phases of many pairs are spread evenly over the time between
// two attempts.
func (p PersistentPace) Phase(source, id string) time.Duration {
	return spread(source, id+"\x00kept", p.Every)
}

func spread(source, id string, interval time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(source))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(id))
	// FNV changes high bits too little for names that differ at their end only; this mixes all bits into all.
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return time.Duration(x % uint64(max(interval, 1))) // #nosec G115 -- the interval is positive
}
