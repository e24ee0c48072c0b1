package diagnose

import (
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/report"
)

// stale reports whether EndpointSlices that name an address without an agent explain the fault: they say more.
func stale(f infer.Fault, round report.Round) bool {
	part := f.Component.Part
	return (part == infer.Endpoint || part == infer.Service && f.Severity < 0.9) && len(round.Endpoints) > 0
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
