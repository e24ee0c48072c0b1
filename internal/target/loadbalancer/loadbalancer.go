// Package loadbalancer derives targets from the addresses that a load balancer implementation gave to the agents' Services.
package loadbalancer

import (
	"fmt"
	"net"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Targets returns one target per load balancer entry of the family.
// A host name serves the families of its Service, because only a resolver can tell more.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var targets []target.Target
	wanted := ""
	for _, service := range q.Snapshot.Services {
		if !service.LoadBalancer || len(target.Of(q.Family, service.ClusterIPs)) == 0 {
			continue
		}
		wanted = service.Namespace + "/" + service.Name
		for _, entry := range service.Ingress {
			if hostPort, ok := hostPort(entry, q.Family, service.Port); ok {
				targets = append(targets, target.Target{
					ID:       fmt.Sprintf("AgentLoadbalancer%sIP_%s", target.Short(q.Family), hostPort),
					Kind:     target.LoadBalancer,
					Family:   q.Family,
					Protocol: target.HTTP,
					Address:  "http://" + hostPort,
				})
			}
		}
	}
	if len(targets) > 0 {
		return targets, nil
	}
	reason := fmt.Sprintf("no agent Service of type LoadBalancer serves %s", q.Family)
	if wanted != "" {
		reason = fmt.Sprintf("Service %s has no %s load balancer address in status.loadBalancer.ingress", wanted, q.Family)
	}
	return nil, []target.Gap{{Kind: target.LoadBalancer, Family: q.Family, Reason: reason}}
}

func hostPort(entry topology.Entry, family topology.Family, port uint16) (string, bool) {
	if entry.Hostname != "" {
		return net.JoinHostPort(entry.Hostname, target.Port(port)), true
	}
	if !entry.Address.IsValid() || topology.FamilyOf(entry.Address) != family {
		return "", false
	}
	return target.HostPort(entry.Address, port), true
}
