package diagnose

import (
	"fmt"
	"net/netip"
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// cause is why a component fails: a word that never changes, what it does to requests, and what to look at instead of
// what is said of the component in general.
type cause struct{ word, says, look string }

// symptoms are what the failures that a fault explains have in common.
type symptoms struct {
	fault infer.Fault
	kinds map[ladder.Failure]uint64
	lost  uint64
	mtu   int
	// strangers is how often somebody at the node's address refused, or answered, who is not the agent there.
	strangers uint64
	// only is the IP family over which alone nobody reaches the node's host network; empty where that is not so.
	only topology.Family
	// backends is how many backends the Service has, by the observations; 0 for another component. silent are the nodes
	// of backends from which no answer came, although answers came from others.
	backends int
	silent   []string
	// servers says that DNS servers do not answer by their own addresses either.
	servers bool
	// untranslated says that no request to a cluster address got an answer.
	untranslated bool
	// own says that each asker missed its own backend alone.
	own bool
	// moments is when counted requests failed; its zero value where that is not known.
	moments moments
	// gone are the endpoints that Services have left within topology.TrackedFor.
	gone []string
}

func (l locator) symptomsOf(f infer.Fault) symptoms {
	s := symptoms{fault: f, kinds: map[ladder.Failure]uint64{}, mtu: l.pathMTU(f)}
	for _, i := range f.Observations() {
		for kind, n := range l.seen[i].Failures {
			s.kinds[kind] += n
			s.lost += n
		}
	}
	s.backends, s.silent, s.own = l.backendsOf(f)
	s.gone = l.goneAddresses(f)
	s.untranslated = l.untranslated(f)
	s.moments, _ = l.momentsOf(f)
	s.servers = slices.ContainsFunc(f.Observations(), func(i int) bool { return l.seen[i].Rung == ladder.DNSPod })
	if f.Component.Part == infer.NodeNetwork {
		s.strangers, s.only = l.strangersAt(f.Component.Node), l.onlyFamilyLost(f.Component.Node)
	}
	return s
}

// untranslated reports whether the fault explains requests to cluster addresses, and none of these got an answer.
func (l locator) untranslated(f infer.Fault) bool {
	asked := false
	for _, i := range f.Observations() {
		o := &l.seen[i]
		if o.Rung == ladder.ClusterIP || o.Rung == ladder.HostClusterIP {
			asked = true
			if o.Answered > 0 {
				return false
			}
		}
	}
	return asked
}

// strangersAt is how often somebody at the node's address refused, or answered, who is not the agent there.
func (l locator) strangersAt(node string) (n uint64) {
	for i := range l.seen {
		if o := &l.seen[i]; o.To == node && (o.Rung == ladder.HostToHost || o.Rung == ladder.PodToHost) {
			n += o.Failures[ladder.Refused] + o.Failures[ladder.WrongPeer]
		}
	}
	return n
}

// onlyFamilyLost returns the IP family over which no probe from another node got an answer from the node's host
// network, if all got one over the other family.
func (l locator) onlyFamilyLost(node string) (only topology.Family) {
	sent, lost := map[topology.Family]uint64{}, map[topology.Family]uint64{}
	for i := range l.seen {
		o := &l.seen[i]
		if o.To == node && o.From != node && (o.Rung == ladder.HostToHost || o.Rung == ladder.PodToHost) {
			sent[o.Family] += o.Sent
			lost[o.Family] += o.Failed()
		}
	}
	if len(sent) != 2 {
		return ""
	}
	for family := range sent {
		switch lost[family] {
		case 0:
		case sent[family]:
			if only != "" {
				return ""
			}
			only = family
		default:
			return ""
		}
	}
	return only
}

// mostly reports whether at least half of the failures are of these kinds.
func (s symptoms) mostly(kinds ...ladder.Failure) bool {
	var n uint64
	for _, kind := range kinds {
		n += s.kinds[kind]
	}
	return s.lost > 0 && 2*n >= s.lost
}

// any reports whether there are failures of the kind.
func (s symptoms) any(kind ladder.Failure) bool { return s.kinds[kind] > 0 }

// whole reports whether all that crosses the component fails.
func (s symptoms) whole() bool { return s.fault.Severity > 0.9 }

// causeOf names the cause.
func (l locator) causeOf(f infer.Fault) cause {
	s := l.symptomsOf(f)
	loss := lossOf(f)
	if f.Aspect.Large {
		return s.tooLarge()
	}
	switch f.Component.Part {
	case infer.Agent, infer.HostAgent:
		return s.process(loss)
	case infer.NodeNetwork, infer.NodePair, infer.ZonePair:
		return s.node(loss)
	case infer.Overlay, infer.PodPair, infer.ZonePodPair:
		return s.overlay(loss)
	case infer.PodNetwork, infer.SecondInterface, infer.SecondNetwork:
		return s.podInterface(loss)
	case infer.Forwarding:
		if s.whole() {
			return cause{"ForwardingOff", "the node forwards nothing between its pods and other nodes (" + loss + ")", ""}
		}
		return cause{"PacketLoss", "the node loses packets as it forwards them (" + loss + ")", ""}
	case infer.PolicyIn, infer.PolicyOut, infer.PolicyPair, infer.ProbePort:
		return s.filter(loss)
	case infer.KubeProxy, infer.Service, infer.NodePort, infer.HostRoute, infer.Endpoint:
		return s.service(loss)
	case infer.DNSServer, infer.DNSService, infer.DNSWay:
		return s.dns(loss)
	}
	return s.front(loss)
}

// tooLarge is a path that loses packets above a size.
func (s symptoms) tooLarge() cause {
	size := "full-size packets are lost and small ones arrive"
	if s.mtu > 0 {
		size = fmt.Sprintf("packets of more than %d bytes are lost", s.mtu)
	}
	if s.mostly(ladder.TooLarge) {
		return cause{"TunnelMTUTooSmall", size + ", because the node itself refuses to send them",
			"the MTU of the node's tunnel and interfaces, which is below that of its pods"}
	}
	return cause{"PathMTUTooSmall", size + " without a word to the sender",
		"the MTU of the node's interface, its switch port and the tunnel: it is smaller than the pods' MTU"}
}

func (s symptoms) process(loss string) cause {
	switch {
	case s.mostly(ladder.Refused):
		return cause{"ListenerDown", "nobody listens on the agent's port (" + loss + ")", ""}
	case s.whole():
		return cause{"AgentFrozen", "the kernel accepts connections, and the process answers nothing (" + loss + ")", ""}
	case s.mostly(ladder.WrongPeer):
		return cause{"AddressDuplicate", "another pod answers at the agent's address (" + loss + ")", ""}
	}
	return cause{"AgentStarved", "the process answers late or not at all (" + loss + ")", ""}
}

func (s symptoms) node(loss string) cause {
	pair := s.fault.Component.Peer != ""
	switch {
	case s.strangers > 0:
		return cause{"AddressDuplicate", "another machine answers at the node's address (" + loss + ")",
			"other machines with the node's address"}
	case s.only == topology.IPv4 && s.whole():
		return cause{"AddressDuplicate", "nobody reaches the node over IPv4, and over IPv6 everybody does (" + loss + ")",
			"other machines with the node's IPv4 address, entries of its neighbours for it, and filters for IPv4 or ARP"}
	case s.any(ladder.NotPermitted):
		return cause{"ConntrackFull", "the node itself refuses to send (" + loss + ")",
			"the node's table of tracked connections: net.netfilter.nf_conntrack_count beside nf_conntrack_max"}
	case s.fault.Severity > 0.3 && s.fault.Aspect.Family == "IPv6":
		return cause{"IPv6NeighbourDiscoveryBlocked", "nothing gets through over IPv6 (" + loss + ")",
			"filters for ICMPv6, which neighbour discovery needs, and IPv6 routes"}
	case s.whole() && s.fault.Component.Part == infer.ZonePair:
		return cause{"ZoneLinkDown", "nothing gets through between the nodes of the two zones (" + loss + ")", ""}
	case s.whole() && pair:
		return cause{"NeighbourWrong", "nothing gets through between the two alone (" + loss + ")", ""}
	case s.whole():
		return cause{"InterfaceDown", "nothing gets through to or from the node (" + loss + ")",
			"the node's interface, link, switch port and firewall; where the node stays Ready, at its table of tracked " +
				"connections, which takes no new ones if it is full: nf_conntrack_count beside nf_conntrack_max"}
	}
	return cause{"PacketLoss", "packets are lost (" + loss + ")",
		"errors and drops of the node's interface and switch port, and its rate limits"}
}

func (s symptoms) overlay(loss string) cause {
	pair := s.fault.Component.Peer != ""
	switch {
	case !s.whole():
		return cause{"PacketLoss", "packets between pods are lost, those between hosts are not (" + loss + ")", ""}
	case s.fault.Aspect.Family != "":
		return cause{"RouteMissing", "nothing gets through over one family (" + loss + ")",
			"routes to the pods of other nodes, and forwarding of that family"}
	case s.fault.Component.Part == infer.ZonePodPair:
		return cause{"OverlayPortBlocked", "nothing gets through between the pods of the two zones (" + loss + ")",
			"a firewall between the zones that drops the tunnel's port (VXLAN 4789 or 8472, Geneve 6081, WireGuard 51820)"}
	case pair:
		return cause{"TunnelEntryStale", "nothing gets through between the pods of the two (" + loss + ")", ""}
	}
	return cause{"OverlayPortBlocked", "nothing gets through between its pods and other nodes (" + loss + ")",
		"its tunnel: a firewall that drops the tunnel's port (VXLAN 4789 or 8472, Geneve 6081, WireGuard 51820; or " +
			"protocol 4 of IP-in-IP), the tunnel's device and routes"}
}

func (s symptoms) podInterface(loss string) cause {
	switch {
	case s.mostly(ladder.WrongPeer):
		return cause{"AddressDuplicate", "another pod answers at the address (" + loss + ")",
			"pods with the same address"}
	case s.fault.Aspect.Family != "" && s.whole():
		return cause{"RouteMissing", "nothing gets through over one family (" + loss + ")", ""}
	case s.fault.Aspect.Family != "" && s.any(ladder.Unreachable):
		return cause{"RouteMissing", "over one family there is no route for a part of the traffic (" + loss + ")",
			"the routes of the pod and of the node for that family"}
	case s.whole():
		return cause{"InterfaceDown", "nothing gets through (" + loss + ")", ""}
	}
	return cause{"PacketLoss", "packets are lost (" + loss + ")", ""}
}

func (s symptoms) filter(loss string) cause {
	says := "new connections are dropped (" + loss + ")"
	if s.any(ladder.Refused) {
		says = "new connections are rejected (" + loss + ")"
	}
	switch {
	case s.fault.Component.Part == infer.ProbePort:
		return cause{"ProbePortBlocked", "the port of the probes is blocked, and the node's network is well (" + loss +
			")", ""}
	case s.fault.Aspect.Method != "":
		return cause{"ProtocolFiltered", says, ""}
	case s.fault.Component.Part == infer.PolicyOut:
		return cause{"PolicyDeniesEgress", says, ""}
	case s.fault.Component.Part == infer.PolicyPair:
		return cause{"PolicyDeniesPair", says, ""}
	}
	return cause{"PolicyDeniesIngress", says, ""}
}

func (s symptoms) service(loss string) cause {
	part := s.fault.Component.Part
	switch {
	case s.own:
		return cause{"HairpinOff", "pods do not reach themselves through the Service (" + loss + ")",
			"hairpin mode of the pod's port on the bridge, and masquerading of such connections"}
	case s.stillTracked():
		return s.tracked(loss)
	case part == infer.HostRoute:
		return cause{"RouteMissing", "the host network does not reach Services (" + loss + ")", ""}
	case part == infer.NodePort && s.whole():
		return cause{"NodePortBlocked", "nothing gets through to the node port (" + loss + ")", ""}
	case part == infer.NodePort:
		return cause{"MasqueradeMissing", "connections that are led on to other nodes get no answer (" + loss + ")",
			"masquerading of connections to node ports on the node"}
	case s.mostly(ladder.Reset):
		return cause{"ConnectionsReset", "connections are reset in the middle (" + loss + ")",
			"packets that connection tracking takes for invalid, and rules that reject them"}
	case part == infer.KubeProxy && s.untranslated:
		return cause{"ServiceRulesMissing", "the node does not translate the Services' addresses (" + loss + ")", ""}
	case s.whole() && part == infer.Service:
		return cause{"ServiceBroken", "nothing gets through to the Service from any node (" + loss + ")", ""}
	case s.whole():
		return cause{"ServiceRulesMissing", "the node does not translate the Services' addresses (" + loss + ")", ""}
	case len(s.silent) > 0 && s.mostly(ladder.Refused):
		return cause{"EndpointDown", fmt.Sprintf("the backend on %s refuses (%s)", firstNames(s.silent), loss), ""}
	case part == infer.Service || part == infer.Endpoint:
		return cause{"EndpointStale", "part of the connections is led where nobody answers, from every node (" + loss +
			")", ""}
	case part == infer.KubeProxy && len(s.silent) == 0 && s.backends > 1:
		return cause{"SourcePortsExhausted", "connections to all backends are lost now and then (" + loss + ")",
			"source ports and masquerading on the node, and entries of connections that are over in its table of tracked " +
				"connections"}
	}
	return cause{"EndpointStale", "part of the connections is led where nobody answers (" + loss + ")", ""}
}

func (s symptoms) dns(loss string) cause {
	switch {
	case s.mostly(ladder.BadReply):
		return cause{"DNSServerFails", "queries are answered with an error (" + loss + ")", ""}
	case s.fault.Component.Part == infer.DNSServer:
		return cause{"DNSServerDown", "the server does not answer (" + loss + ")", ""}
	case s.fault.Component.Part == infer.DNSWay && !s.servers:
		return cause{"DNSServiceBroken", "the DNS servers answer the node's pods, and the address of their Service does " +
			"not (" + loss + ")", "kube-proxy on the node, for the Service of DNS, a DNS cache on the node, and entries of " +
			"its table of tracked connections that lead to a server that has gone (conntrack -L -p udp --dport 53)"}
	case s.fault.Component.Part == infer.DNSWay:
		return cause{"PolicyDeniesDNS", "queries from the node's pods get no answer (" + loss + ")", ""}
	}
	return cause{"DNSServiceBroken", "queries get no answer from any node (" + loss + ")", ""}
}

// front is a load balancer, an Ingress, or the API server.
func (s symptoms) front(loss string) cause {
	switch {
	case s.fault.Component.Part == infer.APIServer, s.fault.Component.Part == infer.APIServerWay:
		return cause{"APIServerUnreachable", "its cluster address gives no connection (" + loss + ")", ""}
	case s.own && s.fault.Component.Part != infer.Ingress && s.fault.Component.Part != infer.IngressWay:
		return cause{"HairpinOff", "the load balancer leads no connection back to the pod that it comes from (" + loss + ")",
			"hairpin of the load balancer: whether it translates the client's address, and accepts clients that are its " +
				"own backends"}
	case s.mostly(ladder.BadReply, ladder.WrongPeer):
		return cause{"WrongAnswer", "something else than the agents answers (" + loss + ")",
			"what answers at the address: rules for host and path, default backend, and backends of the load balancer"}
	case s.mostly(ladder.Refused):
		return cause{"NobodyListens", "the address refuses connections (" + loss + ")", ""}
	case s.whole() && s.mostly(ladder.NoReply):
		return cause{"ConnectedWithoutReply", "the address accepts connections, and no answer follows (" + loss + ")",
			"whether the process behind the address is stopped or out of CPU, and whether it reaches its own backends"}
	case s.whole():
		return cause{"NotReachable", "nobody answers at the address (" + loss + ")", ""}
	case s.moments.interrupted():
		return cause{"Interrupted", "it answered next to nobody for " + seconds(s.moments.last.Sub(s.moments.first)) +
			", and everybody before and after (" + loss + ")",
			"what restarted, was reloaded or was out of CPU at that moment: its logs and events"}
	}
	return cause{"BackendDown", "part of the connections gets no answer (" + loss + ")", ""}
}

// command is a command that reproduces a failing probe: the ladder's own where the address is known.
func (l locator) command(f infer.Fault) string {
	for _, i := range f.Observations() {
		o := &l.seen[i]
		address, err := netip.ParseAddrPort(o.Address)
		if err != nil {
			continue
		}
		switch o.Method {
		case ladder.HTTP, ladder.TCP:
			return fmt.Sprintf("kubectl debug node/%s -it --image=busybox -- nc -zv -w 2 %s %d", o.From, address.Addr(),
				address.Port())
		case ladder.UDP, ladder.ICMP:
			size := ""
			if o.Large {
				size = " -s 1400 -M do"
			}
			return fmt.Sprintf("kubectl debug node/%s -it --image=busybox -- ping -c 5%s %s", o.From, size, address.Addr())
		case ladder.DNS:
			return fmt.Sprintf("kubectl debug node/%s -it --image=busybox -- nslookup kubernetes.default %s", o.From,
				address.Addr())
		}
	}
	return ""
}
