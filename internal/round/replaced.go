package round

import (
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// replaced are pods that only the ladder probes and that somebody deleted, or is deleting: who is asked there now is
// another one, or nobody, and nothing is broken.
type replaced struct {
	// hosts are the nodes of agents in host networks, servers the pods of DNS servers.
	hosts, servers map[string]bool
}

// compare notes which pods that the ladder was planned by are not in a later snapshot. A pod that is there and not
// ready does not count: it may be broken.
func (c *climb) compare(later topology.Snapshot) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.replaced.hosts == nil {
		c.replaced = replaced{hosts: map[string]bool{}, servers: map[string]bool{}}
	}
	for _, host := range c.snapshot.Hosts {
		if later.HostPods != nil && !found(later.HostPods, host.Pod) {
			c.replaced.hosts[host.Node] = true
		}
	}
	for _, server := range c.snapshot.DNS {
		if later.DNSPods != nil && !found(later.DNSPods, server.Pod) {
			c.replaced.servers[server.Pod] = true
		}
	}
}

// touches reports whether the observation is by, or of, one of the pods.
func (r replaced) touches(o *ladder.Observation) bool {
	switch o.Rung {
	case ladder.HostToOwnPod, ladder.HostToPod, ladder.HostClusterIP:
		return r.hosts[o.From]
	case ladder.HostToHost:
		return r.hosts[o.From] || r.hosts[o.To]
	case ladder.PodToHost, ladder.PodToOwnHost:
		return r.hosts[o.To]
	case ladder.DNSPod:
		return r.servers[o.Service]
	case ladder.DNSService:
		return len(r.servers) > 0
	}
	return false
}

// found reports whether a sorted list has the name.
func found(sorted []string, name string) bool {
	_, ok := slices.BinarySearch(sorted, name)
	return ok
}
