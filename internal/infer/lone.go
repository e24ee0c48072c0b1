package infer

import (
	"math"

	"kdoctor.io/kdoctor/internal/ladder"
)

// lone says a fault of the network of a node that is the only one of its zone as one between two zones, where what it
// loses is on the way to the nodes of one other zone and the way to further zones is well: then the node's own network
// is well too. Claims between zones need several nodes in each, because those of a single node are the node's.
func (f *finder) lone(fault Fault) Fault {
	node := fault.Component.Node
	part, rungs := ZonePair, []ladder.Rung{ladder.HostToHost, ladder.PodToHost, ladder.PodToPod, ladder.HostToPod}
	switch fault.Component.Part {
	case NodeNetwork:
	case Overlay:
		part, rungs = ZonePodPair, rungs[2:]
	default:
		return fault
	}
	if f.alone[f.labels[node]] != node {
		return fault
	}
	zone := f.lossyZone(node, aspectMask(fault.Aspect), rungs)
	if zone == "" {
		return fault
	}
	fault.Component, fault.Group = pair(part, f.labels[node], zone), nil
	return fault
}

// lossyZone returns the only zone, of several nodes, on the way to which the node loses traffic; empty if others lose
// some as well, or if too little was sent to others to tell.
func (f *finder) lossyZone(node string, traffic mask, rungs []ladder.Rung) string {
	const little, unlikely = 0.1, 1e-3
	type sums struct {
		sent, lost float64
		nodes      map[string]bool
	}
	zones := map[string]*sums{}
	for _, i := range f.of[direct] {
		o := &f.in.Observations[i]
		other := otherEnd(o, node, rungs)
		if other == "" || !traffic.has(bucketOf(o)) {
			continue
		}
		s := zones[f.labels[other]]
		if s == nil {
			s = &sums{nodes: map[string]bool{}}
			zones[f.labels[other]] = s
		}
		s.sent += float64(o.Sent)
		s.lost += float64(o.Failed())
		if o.Failed() > 0 {
			s.nodes[other] = true
		}
	}
	worst, rest := "", sums{}
	for zone, s := range zones {
		if worst == "" || s.lost > zones[worst].lost {
			worst = zone
		}
		rest.sent, rest.lost = rest.sent+s.sent, rest.lost+s.lost
	}
	if worst == "" || len(zones[worst].nodes) < 2 {
		return ""
	}
	rest.sent, rest.lost = rest.sent-zones[worst].sent, rest.lost-zones[worst].lost
	share := min(certain, zones[worst].lost/zones[worst].sent)
	if rest.lost > little*share*rest.sent || math.Pow(1-share, rest.sent) > unlikely {
		return ""
	}
	return worst
}

// otherEnd returns the other node of an observation on one of the rungs that begins or ends at the node.
func otherEnd(o *ladder.Observation, node string, rungs []ladder.Rung) string {
	for _, r := range rungs {
		switch {
		case o.Rung != r || o.From == o.To:
		case o.From == node:
			return o.To
		case o.To == node:
			return o.From
		}
	}
	return ""
}
