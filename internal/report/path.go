package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
)

// Failure counts the failed attempts of one outcome and phase.
type Failure struct {
	Outcome probe.Outcome `json:"Outcome"`
	Phase   probe.Phase   `json:"Phase"`
	Count   uint64        `json:"Count"`
	// Examples are at most three different messages.
	Examples []string `json:"Examples"`
	// Spans tell when the attempts started, in their order; their counts add up to Count. They are empty where the
	// agent does not tell.
	Spans []Span `json:"Spans"`
	// Excused is how many of Count say nothing, because the peer was changed; see Round.Churn. They count for neither
	// side of a rate.
	Excused uint64 `json:"Void"`
}

// Path is what one agent measured on one target.
// Scheduled = Sent + Missed; Sent = OK + the sum of Failures.
type Path struct {
	Target target.Target `json:"Target"`
	// Scheduled is how many attempts were due, Sent how many were made, Missed how many the agent could not make in
	// time.
	Scheduled uint64    `json:"Scheduled"`
	Sent      uint64    `json:"Sent"`
	Missed    uint64    `json:"Missed"`
	OK        uint64    `json:"OK"`
	Failures  []Failure `json:"Failures"`
	// Latency counts successful attempts only: the time of the network and the other side, without the agent's own.
	Latency stats.Histogram `json:"Latency"`
	// Response counts successful attempts from when they were due to their end: Latency plus Lag, which is what a user
	// would have waited who wanted the answer at that moment.
	Response stats.Histogram `json:"Response"`
	// Lag is what the agent itself added to each attempt: a late start and late reading.
	Lag stats.Histogram `json:"Lag"`
	// Kernel is how many of the successful attempts were timed by the kernel's clock.
	Kernel uint64 `json:"Kernel"`
	// Phases is the time that successful attempts spent in each phase.
	Phases Phases `json:"Phases"`
	// Retransmits is how many segments were sent again, Retransmitted in how many attempts, failed ones included.
	Retransmits   uint64 `json:"Retransmits"`
	Retransmitted uint64 `json:"Retransmitted"`
	// Reused is how many attempts went over a connection that an earlier one had opened, Closed how many of those
	// failed because the other side had closed it before it answered: they are among Failures.
	Reused uint64 `json:"Reused"`
	Closed uint64 `json:"Closed"`
	// Statuses counts HTTP statuses; attempts without an answer are not in it.
	Statuses map[int]uint64 `json:"Statuses"`
	// Peers counts which pod answered.
	Peers map[string]uint64 `json:"Peers"`
	// Bytes is the sum of the bodies of successful answers.
	Bytes   uint64    `json:"Bytes"`
	Started time.Time `json:"Started"`
	Ended   time.Time `json:"Ended"`
	// IdleResets and IdleCloses count persistent connections that the other side reset, or closed in good order, while
	// no request was under way on them. No attempt failed for it.
	IdleResets uint64 `json:"IdleResets"`
	IdleCloses uint64 `json:"IdleCloses"`
	// Excuses say what explains the void failures; agents send none.
	Excuses []Excuse `json:"Excuses"`
	// Persistent is the same for the slow stream over a connection that stays open, beside the counted attempts; nil
	// without one. Its Target is this path's, and it has no Persistent itself.
	Persistent *Path `json:"Kept"`
}

// Phase is the time spent in one phase of attempts.
type Phase struct {
	// Count is how many attempts had the phase.
	Count uint64        `json:"Count"`
	Sum   time.Duration `json:"Sum"`
	Max   time.Duration `json:"Max"`
}

// Mean is the mean time in the phase, 0 when none had it.
func (p Phase) Mean() time.Duration {
	if p.Count == 0 {
		return 0
	}
	return time.Duration(float64(p.Sum) / float64(p.Count))
}

// Phases are the times of all phases, by probe.Phase. In JSON they have the phases' names, so that a phase that a later
// release adds shifts no other.
type Phases [probe.Phases]Phase

// MarshalJSON leaves out the phases that no attempt had.
func (p Phases) MarshalJSON() ([]byte, error) {
	named := map[probe.Phase]Phase{}
	for i, phase := range p {
		if phase != (Phase{}) {
			named[probe.Phase(i)] = phase
		}
	}
	return json.Marshal(named)
}

// UnmarshalJSON reads phases by name, or in their order, as the first release stored them. Phases of a later release
// are left out.
func (p *Phases) UnmarshalJSON(raw []byte) error {
	*p = Phases{}
	if bytes.HasPrefix(raw, []byte("[")) {
		var listed []Phase
		if err := json.Unmarshal(raw, &listed); err != nil {
			return fmt.Errorf("read phases: %w", err)
		}
		copy(p[:], listed)
		return nil
	}
	var named map[string]Phase
	if err := json.Unmarshal(raw, &named); err != nil {
		return fmt.Errorf("read phases: %w", err)
	}
	for name, phase := range named {
		if i, err := probe.ParsePhase(name); err == nil {
			p[i] = phase
		}
	}
	return nil
}

// Failed is the number of attempts that were made and did not succeed.
func (p Path) Failed() uint64 { return p.Sent - p.OK }

// Gateway reports whether all unexpected statuses are those by which a proxy says that it found nobody to answer, 502,
// 503 and 504 (RFC 9110, 15.6); it is true where there are none. The path's void attempts must still be in it.
func (p Path) Gateway() bool {
	var bad, all uint64
	for _, f := range p.Failures {
		if f.Outcome == probe.BadStatus {
			bad += f.Count
		}
	}
	for _, n := range p.Statuses {
		all += n
	}
	gateway := p.Statuses[502] + p.Statuses[503] + p.Statuses[504]
	if gateway == bad {
		return true
	}
	// The expected status may be one of these itself: then it is that of all answers that are not among the unexpected
	// ones.
	return slices.ContainsFunc([]int{502, 503, 504}, func(expected int) bool {
		n := p.Statuses[expected]
		return n+bad == all && gateway-n == bad
	})
}
