// Package report holds what agents measured in a round and merges it with what was planned. Agents that were expected
// and did not report are listed beside those that did, so that silence can never read as success.
package report

import (
	"cmp"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
)

// Resources is what an agent used while the round ran.
type Resources struct {
	// MaxCPU and MeanCPU are in percent of one core.
	MaxCPU  float64 `json:"MaxCPU"`
	MeanCPU float64 `json:"MeanCPU"`
	// MaxMemory is in bytes.
	MaxMemory uint64 `json:"MaxMemory"`
	// Known is false if the agent could not read its own use.
	Known bool `json:"Known"`
}

// Observer is how well the agent could observe. What kept the agent from sending or reading in time is not the
// network's fault.
type Observer struct {
	// Quota is the CPU limit in cores, 0 without one. The next three are CPU throttling during the round, as the kernel
	// counts it: enforcement periods, periods in which the agent was stopped, and the total time for which it was
	// stopped.
	Quota            float64       `json:"Quota"`
	Periods          uint64        `json:"Periods"`
	ThrottledPeriods uint64        `json:"ThrottledPeriods"`
	Throttled        time.Duration `json:"Throttled"`
	// LongestPause is the longest stop of the process by its own garbage collector.
	LongestPause time.Duration `json:"LongestPause"`
	// Files is the largest number of descriptors that were open at once, FileLimit how many may be open.
	Files     uint64 `json:"Files"`
	FileLimit uint64 `json:"FileLimit"`
	// Ports is how many local ports connections to one address may use.
	Ports uint64 `json:"Ports"`
	// Conntrack is the largest number of connections that the kernel tracked on the agent's side, ConntrackLimit how
	// many the kernel can track; 0 if unknown.
	Conntrack      uint64 `json:"Conntrack"`
	ConntrackLimit uint64 `json:"ConntrackLimit"`
	// FixedWakeups reports that the load was too high for one wake-up per event: the agent woke at fixed moments and
	// relied on the kernel's clock.
	FixedWakeups bool `json:"Grid"`
}

// Via is the way by which a report was fetched.
type Via string

// The ways.
const (
	// Direct is a connection to the agent's pod address.
	Direct Via = "direct"
	// PortForward goes through the API server and the node's kubelet; it works while the pod network of the node is
	// broken.
	PortForward Via = "port-forward"
)

// AgentReport is one agent's report of one round.
type AgentReport struct {
	Pod  string `json:"Pod"`
	Node string `json:"Node"`
	Via  Via    `json:"Via"`
	// Finished is false for a round that was stopped before its end.
	Finished bool      `json:"Finished"`
	Started  time.Time `json:"Started"`
	Ended    time.Time `json:"Ended"`
	// StoppedWhy is why the agent itself was stopped during the round, as one clause; empty if it was not stopped.
	StoppedWhy string `json:"Cut"`
	// StoppedBy is the change that stopped the agent, one of Round.Churn; nil if no change stopped it.
	StoppedBy *Change `json:"CutBy"`
	// Earliest and Latest are the moments of the controller's clock between which the agent started; zero if the
	// controller does not know.
	Earliest time.Time `json:"Earliest"`
	Latest   time.Time `json:"Latest"`
	// Paths are the paths that are reported one by one: all of them, unless there are Sums.
	Paths []Path `json:"Paths"`
	// Sums add up the other paths. NotListed are those of them that did not pass, ascending; they are not stored.
	Sums      []Sum       `json:"Sums,omitempty"`
	NotListed []NotListed `json:"-"`
	Resources Resources   `json:"Resources"`
	Observer  Observer    `json:"Observer"`
	// Served is how many counted requests of this round the agent's own responder answered, whoever sent them.
	// ServedPersistent is how many requests over persistent connections it answered.
	Served           uint64 `json:"Served"`
	ServedPersistent uint64 `json:"ServedKept"`
	// Release is the release of the agent's program; empty if it did not tell.
	Release string `json:"Release,omitempty"`
}

// Missing is an agent that was expected and gave no report.
type Missing struct {
	Pod  string `json:"Pod"`
	Node string `json:"Node"`
	// Reason is one clause: "pod is Pending", "no answer on either way: ...".
	Reason string `json:"Reason"`
	// Excused reports whether a change during the round explains why there is no report.
	Excused bool `json:"Void"`
	// Change is the change that explains the missing report, one of Round.Churn; nil if none does.
	Change *Change `json:"Change"`
	// LastAnswered is the last moment at which the agent is known to have run, by the controller's clock: when it was
	// last asked and then answered, or when the round was planned. LastAnswered is zero if unknown.
	LastAnswered time.Time `json:"Answered"`
}

// Expected is an agent that has a part in the plan of the round, or that was left out of the plan for a reason.
type Expected struct {
	Pod  string `json:"Pod"`
	Node string `json:"Node"`
	// Targets are the IDs of the targets that the agent was to probe; nil where Paths says how many they were. Agents
	// report sums then.
	Targets []string `json:"Targets"`
	Paths   uint64   `json:"Paths,omitempty"`
	// Requests is how many counted requests were to come due on each target. Persistent is how many were to come due on
	// the persistent stream of each target; 0 without one.
	Requests   uint64 `json:"Requests"`
	Persistent uint64 `json:"Kept"`
	// LeftOutWhy is why the agent took no part; empty if the agent was given a plan.
	LeftOutWhy string `json:"LeftOut"`
}

// TaskRef names the task that a round belongs to.
type TaskRef struct {
	// Kind is the task's kind, such as NetReach.
	Kind string `json:"Kind"`
	Name string `json:"Name"`
}

// BackendSet is the pods that ought to answer on targets with several pods behind them.
type BackendSet struct {
	// Targets are IDs of targets that lead to the same pods.
	Targets []string `json:"Targets"`
	// Pods are sorted.
	Pods []string `json:"Pods"`
	// Askers are the pods of the agents for which the set holds, sorted; empty if the set holds for all agents. Sets
	// differ by agent where a Service leads each client to the pods on its own node.
	Askers []string `json:"Sources"`
	// MayAlsoAnswer are pods outside the set that may answer all the same, sorted. A node port with the traffic policy
	// Local may lead requests from pods to all backends, as the policy Cluster does.
	MayAlsoAnswer []string `json:"Also"`
	// UnevenWhy is why clients are not led to all pods alike, as one clause; empty if nothing says so. See
	// topology.Service.
	UnevenWhy string `json:"Uneven"`
}

// Outside is a node that the round does not look at, or looks at only in part.
type Outside struct {
	Node string `json:"Node"`
	// Reason is one clause, such as "its node selector leaves it out".
	Reason string `json:"Reason"`
}

// Round is the report of a whole round.
type Round struct {
	Key  schedule.Key `json:"Key"`
	Task TaskRef      `json:"Task"`
	// Controller is the release of the controller that judged the round; empty in rounds of 0.1.0.
	Controller string        `json:"Controller,omitempty"`
	Started    time.Time     `json:"Started"`
	Deadline   time.Time     `json:"Deadline"`
	Ended      time.Time     `json:"Ended"`
	Budget     RequestBudget `json:"Load"`
	Expected   []Expected    `json:"Expected"`
	Backends   []BackendSet  `json:"Backends"`
	Agents     []AgentReport `json:"Agents"`
	Missing    []Missing     `json:"Missing"`
	Gaps       []target.Gap  `json:"Gaps"`
	// Churn is the changes of agents while the round ran, sorted by time.
	Churn []Change `json:"Churn"`
	// Outside are the nodes that run no agent and are not meant to, and the nodes whose node ports are not probed,
	// sorted by name.
	Outside []Outside `json:"Outside"`
	// Endpoints is what the Services' EndpointSlices had wrong when the round began and still had when it ended, sorted
	// by Service.
	Endpoints []EndpointFault `json:"Endpoints,omitempty"`
	// Findings are the faults of a round in which agents report sums: they cannot be found again from what is stored.
	// They are nil in other rounds.
	Findings []Finding `json:"Findings,omitempty"`
	// Ladder is what the probes beside the counted requests cost and saw; nil in a round without them. Located are the
	// faults that explain these probes and the counted requests.
	Ladder  *Ladder   `json:"Ladder,omitempty"`
	Located []Finding `json:"Located,omitempty"`
	// Coverage says which pairs of nodes were probed.
	Coverage Coverage `json:"Coverage,omitzero"`
	// Again are the pairs of nodes that the next round probes again because they failed; empty in a round that probed
	// all pairs.
	Again []Again `json:"Again,omitempty"`
	// Nodes are the nodes to which paths did not pass that no agent reports one by one, those with the most first, at
	// most MaxNodes; MoreNodes is how many there are beyond. ZonePairs are all pairs of zones. All are empty in a round
	// whose paths are all reported one by one.
	Nodes     []NodeCount `json:"Nodes,omitempty"`
	MoreNodes uint64      `json:"MoreNodes,omitempty"`
	ZonePairs []ZonePair  `json:"ZonePairs,omitempty"`
	// Ends counts the judged paths of each kind and family that lead to each node, where agents report sums. Ends is
	// not stored: it is for what is made of a round when it ends.
	Ends []NodeEnd `json:"-"`
}

// EndpointFault is what is wrong, or has just changed, in the EndpointSlices of one Service. Each list has at most
// MaxEndpoints entries.
type EndpointFault struct {
	// Service is the Service's name.
	Service string `json:"Service"`
	// Strange are addresses to which the Service leads and at which there is no agent. Left are pods of agents that are
	// ready and to which it does not lead.
	Strange []string `json:"Strange,omitempty"`
	Left    []string `json:"Left,omitempty"`
	// Gone are addresses to which the Service led shortly before the round or during it, and did not lead any more.
	// They are no fault by themselves: kernels may still lead connections there.
	Gone []string `json:"Gone,omitempty"`
}

// MaxEndpoints bounds the lists of an EndpointFault.
const MaxEndpoints = 20

// MaxNodes bounds Round.Nodes.
const MaxNodes = 200

// Merge joins reports with what was expected. Reports of agents that were not expected are left out, because they
// belong to no plan. lost has, by pod, why a report could not be fetched.
func Merge(expected []Expected, reports []AgentReport, lost map[string]string) (agents []AgentReport,
	missing []Missing) {
	byPod := make(map[string]AgentReport, len(reports))
	for _, r := range reports {
		byPod[r.Pod] = r
	}
	for _, e := range expected {
		r, ok := byPod[e.Pod]
		if ok && e.LeftOutWhy == "" {
			agents = append(agents, r)
			continue
		}
		reason := cmp.Or(e.LeftOutWhy, lost[e.Pod], "no report")
		missing = append(missing, Missing{Pod: e.Pod, Node: e.Node, Reason: reason})
	}
	slices.SortFunc(agents,
		func(a, b AgentReport) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod)) })
	slices.SortFunc(missing,
		func(a, b Missing) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod)) })
	return agents, missing
}

// ExpectedOf returns what was expected of the pod, and whether anything was expected.
func (r Round) ExpectedOf(pod string) (Expected, bool) {
	for _, e := range r.Expected {
		if e.Pod == pod {
			return e, true
		}
	}
	return Expected{}, false
}
