// Package inventory reads what a round needs to know from Kubernetes: the agents of one workload, their nodes, and the Services and
// Ingress in front of them. It asks for what ought to be there as well as for what is, so that a node without an agent is seen.
package inventory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// The kinds of workload that can run agents.
const (
	DaemonSet  = "DaemonSet"
	Deployment = "Deployment"
)

// Runtime names the workload that runs the agents of a task, and what stands in front of it.
type Runtime struct {
	// Namespace holds the workload, its Services and its Ingress.
	Namespace string
	// Kind is DaemonSet or Deployment, Name the workload's name.
	Kind, Name string
	// Services are the names of the agents' Services, Ingress that of their Ingress; both may be empty.
	Services []string
	Ingress  string
}

// Inventory takes snapshots of one runtime. It may be used by several goroutines.
type Inventory struct {
	reader  client.Reader
	runtime Runtime
}

// New returns an inventory of the runtime. A reader that asks the API server itself gives what is true when the round starts;
// one with a cache must be able to list Pods, Nodes and, for a Deployment, ReplicaSets.
func New(reader client.Reader, runtime Runtime) *Inventory {
	return &Inventory{reader: reader, runtime: runtime}
}

// Snapshot reads the cluster as it is now. A Service or Ingress that does not exist is left out: it is for the planner to miss it.
// A workload that does not exist is an error, which apierrors.IsNotFound recognises.
func (i *Inventory) Snapshot(ctx context.Context) (topology.Snapshot, error) {
	snapshot := topology.Snapshot{Taken: time.Now()}
	wanted, err := i.workload(ctx)
	if err != nil {
		return topology.Snapshot{}, err
	}
	pods, err := i.pods(ctx, wanted)
	if err != nil {
		return topology.Snapshot{}, err
	}
	var nodes corev1.NodeList
	if err := i.reader.List(ctx, &nodes); err != nil {
		return topology.Snapshot{}, fmt.Errorf("list nodes: %w", err)
	}
	snapshot.Agents = agents(ctx, wanted, pods, nodes.Items)
	snapshot.Nodes = nodesOf(snapshot.Agents, nodes.Items)
	if snapshot.Services, err = i.services(ctx); err != nil {
		return topology.Snapshot{}, err
	}
	if snapshot.Ingresses, err = i.ingresses(ctx); err != nil {
		return topology.Snapshot{}, err
	}
	return snapshot, nil
}

func (i *Inventory) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: i.runtime.Namespace, Name: name}
}

func (i *Inventory) services(ctx context.Context) ([]topology.Service, error) {
	var found []topology.Service
	names := slices.Sorted(slices.Values(i.runtime.Services))
	for _, name := range slices.Compact(names) {
		var service corev1.Service
		err := i.reader.Get(ctx, i.key(name), &service)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("get service %s/%s: %w", i.runtime.Namespace, name, err)
		}
		found = append(found, serviceOf(service))
	}
	return found, nil
}

func (i *Inventory) ingresses(ctx context.Context) ([]topology.Ingress, error) {
	if i.runtime.Ingress == "" {
		return nil, nil
	}
	var ingress networkingv1.Ingress
	err := i.reader.Get(ctx, i.key(i.runtime.Ingress), &ingress)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get ingress %s/%s: %w", i.runtime.Namespace, i.runtime.Ingress, err)
	}
	return []topology.Ingress{ingressOf(ingress)}, nil
}

func sortAgents(agents []topology.Agent) {
	slices.SortFunc(agents, func(a, b topology.Agent) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod)) })
}
