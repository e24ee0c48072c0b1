package diagnose

import (
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
)

// stale reports whether EndpointSlices that name an address without an agent explain the fault: they say more.
func stale(f infer.Fault, round report.Round) bool {
	part := f.Component.Part
	wrong := slices.ContainsFunc(round.Endpoints,
		func(e report.EndpointFault) bool { return len(e.Strange)+len(e.Left) > 0 })
	return wrong && (part == infer.Endpoint || part == infer.Service && f.Severity < 0.9)
}

// behind reports whether a fault that explains more stands before the fault: a node whose network is broken, or whose
// address another machine has, says nothing about the processes on it.
func (l locator) behind(f infer.Fault) bool {
	switch f.Component.Part {
	case infer.Agent, infer.HostAgent, infer.ProbePort:
		return l.onBrokenNode(f)
	case infer.PodNetwork, infer.Overlay, infer.Forwarding:
		// A tunnel over the family that the node's network loses carries the pods' traffic of both.
		return l.onBrokenNode(f) && !l.within(f)
	}
	return false
}

// onBrokenNode reports whether the network of the fault's node is found broken as well, for packets of every size.
func (l locator) onBrokenNode(f infer.Fault) bool {
	return slices.ContainsFunc(l.faults, func(other infer.Fault) bool {
		same := other.Component.Node == f.Component.Node && other.Component.Peer == ""
		network := other.Component.Part == infer.NodeNetwork && !other.Aspect.Large
		return same && network && other.Severity > f.Severity/2
	})
}

// within reports whether the fault explains failures on the node itself, which no network between nodes makes.
func (l locator) within(f infer.Fault) bool {
	return slices.ContainsFunc(f.Observations(), func(i int) bool {
		rung := l.seen[i].Rung
		return rung == ladder.HostToOwnPod || rung == ladder.PodToOwnHost
	})
}
