package infer

import (
	"cmp"

	"kdoctor.io/kdoctor/internal/ladder"
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
		c.at(asker, o.From, asking)
		c.at(answerer, o.From, Agent, wholeAgent)
	case ladder.HostToOwnPod:
		c.at(asker, o.From, hostAsking, wholeHost)
		// What the node itself refuses, such as connections that it has no room to track, it refuses to its pods too.
		c.mayMeet(asker, o.From, NodeNetwork)
		c.at(answerer, o.From, PodNetwork, Agent, wholeAgent)
	case ladder.PodToOwnHost:
		c.at(asker, o.From, asking, wholeAgent, PodNetwork)
		c.mayMeet(asker, o.From, NodeNetwork)
		c.hostEnd(o, o.From)
	case ladder.HostToHost:
		c.at(asker, o.From, hostAsking, wholeHost)
		c.besideTunnel(o.From, o.To)
		c.hostEnd(o, o.To)
	case ladder.PodToPod:
		c.podToPod(o.From, o.To)
	case ladder.HostToPod:
		c.at(asker, o.From, hostAsking, wholeHost, Overlay)
		c.overlay(o.From, o.To)
		c.at(answerer, o.To, Overlay, Forwarding, PodNetwork, Agent, wholeAgent)
		c.mayMeet(answerer, o.To, PolicyIn)
	case ladder.PodToHost:
		c.at(asker, o.From, asking, wholeAgent, PodNetwork, Forwarding)
		c.mayMeet(asker, o.From, PolicyOut)
		c.besideTunnel(o.From, o.To)
		c.hostEnd(o, o.To)
		c.backToPod(o.From, o.To)
	case ladder.DNSPod:
		c.dnsServer(o)
	case ladder.SecondInterface:
		c.at(asker, o.From, asking, wholeAgent, SecondInterface)
		c.of(Component{Part: SecondNetwork, Service: o.Service})
		c.at(answerer, o.To, SecondInterface, Agent, wholeAgent)
		c.sharedLink(o.From, o.To)
	default:
		c.services(o)
	}
	return c.all
}

// mayMeet adds a part that only some implementations cross.
func (c *crossings) mayMeet(of end, node string, part Part) {
	c.all = append(c.all, crossing{Component: Component{Part: part, Node: node}, of: of, maybe: true})
}

// hostEnd adds the end in the host network of a node. The kernel answers echo requests, whatever the agent does.
func (c *crossings) hostEnd(o *ladder.Observation, node string) {
	if o.Method != ladder.ICMP {
		c.at(answerer, node, HostAgent, wholeHost, ProbePort)
	}
}

// nodes adds the network between two nodes.
func (c *crossings) nodes(from, to string) {
	c.at(asker, from, NodeNetwork)
	c.of(pair(NodePair, from, to))
	c.zonePair(ZonePair, from, to)
	c.at(answerer, to, NodeNetwork, inbound)
	c.at(asker, from, stranger)
	c.at(answerer, to, stranger)
}

// besideTunnel adds the network between two nodes for what no tunnel carries.
func (c *crossings) besideTunnel(from, to string) {
	c.nodes(from, to)
	c.at(asker, from, plain)
	c.at(answerer, to, plain)
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
		c.at(answerer, from, PolicyIn, Agent, wholeAgent)
		return
	}
	c.at(asker, from, asking, wholeAgent, PodNetwork, PolicyOut, Forwarding, Overlay)
	c.overlay(from, to)
	c.of(pair(PolicyPair, from, to))
	c.at(answerer, to, Overlay, Forwarding, PolicyIn, PodNetwork, Agent, wholeAgent)
}

func (c *crossings) dnsServer(o *ladder.Observation) {
	c.at(asker, o.From, asking, wholeAgent, PodNetwork, PolicyOut)
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
		c.at(asker, o.From, KubeProxy, hairpin)
		c.of(Component{Part: Service, Service: o.Service})
	case ladder.HostClusterIP:
		c.at(asker, o.From, HostRoute, KubeProxy)
		c.of(Component{Part: Service, Service: o.Service})
	case ladder.NodePort:
		node := cmp.Or(o.At, o.From)
		c.at(answerer, node, NodePort)
		if node == o.From {
			c.at(asker, node, hairpin)
		} else {
			c.at(answerer, node, entrance)
		}
		// Node ports may work although the addresses of Services do not.
		c.mayMeet(answerer, node, KubeProxy)
		c.of(Component{Part: Service, Service: o.Service})
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
		c.at(asker, o.From, APIServerWay, KubeProxy)
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
