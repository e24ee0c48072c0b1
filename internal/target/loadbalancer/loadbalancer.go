// Package loadbalancer derives targets from the addresses that a load balancer implementation gave to the agents' Services.
package loadbalancer

import (
	"fmt"
	"net"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Targets returns one target per load balancer entry of the family. An address is of its own family, whichever the Service's is;
// a host name serves the families of its Service, because only a resolver can tell more. A Service of the family without an entry is a Gap.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var targets []target.Target
	var gaps []target.Gap
	for _, service := range q.Snapshot.Services {
		if !service.LoadBalancer {
			continue
		}
		found := false
		for _, entry := range service.Ingress {
			host, ok := hostOf(entry, service, q.Family)
			if !ok {
				continue
			}
			found = true
			hostPort := net.JoinHostPort(host, target.Port(service.Port))
			targets = append(targets, target.Target{
				ID:       fmt.Sprintf("AgentLoadbalancer%sIP_%s", target.Short(q.Family), hostPort),
				Kind:     target.LoadBalancer,
				Family:   q.Family,
				Protocol: target.HTTP,
				Answer:   target.Backends,
				Address:  "http://" + hostPort,
			})
		}
		if !found && service.Serves(q.Family) {
			gaps = append(gaps, gap(q, "Service %s/%s has no %s load balancer address in status.loadBalancer.ingress", service.Namespace, service.Name, q.Family))
		}
	}
	if len(targets) == 0 && len(gaps) == 0 {
		gaps = append(gaps, gap(q, "no agent Service of type LoadBalancer serves %s", q.Family))
	}
	return targets, gaps
}

// hostOf is the entry as it stands in a URL, and whether it leads to the Service over the family.
func hostOf(entry topology.Entry, service topology.Service, family topology.Family) (string, bool) {
	if entry.Hostname != "" {
		return entry.Hostname, service.Serves(family)
	}
	return entry.Address.String(), entry.Address.IsValid() && topology.FamilyOf(entry.Address) == family
}

func gap(q target.Query, format string, args ...any) target.Gap {
	return target.Gap{Kind: target.LoadBalancer, Family: q.Family, Reason: fmt.Sprintf(format, args...)}
}
