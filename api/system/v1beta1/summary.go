package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Coverage says which pairs of nodes a round probed. A pair is an agent and a node. Services are not part of it: every
// agent probes them in every round.
type Coverage struct {
	// Mode is Full where every round probes all pairs, or Rotate where each round probes a part of them.
	Mode string `json:"Mode"`
	// PairsProbed is how many pairs the round was to probe, PairsInAll how many there are.
	PairsProbed int64 `json:"PairsProbed"`
	PairsInAll  int64 `json:"PairsInAll"`
	// EveryPairWithin is the time, a Go duration, in which consecutive rounds probe every pair; left out for a task
	// whose rounds have no interval. EveryPairWithinInMs is the same as a number, EveryPairWithinRounds how many rounds
	// that are.
	EveryPairWithin       string  `json:"EveryPairWithin,omitempty"`
	EveryPairWithinInMs   float64 `json:"EveryPairWithinInMs,omitempty"`
	EveryPairWithinRounds int64   `json:"EveryPairWithinRounds,omitempty"`
	// Oldest is when those pairs were probed that have waited longest; left out while some have not been probed yet.
	Oldest *metav1.Time `json:"Oldest,omitempty"`
}

// Summary is a round in figures. Its size does not grow with the cluster.
type Summary struct {
	Agents AgentSummary `json:"Agents"`
	// PathsListed is how many of the paths agents report one by one, as kdoctorpaths lists them. Of the others only
	// sums are known.
	PathsListed int64 `json:"PathsListed"`
	// Paths are the paths of all agents that reported, by kind and IP family.
	Paths []PathSummary `json:"Paths"`
}

// AgentSummary counts the agents of a round.
type AgentSummary struct {
	// Expected is how many agents had a part in the round, Reported how many of them gave a report.
	Expected int64 `json:"Expected"`
	Reported int64 `json:"Reported"`
	// Passed, Failed and Void are what became of those that reported, as Report.RoundResult says it. Explained is how
	// many further ones did not pass for nothing but what findings about other nodes explain.
	Passed    int64 `json:"Passed"`
	Failed    int64 `json:"Failed"`
	Void      int64 `json:"Void"`
	Explained int64 `json:"Explained,omitempty"`
	// NotReportedVoid is how many gave no report because they were deleted, drained or restarted, which fails nothing.
	NotReportedVoid int64 `json:"NotReportedVoid,omitempty"`
	// StartTimeStamp is when the first agent began, EndTimeStamp when the last one was done; left out if none reported.
	StartTimeStamp *metav1.Time `json:"StartTimeStamp,omitempty"`
	EndTimeStamp   *metav1.Time `json:"EndTimeStamp,omitempty"`
	// MaxCPUInPercent and MaxMemoryInByte are the most that any one agent used; left out if none could measure it.
	MaxCPUInPercent float64 `json:"MaxCPUInPercent,omitempty"`
	MaxMemoryInByte int64   `json:"MaxMemoryInByte,omitempty"`
}

// PathCounts says what became of paths. Every path is counted once, so Paths is the sum of the others.
type PathCounts struct {
	Paths       int64 `json:"Paths"`
	Passed      int64 `json:"Passed"`
	Failed      int64 `json:"Failed"`
	ToolLimited int64 `json:"ToolLimited"`
	NoData      int64 `json:"NoData"`
	Void        int64 `json:"Void"`
	// NotPassed is how many further paths did not pass by their agent's own judgement. They are too many to be reported
	// one by one, and nobody knows which of the other words is theirs.
	NotPassed int64 `json:"NotPassed"`
}

// PathSummary is all paths of one kind and IP family.
type PathSummary struct {
	// TargetKind and IPFamily are as in TargetDetail; both are left out for paths that were planned and that no agent
	// measured.
	TargetKind string `json:"TargetKind,omitempty"`
	IPFamily   string `json:"IPFamily,omitempty"`
	PathCounts `json:",inline"`
	// RequestCounts is how many requests were sent, SuccessCounts how many succeeded, VoidRequests how many count for
	// neither side of the rate.
	RequestCounts int64 `json:"RequestCounts"`
	SuccessCounts int64 `json:"SuccessCounts"`
	VoidRequests  int64 `json:"VoidRequests,omitempty"`
	// Latencies are over the successful requests of all paths together; left out if none succeeded.
	Latencies *Latencies `json:"Latencies,omitempty"`
	// Retransmits is how many segments were sent again, RetransmittedRequests in how many requests.
	Retransmits           int64 `json:"Retransmits,omitempty"`
	RetransmittedRequests int64 `json:"RetransmittedRequests,omitempty"`
	// KeptConnection adds up the slow streams over connections that stay open.
	KeptConnection *KeptConnection `json:"KeptConnection,omitempty"`
}

// NodeSummary is a node whose agent did not pass, or to which paths did not pass.
type NodeSummary struct {
	NodeName string `json:"NodeName"`
	// PodName, RoundResult and FailedReason are those of the node's agent if it reported and did not pass, unless
	// findings about other nodes explain all that failed.
	PodName      string `json:"PodName,omitempty"`
	RoundResult  string `json:"RoundResult,omitempty"`
	FailedReason string `json:"FailedReason,omitempty"`
	// PathsFrom is how many paths the node's agent measured, NotPassedFrom how many of them did not pass.
	PathsFrom     int64 `json:"PathsFrom,omitempty"`
	NotPassedFrom int64 `json:"NotPassedFrom,omitempty"`
	// NotPassedTo is how many paths from any agent to the node did not pass, PathsTo of how many. PathsTo is left out
	// if it is unknown.
	PathsTo     int64 `json:"PathsTo,omitempty"`
	NotPassedTo int64 `json:"NotPassedTo,omitempty"`
}

// ZonePair counts the paths from the nodes of one zone to those of another, or of the same.
type ZonePair struct {
	// FromZone and ToZone are empty for nodes of which no zone is known.
	FromZone  string `json:"FromZone"`
	ToZone    string `json:"ToZone"`
	Paths     int64  `json:"Paths"`
	NotPassed int64  `json:"NotPassed"`
}

// WorstPath is a path of which most requests failed, or one of the slowest, in short.
type WorstPath struct {
	NodeName string `json:"NodeName"`
	PodName  string `json:"PodName"`
	// TargetName to TargetNodeName are as in TargetDetail.
	TargetName     string `json:"TargetName"`
	TargetUrl      string `json:"TargetUrl,omitempty"` //nolint:revive // the seed's spelling
	TargetKind     string `json:"TargetKind,omitempty"`
	IPFamily       string `json:"IPFamily,omitempty"`
	TargetPodName  string `json:"TargetPodName,omitempty"`
	TargetNodeName string `json:"TargetNodeName,omitempty"`
	// Result is pass, fail, tool-limited, no data or void.
	Result        string `json:"Result"`
	FailureCode   string `json:"FailureCode,omitempty"`
	FailureReason string `json:"FailureReason,omitempty"`
	RequestCounts int64  `json:"RequestCounts"`
	SuccessCounts int64  `json:"SuccessCounts"`
	VoidRequests  int64  `json:"VoidRequests,omitempty"`
	// MeanInMs, P99InMs and MaxInMs are over the successful requests; left out if none succeeded.
	MeanInMs float64 `json:"MeanInMs,omitempty"`
	P99InMs  float64 `json:"P99InMs,omitempty"`
	MaxInMs  float64 `json:"MaxInMs,omitempty"`
}

// LeftOut counts the entries of lists that are not in the object because it would be too large with them. Each field is
// named after its list.
type LeftOut struct {
	Reasons            int64 `json:"Reasons,omitempty"`
	NotReported        int64 `json:"NotReported,omitempty"`
	Outside            int64 `json:"Outside,omitempty"`
	Notes              int64 `json:"Notes,omitempty"`
	Findings           int64 `json:"Findings,omitempty"`
	Churn              int64 `json:"Churn,omitempty"`
	NodesNotPassed     int64 `json:"NodesNotPassed,omitempty"`
	ZonePairsNotPassed int64 `json:"ZonePairsNotPassed,omitempty"`
}
