package infer

import (
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
)

// entering notes what connections meet that come to a node from elsewhere and are led to the pod on that very node. The
// node forwards them, unlike those of its own host network, and a filter for the pod may see who asked.
func (p *prediction) entering(o *ladder.Observation, node string) {
	fromElsewhere := o.Rung == ladder.NodePort && o.At == node && o.From != node
	if !fromElsewhere && !proxied(o.Rung) {
		return
	}
	p.meets(Component{Part: Forwarding, Node: node})
	p.meets(Component{Part: PolicyIn, Node: node})
	if fromElsewhere {
		p.meets(pair(PolicyPair, o.From, node))
	}
}

// withUnderlay adds, to the faults by which the agent in a node's host network is out of reach over one family, the
// fault of the node's network that each of them is reported as: it breaks the way to the node and out of it as well.
func withUnderlay(faults []Fault) []Fault {
	all := slices.Clone(faults)
	for _, f := range faults {
		if f.Component.Part != HostAgent || f.Aspect.Family == "" {
			continue
		}
		f.Component.Part, f.Group = NodeNetwork, nil
		affected := aspectMask(f.Aspect)
		for b := range f.by {
			if affected.has(bucket(b)) {
				f.by[b] = max(f.by[b], f.Severity)
			}
		}
		all = append(all, f)
	}
	return all
}
