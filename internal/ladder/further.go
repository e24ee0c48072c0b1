package ladder

import (
	"net/netip"

	"kdoctor.io/kdoctor/internal/topology"
)

const (
	// witnesses is how many other nodes probe a node that is looked at more closely.
	witnesses = 4
	// mostServers is how many DNS servers are asked from there.
	mostServers = 10
)

// Look says what to look at more closely than the plan of a round does.
type Look struct {
	// Nodes are nodes whose agents send what they send when it is their turn, and a query to each of up to ten DNS
	// servers. A few other nodes, which have them as peers in this round, probe them.
	Nodes []string
	// Askers are nodes whose agents ask the agents of the nodes Pods over HTTP, at their own addresses.
	Askers, Pods []string
}

// Further returns probes that a closer look may need. Some of them may be in the plan of the round as well, and one
// agent may occur more than once. Nodes that have no ready agent are left out.
func Further(s topology.Snapshot, o Options, look Look) []Sender {
	if len(look.Nodes)+len(look.Askers) == 0 {
		return nil
	}
	p := newPlanner(s, o)
	index := make(map[string]int, len(p.pods))
	for i, a := range p.pods {
		index[a.Node] = i
	}
	var all []Sender
	for _, node := range look.Nodes {
		if i, ok := index[node]; ok {
			all = append(all, p.closer(i)...)
		}
	}
	for _, node := range look.Askers {
		if i, ok := index[node]; ok && !o.Counted[PodToPod] {
			all = append(all, p.straight(i, index, look.Pods))
		}
	}
	return all
}

// closer returns what is probed at the node of agent i and from there.
func (p *planner) closer(i int) []Sender {
	own := p.pods[i]
	l := &list{from: own.Node, probes: p.ofPod(i)}
	if servers := p.snapshot.DNS; len(servers) > mostDNS {
		p.servers(l, servers[mostDNS:min(len(servers), mostServers)])
	}
	all := []Sender{{Agent: own, Probes: l.probes}}
	if host, ok := p.hosts[own.Node]; ok {
		all = append(all, Sender{Agent: host, Probes: p.ofHost(i, host)})
	}
	distances := p.distances()
	for _, distance := range distances[:min(len(distances), witnesses)] {
		witness := p.pods[(i+len(p.pods)-distance)%len(p.pods)]
		if witness.Node == own.Node {
			continue
		}
		l := &list{from: witness.Node}
		p.toPeer(l, witness, own)
		if !p.options.Counted[NodePort] {
			p.nodePort(l, own.Node)
		}
		all = append(all, Sender{Agent: witness, Probes: l.probes})
		if host, ok := p.hosts[witness.Node]; ok {
			l := &list{from: witness.Node}
			p.hostToPeer(l, own)
			all = append(all, Sender{Agent: host, Probes: l.probes})
		}
	}
	return all
}

// straight returns requests of agent i to the agents on the nodes.
func (p *planner) straight(i int, index map[string]int, nodes []string) Sender {
	l := &list{from: p.pods[i].Node}
	for _, node := range nodes {
		k, ok := index[node]
		if !ok || k == i {
			continue
		}
		p.eachAddress(p.pods[k], func(to netip.AddrPort) {
			l.add(Observation{Rung: PodToPod, To: node, Method: HTTP}, to, p.pods[k].Pod, 1)
		})
	}
	return Sender{Agent: p.pods[i], Probes: l.probes}
}
