package world

import (
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// Passes is how often in a round the ladder is sent, Counted how many counted requests a round sends to a peer.
const (
	Passes  = 3
	Counted = 60
)

// Up to fullMesh nodes every node probes all others, above it peers of them.
const (
	fullMesh = 9
	peers    = 8
)

// Offsets returns the distances in the ring at which the nodes' peers are in a round. They are the same for all nodes,
// so that every node is asked as often as it asks. Half of them lead into the own zone as far as there are enough
// nodes.
func (w *World) Offsets(round int) []int {
	n := len(w.Nodes)
	if n <= fullMesh {
		all := make([]int, 0, n-1)
		for o := 1; o < n; o++ {
			all = append(all, o)
		}
		return all
	}
	own := (n - 1) / w.Zones
	other := n - 1 - own
	take := min(peers/2, own)
	if w.Zones == 1 {
		take = peers
	}
	rest := min(peers-take, other)
	offsets := make([]int, 0, peers)
	for k := range take {
		offsets = append(offsets, w.Zones*(1+(round*take+k)%own))
	}
	for k := range rest {
		i := (round*rest + k) % other
		offsets = append(offsets, i/(w.Zones-1)*w.Zones+i%(w.Zones-1)+1)
	}
	return offsets
}

// Each calls visit with every probe of a round. The probe is valid during the call alone.
func (w *World) Each(round int, visit func(*Probe)) {
	offsets := w.Offsets(round)
	for i := range w.Nodes {
		w.EachOf(i, offsets, visit)
	}
}

// EachOf calls visit with every probe that the agents of a node send, given the distances of its peers.
func (w *World) EachOf(i int, offsets []int, visit func(*Probe)) {
	s := sender{world: w, from: i, visit: visit}
	for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
		s.own(family)
		for _, o := range offsets {
			s.peer((i+o)%len(w.Nodes), family)
		}
		s.services(family, offsets)
	}
	s.single(offsets)
}

// sender sends the probes of one node.
type sender struct {
	world *World
	from  int
	visit func(*Probe)
	probe Probe
}

// send visits a probe of which each pass sends n. Rungs from or to a host network need its agent.
func (s *sender) send(n int, p Probe) {
	if s.world.WithoutHosts {
		switch p.Rung {
		case ladder.HostToHost, ladder.HostToPod, ladder.PodToHost, ladder.HostToOwnPod, ladder.PodToOwnHost,
			ladder.HostClusterIP:
			return
		default:
		}
	}
	s.probe = p
	s.probe.From, s.probe.Sent = s.from, n*Passes
	if p.Counted {
		s.probe.Sent = n
	}
	s.visit(&s.probe)
}

// own sends what stays on the node.
func (s *sender) own(family topology.Family) {
	at := func(rung ladder.Rung, method ladder.Method) Probe {
		return Probe{Rung: rung, To: s.from, At: None, Server: None, Family: family, Method: method}
	}
	s.send(2, at(ladder.Self, ladder.UDP))
	s.send(2, at(ladder.HostToOwnPod, ladder.UDP))
	large := at(ladder.HostToOwnPod, ladder.UDP)
	large.Large = true
	s.send(1, large)
	s.send(1, at(ladder.HostToOwnPod, ladder.HTTP))
	s.send(1, at(ladder.PodToOwnHost, ladder.UDP))
}

// peer sends what goes to another node.
func (s *sender) peer(to int, family topology.Family) {
	at := func(rung ladder.Rung, method ladder.Method) Probe {
		return Probe{Rung: rung, To: to, At: None, Server: None, Family: family, Method: method}
	}
	for _, rung := range []ladder.Rung{ladder.PodToPod, ladder.HostToHost} {
		s.send(3, at(rung, ladder.UDP))
		large := at(rung, ladder.UDP)
		large.Large = true
		s.send(1, large)
	}
	s.send(1, at(ladder.PodToPod, ladder.HTTP))
	counted := at(ladder.PodToPod, ladder.HTTP)
	counted.Counted = true
	s.send(Counted, counted)
	s.send(1, at(ladder.HostToPod, ladder.UDP))
	s.send(1, at(ladder.PodToHost, ladder.UDP))
}

// services sends what goes to the Service, to its node port at the own node, and at one other node in the own zone and
// one in another as far as there are zones.
func (s *sender) services(family topology.Family, offsets []int) {
	p := Probe{Rung: ladder.ClusterIP, To: None, At: None, Server: None, Family: family, Method: ladder.HTTP}
	s.send(4, p)
	p.Rung = ladder.HostClusterIP
	s.send(2, p)
	p.Rung, p.At = ladder.NodePort, s.from
	s.send(2, p)
	for _, o := range []int{offsets[0], offsets[len(offsets)-1]} {
		p.At = (s.from + o) % len(s.world.Nodes)
		s.send(2, p)
	}
}

// single sends what is asked in one family alone.
func (s *sender) single(offsets []int) {
	to := func(rung ladder.Rung, method ladder.Method) Probe {
		return Probe{Rung: rung, To: None, At: None, Server: None, Family: topology.IPv4, Method: method}
	}
	s.send(3, to(ladder.DNSService, ladder.DNS))
	for k, node := range s.world.DNS {
		p := to(ladder.DNSPod, ladder.DNS)
		p.To, p.Server = node, k
		s.send(1, p)
	}
	s.send(2, to(ladder.APIServer, ladder.TCP))
	s.send(2, to(ladder.LoadBalancer, ladder.HTTP))
	s.send(2, to(ladder.Ingress, ladder.HTTP))
	for _, o := range offsets {
		p := to(ladder.SecondInterface, ladder.UDP)
		p.To = (s.from + o) % len(s.world.Nodes)
		s.send(2, p)
	}
}
