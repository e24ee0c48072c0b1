// Package oracle makes rounds whose truth is known, and compares the product's judgement with the truth.
//
// A Scenario describes a small cluster, the load on it, and what happens meanwhile: faults, changes made on purpose,
// limits of agents. Simulate draws every request at the moment it is due. Each request ends as the state of the cluster
// at that moment demands, and its cause is noted. What real agents would report goes through the wire to the product's
// own judge. Check compares the judgement with the causes.
//
// The package only supports tests. It shares no code with packages churn, verdict and diagnose, and its truth comes
// from the noted causes alone.
package oracle

import (
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Scenario is a cluster, a load on it, and what happens meanwhile. All times are counted from the start of the round
// by the controller's clock.
type Scenario struct {
	// Name names a scenario that a person wrote; random scenarios have none.
	Name string
	// Seed and Number choose the random numbers that requests are drawn with.
	Seed, Number uint64

	Nodes    []Node
	Service  Service
	Kinds    []target.Kind
	Families []topology.Family
	Load     mesh.Load
	Expect   verdict.Expect
	Faults   []Fault
	Changes  []Change
	Limits   []Limit
	Starts   []Start
	Balancer Proxy
	Ingress  Proxy
}

// Node is one node and the agent on it, which has the same number.
type Node struct {
	Zone int
	// AgentOn is one plus the number of the other node on which the agent runs; 0 if the agent runs on its own node. If
	// AgentOn is set, the node itself does not exist.
	AgentOn int
	// NoAgentWhy is why there is no ready agent although one is wanted. OutsideWhy is why none is wanted. Both are
	// clauses, empty if an agent runs.
	NoAgentWhy, OutsideWhy string
	// Cordoned and Removing hold since before the round.
	Cordoned, Removing bool
	// SameAddressAs is one plus the number of another node whose address this node also claims; 0 for none.
	SameAddressAs int
	// ProxyLag is how long the node's Service proxy lags behind the endpoint slices.
	ProxyLag time.Duration
}

// hasAgent reports whether the node has an agent that takes part.
func (n Node) hasAgent() bool { return n.NoAgentWhy == "" && n.OutsideWhy == "" }

// Spread is how a Service leads clients to its backends.
type Spread string

// The ways to spread.
const (
	Even     Spread = ""
	SameZone Spread = "same zone"
	SameNode Spread = "same node"
	Sticky   Spread = "sticky"
	OneOnly  Spread = "one pod for all"
)

// Insiders are the ways in which Service proxies distinguish pods from clients outside the cluster.
type Insiders string

// The ways: by the addresses of all pods, by those of the node's own pods, or not at all.
const (
	Everywhere Insiders = "everywhere"
	OnOwnNode  Insiders = ""
	Nowhere    Insiders = "nowhere"
)

// Service has the properties of the agents' Services, one Service for each family.
type Service struct {
	InternalLocal, ExternalLocal bool
	// Insiders says on which nodes' ports pods count as clients inside the cluster, to whom the external policy does
	// not apply.
	Insiders Insiders
	Spread   Spread
	// SpreadIsFault reports that Spread is a fault: nothing in the spec says so.
	SpreadIsFault bool
}

// Proxy is a load balancer or an Ingress in front of the Service.
type Proxy struct {
	// ShortCircuit reports that nodes answer for the address themselves (ipMode VIP); load balancers only.
	ShortCircuit bool
	// Sticky reports that all requests of one client are led to one pod.
	Sticky bool
	// AnswersForPods reports that the proxy ends connections itself and answers for pods that do not answer.
	AnswersForPods bool
	// IgnoresEndpoints is how long the proxy goes on choosing pods that are gone, because it does not follow the
	// endpoints.
	IgnoresEndpoints time.Duration
}

// FaultKind is what is broken.
type FaultKind string

// The kinds of faults.
const (
	DeadPod          FaultKind = "dead pod"
	HungPod          FaultKind = "hung pod"
	DeadNode         FaultKind = "dead node"
	BlockedNodePort  FaultKind = "blocked node port"
	LossyLink        FaultKind = "lossy link"
	Partition        FaultKind = "partition"
	BrokenService    FaultKind = "broken Service path"
	StaleBackend     FaultKind = "stale backend"
	SilentBackend    FaultKind = "silent backend"
	WrongPeer        FaultKind = "wrong peer"
	WrongStatus      FaultKind = "wrong status"
	SlowPod          FaultKind = "slow pod"
	IdleReset        FaultKind = "idle connections reset"
	BalancerDown     FaultKind = "load balancer down"
	IngressDown      FaultKind = "Ingress down"
	LostReport       FaultKind = "lost report"
	PolicyRefuses    FaultKind = "policy refuses"
	SharedAddress    FaultKind = "shared node address"
	AgentAbsent      FaultKind = "no agent where one is wanted"
	UnevenUndeclared FaultKind = "uneven Service"
)

// Fault is something broken from one moment to another.
type Fault struct {
	Kind     FaultKind
	From, To time.Duration
	// Node is the node, or the number of the pod that started on it. Peer is the other node of a link, or the only node
	// from which requests meet the fault; -1 for all.
	Node, Peer int
	// Rate is the share of requests that meet the fault, 0 to 1.
	Rate float64
	// Delay is what slow answers take.
	Delay time.Duration
	// How is the ending of requests that meet the fault.
	How Ending
	// OnlyPersistent reports that only persistent streams meet it.
	OnlyPersistent bool
}

// ChangeKind is what somebody did on purpose.
type ChangeKind string

// The kinds of changes.
const (
	Delete  ChangeKind = "delete"
	Restart ChangeKind = "restart"
	Drain   ChangeKind = "drain"
	// Remove takes the node away: an autoscaler or a spot market.
	Remove ChangeKind = "remove node"
	// Cordon only takes the node out of use, which harms nobody.
	Cordon ChangeKind = "cordon"
)

// Change is something done on purpose to the pod that started on a node.
type Change struct {
	Kind ChangeKind
	Node int
	At   time.Duration
	// Stops is how long after At the pod still answers. Follows is how long after At the endpoints drop the pod.
	Stops, Follows time.Duration
	// Back is how long after the stop a restarted pod listens again, or a replacement is ready; 0 for no replacement.
	Back time.Duration
	// Announced is how long before At the node is cordoned, for Drain and Remove.
	Announced time.Duration
	// TimeKnown reports that the API has the time of the change.
	TimeKnown bool
	// ReportFetched reports that the agent's report was fetched when the agent ended, before it was gone.
	ReportFetched bool
	// AddressReused reports that another pod gets the address of the deleted pod.
	AddressReused bool
	// How is the ending of requests to the pod once it is gone.
	How Ending
}

// Limit is what keeps one agent from observing, or from answering.
type Limit struct {
	Node     int
	From, To time.Duration
	// Throttled is the share of CPU periods in which the agent was stopped.
	Throttled float64
	// Late is the share of the agent's own requests that start or end late, Missed the share that is never made, Unsent
	// the share for which there is no port, and Expired the share that times out because the agent reads too late.
	Late, Missed, Unsent, Expired float64
	// SlowAnswers is the share of requests to the agent that it answers late, LostAnswers the share that it does not
	// answer in time.
	SlowAnswers, LostAnswers float64
	// OnlyPersistent reports that only persistent streams meet it.
	OnlyPersistent bool
	// Stopped reports that the agent's part was stopped before its end, at To.
	Stopped bool
}

// Start is when one agent begins.
type Start struct {
	// Asked is when the controller first asked the agent to begin, At when the agent began, and Known when the
	// controller had the agent's answer.
	Asked, At, Known time.Duration
	// Clock is how far the agent's clock is ahead.
	Clock time.Duration
}

// Ending is how a request ends that nobody answers.
type Ending uint8

// The endings.
const (
	ByTimeout Ending = iota
	ByRefusal
	ByUnreachable
	ByReset
	BySilence
)
