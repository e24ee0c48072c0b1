// Package paths is the simple generator: a probe crosses components, and each lossy one drops it independently. Which
// components a probe crosses is the package's own view of a cluster, which the baselines share.
package paths

import (
	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// Place is a component by indexes: A is its node or zone, B the other one of a pair, of which A is the lower, or the
// index of a DNS server in A. world.None stands for none.
type Place struct {
	Part infer.Part
	A, B int
}

// Zones returns the zone of a node, or world.None.
type Zones func(node int) int

// Crosser lists what probes cross.
type Crosser struct {
	Zone Zones
	out  []Place
}

// Cross returns what a probe crosses. The endpoint is the node of the pod that answered, or the index of the DNS
// server; with world.None for one that the cluster chose and nobody knows, the way to it is left out. nodes has the
// nodes of the DNS servers by their index. The result is valid until the next call.
func (c *Crosser) Cross(p *world.Probe, endpoint int, dns []int) []Place {
	c.out = c.out[:0]
	switch p.Rung {
	case ladder.Self:
		c.one(infer.Agent, p.From)
	case ladder.HostToOwnPod, ladder.PodToOwnHost:
		c.one(infer.HostAgent, p.From)
		c.one(infer.Agent, p.From)
		c.one(infer.PodNetwork, p.From)
		if p.Rung == ladder.PodToOwnHost {
			c.one(infer.ProbePort, p.From)
		}
	case ladder.HostToHost:
		c.one(infer.HostAgent, p.From)
		c.one(infer.HostAgent, p.To)
		c.one(infer.ProbePort, p.To)
		c.underlay(p.From, p.To)
	case ladder.PodToHost:
		c.leave(p.From, false)
		c.one(infer.HostAgent, p.To)
		c.one(infer.ProbePort, p.To)
		c.underlay(p.From, p.To)
	case ladder.HostToPod:
		c.one(infer.HostAgent, p.From)
		c.arrive(p.From, p.To)
	case ladder.PodToPod:
		c.leave(p.From, true)
		c.one(infer.PolicyIn, p.To)
		c.pair(infer.PolicyPair, p.From, p.To)
		c.arrive(p.From, p.To)
	case ladder.SecondInterface:
		c.one(infer.Agent, p.From)
		c.one(infer.Agent, p.To)
		c.one(infer.SecondInterface, p.From)
		c.one(infer.SecondInterface, p.To)
		c.one(infer.SecondNetwork, world.None)
	default:
		c.service(p, endpoint, dns)
	}
	return c.out
}

// service lists what a probe to a Service or a DNS server crosses.
func (c *Crosser) service(p *world.Probe, endpoint int, dns []int) {
	switch p.Rung {
	case ladder.ClusterIP:
		c.leaveTo(p.From, endpoint)
		c.one(infer.KubeProxy, p.From)
		c.one(infer.Service, world.None)
		c.backend(p.From, endpoint, true)
	case ladder.HostClusterIP:
		c.one(infer.HostAgent, p.From)
		c.one(infer.HostRoute, p.From)
		c.one(infer.KubeProxy, p.From)
		c.one(infer.Service, world.None)
		c.backend(p.From, endpoint, false)
	case ladder.NodePort:
		c.leave(p.From, true)
		if p.At != p.From {
			c.underlay(p.From, p.At)
			c.one(infer.Forwarding, p.At)
		}
		c.one(infer.NodePort, p.At)
		c.one(infer.KubeProxy, p.At)
		c.backend(p.At, endpoint, false)
	case ladder.LoadBalancer:
		c.leave(p.From, true)
		c.one(infer.LoadBalancerWay, p.From)
		c.one(infer.LoadBalancer, world.None)
		c.backend(p.From, endpoint, true)
	case ladder.Ingress:
		c.leave(p.From, true)
		c.one(infer.NodeNetwork, p.From)
		c.one(infer.IngressWay, p.From)
		c.one(infer.Ingress, world.None)
		c.backend(world.None, endpoint, false)
	case ladder.APIServer:
		c.leave(p.From, true)
		c.one(infer.NodeNetwork, p.From)
		c.one(infer.KubeProxy, p.From)
		c.one(infer.APIServer, world.None)
	case ladder.DNSService:
		c.leaveTo(p.From, at(dns, endpoint))
		c.one(infer.KubeProxy, p.From)
		c.one(infer.DNSWay, p.From)
		c.one(infer.DNSService, world.None)
		c.server(p.From, endpoint, dns)
	case ladder.DNSPod:
		c.leaveTo(p.From, p.To)
		c.server(p.From, p.Server, dns)
	default:
	}
}

// at returns the element of a list, or world.None.
func at(list []int, i int) int {
	if i == world.None {
		return world.None
	}
	return list[i]
}

func (c *Crosser) one(part infer.Part, node int) {
	c.out = append(c.out, Place{part, node, world.None})
}

// leave is from a pod out of its node; policies have their say where the target is a pod or a Service.
func (c *Crosser) leave(node int, policies bool) {
	c.one(infer.Agent, node)
	c.one(infer.PodNetwork, node)
	c.one(infer.Forwarding, node)
	if policies {
		c.one(infer.PolicyOut, node)
	}
}

// leaveTo is from a pod to a pod, which may be on the same node.
func (c *Crosser) leaveTo(node, to int) {
	if node == to {
		c.one(infer.Agent, node)
		c.one(infer.PodNetwork, node)
		return
	}
	c.leave(node, true)
}

// arrive is from a node to the agent's pod on another one.
func (c *Crosser) arrive(from, to int) {
	c.overlay(from, to)
	c.one(infer.Forwarding, to)
	c.one(infer.PodNetwork, to)
	c.one(infer.Agent, to)
}

// backend is from a node to the pod that the cluster chose. From world.None it is from outside of the nodes.
func (c *Crosser) backend(from, to int, asPod bool) {
	if to == world.None {
		return
	}
	c.one(infer.Endpoint, to)
	switch from {
	case to:
		c.one(infer.PodNetwork, to)
		c.one(infer.Agent, to)
		return
	case world.None:
		c.one(infer.Overlay, to)
		c.one(infer.NodeNetwork, to)
		c.one(infer.Forwarding, to)
		c.one(infer.PodNetwork, to)
		c.one(infer.Agent, to)
		return
	}
	if asPod {
		c.one(infer.PolicyIn, to)
		c.pair(infer.PolicyPair, from, to)
	}
	c.arrive(from, to)
}

// server is from a pod to a DNS server.
func (c *Crosser) server(from, server int, dns []int) {
	if server == world.None {
		return
	}
	c.out = append(c.out, Place{infer.DNSServer, server, world.None})
	if dns[server] != from {
		c.overlay(from, dns[server])
		c.one(infer.Forwarding, dns[server])
	}
}

// overlay is the pod network between two nodes.
func (c *Crosser) overlay(a, b int) {
	c.one(infer.Overlay, a)
	c.one(infer.Overlay, b)
	c.pair(infer.PodPair, a, b)
	if za, zb := c.Zone(a), c.Zone(b); za != zb && za != world.None && zb != world.None {
		c.pair(infer.ZonePodPair, za, zb)
	}
	c.underlay(a, b)
}

// underlay is the nodes' network between two nodes.
func (c *Crosser) underlay(a, b int) {
	c.one(infer.NodeNetwork, a)
	c.one(infer.NodeNetwork, b)
	c.pair(infer.NodePair, a, b)
	if za, zb := c.Zone(a), c.Zone(b); za != zb && za != world.None && zb != world.None {
		c.pair(infer.ZonePair, za, zb)
	}
}

func (c *Crosser) pair(part infer.Part, a, b int) {
	c.out = append(c.out, Place{part, min(a, b), max(a, b)})
}
