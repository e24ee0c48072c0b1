// Package mesh decides which agent probes which targets in a round, and who ought to answer: every agent probes all
// targets.
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
	// Pairs is which pairs of nodes are probed; empty is AutoPairs. Rounds is in how many rounds every pair is probed
	// at least, a power of two; 0 is 1.
	Pairs  Pairs
	Rounds uint64
	// Again are the pairs that failed in earlier rounds.
	Again []report.Again
	// SuccessRate and MeanDelay are what paths must reach; see Detail.
	SuccessRate float64
	MeanDelay   time.Duration
	// Limit is Plan.Limit.
	Limit time.Duration
	HTTP
}

// Plan is what one agent is to do in one round.
type Plan struct {
	Key  schedule.Key   `json:"Key"`
	Task report.TaskRef `json:"Task"`
	// Agent is the agent that carries the plan out.
	Agent   topology.Agent  `json:"Agent"`
	Targets []target.Target `json:"Targets"`
	Load    Load            `json:"Load"`
	// Limit is the time within which the round must be over. It counts from when the agent receives the plan.
	Limit time.Duration `json:"Limit"`
	HTTP
	// Authorities are certificates in PEM, by the name in Trust of the targets.
	Authorities map[string][]byte `json:"Authorities"`
	// Common are further targets, which the agent has in common with others; Assignment.PlanOf sets it. Agents get them
	// as Targets.
	Common []*target.Target `json:"-"`
	// Paths is the number of targets of the agent, where Mesh.Shared has most of them; 0 where Targets has them all.
	Paths int `json:"Paths,omitempty"`
	// Detail says which paths are reported one by one; its zero value is all. Assignment.PlanOf sets it.
	Detail Detail `json:"-"`
}

// Len returns the number of the plan's targets, At the target at a place: those of its own first.
func (p Plan) Len() int { return len(p.Targets) + len(p.Common) }

// At returns the target at the place, 0 to Len()-1.
func (p Plan) At(i int) *target.Target {
	if own := len(p.Targets); i >= own {
		return p.Common[i-own]
	}
	return &p.Targets[i]
}

// HTTP is the part of a plan that is about HTTP. A plan for another protocol has a part of its own beside it; the rest
// of a plan is the same for all.
type HTTP struct {
	// Status is the HTTP status that counts as success; 0 is 200.
	Status int `json:"Status"`
	// Answer says how the agent answers requests of this round from any agent.
	Answer Answer `json:"Answer"`
}

// Answer says how requests of a round are answered. The zero value is the plain answer.
type Answer struct {
	// Bytes is the least length of the body.
	Bytes int `json:"Bytes"`
	// Delay is the time that the agent waits before it answers.
	Delay time.Duration `json:"Delay"`
	// Status is the HTTP status; 0 is 200.
	Status int `json:"Status"`
}

// Mesh is the plan of a whole round.
type Mesh struct {
	Plans    []Plan            `json:"Plans"`
	Expected []report.Expected `json:"Expected"`
	// Load is what was asked for and what was granted, once limits.Grant has granted it; all plans have the same rate.
	Load report.RequestBudget `json:"Load"`
	// Backends say which pods ought to answer on targets on which any of several may.
	Backends []report.BackendSet `json:"Backends"`
	// Gaps are sorted by kind as asked, then family, without repetition.
	Gaps []target.Gap `json:"Gaps"`
	// Outside are the nodes that run no agent and are not meant to, and the nodes whose node ports are not probed,
	// sorted by name.
	Outside []report.Outside `json:"Outside"`
	// Shared has the targets that all plans have in common, in a round with many paths; nil in others.
	Shared *Shared `json:"Shared,omitempty"`
}

// New plans a round in which every ready agent probes every target, or its part of the pairs of nodes, with the load
// that is asked for: limits.Grant lowers it. Agents that are not ready are expected as well, with the reason. Plans
// with the same targets share them.
func New(key schedule.Key, task report.TaskRef, snapshot topology.Snapshot, want Want) Mesh {
	var m Mesh
	seen := map[target.Gap]bool{}
	planner := newPlanner(snapshot, want)
	for _, agent := range snapshot.Agents {
		if !agent.Ready() {
			m.Expected = append(m.Expected,
				report.Expected{Pod: agent.Pod, Node: agent.Node, LeftOutWhy: agent.NotReady})
			continue
		}
		its := planner.targetsOf(agent)
		for _, gap := range its.gaps {
			if !seen[gap] {
				seen[gap] = true
				m.Gaps = append(m.Gaps, gap)
			}
		}
		m.Expected = append(m.Expected, report.Expected{Pod: agent.Pod, Node: agent.Node, Targets: its.names})
		m.Plans = append(m.Plans,
			Plan{Key: key, Task: task, Agent: agent, Targets: its.targets, Limit: want.Limit, HTTP: want.HTTP,
				Authorities: authorities(snapshot, its.targets)})
	}
	m.Outside = outside(snapshot, want)
	m.SetLoad(want.Load)
	m.Backends = backends(snapshot, m.Plans)
	m.share(key, snapshot, want)
	return m
}

// authorities returns the authorities that the targets trust.
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

// SetLoad gives all plans the load, and says in Expected how many requests it makes.
func (m *Mesh) SetLoad(load Load) {
	for i := range m.Plans {
		m.Plans[i].Load = load
	}
	for i := range m.Expected {
		if m.Expected[i].LeftOutWhy == "" {
			m.Expected[i].Requests = load.Requests()
			m.Expected[i].Persistent, _ = load.Persistent()
		}
	}
}

// DropPlans takes all plans away, so that nothing is sent. Only agents that could not even have begun are expected
// then.
func (m *Mesh) DropPlans() {
	m.Plans, m.Backends, m.Shared = nil, nil, nil
	m.Expected = slices.DeleteFunc(m.Expected, func(e report.Expected) bool { return e.LeftOutWhy == "" })
}
