// Package report holds what agents measured in a round and merges it with what was planned:
// who was expected and did not report stands beside who did, so that silence can never read as success.
package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/schedule"
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
	// Spans tell when the attempts started, in their order; their counts add up to Count. They are empty where the agent does not tell.
	Spans []Span `json:"Spans"`
	// Void is how many of Count say nothing, because the peer was changed; see Round.Churn. They count for neither side of a rate.
	Void uint64 `json:"Void"`
}

// Path is what one agent measured on one target.
// Scheduled = Sent + Missed; Sent = OK + the sum of Failures.
type Path struct {
	Target target.Target `json:"Target"`
	// Scheduled is how many attempts were due, Sent how many were made, Missed how many the agent could not make in time.
	Scheduled uint64    `json:"Scheduled"`
	Sent      uint64    `json:"Sent"`
	Missed    uint64    `json:"Missed"`
	OK        uint64    `json:"OK"`
	Failures  []Failure `json:"Failures"`
	// Latency counts successful attempts only: the time of the network and the other side, without the agent's own.
	Latency stats.Histogram `json:"Latency"`
	// Response counts successful attempts from when they were due to their end: Latency plus Lag, which is what a user would have waited
	// who wanted the answer at that moment.
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
	// Reused is how many attempts went over a connection that an earlier one had opened, Closed how many of those failed because
	// the other side had closed it before it answered: they are among Failures.
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
	// IdleResets and IdleCloses count persistent connections that the other side reset, or closed in good order, while no request was
	// under way on them. No attempt failed for it.
	IdleResets uint64 `json:"IdleResets"`
	IdleCloses uint64 `json:"IdleCloses"`
	// Excuses say what explains the void failures; agents send none.
	Excuses []Excuse `json:"Excuses"`
	// Kept is the same for the slow stream over a connection that stays open, beside the counted attempts; nil without one.
	// Its Target is this path's, and it has no Kept itself.
	Kept *Path `json:"Kept"`
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

// UnmarshalJSON reads phases by name, or in their order, as the first release stored them. Phases of a later release are
// left out.
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

// Gateway reports whether all unexpected statuses are those by which a proxy says that it found nobody to answer, 502, 503 and 504 (RFC 9110, 15.6);
// it is true where there are none. The path's void attempts must still be in it.
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
	// The expected status may be one of these itself: then it is that of all answers that are not among the unexpected ones.
	return slices.ContainsFunc([]int{502, 503, 504}, func(expected int) bool {
		n := p.Statuses[expected]
		return n+bad == all && gateway-n == bad
	})
}

// Resources is what an agent used while the round ran.
type Resources struct {
	// MaxCPU and MeanCPU are in percent of one core.
	MaxCPU  float64 `json:"MaxCPU"`
	MeanCPU float64 `json:"MeanCPU"`
	// MaxMemory is in bytes.
	MaxMemory uint64 `json:"MaxMemory"`
	// Known is false where the agent could not read its own use.
	Known bool `json:"Known"`
}

// Observer is how well the agent could observe: what kept it from sending or looking in time is not the network's fault.
type Observer struct {
	// Quota is the CPU limit in cores, 0 without one. The rest of CPU throttling is as the kernel counts it, during the round:
	// enforcement periods, those in which the agent was stopped, and for how long in all.
	Quota            float64       `json:"Quota"`
	Periods          uint64        `json:"Periods"`
	ThrottledPeriods uint64        `json:"ThrottledPeriods"`
	Throttled        time.Duration `json:"Throttled"`
	// LongestPause is the longest stop of the whole process by its own garbage collector.
	LongestPause time.Duration `json:"LongestPause"`
	// Files is the most descriptors that were open at once, FileLimit how many may be.
	Files     uint64 `json:"Files"`
	FileLimit uint64 `json:"FileLimit"`
	// Ports is how many local ports connections to one address may use.
	Ports uint64 `json:"Ports"`
	// Conntrack is how many connections the kernel tracked at most on the agent's side, ConntrackLimit how many it can; 0 where unknown.
	Conntrack      uint64 `json:"Conntrack"`
	ConntrackLimit uint64 `json:"ConntrackLimit"`
	// Grid tells that the load was too high for a wake-up per event, so that the agent woke at fixed moments and relied on the kernel's clock.
	Grid bool `json:"Grid"`
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
	Pod  string `json:"Pod"`
	Node string `json:"Node"`
	Via  Via    `json:"Via"`
	// Finished is false for a round that was stopped before its end.
	Finished bool      `json:"Finished"`
	Started  time.Time `json:"Started"`
	Ended    time.Time `json:"Ended"`
	// Cut is why the agent itself was stopped during the round, as one clause; empty for one that was not.
	Cut string `json:"Cut"`
	// CutBy is the change that stopped the agent, one of Round.Churn; nil for an agent that was not stopped by one.
	CutBy *Change `json:"CutBy"`
	// Earliest and Latest are moments of the controller's clock between which the agent started; zero where the controller does not know.
	Earliest  time.Time `json:"Earliest"`
	Latest    time.Time `json:"Latest"`
	Paths     []Path    `json:"Paths"`
	Resources Resources `json:"Resources"`
	Observer  Observer  `json:"Observer"`
	// Served is how many counted requests of this round the agent's own responder answered, whoever sent them;
	// ServedKept is how many of the kept streams.
	Served     uint64 `json:"Served"`
	ServedKept uint64 `json:"ServedKept"`
}

// Missing is an agent that was expected and gave no report.
type Missing struct {
	Pod  string `json:"Pod"`
	Node string `json:"Node"`
	// Reason is one clause: "pod is Pending", "no answer on either way: ...".
	Reason string `json:"Reason"`
	// Void reports whether a change during the round explains that there is no report.
	Void bool `json:"Void"`
	// Change is what explains it, one of Round.Churn; nil where nothing does.
	Change *Change `json:"Change"`
	// Answered is until when the agent is known to have been well: the moment at which it was last asked and then answered, or at which
	// the round was planned. It is by the controller's clock, and zero where nobody knows.
	Answered time.Time `json:"Answered"`
}

// Expected is an agent that the plan of the round counts on, or that was left out of it with a reason.
type Expected struct {
	Pod  string `json:"Pod"`
	Node string `json:"Node"`
	// Targets are the IDs of the targets it was to probe.
	Targets []string `json:"Targets"`
	// Requests is how many requests were to come due on each target, Kept how many on its persistent stream; 0 without one.
	Requests uint64 `json:"Requests"`
	Kept     uint64 `json:"Kept"`
	// LeftOut is why the agent took no part; empty for one that was given a plan.
	LeftOut string `json:"LeftOut"`
}

// Task names the task that a round belongs to.
type Task struct {
	// Kind is the task's kind, such as NetReach.
	Kind string `json:"Kind"`
	Name string `json:"Name"`
}

// Backends tells which pods ought to answer on targets that stand for several of them.
type Backends struct {
	// Targets are IDs of targets that lead to the same pods.
	Targets []string `json:"Targets"`
	// Pods are sorted.
	Pods []string `json:"Pods"`
	// Sources are the pods of the agents for which this holds, sorted; empty where it holds for all. They differ where a Service
	// leads each client to the pods on its own node.
	Sources []string `json:"Sources"`
	// Also are pods that may answer although nothing leads to them in the first place, sorted: a node port with the traffic policy Local
	// may treat pods as it treats clients of the policy Cluster.
	Also []string `json:"Also"`
	// Uneven is why not all clients are led to all pods alike, as one clause; empty where nothing says so. See topology.Service.
	Uneven string `json:"Uneven"`
}

// Outside is a node that the round does not look at, or not by every way that is asked for.
type Outside struct {
	Node string `json:"Node"`
	// Reason is one clause, such as "its node selector leaves it out".
	Reason string `json:"Reason"`
}

// Load is the load of a round, as its task asks for it and as it was planned. The zero value is one of which nothing is known.
type Load struct {
	// Asked and Given are the rates in requests per second from each agent to each target: the task's, and the one that was planned.
	// Given is smaller where the task's would have been above a limit, and 0 where even the lowest rate would have been.
	Asked int `json:"Asked"`
	Given int `json:"Given"`
	// Every is how many seconds there are between two requests to a target, where that is more than one; Given is 1 then.
	Every int `json:"Every"`
	// Limit is how many requests a second this round may send from one agent, 0 without a limit.
	Limit int `json:"Limit"`
	// Targets is how many the agent with the most of them has; what follows is about this agent. Sends is how many requests a second it sends,
	// those over connections that stay open included.
	Targets int `json:"Targets"`
	Sends   int `json:"Sends"`
	// Connections is how many new connections a second it opens at the given rate, Tracked how many entries these hold
	// in the table of tracked connections of its node. Ports is how many local ports one target takes at most.
	Connections int `json:"Connections"`
	Tracked     int `json:"Tracked"`
	Ports       int `json:"Ports"`
	// TotalLimit, TotalTargets and TotalSends are the limit, targets and requests a second of all agents together.
	TotalLimit   int `json:"TotalLimit"`
	TotalTargets int `json:"TotalTargets"`
	TotalSends   int `json:"TotalSends"`
	// ByTotal tells that it is the limit for all agents together that made Given smaller.
	ByTotal bool `json:"ByTotal"`
	// Others is how many requests a second other rounds sent from each of the same agents when this round was planned, OthersTotal how many
	// from all agents of the cluster together. The limits are what these left to this round.
	Others      int `json:"Others"`
	OthersTotal int `json:"OthersTotal"`
	// AnswerBytes is how many bytes the body of an answer has at least, 0 where answers are as short as they can be.
	AnswerBytes int `json:"AnswerBytes"`
	// Needs is told where nothing was given: how many requests a second the lowest rate would have been, of one agent or, ByTotal, of all.
	// Cap is the limit of the installation that is below it. Users name the tasks whose rounds left too little of it, as
	// "NetReach a, NetReach b"; it is empty where no part of the limit would do.
	Needs int    `json:"Needs"`
	Cap   int    `json:"Cap"`
	Users string `json:"Users"`
	// Waited is how long the round waited until other rounds left it enough to begin.
	Waited time.Duration `json:"Waited"`
}

// Reduction says in one sentence without a final stop why less was given than was asked for; it is empty where all was given.
func (l Load) Reduction() string {
	if nothing := l.Withheld(); nothing != "" {
		return nothing
	}
	if l.Given >= l.Asked && l.Every <= 1 {
		return ""
	}
	who, limit, others := fmt.Sprintf("an agent with %d targets", l.Targets), l.Limit, l.Others
	if l.ByTotal {
		who, limit, others = fmt.Sprintf("all agents together, with %d targets,", l.TotalTargets), l.TotalLimit, l.OthersTotal
	}
	got := fmt.Sprintf("%s a second instead of %d", requests(l.Given), l.Asked)
	if l.Every > 1 {
		got = fmt.Sprintf("%s every %d seconds instead of %d a second", requests(l.Given), l.Every, l.Asked)
	}
	text := fmt.Sprintf("each target got %s: %s may send %s a second for this task", got, who, requests(limit))
	if others > 0 {
		text += fmt.Sprintf(" beside %d for others", others)
	}
	return text
}

// Withheld says in one sentence without a final stop why nothing at all was sent, because even the least would have been above a limit;
// it is empty for any other round.
func (l Load) Withheld() string {
	if l.Given > 0 || l.Asked <= 0 {
		return ""
	}
	who, limit, setting, targets, others := "an agent", "each agent", "limits.requestsPerSecondPerAgent", l.Targets, l.Others
	if l.ByTotal {
		who, limit, setting, targets, others = "all agents together", "all agents together", "limits.requestsPerSecond", l.TotalTargets, l.OthersTotal
	}
	text := fmt.Sprintf("nothing was sent: %s may send %s a second (%s)", limit, requests(l.Cap), setting)
	if l.Users != "" {
		text += fmt.Sprintf(", of which the rounds of %s had %d until it was too late to begin", l.Users, others)
	}
	return text + fmt.Sprintf(", and %s with %d targets would have sent %d at the lowest rate", who, targets, l.Needs)
}

// Company says in one sentence without a final stop how loaded the agents were with other rounds when this one was planned, and how long it
// waited for others; it is empty where there were none.
func (l Load) Company() string {
	if l.Given <= 0 && l.Asked > 0 {
		// Withheld says what others had.
		return ""
	}
	waited := ""
	if l.Waited > 0 {
		waited = fmt.Sprintf("waited %v until other rounds left it enough", l.Waited.Round(time.Second))
	}
	switch {
	case l.Others <= 0 && waited == "":
		return ""
	case l.Others <= 0:
		return "this round " + waited
	case waited != "":
		waited = ", which had " + waited
	}
	return fmt.Sprintf("other rounds sent %s a second from each of these agents when this one began, beside the %d of this round%s", requests(l.Others), l.Sends, waited)
}

func requests(n int) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
}

// Round is the report of a whole round.
type Round struct {
	Key      schedule.Key `json:"Key"`
	Task     Task         `json:"Task"`
	Started  time.Time    `json:"Started"`
	Deadline time.Time    `json:"Deadline"`
	Ended    time.Time    `json:"Ended"`
	Load     Load         `json:"Load"`
	Expected []Expected   `json:"Expected"`
	Backends []Backends   `json:"Backends"`
	Agents   []Agent      `json:"Agents"`
	Missing  []Missing    `json:"Missing"`
	Gaps     []target.Gap `json:"Gaps"`
	// Churn is what was changed on purpose, or restarted, among the agents while the round ran; sorted by time.
	Churn []Change `json:"Churn"`
	// Outside are the nodes that run no agent and are not meant to, and those of which node ports are not probed, sorted by name.
	Outside []Outside `json:"Outside"`
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
