package ladder

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/topology"
)

// Probe is one probe of the plan: what an agent sends, and what its result is an observation of.
type Probe struct {
	Spec Spec
	// Of has everything but the counts.
	Of Observation
}

// Sender is an agent and the probes that it sends.
type Sender struct {
	Agent  topology.Agent
	Probes []Probe
}

// Options limit the plan.
type Options struct {
	// Families are the IP families to probe.
	Families []topology.Family
	// Round is the number of the round: with many nodes, each round probes other peers.
	Round int64
	// Counted are the rungs that the round's counted requests probe anyway: the ladder sends no requests of its own
	// there.
	Counted map[Rung]bool
}

const (
	// mostPeers is how many other nodes each agent probes at most.
	mostPeers = 8
	// mostNodes is on how many nodes agents send probes in one round at most; in larger clusters nodes take turns.
	mostNodes = 250
	// mostNodePorts is at how many nodes each agent probes node ports at most, its own included.
	mostNodePorts = 3
	// mostDNS is how many DNS servers each agent probes at most.
	mostDNS = 3
	// timeout is how long each probe waits for its answer.
	timeout = time.Second
)

// Agents stands for the agents' Services in observations: those of all families lead to the same pods.
const Agents = "agents"

// Plan returns which agent sends which probes, pods first and then hosts, each sorted by node. Agents that are not
// ready take no part.
//
// The cost is bounded at any number of nodes: at most 250 nodes send in a round, each to at most 8 others, and one or
// two packets for each rung and family.
func Plan(s topology.Snapshot, o Options) []Sender {
	p := newPlanner(s, o)
	var all []Sender
	turn := p.turn()
	for _, i := range turn {
		all = append(all, Sender{Agent: p.pods[i], Probes: p.ofPod(i)})
	}
	for _, i := range turn {
		if host, ok := p.hosts[p.pods[i].Node]; ok {
			all = append(all, Sender{Agent: host, Probes: p.ofHost(i, host)})
		}
	}
	return slices.DeleteFunc(all, func(s Sender) bool { return len(s.Probes) == 0 })
}

type planner struct {
	snapshot topology.Snapshot
	options  Options
	// pods are the ready agents, hosts the agents in host networks by node.
	pods  []topology.Agent
	hosts map[string]topology.Agent
	// behind has, by Service and family, the nodes of the agents behind it, once they were asked for.
	behind map[serviceKey][]string
}

func newPlanner(s topology.Snapshot, o Options) *planner {
	p := &planner{snapshot: s, options: o, hosts: map[string]topology.Agent{}, behind: map[serviceKey][]string{}}
	for _, a := range s.Agents {
		if a.Ready() && a.Node != "" {
			p.pods = append(p.pods, a)
		}
	}
	for _, h := range s.Hosts {
		p.hosts[h.Node] = h
	}
	return p
}

type serviceKey struct {
	name   string
	family topology.Family
}

// turn returns the agents whose turn it is in this round, ascending: all of them in a cluster that is not large.
func (p *planner) turn() []int {
	n := len(p.pods)
	turn := make([]int, 0, min(n, mostNodes))
	first := 0
	if n > mostNodes {
		first = int(p.options.Round % int64(n) * mostNodes % int64(n))
	}
	for k := range min(n, mostNodes) {
		turn = append(turn, (first+k)%n)
	}
	slices.Sort(turn)
	return turn
}

// peers returns the other nodes' agents that agent i probes: all of them, or a part that changes with the round so that
// all pairs take their turns.
func (p *planner) peers(i int) []topology.Agent {
	var peers []topology.Agent
	for _, distance := range p.distances() {
		if peer := p.pods[(i+distance)%len(p.pods)]; peer.Node != p.pods[i].Node {
			peers = append(peers, peer)
		}
	}
	return peers
}

// distances are how far in the list of agents the peers of an agent are in this round, each above 0.
func (p *planner) distances() []int {
	others := len(p.pods) - 1
	var all []int
	for k := range min(others, mostPeers) {
		offset := k
		if others > mostPeers {
			offset = int((p.options.Round*mostPeers + int64(k)) % int64(others))
		}
		all = append(all, 1+offset)
	}
	return all
}

// list collects the probes of one sender.
type list struct {
	from   string
	probes []Probe
}

// add adds a probe. Count, timeout and what follows from the observation are filled in.
func (l *list) add(of Observation, to netip.AddrPort, peer string, count int) {
	of.From, of.Family, of.Address = l.from, topology.FamilyOf(to.Addr()), to.String()
	spec := Spec{Method: of.Method, Address: to, Count: count, Timeout: timeout, Peer: peer}
	if of.Large {
		spec.Bytes = FullSize
	}
	l.probes = append(l.probes, Probe{Spec: spec, Of: of})
}

// ofPod returns the probes of agent i.
func (p *planner) ofPod(i int) []Probe {
	own := p.pods[i]
	l := &list{from: own.Node}
	p.eachAddress(own, func(to netip.AddrPort) {
		l.add(Observation{Rung: Self, To: own.Node, Method: UDP}, to, own.Pod, 1)
	})
	p.toHost(l, PodToOwnHost, own.Node)
	for _, peer := range p.peers(i) {
		p.toPeer(l, own, peer)
	}
	p.toServices(l, ClusterIP, 2)
	p.toNodePorts(l, i)
	p.toDNS(l)
	if api := p.snapshot.APIServer; api.IsValid() && p.wants(topology.FamilyOf(api.Addr())) {
		l.add(Observation{Rung: APIServer, Method: TCP}, api, "", 1)
	}
	return l.probes
}

// ofHost returns the probes of the agent in the host network on the node of agent i.
func (p *planner) ofHost(i int, host topology.Agent) []Probe {
	l := &list{from: host.Node}
	own := p.pods[i]
	p.eachAddress(own, func(to netip.AddrPort) {
		l.add(Observation{Rung: HostToOwnPod, To: own.Node, Method: UDP}, to, own.Pod, 1)
		l.add(Observation{Rung: HostToOwnPod, To: own.Node, Method: UDP, Large: true}, to, own.Pod, 1)
		l.add(Observation{Rung: HostToOwnPod, To: own.Node, Method: HTTP}, to, own.Pod, 1)
	})
	for _, peer := range p.peers(i) {
		p.hostToPeer(l, peer)
	}
	p.toServices(l, HostClusterIP, 1)
	return l.probes
}

// toPeer adds the probes from a pod to another node.
func (p *planner) toPeer(l *list, own, peer topology.Agent) {
	p.eachAddress(peer, func(to netip.AddrPort) {
		l.add(Observation{Rung: PodToPod, To: peer.Node, Method: UDP}, to, peer.Pod, 1)
		l.add(Observation{Rung: PodToPod, To: peer.Node, Method: UDP, Large: true}, to, peer.Pod, 1)
		if !p.options.Counted[PodToPod] {
			// A filter may look at the protocol and the port, and Services lead to the same port.
			l.add(Observation{Rung: PodToPod, To: peer.Node, Method: HTTP}, to, peer.Pod, 1)
		}
	})
	p.toHost(l, PodToHost, peer.Node)
	p.second(l, own, peer)
}

// hostToPeer adds the probes from a host network to another node.
func (p *planner) hostToPeer(l *list, peer topology.Agent) {
	if other, ok := p.hosts[peer.Node]; ok {
		p.eachAddress(other, func(to netip.AddrPort) {
			l.add(Observation{Rung: HostToHost, To: peer.Node, Method: UDP}, to, other.Pod, 1)
			l.add(Observation{Rung: HostToHost, To: peer.Node, Method: UDP, Large: true}, to, other.Pod, 1)
			l.add(Observation{Rung: HostToHost, To: peer.Node, Method: TCP}, to, "", 1)
		})
	}
	p.eachAddress(peer, func(to netip.AddrPort) {
		l.add(Observation{Rung: HostToPod, To: peer.Node, Method: UDP}, to, peer.Pod, 1)
	})
}

func (p *planner) wants(family topology.Family) bool {
	return slices.Contains(p.options.Families, family)
}

// eachAddress calls do with the first address of each wanted family of the agent, and its HTTP port.
func (p *planner) eachAddress(a topology.Agent, do func(netip.AddrPort)) {
	for _, family := range p.options.Families {
		if to, ok := first(a.Addresses, family); ok {
			do(netip.AddrPortFrom(to, a.HTTPPort))
		}
	}
}

func first(addresses []netip.Addr, family topology.Family) (netip.Addr, bool) {
	i := slices.IndexFunc(addresses, func(a netip.Addr) bool {
		return topology.FamilyOf(a) == family && topology.Unreachable(a) == ""
	})
	if i < 0 {
		return netip.Addr{}, false
	}
	return addresses[i], true
}

// toHost adds probes to the host network of a node: to the agent there, or to the node's kernel where there is none.
func (p *planner) toHost(l *list, rung Rung, node string) {
	if host, ok := p.hosts[node]; ok {
		p.eachAddress(host, func(to netip.AddrPort) {
			l.add(Observation{Rung: rung, To: node, Method: UDP}, to, host.Pod, 1)
		})
		return
	}
	known, _ := p.snapshot.Node(node)
	for _, family := range p.options.Families {
		if to, ok := first(known.Addresses, family); ok {
			l.add(Observation{Rung: rung, To: node, Method: ICMP}, netip.AddrPortFrom(to, 0), "", 1)
		}
	}
}

// second adds probes between the further interfaces of two agents that are of the same network.
func (p *planner) second(l *list, own, peer topology.Agent) {
	for _, there := range peer.Interfaces {
		if !slices.ContainsFunc(own.Interfaces, func(i topology.Interface) bool { return i.Network == there.Network }) {
			continue
		}
		for _, family := range p.options.Families {
			if to, ok := first(there.Addresses, family); ok {
				l.add(Observation{Rung: SecondInterface, To: peer.Node, Service: cmp.Or(there.Name, there.Network),
					Method: UDP}, netip.AddrPortFrom(to, peer.HTTPPort), peer.Pod, 1)
			}
		}
	}
}

// toServices adds requests to the cluster address of the first Service of each family.
func (p *planner) toServices(l *list, rung Rung, count int) {
	if p.options.Counted[rung] {
		return
	}
	for _, family := range p.options.Families {
		for _, s := range p.snapshot.Services {
			to, ok := first(s.ClusterIPs, family)
			if !ok || s.Port == 0 {
				continue
			}
			l.add(Observation{Rung: rung, Service: Agents, Method: HTTP, Backends: p.backends(s, family)},
				netip.AddrPortFrom(to, s.Port), "", count)
			break
		}
	}
}

// backends returns the nodes of the agents behind the Service, sorted.
func (p *planner) backends(s topology.Service, family topology.Family) []string {
	key := serviceKey{s.Name, family}
	if nodes, ok := p.behind[key]; ok {
		return nodes
	}
	var nodes []string
	for node := range p.snapshot.Backed(s, family) {
		nodes = append(nodes, node)
	}
	slices.Sort(nodes)
	p.behind[key] = nodes
	return nodes
}

// toNodePorts adds requests to the node ports of the own node and of some others.
func (p *planner) toNodePorts(l *list, i int) {
	if p.options.Counted[NodePort] {
		return
	}
	for k := range min(len(p.pods), mostNodePorts) {
		at := p.pods[(i+k*(1+int(p.options.Round%int64(len(p.pods)))))%len(p.pods)].Node
		p.nodePort(l, at)
	}
}

// nodePort adds requests to the node port at a node.
func (p *planner) nodePort(l *list, at string) {
	node, _ := p.snapshot.Node(at)
	for _, family := range p.options.Families {
		to, ok := first(node.Addresses, family)
		s := slices.IndexFunc(p.snapshot.Services, func(s topology.Service) bool {
			return s.NodePort != 0 && !s.ExternalLocal && s.Serves(family)
		})
		if !ok || s < 0 || node.NoNodePorts != "" {
			continue
		}
		service := p.snapshot.Services[s]
		l.add(Observation{Rung: NodePort, At: at, Service: Agents, Method: HTTP,
			Backends: p.backends(service, family)}, netip.AddrPortFrom(to, service.NodePort), "", 1)
	}
}

// toDNS adds a query to the servers that the pod is told to ask, and one to each server itself.
func (p *planner) toDNS(l *list) {
	l.probes = append(l.probes, Probe{Spec: Spec{Method: DNS, Count: 2, Timeout: timeout},
		Of: Observation{Rung: DNSService, From: l.from, Method: DNS, Backends: p.dnsNodes()}})
	p.servers(l, p.snapshot.DNS[:min(len(p.snapshot.DNS), mostDNS)])
}

// servers adds a query to each of the DNS servers itself.
func (p *planner) servers(l *list, servers []topology.DNSServer) {
	for _, server := range servers {
		if p.wants(topology.FamilyOf(server.Address.Addr())) {
			l.add(Observation{Rung: DNSPod, To: server.Node, Service: server.Pod, Method: DNS}, server.Address, "", 1)
		}
	}
}

func (p *planner) dnsNodes() []string {
	var nodes []string
	for _, server := range p.snapshot.DNS {
		nodes = append(nodes, server.Node)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}
