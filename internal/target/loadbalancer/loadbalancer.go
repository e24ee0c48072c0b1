// Package loadbalancer derives targets from the addresses that a load balancer implementation gave to the agents'
// Services.
package loadbalancer

import (
	"fmt"
	"net"
	"slices"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Targets returns one target per load balancer entry of the family. The family of an address counts, and not the family
// of its Service. A host name serves the families of its Service, because only a resolver knows more. There is a Gap
// for a Service of the family without an entry, for an entry that agents cannot reach, and for an entry that several
// Services have with the same port.
//
// The Service proxy of the asker's own node answers for an address, unless nodes leave it to the load balancer (ipMode
// Proxy).
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var offers []target.Offer
	var gaps []target.Gap
	missing := func(format string, args ...any) {
		gaps = append(gaps, target.Gap{Kind: target.LoadBalancer, Family: q.Family,
			Reason: fmt.Sprintf(format, args...)})
	}
	for _, service := range q.Snapshot.Services {
		if !service.LoadBalancer {
			continue
		}
		who := fmt.Sprintf("Service %s/%s", service.Namespace, service.Name)
		found := false
		for _, entry := range service.Ingress {
			host, ok := hostOf(entry, service, q.Family)
			if !ok {
				continue
			}
			found = true
			if clause := target.Unreachable(entry); clause != "" {
				missing("%s has a load balancer address that agents cannot reach: %s", who, clause)
				continue
			}
			offers = append(offers, target.Offer{By: who, Target: targetOf(q.Family, service, entry, host)})
		}
		if !found && service.Serves(q.Family) {
			missing("%s has no %s load balancer address in status.loadBalancer.ingress", who, q.Family)
		}
	}
	targets, shared := target.Distinct(offers, func(t target.Target, by []string) string {
		return fmt.Sprintf("%s have the same load balancer address %s, so nobody can tell which of them answers there",
			target.List(by), t.Address)
	})
	gaps = append(gaps, shared...)
	switch why := q.Snapshot.NoLoadBalancer; {
	case len(targets) > 0 || len(gaps) > 0:
	case why != "":
		missing("the agents have no load balancer: %s", why)
	default:
		missing("no agent Service of type LoadBalancer serves %s", q.Family)
	}
	return targets, gaps
}

func targetOf(family topology.Family, service topology.Service, entry topology.Entry, host string) target.Target {
	hostPort := net.JoinHostPort(host, target.Port(service.Port))
	return target.Target{
		ID:           fmt.Sprintf("AgentLoadbalancer%sIP_%s", target.Short(family), hostPort),
		Kind:         target.LoadBalancer,
		Family:       family,
		Protocol:     target.HTTP,
		Answer:       target.Backends,
		Address:      "http://" + hostPort,
		ShortCircuit: entry.Hostname == "" && shortCircuit(service, entry),
	}
}

// shortCircuit reports whether one of the entries with the address leaves the address to the nodes. The status may have
// an address twice, and one such entry is enough.
func shortCircuit(service topology.Service, entry topology.Entry) bool {
	return slices.ContainsFunc(service.Ingress,
		func(e topology.Entry) bool { return e.Address == entry.Address && !e.Proxy })
}

// hostOf returns the entry as a URL has it, and whether it leads to the Service over the family.
func hostOf(entry topology.Entry, service topology.Service, family topology.Family) (string, bool) {
	if entry.Hostname != "" {
		return entry.Hostname, service.Serves(family)
	}
	return entry.Address.String(), entry.Address.IsValid() && topology.FamilyOf(entry.Address) == family
}
