// Package round lets faults act on the probes of a round and makes the observations that the inference gets, together
// with the exact truth of what was broken. What a fault does is its generator's business.
package round

import (
	"time"

	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// Truth is what a diagnosis ought to say of a fault.
type Truth struct {
	// Kind names the fault in tables of misses.
	Kind string `json:"Kind"`
	// Accept are the components that are a right answer: one, or several where a fault has no single place.
	Accept []infer.Component `json:"Accept"`
	// Aspect is the affected traffic. AspectKnown says that it is exact; else a diagnosis is not judged by it.
	Aspect      infer.Aspect `json:"Aspect"`
	AspectKnown bool         `json:"AspectKnown,omitempty"`
	// Known says that the agent itself reported the fault, so that a diagnosis need not find it, and may name it.
	Known bool `json:"Known,omitempty"`
	// Severity is the share of the affected probes that are lost, 0 to 1.
	Severity float64 `json:"Severity"`
}

// Attempt is one probe.
type Attempt struct {
	*world.Probe
	// Endpoint is the node whose pod the cluster chose, or the index of the DNS server; None on rungs without choice.
	Endpoint int
	// Pass is the pass in which it is sent, and Number its place among those that are sent alike.
	Pass, Number int
}

// Loss is what a fault does to one attempt.
type Loss struct {
	// Share is how likely the attempt fails, 0 to 1, and How is what the asker then sees.
	Share float64
	How   ladder.Failure
	// Retried is how likely an answered connection took a second SYN; Slow is added to the time of an answer.
	Retried float64
	Slow    time.Duration
}

// Fault is one thing that is broken.
type Fault struct {
	Truth Truth
	// Touches reports whether the fault can affect any attempt of a probe whose answerer is not chosen.
	Touches func(*world.Probe) bool
	// Lose returns what the fault does to an attempt.
	Lose func(*Attempt) Loss
	// NoPodReport, NoHostReport are nodes whose agent's report is missing because of the fault; Suspect are nodes whose
	// agent says of itself that it was short of CPU.
	NoPodReport, NoHostReport, Suspect []int
}

// Conditions are what disturbs a round beside its faults.
type Conditions struct {
	// Noise is how often the background loss of 2e-5 there is; 1 stands for an ordinary network.
	Noise float64
	// Burst is how many probes in a row an event of partial loss takes, 1 at least.
	Burst int
	// LostReports is the share of agents whose report is missing, WrongZones the share of nodes with another zone's
	// label, Churn the share of nodes that are deleted within the round, each 0 to 1.
	LostReports, WrongZones, Churn float64
	// BackgroundUnknown leaves Input.Background empty; else it is the true share, up to a factor of about 1.2.
	BackgroundUnknown bool
	// GentleTCP says that background loss only delays connections, since their segments are sent again.
	GentleTCP bool
}

// BackgroundShare is the share of probes that an ordinary network loses without any fault.
const BackgroundShare = 2e-5
