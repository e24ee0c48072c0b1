package paths

import (
	"math/rand/v2"
	"slices"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// kinds are the components that may be faulty.
func kinds() []infer.Part {
	return []infer.Part{infer.Agent, infer.HostAgent, infer.PodNetwork, infer.Forwarding, infer.Overlay,
		infer.NodeNetwork, infer.PolicyIn, infer.PolicyOut, infer.ProbePort, infer.PolicyPair, infer.PodPair,
		infer.NodePair, infer.ZonePair, infer.ZonePodPair, infer.KubeProxy, infer.HostRoute, infer.NodePort,
		infer.Endpoint, infer.Service, infer.LoadBalancer, infer.LoadBalancerWay, infer.Ingress, infer.IngressWay,
		infer.DNSServer, infer.DNSService, infer.DNSWay, infer.APIServer, infer.SecondInterface, infer.SecondNetwork}
}

// Generator draws faults of the path model.
type Generator struct{}

// Name is "paths".
func (Generator) Name() string { return "paths" }

// GentleTCP is false: every probe is lost alike.
func (Generator) GentleTCP() bool { return false }

// Draw returns count faults at different components. A gray fault loses 2 to 50 %, a faint one 0.5 to 50 %, all sizes
// of loss equally likely by their logarithm; a hard one loses all.
func (Generator) Draw(w *world.World, count int, severity round.Severity, random *rand.Rand) []round.Fault {
	var faults []round.Fault
	var taken []Place
	all := kinds()
	for len(faults) < count {
		part := all[random.IntN(len(all))]
		if !possible(w, part, severity) {
			continue
		}
		place := somewhere(w, part, random)
		if slices.Contains(taken, place) {
			continue
		}
		taken = append(taken, place)
		faults = append(faults, Make(w, place, aspect(part, random), severity.Draw(random)))
	}
	return faults
}

// possible reports whether the cluster has the kind and a round can show it. A stale endpoint loses all of its requests
// or none; if it lost some of them, no probe could tell which pod's.
func possible(w *world.World, part infer.Part, severity round.Severity) bool {
	switch part {
	case infer.HostAgent, infer.ProbePort, infer.HostRoute:
		return !w.WithoutHosts
	case infer.ZonePair, infer.ZonePodPair:
		return w.Zones > 1
	case infer.Endpoint:
		return severity == round.Hard
	default:
		return true
	}
}

// somewhere draws a place that probes of the round numbered 0 cross.
func somewhere(w *world.World, part infer.Part, random *rand.Rand) Place {
	node := random.IntN(len(w.Nodes))
	switch part {
	case infer.PolicyPair, infer.PodPair, infer.NodePair:
		offsets := w.Offsets(0)
		peer := (node + offsets[random.IntN(len(offsets))]) % len(w.Nodes)
		return Place{part, min(node, peer), max(node, peer)}
	case infer.ZonePair, infer.ZonePodPair:
		a := random.IntN(w.Zones)
		b := (a + 1 + random.IntN(w.Zones-1)) % w.Zones
		return Place{part, min(a, b), max(a, b)}
	case infer.DNSServer:
		return Place{part, random.IntN(len(w.DNS)), world.None}
	case infer.Service, infer.LoadBalancer, infer.Ingress, infer.DNSService, infer.APIServer, infer.SecondNetwork:
		return Place{part, world.None, world.None}
	default:
		return Place{part, node, world.None}
	}
}

// aspect draws the affected traffic: for half of the faults of networks, a part of it.
func aspect(part infer.Part, random *rand.Rand) infer.Aspect {
	switch part {
	case infer.PodNetwork, infer.Forwarding, infer.Overlay, infer.NodeNetwork, infer.PodPair, infer.NodePair,
		infer.ZonePair, infer.ZonePodPair:
	default:
		return infer.Aspect{}
	}
	if random.IntN(2) == 0 {
		return infer.Aspect{}
	}
	some := []infer.Aspect{{Family: string(topology.IPv4)}, {Family: string(topology.IPv6)}, {Large: true},
		{Method: string(ladder.UDP)}, {Method: string(ladder.TCP)}}
	if part == infer.NodeNetwork || part == infer.NodePair || part == infer.ZonePair {
		// Host networks are asked by UDP alone, so that TCP's loss below the pod network looks like that of the pod
		// network.
		some = some[:3]
	}
	if part == infer.Forwarding {
		// What forwards packets does not look at their sizes.
		some = slices.DeleteFunc(some, func(a infer.Aspect) bool { return a.Large })
	}
	return some[random.IntN(len(some))]
}

// Make returns the fault of a place.
func Make(w *world.World, place Place, a infer.Aspect, share float64) round.Fault {
	crosser := Crosser{Zone: func(n int) int { return w.Zone[n] }}
	f := round.Fault{Truth: round.Truth{Kind: string(place.Part), Accept: []infer.Component{Component(w, place)},
		Aspect: a, AspectKnown: true, Severity: share}}
	f.Touches = func(p *world.Probe) bool {
		return affected(a, p) && slices.Contains(crosser.Cross(p, world.None, w.DNS), place)
	}
	f.Lose = func(at *round.Attempt) round.Loss {
		if !affected(a, at.Probe) || !slices.Contains(crosser.Cross(at.Probe, at.Endpoint, w.DNS), place) {
			return round.Loss{}
		}
		return round.Loss{Share: share, How: how(place.Part, at.Probe.Method)}
	}
	return f
}

// how returns what the asker sees. The kernel makes connections for a process that does not answer.
func how(part infer.Part, method ladder.Method) ladder.Failure {
	process := part == infer.Agent || part == infer.HostAgent
	if process && method == ladder.HTTP {
		return ladder.NoReply
	}
	return ladder.NoAnswer
}

// affected reports whether an aspect covers a probe.
func affected(a infer.Aspect, p *world.Probe) bool {
	if a.Family != "" && a.Family != string(p.Family) || a.Large && !p.Large {
		return false
	}
	switch ladder.Method(a.Method) {
	case "":
		return true
	case ladder.TCP:
		return p.Method == ladder.TCP || p.Method == ladder.HTTP
	case ladder.UDP:
		return p.Method == ladder.UDP || p.Method == ladder.DNS
	default:
		return a.Method == string(p.Method)
	}
}

// Component names a place.
func Component(w *world.World, p Place) infer.Component {
	c := infer.Component{Part: p.Part}
	switch p.Part {
	case infer.ZonePair, infer.ZonePodPair:
		c.Node, c.Peer = w.ZoneNames[p.A], w.ZoneNames[p.B]
	case infer.DNSServer:
		c.Node, c.Service = w.DNSNodes[p.A], w.DNSServers[p.A]
	case infer.DNSService:
		c.Service = world.DNSName
	case infer.APIServer:
		c.Service = world.APIServerName
	default:
		if p.A != world.None {
			c.Node = w.Nodes[p.A]
		}
		if p.B != world.None {
			c.Peer = w.Nodes[p.B]
		}
	}
	return c
}
