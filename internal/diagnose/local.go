package diagnose

import (
	"fmt"
	"net/netip"
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// noLocalBackend is the cause of failures of a Service that leads to pods on the client's own node alone, where there
// is none.
const noLocalBackend = "NoLocalBackend"

// locals are the Services that lead to agents on the client's own node alone.
type locals struct {
	services []topology.Service
	// backed has, by Service and family, the nodes with an agent behind it.
	backed   map[int]map[topology.Family]map[string]bool
	snapshot topology.Snapshot
}

// local puts the backend that is meant into observations of Services whose internalTrafficPolicy is Local, and takes
// away the failures from nodes where such a Service has no backend: nothing is broken there. It returns a finding for
// each such node.
func local(s topology.Snapshot, seen []ladder.Observation) (left []ladder.Observation, found []Finding) {
	l := locals{snapshot: s, backed: map[int]map[topology.Family]map[string]bool{}}
	l.services = slices.DeleteFunc(slices.Clone(s.Services), func(s topology.Service) bool { return !s.InternalLocal })
	if len(l.services) == 0 {
		return seen, nil
	}
	type place struct {
		service int
		node    string
	}
	lost := map[place]*outcomes{}
	var order []place
	for i := range seen {
		o := seen[i]
		n, ok := l.service(&o)
		switch {
		case !ok:
		case l.has(n, o.Family, o.From):
			o.Backends = []string{o.From}
		case o.Failed() > 0:
			at := place{n, o.From}
			if lost[at] == nil {
				lost[at] = &outcomes{}
				order = append(order, at)
			}
			lost[at].sent, lost[at].failed = lost[at].sent+o.Sent, lost[at].failed+o.Failed()
			continue
		}
		left = append(left, o)
	}
	for _, at := range order {
		found = append(found, withoutBackend(l.services[at.service], at.node, *lost[at]))
	}
	return left, found
}

// service returns which of the Services the observation is about; ok is false for none of them.
func (l locals) service(o *ladder.Observation) (n int, ok bool) {
	if o.Rung != ladder.ClusterIP && o.Rung != ladder.HostClusterIP {
		return 0, false
	}
	address, err := netip.ParseAddrPort(o.Address)
	n = slices.IndexFunc(l.services, func(s topology.Service) bool {
		if err != nil {
			// A counted request: its target names the only node that may answer.
			return s.Serves(o.Family) && slices.Equal(o.Backends, []string{o.From})
		}
		return slices.Contains(s.ClusterIPs, address.Addr())
	})
	return n, n >= 0
}

// has reports whether the Service has a backend on the node.
func (l locals) has(service int, family topology.Family, node string) bool {
	if l.backed[service] == nil {
		l.backed[service] = map[topology.Family]map[string]bool{}
	}
	nodes, known := l.backed[service][family]
	if !known {
		nodes = l.snapshot.Backed(l.services[service], family)
		l.backed[service][family] = nodes
	}
	return nodes[node]
}

func withoutBackend(s topology.Service, node string, lost outcomes) Finding {
	name := s.Namespace + "/" + s.Name
	row := partOf(infer.Service)
	return Finding{Reason: row.reason, Component: Component(infer.Service), Where: "node " + node,
		Nodes: []string{node}, Cause: noLocalBackend, Probability: 0.95, Confidence: High,
		Message: fmt.Sprintf("Service %s (node %s): by design: its internalTrafficPolicy is Local, and it leads to no agent "+
			"on this node (%d of %d requests to it from there failed); look at its selector and at the agent there, or set "+
			"internalTrafficPolicy to Cluster", name, node, lost.failed, lost.sent),
		Evidence: []string{fmt.Sprintf("no ready agent of node %s is behind Service %s", node, name)},
		Command: fmt.Sprintf("kubectl get endpointslices -n %s -l kubernetes.io/service-name=%s -o wide", s.Namespace,
			s.Name),
		Falsify: "the Service has an endpoint on the node"}
}
