// Package workload makes the agents of a task's own: a DaemonSet or Deployment, its Services and its Ingress.
//
// All of them are copies of the default agents' manifests, with what the task's agentSpec replaces. What a copy looks
// like is decided by pure functions (names.go, build.go, front.go, ports.go); Keeper reads, applies and deletes. What
// stands in front of the default agents for tasks that ask for a load balancer or an Ingress is made here as well.
package workload

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/topology"
)

// The labels by which the agents and what belongs to them are found.
const (
	nameLabel      = "app.kubernetes.io/name"
	componentLabel = "app.kubernetes.io/component"
	component      = "kdoctor-agent"
)

// The annotations of a workload of a task's own: whose it is.
const (
	taskAnnotation    = "kdoctor.io/task"
	taskUIDAnnotation = "kdoctor.io/task-uid"
	// askedAnnotation is on what was made on demand in front of the default agents: since when a task asks for it.
	// unwantedAnnotation is since when none does any more.
	askedAnnotation    = "kdoctor.io/asked-since"
	unwantedAnnotation = "kdoctor.io/unwanted-since"
)

// The kinds of what stands in front of agents.
const (
	kindService = "Service"
	kindIngress = "Ingress"
)

// DesiredAgents is what a task asks for.
type DesiredAgents struct {
	// Task is whose agents they are.
	Task Task
	Spec v1beta1.AgentSpec
	// Names are those that Names gives for the task.
	Names topology.Workload
	// LoadBalancer and Ingress tell whether the task probes those addresses, Families over which families.
	LoadBalancer, Ingress bool
	Families              []topology.Family
}

// Task names a task.
type Task struct {
	Kind, Name string
	UID        types.UID
}

// RolloutStatus tells how far the agents have come.
type RolloutStatus struct {
	// Made reports that something was made or changed just now.
	Made bool
	// Wanted is how many agents there ought to be, Ready how many are ready, those of an earlier make left out.
	Wanted, Ready int
	// Whole is true when at least one agent is wanted, all are ready, and none is of an earlier make.
	Whole bool
	// Since is when the last of the ready agents became ready, zero when none is.
	Since time.Time
	// Missing has one clause for each address that the task probes and that nobody has given yet.
	Missing []string
	// Asked is when the last of what must have an address was made; zero where nothing was.
	Asked time.Time
}

// Demand is what tasks that use the default agents ask for in front of them.
type Demand struct {
	// LoadBalancer has the families over which load balancers are probed, Ingress whether an Ingress is.
	LoadBalancer []topology.Family
	Ingress      bool
}

// Nothing reports whether nothing is asked for.
func (d Demand) Nothing() bool { return len(d.LoadBalancer) == 0 && !d.Ingress }
