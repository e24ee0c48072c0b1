package main

import (
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kdoctor.io/kdoctor/internal/controller"
	"kdoctor.io/kdoctor/internal/kind/kinds"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/workload"
)

// keeper makes what agents need, by the manifests of the default agents.
func keeper(o *options, direct client.Client, owner *metav1.OwnerReference) (*workload.Keeper, error) {
	manifests, err := workload.ReadManifests(os.DirFS(o.manifests))
	if err != nil {
		return nil, fmt.Errorf("--agent-manifests is %q: %w", o.manifests, err)
	}
	c := workload.Config{Client: direct, Namespace: o.namespace, Manifests: manifests, HostPorts: o.ports,
		FieldOwner: controller.FieldOwner, DualStack: o.apiService,
		IPv4: workload.Use(o.ipv4), IPv6: workload.Use(o.ipv6)}
	if owner != nil {
		c.Owner = *owner
	}
	if o.loadBalancer == never || manifests.LoadBalancer == nil {
		c.Manifests.LoadBalancer, c.NoLoadBalancer = nil, "the installation's value agent.loadBalancer.mode is Never"
	}
	if o.ingress == never || manifests.Ingress == nil {
		c.Manifests.Ingress, c.NoIngress = nil, "the installation's value ingress.mode is Never"
	}
	return workload.NewKeeper(c), nil
}

// addHousekeeping has the leader remove what no task needs any more.
func addHousekeeping(mgr ctrl.Manager, o *options, agents *workload.Keeper) (*controller.Housekeeping, error) {
	both := []topology.Family{topology.IPv4, topology.IPv6}
	c := controller.HousekeepingConfig{Reader: mgr.GetClient(), Kinds: kinds.All(), Front: agents, Keep: o.frontKeep,
		Log: mgr.GetLogger().WithName("housekeeping")}
	if o.loadBalancer == always {
		c.Always.LoadBalancer = both
	}
	c.Always.Ingress = o.ingress == always
	housekeeping := controller.NewHousekeeping(c)
	if err := mgr.Add(housekeeping); err != nil {
		return nil, fmt.Errorf("add the housekeeping: %w", err)
	}
	return housekeeping, nil
}
