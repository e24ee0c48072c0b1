// Package ingress derives targets from the addresses of the agents' Ingresses.
package ingress

import (
	"fmt"
	"net/netip"

	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Targets returns one target per Ingress address of the family.
// Host names and TLS are Gaps for now: a target that is not probed must never look like one that passed.
func Targets(q target.Query) ([]target.Target, []target.Gap) {
	var targets []target.Target
	reason := "the agents have no Ingress"
	for _, ingress := range q.Snapshot.Ingresses {
		name := ingress.Namespace + "/" + ingress.Name
		if ingress.TLS || ingress.Host != "" {
			reason = fmt.Sprintf("Ingress %s has a host or TLS, which this release cannot probe", name)
			continue
		}
		reason = fmt.Sprintf("Ingress %s has no %s address in status.loadBalancer.ingress", name, q.Family)
		for _, entry := range ingress.Entries {
			if !entry.Address.IsValid() || topology.FamilyOf(entry.Address) != q.Family {
				continue
			}
			url := "http://" + literal(entry.Address) + ingress.Path
			targets = append(targets, target.Target{
				ID:       "AgentIngress_" + url,
				Kind:     target.Ingress,
				Family:   q.Family,
				Protocol: target.HTTP,
				Address:  url,
			})
		}
	}
	if len(targets) > 0 {
		return targets, nil
	}
	return nil, []target.Gap{{Kind: target.Ingress, Family: q.Family, Reason: reason}}
}

// literal is the address as it stands in a URL without a port.
func literal(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	return "[" + a.String() + "]"
}
