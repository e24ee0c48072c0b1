package diagnose

import (
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/report"
)

// bySize renames a fault that only full-size packets meet: filters and forwarding do not look at sizes, but what they
// stand for here, one direction of a node's traffic, also passes the pod's interface and the tunnel, which do.
func bySize(f infer.Fault) infer.Fault {
	if !f.Aspect.Large {
		return f
	}
	sized := func(c infer.Component) bool {
		switch c.Part {
		case infer.PolicyIn, infer.PolicyOut, infer.PolicyPair, infer.Forwarding, infer.Agent, infer.HostAgent,
			infer.ProbePort:
			return false
		}
		return true
	}
	group := slices.DeleteFunc(append([]infer.Component{f.Component}, f.Group...),
		func(c infer.Component) bool { return !sized(c) })
	if len(group) == 0 {
		overlay, pod := f.Component, f.Component
		overlay.Part, pod.Part = infer.Overlay, infer.PodNetwork
		if f.Component.Peer != "" {
			overlay.Part, pod.Part = infer.PodPair, infer.PodPair
		}
		group = slices.Compact([]infer.Component{overlay, pod})
	}
	f.Component, f.Group = group[0], group[1:]
	return f
}

// stale reports whether EndpointSlices that name an address without an agent explain the fault: they say more.
func stale(f infer.Fault, round report.Round) bool {
	return f.Component.Part == infer.Service && f.Severity < 0.9 && len(round.Endpoints) > 0
}

// behind reports whether a fault that explains more stands before the fault: a node whose network is broken, or whose
// address another machine has, says nothing about the processes on it.
func (l locator) behind(f infer.Fault) bool {
	switch f.Component.Part {
	case infer.Agent, infer.HostAgent, infer.ProbePort:
	default:
		return false
	}
	return slices.ContainsFunc(l.faults, func(other infer.Fault) bool {
		same := other.Component.Node == f.Component.Node && other.Component.Peer == ""
		return same && other.Component.Part == infer.NodeNetwork && other.Severity > f.Severity/2
	})
}
