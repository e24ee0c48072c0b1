// Package report holds what agents measured in a round and merges it with what was planned:
// who was expected and did not report stands beside who did, so that silence can never read as success.
package report

import (
	"cmp"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
)

// Failure counts the failed attempts of one outcome and phase.
type Failure struct {
	Outcome probe.Outcome
	Phase   probe.Phase
	Count   uint64
	// Examples are at most three different messages.
	Examples []string
}

// Path is what one agent measured on one target.
// Scheduled = Sent + Missed; Sent = OK + the sum of Failures.
type Path struct {
	Target target.Target
	// Scheduled is how many attempts were due, Sent how many were made, Missed how many the agent could not make in time.
	Scheduled, Sent, Missed uint64
	OK                      uint64
	Failures                []Failure
	// Latency counts successful attempts only.
	Latency stats.Histogram
	// Lag is how late attempts started, compared with when they were due: the agent's own doing.
	Lag stats.Histogram
	// Statuses counts HTTP statuses; attempts without an answer are not in it.
	Statuses map[int]uint64
	// Peers counts which pod answered.
	Peers map[string]uint64
	// Bytes is the sum of all answers' bodies.
	Bytes          uint64
	Started, Ended time.Time
}

// Failed is the number of attempts that were made and did not succeed.
func (p Path) Failed() uint64 { return p.Sent - p.OK }

// Resources is what an agent used while the round ran.
type Resources struct {
	// MaxCPU and MeanCPU are in percent of one core.
	MaxCPU, MeanCPU float64
	// MaxMemory is in bytes.
	MaxMemory uint64
	// Known is false where the agent could not read its own use.
	Known bool
}

// Via is the way by which a report was fetched.
type Via string

// The ways.
const (
	// Direct is a connection to the agent's pod address.
	Direct Via = "direct"
	// PortForward goes through the API server and the node's kubelet; it works while the pod network of the node is broken.
	PortForward Via = "port-forward"
)

// Agent is one agent's report of one round.
type Agent struct {
	Pod, Node string
	Via       Via
	// Finished is false for a round that was stopped before its end.
	Finished       bool
	Started, Ended time.Time
	Paths          []Path
	Resources      Resources
	// Served is how many requests of this round the agent's own responder answered, whoever sent them.
	Served uint64
}

// Missing is an agent that was expected and gave no report.
type Missing struct {
	Pod, Node string
	// Reason is one clause: "pod is Pending", "no answer on either way: ...".
	Reason string
}

// Expected is an agent that the plan of the round counts on, or that was left out of it with a reason.
type Expected struct {
	Pod, Node string
	// Targets are the IDs of the targets it was to probe.
	Targets []string
	// Requests is how many requests were to come due on each target.
	Requests uint64
	// LeftOut is why the agent took no part; empty for one that was given a plan.
	LeftOut string
}

// Task names the task that a round belongs to.
type Task struct {
	// Kind is the task's kind, such as NetReach.
	Kind, Name string
}

// Round is the report of a whole round.
type Round struct {
	Key      schedule.Key
	Task     Task
	Started  time.Time
	Deadline time.Time
	Ended    time.Time
	Expected []Expected
	Agents   []Agent
	Missing  []Missing
	Gaps     []target.Gap
}

// Merge joins reports with what was expected. Reports of agents that nobody expected are left out: they belong to no plan.
// lost tells, by pod, why a report could not be had.
func Merge(expected []Expected, reports []Agent, lost map[string]string) (agents []Agent, missing []Missing) {
	byPod := make(map[string]Agent, len(reports))
	for _, r := range reports {
		byPod[r.Pod] = r
	}
	for _, e := range expected {
		r, ok := byPod[e.Pod]
		if ok && e.LeftOut == "" {
			agents = append(agents, r)
			continue
		}
		reason := cmp.Or(e.LeftOut, lost[e.Pod], "no report")
		missing = append(missing, Missing{Pod: e.Pod, Node: e.Node, Reason: reason})
	}
	slices.SortFunc(agents, func(a, b Agent) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod)) })
	slices.SortFunc(missing, func(a, b Missing) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod)) })
	return agents, missing
}

// ExpectedOf returns what was expected of the pod, and whether anything was.
func (r Round) ExpectedOf(pod string) (Expected, bool) {
	for _, e := range r.Expected {
		if e.Pod == pod {
			return e, true
		}
	}
	return Expected{}, false
}
