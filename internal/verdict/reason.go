package verdict

import (
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Code names one kind of reason. Codes are stable: reports serve them, and programs may rely on them.
type Code string

// The reasons of rounds.
const (
	// NoTarget: a target that the task asks for does not exist. Kind and Family say which, Text says why.
	NoTarget Code = "NoTarget"
	// NotReported: an expected agent gave no report. Text says why.
	NotReported Code = "NotReported"
	// NothingGiven: the limits left the round no load at all. Text says why.
	NothingGiven Code = "NothingGiven"
	// NobodyReported: there is no report at all.
	NobodyReported Code = "NobodyReported"
	// NothingLeft: nothing failed, but changes excuse everything.
	NothingLeft Code = "NothingLeft"
	// Located: paths failed, and Text says what they have in common.
	Located Code = "Located"
	// FewAgents: only Count of Of expected agents have a report that could be judged.
	FewAgents Code = "FewAgents"
	// FewPaths: only Count of Of planned paths of Kind and Family could be judged.
	FewPaths Code = "FewPaths"
)

// The reasons of agents.
const (
	// Stopped: the round was stopped before its end.
	Stopped Code = "Stopped"
	// NotMeasured: the report has no measurement of Target.
	NotMeasured Code = "NotMeasured"
	// PathsNotMeasured: the report has no measurement of Count of the Of paths of the agent.
	PathsNotMeasured Code = "PathsNotMeasured"
	// FurtherPaths: Count of Of paths that the agent does not report one by one did not pass.
	FurtherPaths Code = "FurtherPaths"
	// NoTargets: the agent had no target.
	NoTargets Code = "NoTargets"
)

// The reasons of paths. Unless said otherwise, Count of Of is a number of requests.
const (
	// TooFewSucceeded: Count of Of requests succeeded, and Rate was expected. Lost is how many connections were lost
	// while idle.
	TooFewSucceeded Code = "TooFewSucceeded"
	// TooSlow: the mean delay is Delay, and Allowed was expected at most.
	TooSlow Code = "TooSlow"
	// NeverReused: no persistent connection lasted until the next request, on a path on which nothing may close it.
	NeverReused Code = "NeverReused"
	// NothingSent: no request was sent; Of were due.
	NothingSent Code = "NothingSent"
	// NothingSucceeded: no request succeeded where none had to, so there is no delay to judge.
	NothingSucceeded Code = "NothingSucceeded"
	// NotDue: only Count of Of planned requests came due.
	NotDue Code = "NotDue"
	// TooFewJudged: only Count of Of planned requests were sent and could be judged.
	TooFewJudged Code = "TooFewJudged"
	// ShortAnswers: answers had Count bytes on average; the task asks for Of at least.
	ShortAnswers Code = "ShortAnswers"
	// Excused: changes explain so many requests that too few are left to judge. Count requests are left, Excused are
	// explained, and Of were planned.
	Excused Code = "Excused"
	// Cut: the agent itself was changed before enough was measured. Text says how.
	Cut Code = "Cut"
)

// The limits of agents.
const (
	// Throttled: the CPU quota of Cores stopped the agent in Count of Of periods, for Delay in all.
	Throttled Code = "Throttled"
	// OutOfFiles: Count of Of due requests could not be sent while Used of Room descriptors were open.
	OutOfFiles Code = "OutOfFiles"
	// OutOfPorts: Count of Of due requests could not be sent, because the agent had no port (of Room, 0 if unknown),
	// descriptor or memory.
	OutOfPorts Code = "OutOfPorts"
	// Late: the agent itself was at least Delay late with Count of Of requests, and Allowed is the limit.
	Late Code = "Late"
	// Unsent: only Count of Of due requests of the path were sent: Missed could not be started in time, NotSent had no
	// port, descriptor or memory.
	Unsent Code = "Unsent"
)

// Failures counts the failures of one outcome and phase.
type Failures struct {
	Outcome probe.Outcome `json:"Outcome"`
	Phase   probe.Phase   `json:"Phase"`
	Count   uint64        `json:"Count"`
}

// Reason is why a path, an agent or a round did not pass, as data. String says it in words. The zero value is no
// reason. Fields that the code does not name are zero.
type Reason struct {
	Code Code `json:"Code,omitempty"`
	// Pod and Node name the agent. In the reason of a path or of an agent they are set only for a limit of the
	// answering agent.
	Pod  string `json:"Pod,omitempty"`
	Node string `json:"Node,omitempty"`
	// Target is the ID of the target, empty in a path's own reason.
	Target string          `json:"Target,omitempty"`
	Kind   target.Kind     `json:"Kind,omitempty"`
	Family topology.Family `json:"Family,omitempty"`
	// Persistent reports that the reason is about the requests over a persistent connection, beside the counted
	// requests.
	Persistent bool `json:"Persistent,omitempty"`

	Count   uint64 `json:"Count,omitempty"`
	Of      uint64 `json:"Of,omitempty"`
	Used    uint64 `json:"Used,omitempty"`
	Room    uint64 `json:"Room,omitempty"`
	Missed  uint64 `json:"Missed,omitempty"`
	NotSent uint64 `json:"NotSent,omitempty"`
	Excused uint64 `json:"Excused,omitempty"`
	// Lost is how many persistent connections were lost while idle.
	Lost    uint64        `json:"Lost,omitempty"`
	Rate    float64       `json:"Rate,omitempty"`
	Cores   float64       `json:"Cores,omitempty"`
	Delay   time.Duration `json:"Delay,omitempty"`
	Allowed time.Duration `json:"Allowed,omitempty"`
	// Worst is the most frequent kind of failure, nil without one.
	Worst *Failures `json:"Worst,omitempty"`
	// Change is the only change that explains the excused requests, or why nothing is left to judge; nil if there are
	// several. Changes is how many changes there are.
	Change  *report.Change `json:"Change,omitempty"`
	Changes int            `json:"Changes,omitempty"`
	// Limit is the limit of an agent that makes the rest no evidence, nil without a limit.
	Limit *Reason `json:"Limit,omitempty"`
	// Text is what others reported: why a target does not exist, why there is no report. In a reason that the first
	// release stored, Text is the whole clause.
	Text string `json:"Text,omitempty"`
}

// IsZero reports whether there is no reason.
func (r Reason) IsZero() bool { return r.Code == "" && r.Text == "" }

// onTarget returns the reason with its target.
func (r Reason) onTarget(id string) Reason {
	r.Target = id
	return r
}

// ofAgent returns the reason with its agent.
func (r Reason) ofAgent(pod, node string) Reason {
	r.Pod, r.Node = pod, node
	return r
}

// withLimit returns the reason with the limit that makes it no evidence; nil adds none.
func (r Reason) withLimit(limit *Reason) Reason {
	r.Limit = limit
	return r
}
