// Package oracle makes rounds whose truth is known, and holds the product's judgement against it.
//
// A Scenario describes a small cluster, the load on it, and what happens meanwhile: faults, changes made on purpose,
// limits of agents. Simulate draws every request one by one at the moment it is due; each ends as the world is at
// that moment, and a Ledger notes why. What real agents would report goes through the wire to the product's own
// judge. Check compares the two.
//
// The package supports tests only. It shares no code with packages churn, verdict and diagnose: what it holds to be
// true comes from the ledger alone.
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
	// Name is what a person calls the scenario; random ones have none.
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
	// On is the number of the node that the agent runs on instead of one of its own, plus one; 0 for its own. Such a
	// node does not exist.
	On int
	// Without is why there is no ready agent although one is wanted; Outside is why none is wanted. Both are clauses,
	// empty where an agent runs.
	Without, Outside string
	// Cordoned and Removing hold from before the round.
	Cordoned, Removing bool
	// SameAddressAs is the number of another node whose address this one also claims, plus one; 0 for none.
	SameAddressAs int
	// Lag is how long after the endpoint slices the Service proxy of the node follows.
	Lag time.Duration
}

// agent reports whether the node has an agent that takes part.
func (n Node) agent() bool { return n.Without == "" && n.Outside == "" }

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

// Insiders are the ways in which Service proxies tell pods from clients outside the cluster.
type Insiders string

// The ways: by the addresses of all pods, by those of the node's own pods, or not at all.
const (
	Everywhere Insiders = "everywhere"
	OnOwnNode  Insiders = ""
	Nowhere    Insiders = "nowhere"
)

// Service are the properties of the agents' Services, of which there is one a family.
type Service struct {
	InternalLocal, ExternalLocal bool
	// Insiders says on which nodes' ports pods are taken for clients inside the cluster, to whom the external policy
	// does not apply.
	Insiders Insiders
	Spread   Spread
	// Undeclared reports that Spread is a fault: nothing in the spec says so.
	Undeclared bool
}

// Proxy is a load balancer or an Ingress in front of the Service.
type Proxy struct {
	// ShortCircuit reports that nodes answer for the address themselves (ipMode VIP); load balancers only.
	ShortCircuit bool
	// Pins reports that all requests of one client are led to one pod.
	Pins bool
	// Speaks reports that the proxy ends connections itself and answers for pods that do not.
	Speaks bool
	// Deaf reports that the proxy does not follow the endpoints, so that it goes on choosing pods that are gone for a
	// while.
	Deaf time.Duration
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
	// Node is the node, or the number of the pod that started on it; Peer is the other node of a link, or the node
	// from which only the fault is met; -1 for all.
	Node, Peer int
	// Rate is the share of requests that meet the fault, 0 to 1.
	Rate float64
	// Delay is what slow answers take.
	Delay time.Duration
	// How is how requests end that meet the fault.
	How Ending
	// OnlyKept reports that persistent streams alone meet it.
	OnlyKept bool
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
	// Stops is how long after At the pod goes on answering, Follows how long after At endpoints no longer have it.
	Stops, Follows time.Duration
	// Back is how long after it stopped a restarted pod listens again, or a replacement is ready; 0 for no replacement.
	Back time.Duration
	// Announced is how long before At the node is cordoned, for Drain and Remove.
	Announced time.Duration
	// Told reports that the API has the time of the change.
	Told bool
	// Partial reports that the agent's report was fetched when it ended, before it was gone.
	Partial bool
	// Reused reports that another pod gets the address of the deleted one.
	Reused bool
	// How is how requests to the pod end once it is gone.
	How Ending
}

// Limit is what keeps one agent from observing, or from answering.
type Limit struct {
	Node     int
	From, To time.Duration
	// Throttled is the share of CPU periods in which the agent was stopped.
	Throttled float64
	// Late is the share of the agent's own requests that start or end late, Missed the share that is never made,
	// Unsent the share for which there is no port, Expired the share that times out because the agent looks too late.
	Late, Missed, Unsent, Expired float64
	// SlowAnswers is the share of requests to the agent that it answers late, LostAnswers the share that it does not
	// answer in time.
	SlowAnswers, LostAnswers float64
	// OnlyKept reports that persistent streams alone meet it.
	OnlyKept bool
	// Stopped reports that the agent's part was stopped before its end, at To.
	Stopped bool
}

// Start is when one agent begins.
type Start struct {
	// Asked is when the controller first asked the agent to begin, At when it began, Known when the controller had
	// its answer.
	Asked, At, Known time.Duration
	// Clock is how far the agent's clock is ahead.
	Clock time.Duration
}

// Ending is how a request ends that meets nobody.
type Ending uint8

// The endings.
const (
	ByTimeout Ending = iota
	ByRefusal
	ByUnreachable
	ByReset
	BySilence
)
