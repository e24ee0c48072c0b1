// Package workload makes the agents of a task's own: a DaemonSet or Deployment, its Services and its Ingress.
//
// All of them are copies of the default agents' objects, read from the API server, with what the task's agentSpec
// replaces. What a copy looks like is decided by pure functions (names.go, build.go, front.go, ports.go); Keeper reads,
// applies and deletes.
package workload

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/topology"
)

// The labels by which the agents and what belongs to them are found.
const (
	nameLabel      = "app.kubernetes.io/name"
	componentLabel = "app.kubernetes.io/component"
	component      = "kdoctor-agent"
	// appliedLabel names what was applied last, so that it is applied again only when it ought to be something else.
	appliedLabel = "kdoctor.io/applied"
)

// The kinds of what stands in front of agents.
const (
	kindService = "Service"
	kindIngress = "Ingress"
)

// DesiredAgents is what a task asks for.
type DesiredAgents struct {
	// Owner is the task, as the controller of its workload: when the task goes, the workload goes.
	Owner metav1.OwnerReference
	Spec  v1beta1.AgentSpec
	// Names are those that Names gives for the task.
	Names topology.Workload
	// LoadBalancer and Ingress tell whether the task probes those addresses, Families over which families.
	LoadBalancer, Ingress bool
	Families              []topology.Family
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
}
