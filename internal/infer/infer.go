// Package infer finds the faulty components that explain what a round's probes saw.
//
// Each observation crosses components: parts of nodes, links between nodes, Services. A fault is a component, the part
// of the traffic that it affects, and the share of that traffic that it loses. The faults that are found are those that
// make the observations most likely, each held against a price for claiming it. The method is the greedy search for the
// most likely faults in a noisy-OR network (Harsh et al., "Flock: Accurate Network Fault Localization at Scale",
// CoNEXT 2023), with severities that are fitted together and faults that are taken back, in three stages: what leads
// through Services only explains what the paths to single pods leave unexplained, and what leads through load balancers
// only what the Services leave.
package infer

import "kdoctor.io/kdoctor/internal/ladder"

// Part is the kind of a component.
type Part string

// The parts.
const (
	// Agent is the agent's process in the pod of a node, HostAgent that in the host network: it answers badly, or asks
	// badly, or both. What an agent says of itself is for Input.Suspect.
	Agent     Part = "agent"
	HostAgent Part = "host agent"
	// PodNetwork is the pod's interface and its link to the node: the CNI plugin's work on the node.
	PodNetwork Part = "CNI"
	// Forwarding is the node's forwarding between its pods and other nodes.
	Forwarding Part = "forwarding"
	// Overlay is the node's end of the network between pods of different nodes: its tunnel and its routes.
	Overlay Part = "overlay"
	// NodeNetwork is the node's own interface and link.
	NodeNetwork Part = "node network"
	// inbound is the node's network for what others begin: an address that another machine has as well, or a filter for
	// new connections. It is reported as the node's network.
	inbound Part = "node network, inbound"
	// stranger is the node's network where another machine answers, and refuses, in the node's place; plain is the
	// node's network beside the tunnel between pods, which may run over the other IP family. Both are reported as the
	// node's network.
	stranger Part = "node network, a stranger"
	plain    Part = "node network, beside the tunnel"
	// asking is the agent's process as far as it asks, wholeAgent as far as it asks and answers; hostAsking and
	// wholeHost are the same of the agent in the host network. They are reported as the agent.
	asking     Part = "agent, asking"
	wholeAgent Part = "agent, asking and answering"
	hostAsking Part = "host agent, asking"
	wholeHost  Part = "host agent, asking and answering"
	// PolicyIn and PolicyOut are what filters new connections into, and out of, the agent's pod on the node.
	PolicyIn  Part = "network policy, into the pod"
	PolicyOut Part = "network policy, out of the pod"
	// ProbePort is a filter on the node for the port of the host agent alone.
	ProbePort Part = "firewall for the probe port"
	// PolicyPair is what filters connections between the agents' pods of two nodes alone.
	PolicyPair Part = "network policy between two pods"
	// PodPair is the pod network between two nodes alone, NodePair the nodes' network between two nodes alone.
	PodPair  Part = "overlay between two nodes"
	NodePair Part = "network between two nodes"
	// ZonePair is the nodes' network between two zones, ZonePodPair the pod network between two zones.
	ZonePair    Part = "network between two zones"
	ZonePodPair Part = "overlay between two zones"
	// KubeProxy is the node's translation of Service addresses, HostRoute the route of its host network to them.
	KubeProxy Part = "kube-proxy"
	// hairpin is the way of a pod back to itself through a Service. It is reported as the node's kube-proxy.
	hairpin   Part = "kube-proxy, back to the pod"
	HostRoute Part = "route to Services"
	// NodePort is the port of the Service at one node's address.
	NodePort Part = "node port"
	// entrance is the node port for what comes from other nodes, which must be masqueraded to be led on. It is reported
	// as the node port.
	entrance Part = "node port, from other nodes"
	// Endpoint is the entry of one pod among the endpoints of a Service, on all nodes.
	Endpoint Part = "Service endpoints"
	// Service is the Service's address on all nodes.
	Service Part = "Service"
	// LoadBalancer, Ingress are the load balancer, and the Ingress controller; the Way parts are one node's way there.
	LoadBalancer    Part = "load balancer"
	LoadBalancerWay Part = "way to the load balancer"
	Ingress         Part = "Ingress"
	IngressWay      Part = "way to the Ingress"
	// DNSServer is one DNS pod, DNSService the address of DNS, DNSWay one node's way to DNS.
	DNSServer  Part = "DNS server"
	DNSService Part = "DNS Service"
	DNSWay     Part = "way to DNS"
	// APIServer is the API server or its Service's address, APIServerWay one node's way to it.
	APIServer    Part = "API server"
	APIServerWay Part = "way to the API server"
	// SecondInterface is the further interface of a node's pod, SecondNetwork the further network between nodes.
	SecondInterface Part = "second interface"
	SecondNetwork   Part = "second network"
)

// Component is one part of the cluster.
type Component struct {
	Part Part `json:"Part"`
	// Node is the component's node, Peer the other node of a pair. For a pair of zones they are the zones. Both are
	// empty for a component of the whole cluster.
	Node string `json:"Node,omitempty"`
	Peer string `json:"Peer,omitempty"`
	// Service names the Service, DNS server, load balancer or Ingress.
	Service string `json:"Service,omitempty"`
}

// Aspect is the part of a component's traffic that a fault affects. The zero value is all of it.
type Aspect struct {
	// Family is IPv4 or IPv6, Method a method of internal/ladder; empty is any. TCP includes HTTP.
	Family string `json:"Family,omitempty"`
	Method string `json:"Method,omitempty"`
	// Large is full-size packets only.
	Large bool `json:"Large,omitempty"`
}

// Fault is one component that explains failures.
type Fault struct {
	Component Component `json:"Component"`
	Aspect    Aspect    `json:"Aspect"`
	// Severity is the share of the affected probes that fail, 0 to 1.
	Severity float64 `json:"Severity"`
	// Confidence is how likely the component, or one of Group, is the faulty one, 0 to 1.
	Confidence float64 `json:"Confidence"`
	// Group are other components that explain the same failures equally well.
	Group []Component `json:"Group,omitempty"`
	// Explained is how many failed probes the fault accounts for, Crossed how many probes crossed the component with
	// the aspect.
	Explained uint64 `json:"Explained"`
	Crossed   uint64 `json:"Crossed"`
	// Stands says in nats how much likelier the observations are with the fault than without it; RunnerUp is the best
	// other component for the same failures, and Behind how many nats it is behind.
	Stands   float64   `json:"Stands"`
	RunnerUp Component `json:"RunnerUp"`
	Behind   float64   `json:"Behind"`
	// Labels are, for a fault between zones, the zone labels that do not fit the paths of their nodes, by node.
	Labels []Label `json:"Labels,omitempty"`

	observations []int
	// by is the severity by class of traffic.
	by [buckets]float64
	// near are the fault's component and others that may be the cause instead, as the search knows them; nil stands for
	// Component, Group and RunnerUp.
	near []candidate
}

// Observations are the indexes, in the input, of the observations with failures that the fault explains, ascending.
func (f Fault) Observations() []int { return f.observations }

// Input is what a round's probes saw, and the cluster as far as the search needs it.
type Input struct {
	// Zones has the zone of each node; nodes without a zone may be left out.
	Zones map[string]string
	// Suspect are nodes whose agent was itself short of CPU or stopped: what it asked, and what was asked of it, counts
	// for nothing, and requests through Services are expected to fail there as often as others do.
	Suspect map[string]bool
	// Background is the share of probes that is lost without a fault, by past rounds; 0 stands for the least that can
	// be assumed, 1e-4.
	Background float64
	// Pods has the node of each pod that Peers of observations name; a name that is missing is taken to be a node's.
	Pods         map[string]string
	Observations []ladder.Observation
}
