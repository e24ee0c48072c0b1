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
	// Spans are when the attempts started, in order of time; their counts add up to Count. Spans are empty if the agent
	// does not report them.
	Spans []Span `json:"Spans"`
	// Excused is how many of Count are explained by a change; see Round.Churn. Excused attempts count for neither side
	// of a rate.
	Excused uint64 `json:"Void"`
}

// Path is what one agent measured on one target.
// Scheduled = Sent + Missed; Sent = OK + the sum of Failures.
type Path struct {
	Target target.Target `json:"Target"`
	// Scheduled is how many attempts were due, Sent how many were made, and Missed how many the agent could not make in
	// time.
	Scheduled uint64    `json:"Scheduled"`
	Sent      uint64    `json:"Sent"`
	Missed    uint64    `json:"Missed"`
	OK        uint64    `json:"OK"`
	Failures  []Failure `json:"Failures"`
	// Latency counts successful attempts only: the time of the network and the other side, without the agent's own.
	Latency stats.Histogram `json:"Latency"`
	// Response counts successful attempts from when they were due to their end, Latency plus Lag: a user who wanted the
	// answer when the attempt was due would have waited that long.
	Response stats.Histogram `json:"Response"`
	// Lag is what the agent itself added to each attempt: a late start and late reading.
	Lag stats.Histogram `json:"Lag"`
	// Kernel is how many of the successful attempts were timed by the kernel's clock.
	Kernel uint64 `json:"Kernel"`
	// Phases is the time that successful attempts spent in each phase.
	Phases Phases `json:"Phases"`
	// Retransmits is how many segments were retransmitted, Retransmitted in how many attempts. Failed attempts are
	// included.
	Retransmits   uint64 `json:"Retransmits"`
	Retransmitted uint64 `json:"Retransmitted"`
	// Reused is how many attempts went over a connection that an earlier attempt had opened. Closed is how many of the
	// reused connections the other side closed before it answered; these attempts are among Failures.
	Reused uint64 `json:"Reused"`
	Closed uint64 `json:"Closed"`
	// Statuses counts answers by HTTP status; attempts without an answer are left out.
	Statuses map[int]uint64 `json:"Statuses"`
	// Peers counts answers by the pod that answered.
	Peers map[string]uint64 `json:"Peers"`
	// Bytes is the sum of the bodies of successful answers.
	Bytes   uint64    `json:"Bytes"`
	Started time.Time `json:"Started"`
	Ended   time.Time `json:"Ended"`
	// IdleResets and IdleCloses count persistent connections that the other side reset, or closed in good order, while
	// no request was under way. No attempt failed because of that.
	IdleResets uint64 `json:"IdleResets"`
	IdleCloses uint64 `json:"IdleCloses"`
	// Excuses are what explains the excused failures; agents send none.
	Excuses []Excuse `json:"Excuses"`
	// Persistent is the slow stream of requests over a persistent connection, beside the counted attempts; nil without
	// one. Persistent has this path's Target, and no Persistent of its own.
	Persistent *Path `json:"Kept"`
}

// Phase is the time spent in one phase of attempts.
type Phase struct {
	// Count is how many attempts had the phase.
	Count uint64        `json:"Count"`
	Sum   time.Duration `json:"Sum"`
	Max   time.Duration `json:"Max"`
}

// Mean is the mean time in the phase, 0 if no attempt had the phase.
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

// UnmarshalJSON reads phases by name, or in their order, as the first release stored them. Phases that only a later
// release knows are left out.
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

// Gateway reports whether all unexpected statuses are 502, 503 or 504, by which a proxy says that it found nobody to
// answer (RFC 9110, 15.6). Gateway is true if there were no unexpected statuses. Call it before WithoutExcused, which
// does not adjust Statuses.
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
	// The task may expect one of these statuses. Then all answers with an expected status have this one.
	return slices.ContainsFunc([]int{502, 503, 504}, func(expected int) bool {
		n := p.Statuses[expected]
		return n+bad == all && gateway-n == bad
	})
}
