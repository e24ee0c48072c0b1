package diagnose

import (
	"cmp"
	"net/netip"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// mostBackends is how many backends of a Service are looked at.
const mostBackends = 50

// flows turns observations into connections between parties.
type flows struct {
	policies topology.Policies
	// agents and hosts are by node, addresses are the nodes'.
	agents, hosts map[string]*topology.Agent
	addresses     map[string][]netip.Addr
	dns           []topology.DNSServer
}

func newFlows(s topology.Snapshot) flows {
	f := flows{policies: s.Policies, dns: s.DNS, agents: map[string]*topology.Agent{},
		hosts: map[string]*topology.Agent{}, addresses: map[string][]netip.Addr{}}
	if len(s.Policies.Objects) == 0 {
		return f
	}
	for i := range s.Agents {
		if s.Agents[i].Ready() {
			f.agents[s.Agents[i].Node] = &s.Agents[i]
		}
	}
	for i := range s.Hosts {
		f.hosts[s.Hosts[i].Node] = &s.Hosts[i]
	}
	for _, n := range s.Nodes {
		f.addresses[n.Name] = n.Addresses
	}
	return f
}

// pod is the end in the agent's pod on a node; ok is false where there is no agent.
func (f flows) pod(node string) (end party, ok bool) {
	agent := f.agents[node]
	if agent == nil {
		return party{}, false
	}
	group, restricted := f.policies.Groups[agent.Pod]
	// Policies leave pods in the host network alone.
	return party{agent: agent, group: group, restricted: restricted, host: !restricted,
		addresses: agent.Addresses}, true
}

// host is the end in the host network of a node.
func (f flows) host(node string) party { return party{host: true, addresses: f.addresses[node]} }

// of returns the connections that the observation is about; several may be where one of several backends answers. sure
// says that policies apply to them in every implementation. What a node sends to its own pods, and a pod to itself, is
// always admitted. Further interfaces have policies of their own.
func (f flows) of(o *ladder.Observation) (all []flow, sure bool) {
	protocol, port := f.asked(o)
	add := func(from, to party, known bool) {
		if known {
			all = append(all, flow{from: from, to: to, family: o.Family, protocol: protocol, port: port})
		}
	}
	switch o.Rung {
	case ladder.PodToPod:
		from, one := f.pod(o.From)
		to, two := f.pod(o.To)
		if two && protocol != "" {
			// Where the address is not known, it is that of a counted request.
			port = cmp.Or(port, to.agent.HTTPPort)
		}
		add(from, to, one && two)
		return all, protocol != ""
	case ladder.HostToPod:
		to, known := f.pod(o.To)
		add(f.host(o.From), to, known)
	case ladder.PodToHost:
		from, known := f.pod(o.From)
		add(from, f.host(o.To), known)
	case ladder.DNSPod, ladder.DNSService, ladder.APIServer:
		from, known := f.pod(o.From)
		add(from, f.outside(o), known)
		return all, o.Rung == ladder.DNSPod
	case ladder.ClusterIP, ladder.HostClusterIP, ladder.NodePort, ladder.LoadBalancer, ladder.Ingress:
		return f.throughService(o), false
	}
	return all, false
}

// asked returns the protocol and the port that the observation is about, behind the Service if there is one.
func (f flows) asked(o *ladder.Observation) (protocol string, port uint16) {
	switch o.Method {
	case ladder.TCP, ladder.HTTP:
		protocol = "TCP"
	case ladder.UDP, ladder.DNS:
		protocol = "UDP"
	case ladder.ICMP:
		return "", 0
	}
	switch o.Rung {
	case ladder.APIServer:
		return protocol, 0
	case ladder.DNSService:
		if len(f.dns) == 0 {
			return protocol, 0
		}
		return protocol, f.dns[0].Address.Port()
	}
	if address, err := netip.ParseAddrPort(o.Address); err == nil {
		port = address.Port()
	}
	return protocol, port
}

// outside is an end that is no agent. The address of a Service is not the one that policies see. API servers run in
// host networks, or outside of the cluster.
func (f flows) outside(o *ladder.Observation) party {
	if o.Rung == ladder.APIServer {
		return party{host: true}
	}
	var end party
	if address, err := netip.ParseAddrPort(o.Address); err == nil && o.Rung == ladder.DNSPod {
		end.addresses = []netip.Addr{address.Addr()}
	}
	return end
}

// throughService returns the connections to the backends of the Service in front of the agents. A load balancer or an
// Ingress controller asks on behalf of the agents, from where nobody knows.
func (f flows) throughService(o *ladder.Observation) (all []flow) {
	from, known := f.pod(o.From)
	switch o.Rung {
	case ladder.HostClusterIP:
		from, known = f.host(o.From), true
	case ladder.LoadBalancer, ladder.Ingress:
		from, known = party{}, true
	}
	// Of many backends some, spread over all of them, are enough: policies treat most pods alike.
	step := 1 + len(o.Backends)/mostBackends
	for i := 0; i < len(o.Backends); i += step {
		node := o.Backends[i]
		to, ok := f.pod(node)
		if !ok || !known || node == o.From {
			continue
		}
		all = append(all, flow{from: from, to: to, family: o.Family, protocol: "TCP", port: to.agent.HTTPPort})
	}
	return all
}
