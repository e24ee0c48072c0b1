// Package clusterip derives targets from the cluster addresses of the agents' Services.
package clusterip

import (
	"fmt"
	"slices"

	"kdoctor.io/kdoctor/internal/target"
)

// Targets returns one target per cluster address of the family. A headless Service of the family is a Gap,
// and so is it when there is no address at all.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var targets []target.Target
	var gaps []target.Gap
	for _, service := range q.Snapshot.Services {
		if slices.Contains(service.Headless, q.Family) {
			gaps = append(gaps, target.Gap{Kind: target.ClusterIP, Family: q.Family,
				Reason: fmt.Sprintf("Service %s/%s is headless, so it has no cluster address", service.Namespace, service.Name)})
		}
		onlyNode := ""
		if service.InternalLocal {
			onlyNode = q.Source.Node
		}
		for _, address := range target.Of(q.Family, service.ClusterIPs) {
			hostPort := target.HostPort(address, service.Port)
			targets = append(targets, target.Target{
				ID:       fmt.Sprintf("AgentCluster%sIP_%s", target.Short(q.Family), hostPort),
				Kind:     target.ClusterIP,
				Family:   q.Family,
				Protocol: target.HTTP,
				Answer:   target.Backends,
				Address:  "http://" + hostPort,
				OnlyNode: onlyNode,
			})
		}
	}
	if len(targets) == 0 && len(gaps) == 0 {
		gaps = append(gaps, target.Gap{Kind: target.ClusterIP, Family: q.Family,
			Reason: fmt.Sprintf("no agent Service has an %s cluster address", q.Family)})
	}
	return targets, gaps
}
