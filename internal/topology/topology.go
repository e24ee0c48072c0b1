// Package topology describes what a cluster offers at one moment: agents, nodes, Services and Ingresses.
// It holds plain values only; internal/inventory fills them from Kubernetes.
package topology

import (
	"net/netip"
	"slices"
	"time"
)

// Family is an IP family.
type Family string

// The two IP families.
const (
	IPv4 Family = "IPv4"
	IPv6 Family = "IPv6"
)

// FamilyOf returns the family of an address; IPv4-mapped IPv6 addresses count as IPv4.
func FamilyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// Snapshot is the cluster as one task sees it when a round starts.
type Snapshot struct {
	// Taken is when the snapshot was read.
	Taken time.Time
	// Agents are the agent pods of the task's workload, sorted by node, then pod name.
	Agents []Agent
	// Leaving are pods that take no part and are not missing either: pods that are leaving and that another agent has
	// replaced, and pods on nodes that are being removed or that the workload no longer wants.
	Leaving []Agent
	// Nodes are all nodes of the cluster, with agents or without, sorted by name.
	Nodes []Node
	// Services are the Services in front of the agents.
	Services []Service
	// Ingresses are the Ingresses in front of the agents.
	Ingresses []Ingress
	// Hosts are the ready agents in the host networks of nodes, sorted by node; empty in an installation without them.
	// Each has the addresses of its node.
	Hosts []Agent
	// DNS are the cluster's DNS servers as far as the controller may read them.
	DNS []DNSServer
	// HostPods are all pods of agents in host networks, and DNSPods all DNS servers, that are not being deleted, ready
	// or not, sorted; nil where they could not be read.
	HostPods, DNSPods []string
	// APIServer is the API server's address inside the cluster; not valid where it is unknown.
	APIServer netip.AddrPort
	// NoLoadBalancer and NoIngress are why there is none, as one clause; empty where there may be one.
	NoLoadBalancer, NoIngress string
	// Policies restrict the traffic of the agents' pods.
	Policies Policies
}

// Agent is one agent pod.
type Agent struct {
	Pod       string `json:"Pod"`
	Namespace string `json:"Namespace"`
	UID       string `json:"UID"`
	Node      string `json:"Node"`
	// Addresses are the pod's own addresses (status.podIPs).
	Addresses []netip.Addr `json:"Addresses"`
	// Interfaces are the further networks that a meta-plugin such as Multus attached, without the default network.
	Interfaces []Interface `json:"Interfaces"`
	// Unreadable has one clause for each part of the meta-plugin's annotation that could not be read, such as "its
	// network-status annotation has an entry that cannot be read: ...". Everything else is in Interfaces.
	Unreadable []string `json:"Unreadable"`
	// HTTPPort is where the echo responder listens, ControlPort where the control server listens; both 1..65535.
	HTTPPort    uint16 `json:"HTTPPort"`
	ControlPort uint16 `json:"ControlPort"`
	// NotReady is why the agent cannot take part, as one clause, such as "pod is Pending"; empty when it can.
	NotReady string `json:"NotReady"`
	// Deleted is when the deletion of the pod was asked for; zero when it was not.
	Deleted time.Time `json:"Deleted"`
	// Restarts is how often the agent's container was started again. Started is when it started last; zero while it
	// does not run.
	Restarts int32     `json:"Restarts"`
	Started  time.Time `json:"Started"`
	// Ended is when the container ended last; zero when it never did. EndReason is Kubernetes' word for why it ended,
	// such as OOMKilled.
	Ended     time.Time `json:"Ended"`
	EndReason string    `json:"EndReason"`
}

// DNSServer is one pod that answers DNS queries.
type DNSServer struct {
	Pod, Node string
	Address   netip.AddrPort
}

// Ready reports whether the agent can take part in a round.
func (a Agent) Ready() bool { return a.NotReady == "" }

// Interface is one further network interface of a pod.
type Interface struct {
	// Network is the attachment's name in the annotation. Name is the device inside the pod, such as net1; it may be
	// empty.
	Network   string       `json:"Network"`
	Name      string       `json:"Name"`
	Addresses []netip.Addr `json:"Addresses"`
}

// Node is one node of the cluster.
type Node struct {
	Name, Zone string
	// Addresses are all addresses of the node, InternalIPs before ExternalIPs. External are the ExternalIPs alone.
	Addresses, External []netip.Addr
	// NotReady reports that the cluster does not count on the node at the moment.
	NotReady bool
	// Cordoned reports that somebody took the node out of use: it takes no new pods.
	Cordoned bool
	// Removing is why the node is about to be stopped or taken out of the cluster, as one clause, such as "the cluster
	// autoscaler removes it"; empty for a node that is to stay. A node with a Removing is Cordoned too.
	Removing string
	// Outside is why the task's workload runs no agent on the node, and is not meant to, as one clause, such as
	// "the agents' node selector leaves it out"; empty for a node that has an agent or ought to have one.
	Outside string
	// NoNodePorts is why the node cannot answer on node ports, as one clause, such as "it is a virtual node";
	// empty for a node that can.
	NoNodePorts string
}

// Service is one Service in front of the agents.
type Service struct {
	Namespace, Name string
	ClusterIPs      []netip.Addr
	// Port is the Service's port for HTTP, NodePort its node port (0 when it has none).
	Port, NodePort uint16
	// LoadBalancer reports whether the Service is of type LoadBalancer.
	LoadBalancer bool
	// Headless has the families of a Service whose spec asks for no cluster address; empty for every other Service.
	Headless []Family
	// InternalLocal (internalTrafficPolicy) leads from the cluster addresses to agents on the client's own node alone,
	// ExternalLocal (externalTrafficPolicy) from a node port to agents on the node of the port alone.
	InternalLocal, ExternalLocal bool
	// Ingress are the addresses that a load balancer implementation gave to the Service.
	Ingress []Entry
	// Uneven is why the Service's own spec does not lead all clients to all backends alike, as one clause, such as
	// "trafficDistribution is PreferClose"; empty when nothing in the spec says so. Traffic policies do not count: see
	// InternalLocal.
	Uneven string
	// NotReadyToo reports that the Service leads to pods that are not ready as well (publishNotReadyAddresses).
	NotReadyToo bool
	// Unselected are the agents' pods that the Service's selector leaves out, sorted by name.
	Unselected []string
	// Slices is what the Service's EndpointSlices have that they ought not to, and lack.
	Slices Slices
}

// Slices compares EndpointSlices with the agents. The zero value says nothing, as where nobody could read them.
type Slices struct {
	// Strange are addresses to which a Service leads and at which there is no agent, with their ports, sorted.
	Strange []string
	// Left are agents that are ready, that the Service selects, and to which it does not lead, sorted by pod.
	Left []string
	// Gone are addresses, with their ports, to which the Service led at most TrackedFor ago and does not lead any more,
	// sorted. Only addresses that an earlier snapshot had are known.
	Gone []string
}

// TrackedFor is how long a kernel may still lead new connections to an address that is no endpoint any more: as long as
// it tracks a connection that got no answer, which a client with the same local port takes up again
// (nf_conntrack_tcp_timeout_syn_sent in the kernel's documentation of nf_conntrack).
const TrackedFor = 2 * time.Minute

// Ingress is one Ingress in front of the agents.
type Ingress struct {
	Namespace, Name string
	// Rules are the rules that lead to the agents' Services.
	Rules   []Rule
	Entries []Entry
	// Authorities are certificates in PEM, by the name in Trust of the rules. They are not secret.
	Authorities map[string][]byte
}

// Rule is one host and path of an Ingress.
type Rule struct {
	// Host may be empty, and its first label may be "*". Path begins with "/".
	Host, Path string
	// TLS reports that the rule is served over TLS.
	TLS bool
	// Trust names the authority of the Ingress that must have signed the certificate; empty stands for the system's
	// authorities.
	Trust string
	// Unusable is why the rule cannot be probed, as one clause; empty when it can.
	Unusable string
}

// Entry is one way into the cluster: an address or a host name, never both.
type Entry struct {
	Address  netip.Addr
	Hostname string
	// Proxy reports that nodes leave requests to the load balancer (ipMode Proxy). Otherwise the node of a client
	// inside the cluster answers for an address itself, unless the entry is a name.
	Proxy bool
}

// Node returns the named node and whether the snapshot has it.
func (s Snapshot) Node(name string) (Node, bool) {
	for _, n := range s.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}

// Selects reports whether the Service leads to the agent's pod over the family, as far as its selector and the pod's
// addresses say.
func (s Service) Selects(a Agent, family Family) bool {
	return !slices.Contains(s.Unselected, a.Pod) && slices.ContainsFunc(a.Addresses, func(x netip.Addr) bool {
		return FamilyOf(x) == family && Unreachable(x) == ""
	})
}

// Backed returns the nodes with an agent to which the Service may lead connections over the family: an agent that is
// ready and has an address of the family.
func (s Snapshot) Backed(by Service, family Family) map[string]bool {
	nodes := map[string]bool{}
	for _, a := range s.Agents {
		if a.Ready() && !nodes[a.Node] && by.Selects(a, family) {
			nodes[a.Node] = true
		}
	}
	return nodes
}

// Serves reports whether the Service has a cluster address of the family.
func (s Service) Serves(family Family) bool { return slices.Contains(FamiliesOf(s.ClusterIPs), family) }

// FamiliesOf returns the families of the addresses, without repetition, in order of appearance.
func FamiliesOf(addresses []netip.Addr) []Family {
	var families []Family
	for _, a := range addresses {
		if f := FamilyOf(a); !slices.Contains(families, f) {
			families = append(families, f)
		}
	}
	return families
}
