package infer

import "slices"

// hiding is the least severity from which on a fault hides others at the same place: what lies behind it cannot be
// seen.
const hiding = 0.3

// hides reports whether the fault hides the component, so that failures there prove nothing more.
func (f *Fault) hides(c Component) bool { return hides(f.Component, &f.by, c) }

// hides reports whether a fault of a component with severities by class of traffic hides another component. One that
// takes only full-size packets hides nothing. One that leaves an IP family alone hides nothing either, unless it is the
// node's network: a tunnel over one family carries the pods' traffic of both.
func hides(faulty Component, severities *[buckets]float64, c Component) bool {
	if faulty == c {
		return true
	}
	var most [families]float64
	for b := 0; b < buckets; b += sizes {
		of := &most[b/(kinds*sizes)]
		*of = max(*of, severities[b])
	}
	first := role(faulty)
	if first.Part == NodeNetwork || first.Part == inbound {
		return slices.Max(most[:]) >= hiding && behind(first, role(c))
	}
	return slices.Min(most[1:]) >= hiding && behind(first, role(c))
}

// role returns the component with the agent's roles, of asking and answering, as one.
func role(c Component) Component {
	switch c.Part {
	case asking, wholeAgent:
		c.Part = Agent
	case hostAsking, wholeHost:
		c.Part = HostAgent
	case stranger:
		c.Part = NodeNetwork
	case entrance:
		c.Part = NodePort
	case hairpin:
		c.Part = KubeProxy
	}
	return c
}

// behind reports whether what leads to the second component, or what it would be seen by, leads through the first.
func behind(first, second Component) bool {
	if first.Node == "" || first.Peer != "" {
		return false
	}
	switch second.Part {
	case PodPair, NodePair, PolicyPair:
		return (second.Node == first.Node || second.Peer == first.Node) && network(first.Part) &&
			(second.Part != NodePair || first.Part == NodeNetwork || first.Part == inbound)
	}
	if second.Node != first.Node || second.Peer != "" {
		return false
	}
	switch first.Part {
	case NodeNetwork, inbound:
		return !slices.Contains([]Part{SecondInterface, DNSServer, PodNetwork, Agent}, second.Part)
	case PodNetwork, Overlay, Forwarding:
		return slices.Contains([]Part{Agent, Forwarding, Overlay, PolicyIn, PolicyOut, KubeProxy, NodePort, DNSWay,
			APIServerWay, LoadBalancerWay, IngressWay}, second.Part)
	case PolicyOut:
		return slices.Contains([]Part{KubeProxy, NodePort, DNSWay, APIServerWay, LoadBalancerWay, IngressWay},
			second.Part)
	case PolicyIn, Agent:
		return slices.Contains([]Part{PolicyIn, KubeProxy, NodePort, PodNetwork, inbound, NodeNetwork}, second.Part)
	case HostAgent:
		return second.Part == ProbePort || second.Part == HostRoute || second.Part == inbound
	case KubeProxy:
		return slices.Contains([]Part{HostRoute, NodePort, DNSWay, APIServerWay}, second.Part)
	}
	return false
}

// network reports whether the part carries all traffic of a node's pods, in both directions.
func network(p Part) bool {
	switch p {
	case NodeNetwork, inbound, Overlay, Forwarding, PodNetwork:
		return true
	}
	return false
}

// bySize renames a fault that only full-size packets meet: filters and forwarding do not look at sizes, but what they
// stand for here, one direction of a node's traffic, also passes the pod's interface and the tunnel, which do.
func bySize(f Fault) Fault {
	if !f.Aspect.Large {
		return f
	}
	sized := func(c Component) bool {
		switch c.Part {
		case PolicyIn, PolicyOut, PolicyPair, Forwarding, Agent, HostAgent,
			ProbePort:
			return false
		}
		return true
	}
	group := slices.DeleteFunc(append([]Component{f.Component}, f.Group...),
		func(c Component) bool { return !sized(c) })
	if len(group) == 0 {
		overlay, pod := f.Component, f.Component
		overlay.Part, pod.Part = Overlay, PodNetwork
		if f.Component.Peer != "" {
			overlay.Part, pod.Part = PodPair, PodPair
		}
		group = slices.Compact([]Component{overlay, pod})
	}
	f.Component, f.Group = group[0], group[1:]
	return f
}

// known returns the component as people know it.
func known(c Component) Component {
	if c = role(c); c.Part == inbound || c.Part == plain {
		c.Part = NodeNetwork
	}
	return c
}

// asReported replaces components that are only told apart within the search. No process answers over one family alone:
// where it looks so, the node's network below is broken for the family, and a tunnel that runs over the other family
// still carries the pods' traffic.
func asReported(f Fault) Fault {
	rename := func(c Component) Component {
		if c.Part == HostAgent && f.Aspect.Family != "" {
			c.Part = NodeNetwork
		}
		return known(c)
	}
	f.Component, f.RunnerUp = rename(f.Component), rename(f.RunnerUp)
	var group []Component
	for _, c := range f.Group {
		if c = rename(c); c != f.Component && !slices.Contains(group, c) {
			group = append(group, c)
		}
	}
	f.Group = group
	return f
}
