package infer

import "kdoctor.io/kdoctor/internal/ladder"

// may reports whether a fault of the component can make probes fail in this way. What was refused had reached somebody
// who refused; a connection without a reply shows that small packets pass; what the own node did not send has its
// cause there.
func (c crossing) may(failure ladder.Failure, method ladder.Method) bool {
	switch failure {
	case ladder.NoAnswer:
		// The kernel makes connections for a process that does nothing; a process that asks late gives up too early.
		return !c.answers() || method != ladder.TCP && method != ladder.HTTP
	case ladder.Refused, ladder.Reset:
		switch c.Part {
		case NodeNetwork, plain, NodePair, ZonePair, Overlay, PodPair, ZonePodPair, PodNetwork, SecondNetwork:
			// But for another machine that has the node's address.
			return false
		case stranger:
			return c.of == answerer && failure == ladder.Refused
		}
		return !c.process() || c.answers()
	case ladder.BadReply:
		switch c.Part {
		case Agent, HostAgent, wholeAgent, wholeHost:
			return c.answers()
		case DNSServer, Service, Endpoint, LoadBalancer, Ingress, DNSService, APIServer, KubeProxy, NodePort,
			entrance, hairpin:
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
		case NodePair, ZonePair, ZonePodPair, PolicyIn, PolicyOut, PolicyPair, Forwarding, HostRoute, ProbePort, plain:
			return false
		}
		return !c.process()
	}
	return true
}

// process reports whether the component is an agent's process.
func (c crossing) process() bool {
	switch c.Part {
	case Agent, asking, wholeAgent, HostAgent, hostAsking, wholeHost:
		return true
	}
	return false
}

// answers reports whether the component is an agent's process that ought to answer.
func (c crossing) answers() bool { return c.process() && c.of == answerer }
