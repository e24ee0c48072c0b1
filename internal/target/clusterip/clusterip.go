// Package clusterip derives targets from the cluster addresses of the agents' Services.
package clusterip

import (
	"fmt"

	"kdoctor.io/kdoctor/internal/target"
)

// Targets returns one target per cluster address of the family.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var targets []target.Target
	for _, service := range q.Snapshot.Services {
		for _, address := range target.Of(q.Family, service.ClusterIPs) {
			hostPort := target.HostPort(address, service.Port)
			targets = append(targets, target.Target{
				ID:       fmt.Sprintf("AgentCluster%sIP_%s", target.Short(q.Family), hostPort),
				Kind:     target.ClusterIP,
				Family:   q.Family,
				Protocol: target.HTTP,
				Address:  "http://" + hostPort,
			})
		}
	}
	if len(targets) > 0 {
		return targets, nil
	}
	return nil, []target.Gap{{Kind: target.ClusterIP, Family: q.Family,
		Reason: fmt.Sprintf("no agent Service has an %s cluster address", q.Family)}}
}
