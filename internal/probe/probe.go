// Package probe defines one attempt at one target: Prober makes it, Sample is what came of it.
// A failed attempt is data with an Outcome, never an error.
package probe

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/target"
)

// Outcome is the result of one attempt. The list is closed, so that every count has a known owner.
type Outcome uint8

// The outcomes.
const (
	// OK: an expected status and a well-formed answer from one of our agents.
	OK Outcome = iota
	// Timeout: the attempt's own time ran out.
	Timeout
	// Refused: the address answered that nobody listens, or a policy refused the connection, on the agent's own node or
	// on the way; the message says which.
	Refused
	// Reset: the connection was torn down by the other side or something on the way.
	Reset
	// Unreachable: the kernel or a router answered that there is no route.
	Unreachable
	// DNSFailed: the name could not be resolved.
	DNSFailed
	// TLSFailed: the TLS handshake or the certificate check failed.
	TLSFailed
	// BadStatus: an HTTP status other than the expected one.
	BadStatus
	// BadAnswer: an answer that none of our agents gives, or an answer that ended early.
	BadAnswer
	// WrongPeer: one of our agents answered, but not the agent that has the address.
	WrongPeer
	// NotSent: the agent could not send because it, or its node, had no port, descriptor or memory left. This is the
	// tool's own limit.
	NotSent
	// Aborted: the round was stopped while the attempt was under way.
	Aborted
	// Other: none of the above; the message explains it.
	Other

	// Outcomes is the number of outcomes.
	Outcomes
)

// Phase is the part of an attempt in which its outcome was decided.
type Phase uint8

// The phases, in their order.
const (
	NoPhase Phase = iota
	Resolve
	Connect
	TLS
	FirstByte
	Body

	// Phases is the number of phases.
	Phases
)

// Sample is one attempt.
type Sample struct {
	// Due is when the attempt should have started, Start when it did. Their difference is the agent's own lag.
	Due, Start time.Time
	// Latency is the time of the network and of the other side for the whole attempt, from Start to the end of the
	// answer's body. What this process added in between is in Own. Latency plus Own is what a clock beside the process
	// would show.
	Latency time.Duration
	// Own is how long the attempt waited for this process between Start and its end, such as for a thread that woke up
	// late. A prober that cannot measure it leaves it 0; it is then part of Latency.
	Own time.Duration
	// Kernel says that Latency ends when the kernel received the answer, not when this process read it.
	Kernel bool
	// Phases is how long each phase took, 0 for a phase that was not reached or not needed.
	Phases [Phases]time.Duration
	// Retransmits is how many segments of the connection were retransmitted during the attempt: loss that a success
	// hides.
	Retransmits uint64
	// Reused is true for an attempt over a connection that an earlier attempt opened.
	Reused bool
	// Closed is true for a failed attempt over a reused connection that the other side closed before it answered
	// anything. HTTP allows the other side to close the connection before the request arrives, so that this says little
	// about the network.
	Closed bool
	// Lost counts connections of earlier attempts that this attempt found ended by the other side while they were idle.
	// The attempt used another connection.
	Lost    Lost
	Outcome Outcome
	// Phase is where a failed attempt failed; NoPhase for OK.
	Phase Phase
	// Status is the HTTP status, 0 without an answer.
	Status int
	// Bytes is the length of the answer's body.
	Bytes int64
	// Peer is the pod that the answer names, empty without a well-formed answer.
	Peer string
	// Message explains a failure. It holds no addresses and ports that differ between attempts.
	Message string
}

// Lost counts idle connections that the other side ended. Resets are connections that the other side, or something on
// the way, reset. Closes are connections that the other side closed in good order.
type Lost struct{ Resets, Closes uint64 }

// Prober makes one attempt at a time. It obeys the context down to the socket, and never panics on what the network
// sends.
type Prober interface {
	Probe(ctx context.Context, t target.Target) Sample
}

// The names of outcomes and phases in reports. They are part of the reports' format.
func outcomeNames() [Outcomes]string {
	return [Outcomes]string{"OK", "Timeout", "Refused", "Reset", "Unreachable", "DNSFailed", "TLSFailed", "BadStatus",
		"BadAnswer", "WrongPeer", "NotSent", "Aborted", "Other"}
}

func phaseNames() [Phases]string {
	return [Phases]string{"", "resolve", "connect", "tls", "first byte", "body"}
}

// String returns the outcome's name. Values outside the list read as Other.
func (o Outcome) String() string {
	if o >= Outcomes {
		o = Other
	}
	return outcomeNames()[o]
}

// String returns the phase's name, empty for NoPhase and for values outside the list.
func (p Phase) String() string {
	if p >= Phases {
		p = NoPhase
	}
	return phaseNames()[p]
}

// ParseOutcome reads an outcome's name.
func ParseOutcome(name string) (Outcome, error) {
	names := outcomeNames()
	if i := slices.Index(names[:], name); i >= 0 {
		return Outcome(i), nil
	}
	return Other, fmt.Errorf("there is no outcome %q", name)
}

// ParsePhase reads a phase's name; the empty name is NoPhase.
func ParsePhase(name string) (Phase, error) {
	names := phaseNames()
	if i := slices.Index(names[:], name); i >= 0 {
		return Phase(i), nil
	}
	return NoPhase, fmt.Errorf("there is no phase %q", name)
}

// MarshalText returns the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the outcome's name.
func (o *Outcome) UnmarshalText(text []byte) (err error) {
	*o, err = ParseOutcome(string(text))
	return err
}

// MarshalText returns the phase's name.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the phase's name.
func (p *Phase) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePhase(string(text))
	return err
}
