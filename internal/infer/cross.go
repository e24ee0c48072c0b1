package infer

import (
	"cmp"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// crossing is a component that an observation crosses.
type crossing struct {
	Component
	// of says whether the component is at the asker's end, at the other end, or in between.
	of end
	// maybe says that nobody knows whether the probe crosses the component: it may be why the probe fails, and a probe
	// that passes proves nothing about it.
	maybe bool
}

type end int

const (
	asker end = iota
	answerer
	between
)

// pair returns the component between two nodes, or two zones, whose order says nothing.
func pair(part Part, a, b string) Component {
	if b < a {
		a, b = b, a
	}
	return Component{Part: part, Node: a, Peer: b}
}

// crossings collects the components of one observation.
type crossings struct {
	zones map[string]string
	all   []crossing
}

func (c *crossings) at(of end, node string, parts ...Part) {
	for _, part := range parts {
		c.all = append(c.all, crossing{Component: Component{Part: part, Node: node}, of: of})
	}
}

func (c *crossings) of(component Component) {
	c.all = append(c.all, crossing{Component: component, of: between})
}

// crossed returns the components that an observation crosses, in the buffer. Which backend of a Service was asked is
// not among them.
func crossed(o *ladder.Observation, zones map[string]string, buffer []crossing) []crossing {
	c := crossings{zones: zones, all: buffer[:0]}
	switch o.Rung {
	case ladder.Self:
		c.at(answerer, o.From, Agent)
	case ladder.HostToOwnPod:
		c.asks(o.From, HostAgent)
		c.at(answerer, o.From, PodNetwork, Agent)
	case ladder.PodToOwnHost:
		c.asks(o.From, Agent)
		c.at(asker, o.From, PodNetwork)
		c.hostEnd(o, o.From)
	case ladder.HostToHost:
		c.asks(o.From, HostAgent)
		c.nodes(o.From, o.To)
		c.hostEnd(o, o.To)
	case ladder.PodToPod:
		c.podToPod(o.From, o.To)
	case ladder.HostToPod:
		c.asks(o.From, HostAgent)
		c.at(asker, o.From, Overlay)
		c.overlay(o.From, o.To)
		c.at(answerer, o.To, Overlay, Forwarding, PolicyIn, PodNetwork, Agent)
	case ladder.PodToHost:
		c.asks(o.From, Agent)
		c.at(asker, o.From, PodNetwork, PolicyOut, Forwarding)
		c.nodes(o.From, o.To)
		c.hostEnd(o, o.To)
		c.backToPod(o.From, o.To)
	case ladder.DNSPod:
		c.dnsServer(o)
	case ladder.SecondInterface:
		c.at(asker, o.From, SecondInterface)
		c.of(Component{Part: SecondNetwork, Service: o.Service})
		c.at(answerer, o.To, SecondInterface, Agent)
		c.sharedLink(o.From, o.To)
	default:
		c.services(o)
	}
	return c.all
}

// asks adds the process that asks. It may be why probes fail, but what it asks well does not show that it answers.
func (c *crossings) asks(node string, part Part) {
	c.all = append(c.all, crossing{Component: Component{Part: part, Node: node}, of: asker, maybe: true})
}

// hostEnd adds the end in the host network of a node. The kernel answers echo requests, whatever the agent does.
func (c *crossings) hostEnd(o *ladder.Observation, node string) {
	if o.Method != ladder.ICMP {
		c.at(answerer, node, HostAgent, ProbePort)
	}
}

// nodes adds the network between two nodes.
func (c *crossings) nodes(from, to string) {
	c.at(asker, from, NodeNetwork)
	c.of(pair(NodePair, from, to))
	c.zonePair(ZonePair, from, to)
	c.at(answerer, to, NodeNetwork, inbound)
}

// zonePair adds what is between the zones of two nodes.
func (c *crossings) zonePair(part Part, from, to string) {
	if a, b := c.zones[from], c.zones[to]; a != b && a != "" && b != "" {
		c.of(pair(part, a, b))
	}
}

// backToPod adds what the answer of a node to a pod on another node may cross: where the pod's address is not
// translated on the way out, the answer comes through the pod network.
func (c *crossings) backToPod(pod, host string) {
	first := len(c.all)
	c.at(asker, pod, Overlay)
	c.of(pair(PodPair, pod, host))
	c.zonePair(ZonePodPair, pod, host)
	c.at(answerer, host, Overlay)
	for i := first; i < len(c.all); i++ {
		c.all[i].maybe = true
	}
}

// sharedLink adds the nodes' network, over which a further network may run.
func (c *crossings) sharedLink(from, to string) {
	first := len(c.all)
	c.nodes(from, to)
	for i := first; i < len(c.all); i++ {
		c.all[i].maybe = true
	}
}

// overlay adds the pod network between two nodes, and the network below.
func (c *crossings) overlay(from, to string) {
	c.nodes(from, to)
	c.of(pair(PodPair, from, to))
	c.zonePair(ZonePodPair, from, to)
}

func (c *crossings) podToPod(from, to string) {
	if from == to {
		// From a pod to itself, by the address of a Service.
		c.at(asker, from, PodNetwork, PolicyOut, Forwarding)
		c.at(answerer, from, PolicyIn)
		return
	}
	c.asks(from, Agent)
	c.at(asker, from, PodNetwork, PolicyOut, Forwarding, Overlay)
	c.overlay(from, to)
	c.of(pair(PolicyPair, from, to))
	c.at(answerer, to, Overlay, Forwarding, PolicyIn, PodNetwork, Agent)
}

func (c *crossings) dnsServer(o *ladder.Observation) {
	c.at(asker, o.From, PodNetwork, PolicyOut)
	if o.To != "" && o.To != o.From {
		c.at(asker, o.From, Forwarding, Overlay)
		c.overlay(o.From, o.To)
		c.at(answerer, o.To, Overlay, Forwarding)
	}
	c.of(Component{Part: DNSServer, Node: o.To, Service: o.Service})
	c.at(asker, o.From, DNSWay)
}

// services adds what leads to a Service, a load balancer or an Ingress.
func (c *crossings) services(o *ladder.Observation) {
	switch o.Rung {
	case ladder.ClusterIP:
		c.at(asker, o.From, KubeProxy)
		c.of(Component{Part: Service, Service: o.Service})
	case ladder.HostClusterIP:
		c.at(asker, o.From, HostRoute, KubeProxy)
		c.of(Component{Part: Service, Service: o.Service})
	case ladder.NodePort:
		node := cmp.Or(o.At, o.From)
		c.at(answerer, node, NodePort)
		// Node ports may work although the addresses of Services do not.
		c.all = append(c.all, crossing{Component: Component{Part: KubeProxy, Node: node}, of: answerer, maybe: true},
			crossing{Component: Component{Part: Service, Service: o.Service}, of: between, maybe: true})
	case ladder.LoadBalancer:
		c.at(asker, o.From, LoadBalancerWay)
		c.of(Component{Part: LoadBalancer, Service: o.Service})
	case ladder.Ingress:
		c.at(asker, o.From, IngressWay)
		c.of(Component{Part: Ingress, Service: o.Service})
	case ladder.DNSService:
		c.at(asker, o.From, DNSWay, KubeProxy)
		c.of(Component{Part: DNSService})
	case ladder.APIServer:
		c.at(asker, o.From, KubeProxy)
		c.of(Component{Part: APIServer})
	}
}

// throughService reports whether the rung leads to one of several backends.
func throughService(r ladder.Rung) bool {
	switch r {
	case ladder.ClusterIP, ladder.HostClusterIP, ladder.NodePort, ladder.LoadBalancer, ladder.Ingress,
		ladder.DNSService, ladder.APIServer:
		return true
	}
	return false
}

// may reports whether a fault of the component can make probes fail in this way. What was refused had reached somebody
// who refused; a connection without a reply shows that small packets pass; what the own node did not send has its
// cause there.
func (c crossing) may(failure ladder.Failure, method ladder.Method) bool {
	switch failure {
	case ladder.NoAnswer:
		// The kernel makes connections for a process that does nothing.
		process := c.Part == Agent || c.Part == HostAgent
		return !process || method != ladder.TCP && method != ladder.HTTP
	case ladder.Refused, ladder.Reset:
		switch c.Part {
		case NodeNetwork, NodePair, ZonePair, Overlay, PodPair, ZonePodPair, PodNetwork, SecondNetwork:
			// But for another machine that has the node's address.
			return false
		case Agent, HostAgent:
			return c.of == answerer
		}
	case ladder.NoReply:
		if c.Part == Agent || c.Part == HostAgent {
			return c.of == answerer
		}
	case ladder.BadReply:
		switch c.Part {
		case Agent, HostAgent:
			return c.of == answerer
		case DNSServer, Service, Endpoint, LoadBalancer, Ingress, DNSService, APIServer, KubeProxy, NodePort:
			return true
		}
		return false
	case ladder.NotPermitted, ladder.TooLarge:
		switch c.Part {
		case NodeNetwork, PolicyOut, Overlay, PodNetwork, Forwarding, SecondInterface:
			return c.of == asker
		}
		return false
	case ladder.WrongPeer:
		switch c.Part {
		case NodePair, ZonePair, ZonePodPair, PolicyIn, PolicyOut, PolicyPair, Forwarding, HostRoute, ProbePort:
			return false
		case Agent, HostAgent:
			return c.of == answerer
		}
	}
	return true
}

// bucket is a class of traffic: family, method and size.
type bucket int

const (
	families = 3 // unknown, IPv4, IPv6
	kinds    = 3 // UDP, TCP, other
	sizes    = 2
	buckets  = families * kinds * sizes
)

func bucketOf(family topology.Family, method ladder.Method, large bool) bucket {
	f, k, s := 0, 2, 0
	switch family {
	case topology.IPv4:
		f = 1
	case topology.IPv6:
		f = 2
	}
	switch method {
	case ladder.UDP, ladder.DNS:
		k = 0
	case ladder.TCP, ladder.HTTP:
		k = 1
	}
	if large {
		s = 1
	}
	return bucket((f*kinds+k)*sizes + s)
}

// mask is a set of buckets.
type mask uint32

func (m mask) has(b bucket) bool { return m>>uint(b)&1 == 1 }

// aspectMask returns the traffic that an aspect covers.
func aspectMask(a Aspect) mask {
	var m mask
	for f, family := range []string{"", string(topology.IPv4), string(topology.IPv6)} {
		for k, method := range []string{string(ladder.UDP), string(ladder.TCP), ""} {
			for s := range sizes {
				if (a.Family == "" || a.Family == family) && (a.Method == "" || a.Method == method) && (!a.Large || s == 1) {
					m |= 1 << uint((f*kinds+k)*sizes+s)
				}
			}
		}
	}
	return m
}

// choice is an aspect with its traffic and its price in nats: the narrower a claim, the more evidence it needs.
type choice struct {
	aspect Aspect
	mask   mask
	price  float64
}

// aspects is the table of aspects that faults may have.
func aspects() []choice {
	const narrow = 2
	var all []choice
	for _, a := range []Aspect{
		{},
		{Family: string(topology.IPv4)}, {Family: string(topology.IPv6)},
		{Method: string(ladder.UDP)}, {Method: string(ladder.TCP)},
		{Large: true},
		{Family: string(topology.IPv4), Large: true}, {Family: string(topology.IPv6), Large: true},
		{Family: string(topology.IPv4), Method: string(ladder.UDP)},
		{Family: string(topology.IPv4), Method: string(ladder.TCP)},
		{Family: string(topology.IPv6), Method: string(ladder.UDP)},
		{Family: string(topology.IPv6), Method: string(ladder.TCP)},
	} {
		price := 0.0
		for _, set := range []bool{a.Family != "", a.Method != "", a.Large} {
			if set {
				price += narrow
			}
		}
		all = append(all, choice{a, aspectMask(a), price})
	}
	return all
}
