package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// HTTPMetrics are the figures behind a detail.
type HTTPMetrics struct {
	StartTime metav1.Time `json:"StartTime"`
	EndTime   metav1.Time `json:"EndTime"`
	// Duration is a Go duration, DurationInMs the same as a number.
	Duration     string  `json:"Duration"`
	DurationInMs float64 `json:"DurationInMs,omitempty"`
	// RequestCounts is how many requests were sent, SuccessCounts how many succeeded.
	RequestCounts int64 `json:"RequestCounts"`
	SuccessCounts int64 `json:"SuccessCounts"`
	// VoidRequests is how many of RequestCounts failed because an agent was deleted, drained or restarted. They count
	// for neither side of the rate.
	VoidRequests int64 `json:"VoidRequests,omitempty"`
	// Excuses say what explains the void requests; left out where nothing does.
	Excuses []Excuse `json:"Excuses,omitempty"`
	// TPS is RequestCounts per second of Duration.
	TPS float64 `json:"TPS"`
	// TotalDataSize is the size of the bodies of all successful answers together, such as "36968 byte". Failed answers
	// are not in it, whatever they brought. TotalDataSizeInByte is the same as a number.
	TotalDataSize       string `json:"TotalDataSize"`
	TotalDataSizeInByte int64  `json:"TotalDataSizeInByte,omitempty"`
	// StatusCodes counts HTTP statuses.
	StatusCodes map[string]int64 `json:"StatusCodes"`
	// Errors counts failures by outcome and phase.
	Errors map[string]int64 `json:"Errors"`
	// Latencies are the time of the network and the other side.
	Latencies Latencies `json:"Latencies"`
	// Response is counted from when requests were due: Latencies and the agent's own lag together.
	Response *Latencies `json:"Response,omitempty"`
	// LagInMs is what the agent itself added to its requests: a late start and late reading.
	LagInMs *Spread `json:"LagInMs,omitempty"`
	// PhasesInMs is the time that successful requests spent in each phase: resolve, connect, tls, first byte, body.
	PhasesInMs map[string]Phase `json:"PhasesInMs,omitempty"`
	// ClockSource is kernel where the kernel's clock timed the successful requests, user where the agent's did, mixed
	// where both did.
	ClockSource string `json:"ClockSource,omitempty"`
	// Retransmits is how many segments were sent again, RetransmittedRequests in how many requests: loss that a success
	// hides.
	Retransmits           int64 `json:"Retransmits,omitempty"`
	RetransmittedRequests int64 `json:"RetransmittedRequests,omitempty"`
	// Backends counts which pod answered how often, where any of several may; left out when more than 100 did.
	Backends map[string]int64 `json:"Backends,omitempty"`
	// BackendsAnswered of BackendsExpected pods answered, where any of several may.
	BackendsAnswered int64 `json:"BackendsAnswered,omitempty"`
	BackendsExpected int64 `json:"BackendsExpected,omitempty"`
	// SilentBackends are pods that never answered although there were enough requests for all.
	SilentBackends []string `json:"SilentBackends,omitempty"`
	// Reused is how many requests went over a connection that an earlier one had opened.
	Reused int64 `json:"Reused,omitempty"`
	// KeptConnection is the slow stream over a connection that stays open, beside the counted requests.
	KeptConnection *KeptConnection `json:"KeptConnection,omitempty"`
}

// Excuse is what changes of agents explain of the failures of a path.
type Excuse struct {
	// Explained is how many failed requests are excused, Of how many came due within the time of the excuse.
	Explained int64 `json:"Explained"`
	Of        int64 `json:"Of"`
	// Away of Backends that may answer were away at most at any one moment of that time.
	Away     int64 `json:"Away"`
	Backends int64 `json:"Backends"`
	// Message is one sentence: how many requests, when, and what happened to which agents.
	Message string `json:"Message"`
}

// Spread is a distribution in short, in milliseconds.
type Spread struct {
	Mean float64 `json:"Mean"`
	P99  float64 `json:"P99"`
	Max  float64 `json:"Max"`
}

// Phase is the time in one phase of requests, in milliseconds.
type Phase struct {
	Mean float64 `json:"Mean"`
	Max  float64 `json:"Max"`
}

// KeptConnection is what came of the requests over a connection that stays open.
type KeptConnection struct {
	// RequestCounts is how many requests were sent, SuccessCounts how many succeeded.
	RequestCounts int64 `json:"RequestCounts"`
	SuccessCounts int64 `json:"SuccessCounts"`
	// VoidRequests is how many of them failed because an agent was deleted, drained or restarted.
	VoidRequests int64 `json:"VoidRequests,omitempty"`
	// Reused is how many of them went over a connection that an earlier one had opened, ClosedByOtherSide how many of
	// those failed because the other side had closed it.
	Reused            int64 `json:"Reused"`
	ClosedByOtherSide int64 `json:"ClosedByOtherSide,omitempty"`
	// ResetWhileIdle and ClosedWhileIdle count connections that the other side ended, by a reset or in good order,
	// while no request was under way on them. No request failed for that, but each is a failure where nothing on the
	// way may end a connection.
	ResetWhileIdle  int64 `json:"ResetWhileIdle,omitempty"`
	ClosedWhileIdle int64 `json:"ClosedWhileIdle,omitempty"`
	// Errors counts failures by outcome and phase.
	Errors    map[string]int64 `json:"Errors,omitempty"`
	Latencies *Latencies       `json:"Latencies,omitempty"`
}

// Latencies are in milliseconds, over the successful requests.
type Latencies struct {
	MaxInMs  float64 `json:"MaxInMs"`
	MeanInMs float64 `json:"MeanInMs"`
	MinInMs  float64 `json:"MinInMs"`
	P50InMs  float64 `json:"P50InMs"`
	P90InMs  float64 `json:"P90InMs"`
	P95InMs  float64 `json:"P95InMs"`
	P99InMs  float64 `json:"P99InMs"`
}
