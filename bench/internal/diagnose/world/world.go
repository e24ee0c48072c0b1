// Package world holds a simulated cluster and the probes that a round sends in it. It knows nothing of faults.
package world

import (
	"fmt"
	"math/rand/v2"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// None stands for a node that a probe does not have.
const None = -1

// Names of what is asked beside pods and hosts.
const (
	ServiceName   = "kdoctor/kdoctor-agent"
	DNSName       = "kube-system/kube-dns"
	APIServerName = "default/kubernetes"
)

// Config is what a cluster is made of.
type Config struct {
	// Nodes is 3 at least, Zones 1 at least.
	Nodes, Zones int
	// WithoutHosts leaves out the agents in host networks, and with them every rung from or to one.
	WithoutHosts bool
	// Seed decides where the DNS servers are.
	Seed uint64
}

// World is a cluster. A node is its index.
type World struct {
	Config
	// Nodes are the names of the nodes, Zone their zones, ZoneNames the names of the zones.
	Nodes     []string
	Zone      []int
	ZoneNames []string
	// DNS are the nodes of the DNS servers, DNSServers the names of their pods, DNSNodes the names of their nodes.
	DNS        []int
	DNSServers []string
	DNSNodes   []string
}

// New makes a cluster. Neighbouring nodes are in different zones, so that a distance in the ring that is a multiple of
// the number of zones leads into the own zone.
func New(c Config) *World {
	w := &World{Config: c}
	for z := range c.Zones {
		w.ZoneNames = append(w.ZoneNames, fmt.Sprintf("zone-%c", 'a'+z))
	}
	for i := range c.Nodes {
		w.Nodes = append(w.Nodes, fmt.Sprintf("n%05d", i))
		w.Zone = append(w.Zone, i%c.Zones)
	}
	random := rand.New(rand.NewPCG(c.Seed, 1)) // #nosec G404 -- a simulation, no secret
	for len(w.DNS) < 2 {
		n := random.IntN(c.Nodes)
		if len(w.DNS) == 1 && w.DNS[0] == n {
			continue
		}
		w.DNSServers = append(w.DNSServers, fmt.Sprintf("kube-system/coredns-%d", len(w.DNS)))
		w.DNS = append(w.DNS, n)
		w.DNSNodes = append(w.DNSNodes, w.Nodes[n])
	}
	return w
}

// Probe is a number of probes that a round sends alike; what became of them is one observation.
type Probe struct {
	Rung ladder.Rung
	// From asks. To ought to answer, At is the node of the node port, Server the DNS server's index; None where there
	// is none.
	From, To, At, Server int
	Family               topology.Family
	Method               ladder.Method
	Large, Counted       bool
	// Sent is how many are sent in the round, the same number in each pass.
	Sent int
}

// Chosen reports whether the cluster chooses who answers.
func (p *Probe) Chosen() bool {
	switch p.Rung {
	case ladder.ClusterIP, ladder.HostClusterIP, ladder.NodePort, ladder.LoadBalancer, ladder.Ingress,
		ladder.DNSService:
		return true
	default:
		return false
	}
}

// FromHost reports whether the agent in the host network asks.
func (p *Probe) FromHost() bool {
	switch p.Rung {
	case ladder.HostToHost, ladder.HostToPod, ladder.HostToOwnPod, ladder.HostClusterIP:
		return true
	default:
		return false
	}
}

// Local reports whether the probe stays on its node.
func (p *Probe) Local() bool {
	return p.Rung == ladder.Self || p.Rung == ladder.HostToOwnPod || p.Rung == ladder.PodToOwnHost
}

// Small reports whether the probe is a small datagram.
func (p *Probe) Small() bool { return p.Method == ladder.UDP && !p.Large }

// Bare returns the observation of the probe with no counts.
func (w *World) Bare(p *Probe) ladder.Observation {
	o := ladder.Observation{Rung: p.Rung, From: w.Nodes[p.From], Family: p.Family, Method: p.Method, Large: p.Large,
		Counted: p.Counted}
	if p.To != None {
		o.To = w.Nodes[p.To]
	}
	if p.At != None {
		o.At = w.Nodes[p.At]
	}
	switch p.Rung {
	case ladder.DNSPod:
		o.Service = w.DNSServers[p.Server]
	case ladder.DNSService:
		o.Service, o.Backends = DNSName, w.DNSNodes
	case ladder.APIServer:
		o.Service = APIServerName
	case ladder.ClusterIP, ladder.HostClusterIP, ladder.NodePort, ladder.LoadBalancer, ladder.Ingress:
		o.Service, o.Backends = ServiceName, w.Nodes
	default:
	}
	return o
}
