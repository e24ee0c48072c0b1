// Package packets is the second generator. It follows packets leg by leg, and its faults are the rows of the study's
// table of faults: which probes fail, with which error, and how failures hang together. It knows no components; a row
// only says at the end which component a diagnosis ought to name.
package packets

import (
	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/ladder"
)

// kind is what a leg of a packet's way is.
type kind int

// The kinds of legs: between places, and steps at one place.
const (
	self       kind = iota // from a pod to itself
	hostOwn                // from a host network to the agent's pod on it
	ownHost                // the opposite
	hostHost               // between host networks
	hostPod                // from a host network to a pod elsewhere
	podHost                // from a pod to the agent of a host network elsewhere
	podPod                 // between agents' pods on two nodes
	podNode                // from a pod to the address of a node, its own included
	masqPod                // from a node, by whose address the source was replaced, to a pod anywhere
	hairpin                // from a pod through a Service to itself
	podServer              // from an agent's pod to a DNS pod anywhere
	outward                // from a pod to what is no node of the mesh
	inward                 // from there to a pod
	second                 // between pods over the second network
	translate              // a replaces a cluster address by that of b
	hostRoute              // a finds the way to cluster addresses
	nodePort               // a replaces its node port by the address of b
	entry                  // the entry of b among the endpoints
	balancer               // the load balancer's address
	ingress                // the Ingress
	dnsAddress             // a asks at the address of DNS
	dnsServer              // the DNS server with index b answers
	apiServer              // the API server answers
)

// leg is a part of a probe's way, from node a to node b.
type leg struct {
	kind kind
	a, b int
}

// legs appends the way of an attempt.
func legs(out []leg, at *round.Attempt, dns []int) []leg {
	i, e := at.From, at.Endpoint
	if k, is := simple(at.Rung); is {
		return append(out, leg{k, i, at.To})
	}
	none := world.None
	switch at.Rung {
	case ladder.ClusterIP:
		return append(out, leg{translate, i, e}, leg{entry, none, e}, toPod(i, e))
	case ladder.LoadBalancer:
		return append(out, leg{balancer, i, none}, leg{entry, none, e}, toPod(i, e))
	case ladder.HostClusterIP:
		to := leg{hostPod, i, e}
		if i == e {
			to.kind = hostOwn
		}
		return append(out, leg{hostRoute, i, none}, leg{translate, i, e}, leg{entry, none, e}, to)
	case ladder.NodePort:
		return append(out, leg{podNode, i, at.At}, leg{nodePort, at.At, e}, leg{entry, none, e}, leg{masqPod, at.At, e})
	case ladder.Ingress:
		return append(out, leg{outward, i, none}, leg{ingress, i, none}, leg{inward, none, e})
	case ladder.APIServer:
		return append(out, leg{translate, i, none}, leg{outward, i, none}, leg{apiServer, none, none})
	case ladder.DNSPod:
		return append(out, leg{podServer, i, at.To}, leg{dnsServer, none, at.Server})
	case ladder.DNSService:
		out = append(out, leg{translate, i, none}, leg{dnsAddress, i, none})
		if e == none {
			return out
		}
		return append(out, leg{podServer, i, dns[e]}, leg{dnsServer, none, e})
	default:
		return out
	}
}

// simple returns the kind of the single leg of a rung to one place.
func simple(rung ladder.Rung) (kind, bool) {
	switch rung {
	case ladder.Self:
		return self, true
	case ladder.HostToOwnPod:
		return hostOwn, true
	case ladder.PodToOwnHost:
		return ownHost, true
	case ladder.HostToHost:
		return hostHost, true
	case ladder.HostToPod:
		return hostPod, true
	case ladder.PodToHost:
		return podHost, true
	case ladder.PodToPod:
		return podPod, true
	case ladder.SecondInterface:
		return second, true
	default:
		return 0, false
	}
}

func toPod(i, e int) leg {
	if i == e {
		return leg{hairpin, i, e}
	}
	return leg{podPod, i, e}
}

// at reports whether a leg begins or ends at a node.
func (l leg) at(x int) bool { return l.a == x || l.b == x && l.kind != dnsServer }

// between reports whether a leg is between two nodes, in either direction.
func (l leg) between(x, y int) bool { return l.a == x && l.b == y || l.a == y && l.b == x }

// tunnel reports whether a leg goes through the pod network between nodes.
func (l leg) tunnel() bool {
	switch l.kind {
	case podPod, hostPod, masqPod, podServer:
		return l.a != l.b
	case inward:
		return true
	default:
		return false
	}
}

// wire reports whether a leg goes over the nodes' network.
func (l leg) wire() bool {
	switch l.kind {
	case hostHost, podHost, outward:
		return true
	case podNode:
		return l.a != l.b
	default:
		return l.tunnel()
	}
}

// forwardedAt reports whether node x forwards the packets of a leg between its pods, or the address of a node port, and
// other nodes.
func (l leg) forwardedAt(x int) bool {
	switch l.kind {
	case podPod:
		return l.at(x)
	case masqPod, podServer:
		return l.a != l.b && l.at(x)
	case hostPod, inward:
		return l.b == x
	case podHost, outward:
		return l.a == x
	case podNode:
		return l.a == x && l.a != l.b
	default:
		return false
	}
}

// podLinkOf reports whether a leg goes over the interface of the agent's pod on node x.
func (l leg) podLinkOf(x int) bool {
	switch l.kind {
	case podPod, hostOwn, ownHost, hairpin:
		return l.at(x)
	case hostPod, masqPod, inward:
		return l.b == x
	case podHost, podNode, podServer, outward:
		return l.a == x
	default:
		return false
	}
}

// answeredBy reports whether the agent in the pod on node x answers the probe of a leg.
func (l leg) answeredBy(x int) bool {
	switch l.kind {
	case self, podPod, hostPod, hostOwn, masqPod, hairpin, inward, second:
		return l.b == x
	default:
		return false
	}
}

// crosses reports whether a leg is between nodes of two zones.
func (l leg) crosses(w *world.World, y, z int) bool {
	if l.a == world.None || l.b == world.None || l.kind >= translate {
		return false
	}
	a, b := w.Zone[l.a], w.Zone[l.b]
	return a == y && b == z || a == z && b == y
}
