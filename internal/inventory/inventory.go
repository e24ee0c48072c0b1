// Package inventory reads what a round needs to know from Kubernetes: the agents of one workload, their nodes, and the
// Services and Ingress in front of them. A snapshot has what ought to be there as well as what is, so that a node
// without an agent shows.
package inventory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/topology"
)

// Inventory takes snapshots of the workloads of one namespace. It may be used by several goroutines, and snapshots that
// are taken at the same time share what they read of nodes and pods: use one inventory for all rounds.
type Inventory struct {
	reader    client.Reader
	namespace string
	// nodes has one list, pods has a list for each selector.
	nodes sharing[[]corev1.Node]
	pods  sharing[[]corev1.Pod]
	// ladder is what snapshots have for the ladder of paths.
	ladder Ladder
	// policies remembers which kinds of policies there are not.
	policies silentKinds
	// departed remembers to which addresses Services led.
	departed departed
}

// New returns an inventory of the namespace. The reader asks the API server itself: a snapshot must have what is true
// when it is taken, and nobody can see how far a cache is behind. A node that was deleted a moment ago would count as
// missing, and a failure that a change explains would be a failure without a reason.
func New(reader client.Reader, namespace string) *Inventory {
	return &Inventory{reader: reader, namespace: namespace}
}

// Snapshot reads the cluster as it is now, as a task sees it whose agents the workload runs. A Service or Ingress that
// does not exist is left out, and the planner reports the gap. A workload that does not exist is an error that
// apierrors.IsNotFound recognises.
func (i *Inventory) Snapshot(ctx context.Context, of topology.Workload) (topology.Snapshot, error) {
	snapshot := topology.Snapshot{Taken: time.Now(), NoLoadBalancer: of.NoLoadBalancer, NoIngress: of.NoIngress}
	wanted, err := i.workload(ctx, of)
	if err != nil {
		return topology.Snapshot{}, err
	}
	pods, err := i.podsOf(ctx, of.Name, wanted)
	if err != nil {
		return topology.Snapshot{}, err
	}
	nodes, err := i.nodes.get(ctx, "", func(ctx context.Context) ([]corev1.Node, error) {
		return listNodes(ctx, i.reader)
	})
	if err != nil {
		return topology.Snapshot{}, fmt.Errorf("list nodes: %w", err)
	}
	var outside map[string]string
	snapshot.Agents, snapshot.Leaving, outside = agents(ctx, wanted, pods, nodes)
	i.explain(ctx, wanted, snapshot.Agents, snapshot.Taken)
	snapshot.Nodes = nodesOf(nodes, outside)
	if snapshot.Services, err = i.services(ctx, of.Services, pods); err != nil {
		return topology.Snapshot{}, err
	}
	i.addSlices(ctx, snapshot.Services, pods, snapshot.Agents)
	if snapshot.Ingresses, err = i.ingresses(ctx, of); err != nil {
		return topology.Snapshot{}, err
	}
	i.addLadder(ctx, &snapshot, nodes)
	i.addPolicies(ctx, &snapshot, pods)
	return snapshot, nil
}

func (i *Inventory) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: i.namespace, Name: name}
}

// services reads the named Services that exist. Each says which of the agents' pods its selector leaves out.
func (i *Inventory) services(ctx context.Context, names []string, pods []corev1.Pod) ([]topology.Service, error) {
	var found []topology.Service
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		var service corev1.Service
		err := i.reader.Get(ctx, i.key(name), &service)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("get service %s/%s: %w", i.namespace, name, err)
		}
		found = append(found, serviceOf(service, pods))
	}
	return found, nil
}

func sortAgents(agents []topology.Agent) {
	slices.SortFunc(agents,
		func(a, b topology.Agent) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod)) })
}
