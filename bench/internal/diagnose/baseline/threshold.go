package baseline

import (
	"cmp"
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// Threshold is what plain testers do: a path fails if it loses more than a share of its probes, and a target of which
// enough paths fail is named. It names a node's network, or what stands at the Service's end.
type Threshold struct {
	// Loss is the share of a path's probes that it may lose, Share the least share of a target's paths that fail, each
	// 0 to 1.
	Loss, Share float64
}

// Name is "threshold".
func (Threshold) Name() string { return "threshold" }

// seen is what was seen of a target.
type seen struct {
	paths, failed   float64
	probes, crossed uint64
}

// Find names targets, the worst first.
func (t Threshold) Find(in infer.Input) []infer.Fault {
	targets := map[infer.Component]seen{}
	for i := range in.Observations {
		o := &in.Observations[i]
		if in.Suspect[o.From] {
			continue
		}
		name := target(o)
		s := targets[name]
		s.paths++
		s.crossed += o.Sent
		if float64(o.Failed()) > t.Loss*float64(o.Sent) {
			s.failed++
			s.probes += o.Failed()
		}
		targets[name] = s
	}
	var faults []infer.Fault
	for name, s := range targets {
		if share := s.failed / s.paths; s.failed > 0 && share >= t.Share {
			faults = append(faults, infer.Fault{Component: name, Confidence: share, Severity: share,
				Explained: s.probes, Crossed: s.crossed})
		}
	}
	slices.SortFunc(faults, func(a, b infer.Fault) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Component.Part, b.Component.Part),
			cmp.Compare(a.Component.Node, b.Component.Node), cmp.Compare(a.Component.Service, b.Component.Service))
	})
	return faults[:min(len(faults), mostNamed)]
}

// target is what stands at the end of an observation's path.
func target(o *ladder.Observation) infer.Component {
	switch o.Rung {
	case ladder.Self, ladder.HostToOwnPod, ladder.PodToOwnHost:
		return infer.Component{Part: infer.Agent, Node: o.To}
	case ladder.ClusterIP, ladder.HostClusterIP:
		return infer.Component{Part: infer.Service, Service: o.Service}
	case ladder.NodePort:
		return infer.Component{Part: infer.NodePort, Node: o.At}
	case ladder.LoadBalancer:
		return infer.Component{Part: infer.LoadBalancer, Service: o.Service}
	case ladder.Ingress:
		return infer.Component{Part: infer.Ingress, Service: o.Service}
	case ladder.DNSPod:
		return infer.Component{Part: infer.DNSServer, Service: o.Service}
	case ladder.DNSService:
		return infer.Component{Part: infer.DNSService, Service: o.Service}
	case ladder.APIServer:
		return infer.Component{Part: infer.APIServer, Service: o.Service}
	case ladder.SecondInterface:
		return infer.Component{Part: infer.SecondInterface, Node: o.To}
	default:
		return infer.Component{Part: infer.NodeNetwork, Node: o.To}
	}
}
