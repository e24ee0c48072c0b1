package infer

import "kdoctor.io/kdoctor/internal/ladder"

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
