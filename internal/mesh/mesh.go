// Package mesh decides which agent probes which targets in a round: here every agent probes all of them.
package mesh

import (
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Want is what a task asks for.
type Want struct {
	Kinds    []target.Kind
	Families []topology.Family
	// NodePorts says on which nodes node ports are probed; empty is target.AllNodes.
	NodePorts target.Nodes
	// NodeAddresses says by which addresses of a node its node ports are probed; empty is target.PrimaryAddress.
	NodeAddresses target.Addresses
	Load          Load
	// Limit is the one of Plan.
	Limit time.Duration
	HTTP
}

// Load is the load on each target, from each agent.
type Load struct {
	// PerSecond is the rate in requests per second, 1 or more.
	PerSecond int `json:"PerSecond"`
	// Every makes the rate lower than 1 a second: PerSecond requests are due every so many seconds, which are no more
	// than the load lasts. 0 is 1.
	Every int `json:"Every"`
	// Duration is how long the load lasts, in whole seconds.
	Duration time.Duration `json:"Duration"`
	// Timeout bounds each request.
	Timeout time.Duration `json:"Timeout"`
	// Connection tells how requests use connections; empty is NewConnection.
	Connection Connection `json:"Connection"`
}

// Connection is how requests use connections.
type Connection string

// The ways to use connections.
const (
	// NewConnection opens a connection for every request.
	NewConnection Connection = "new"
	// KeepAlive sends requests over connections that stay open.
	KeepAlive Connection = "keepalive"
	// Both opens a connection for every counted request, and beside them sends a slow stream over one that stays open.
	Both Connection = "both"
)

// keptShare is how many counted requests there are for one of the kept stream.
const keptShare = 10

// Kept is how many requests are due on the kept stream of each target, and the time between two of them: a tenth of the
// counted ones, but at least three, without which no connection would have to last, and no further apart than
// echo.LongestPause. It is 0 without a kept stream.
func (l Load) Kept() (requests uint64, every time.Duration) {
	if l.Connection != Both {
		return 0, 0
	}
	requests = max(l.Requests()/keptShare, uint64(l.keptLeast())) // #nosec G115 -- a positive number
	return requests, l.Duration / time.Duration(requests)
}

// Requests is how many requests are due on each target. What would be due when the load is over is not.
func (l Load) Requests() uint64 {
	return uint64(l.PerSecond) * uint64(l.Duration/time.Second) / uint64(l.every())
}

// Plan is what one agent is to do in one round.
type Plan struct {
	Key  schedule.Key `json:"Key"`
	Task report.Task  `json:"Task"`
	// Agent is who carries the plan out.
	Agent   topology.Agent  `json:"Agent"`
	Targets []target.Target `json:"Targets"`
	Load    Load            `json:"Load"`
	// Limit is the time within which the round must be over, counted from when the agent receives the plan.
	Limit time.Duration `json:"Limit"`
	HTTP
	// Authorities are certificates in PEM by the name that targets have in Trust.
	Authorities map[string][]byte `json:"Authorities"`
}

// HTTP is the part of a plan that is about HTTP. A plan for another protocol has a part of its own beside it; the rest
// of a plan is the same for all.
type HTTP struct {
	// Status is the HTTP status that counts as success; 0 is 200.
	Status int `json:"Status"`
	// Answer is how the agent answers the requests of this round, whoever sends them.
	Answer Answer `json:"Answer"`
}

// Answer is how the requests of a round are answered. The zero value is the plain answer.
type Answer struct {
	// Bytes is how long the body is at least.
	Bytes int `json:"Bytes"`
	// Delay is waited before the answer.
	Delay time.Duration `json:"Delay"`
	// Status is the HTTP status; 0 is 200.
	Status int `json:"Status"`
}

// Mesh is the plan of a whole round.
type Mesh struct {
	Plans    []Plan            `json:"Plans"`
	Expected []report.Expected `json:"Expected"`
	// Load is what was asked for and what was planned; all plans have the same rate.
	Load report.RequestBudget `json:"Load"`
	// Backends tell who ought to answer on targets that no single agent has.
	Backends []report.BackendSet `json:"Backends"`
	// Gaps are sorted by kind as asked, then family, without repetition.
	Gaps []target.Gap `json:"Gaps"`
	// Outside are the nodes that run no agent and are not meant to, and those of which node ports are not probed,
	// sorted by name.
	Outside []report.Outside `json:"Outside"`
}

// New plans a round in which every ready agent probes every target, with the load that is asked for: Give lowers it.
// Agents that are not ready are expected all the same, with the reason. Plans with the same targets share them.
func New(key schedule.Key, task report.Task, snapshot topology.Snapshot, want Want) Mesh {
	var m Mesh
	seen := map[target.Gap]bool{}
	planner := newPlanner(snapshot, want)
	for _, agent := range snapshot.Agents {
		if !agent.Ready() {
			m.Expected = append(m.Expected,
				report.Expected{Pod: agent.Pod, Node: agent.Node, LeftOutWhy: agent.NotReady})
			continue
		}
		made := planner.of(agent)
		for _, gap := range made.gaps {
			if !seen[gap] {
				seen[gap] = true
				m.Gaps = append(m.Gaps, gap)
			}
		}
		m.Expected = append(m.Expected, report.Expected{Pod: agent.Pod, Node: agent.Node, Targets: made.names})
		m.Plans = append(m.Plans,
			Plan{Key: key, Task: task, Agent: agent, Targets: made.targets, Limit: want.Limit, HTTP: want.HTTP,
				Authorities: authorities(snapshot, made.targets)})
	}
	m.Outside = outside(snapshot, want)
	m.Give(want.Load, Limits{})
	m.Backends = backends(snapshot, m.Plans)
	return m
}

// authorities are those that the targets trust.
func authorities(snapshot topology.Snapshot, targets []target.Target) map[string][]byte {
	var trusted map[string][]byte
	for _, t := range targets {
		if t.Trust == "" {
			continue
		}
		for _, ingress := range snapshot.Ingresses {
			if certificates, ok := ingress.Authorities[t.Trust]; ok {
				if trusted == nil {
					trusted = map[string][]byte{}
				}
				trusted[t.Trust] = certificates
			}
		}
	}
	return trusted
}

// Give sets the load of all plans, lowered as far as the limits need it, and what it makes expected. It may be
// repeated. Where even the lowest rate is more than the limits leave, Load.Withheld tells it, and the round must not
// run: see Withhold.
func (m *Mesh) Give(asked Load, limits Limits) {
	load, told := within(m.Ask(asked), limits)
	m.Load = told
	for i := range m.Plans {
		m.Plans[i].Load = load
		m.Load.AnswerBytes = m.Plans[i].Answer.Bytes
	}
	for i := range m.Expected {
		if m.Expected[i].LeftOutWhy == "" {
			m.Expected[i].Requests = load.Requests()
			m.Expected[i].Persistent, _ = load.Kept()
		}
	}
}

// Withhold takes the plans away, so that nothing is sent. Nobody is expected to report then but those who could not
// even have begun.
func (m *Mesh) Withhold() {
	m.Plans, m.Backends = nil, nil
	m.Expected = slices.DeleteFunc(m.Expected, func(e report.Expected) bool { return e.LeftOutWhy == "" })
}
