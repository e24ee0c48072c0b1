// Package clusterip derives targets from the cluster addresses of the agents' Services.
package clusterip

import (
	"fmt"
	"slices"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Targets returns one target per cluster address of the family. There is a Gap for a headless Service of the family,
// for an address that nobody can reach or that several Services have, and when there is no address at all.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var offers []target.Offer
	var gaps []target.Gap
	missing := func(format string, args ...any) {
		gaps = append(gaps, target.Gap{Kind: target.ClusterIP, Family: q.Family, Reason: fmt.Sprintf(format, args...)})
	}
	for _, service := range q.Snapshot.Services {
		who := fmt.Sprintf("Service %s/%s", service.Namespace, service.Name)
		if slices.Contains(service.Headless, q.Family) {
			missing("%s is headless, so it has no cluster address", who)
		}
		for _, clause := range target.Instead(q.Family, service.ClusterIPs) {
			missing("%s has a cluster address that agents cannot reach: %s", who, clause)
		}
		for _, address := range target.Of(q.Family, service.ClusterIPs) {
			offers = append(offers,
				target.Offer{By: who, Target: targetOf(q, service, target.HostPort(address, service.Port))})
		}
	}
	targets, shared := target.Distinct(offers, func(t target.Target, by []string) string {
		return fmt.Sprintf("%s have the same cluster address %s, so nobody can tell which of them answers there",
			target.List(by), t.Address)
	})
	gaps = append(gaps, shared...)
	if len(targets) == 0 && len(gaps) == 0 {
		missing("no agent Service has an %s cluster address", q.Family)
	}
	return targets, gaps
}

func targetOf(q target.Query, service topology.Service, hostPort string) target.Target {
	t := target.Target{
		ID:       fmt.Sprintf("AgentCluster%sIP_%s", target.Short(q.Family), hostPort),
		Kind:     target.ClusterIP,
		Family:   q.Family,
		Protocol: target.HTTP,
		Answer:   target.Backends,
		Address:  "http://" + hostPort,
	}
	if service.InternalLocal {
		t.OnlyNode = q.Source.Node
	}
	return t
}
