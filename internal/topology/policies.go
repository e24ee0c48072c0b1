package topology

import "net/netip"

// MostPolicies is how many policy objects a snapshot has at most.
const MostPolicies = 100

// Policies are the objects by which somebody restricts the agents' traffic on purpose. The zero value says that nobody
// looked.
type Policies struct {
	// Read reports that the NetworkPolicies of the agents' namespace were read.
	Read bool
	// Objects select at least one agent's pod. They are at most MostPolicies, sorted by tier, priority, kind and name.
	// Omitted is how many more there are.
	Objects []Policy
	Omitted int
	// Unread has one clause for each kind of objects that could not be read, such as "the controller may not list
	// networkpolicies.networking.k8s.io".
	Unread []string
	// Groups has, by name, to which group an agent's pod belongs: pods of a group have the same labels, so that
	// policies treat them alike. Pods in the host network are in none: policies leave them alone. It is nil where there
	// are no objects.
	Groups map[string]int
}

// Tier says when an object decides: a tier decides what the tiers before left open.
type Tier int

// The tiers, in the order in which they decide.
const (
	AdminTier Tier = iota
	NamespaceTier
	BaselineTier
)

// Policy is one object.
type Policy struct {
	// Kind is the object's kind; Namespace is empty for one of the whole cluster.
	Kind, Namespace, Name string
	Tier                  Tier
	// Priority orders the objects of a tier, the lowest first; it says nothing in NamespaceTier.
	Priority int
	// Groups are the groups of agents' pods whose traffic the object restricts, ascending.
	Groups []int
	// Ingress are the rules for connections into these pods, Egress those for connections out of them. In NamespaceTier
	// the rules all admit, in others the first rule that fits decides.
	Ingress, Egress []PolicyRule
	// IsolatesIngress and IsolatesEgress report that what no object of the tier admits is denied.
	IsolatesIngress, IsolatesEgress bool
}

// Title names the object as kubectl users do: its kind, its namespace if it has one, and its name.
func (p Policy) Title() string {
	if p.Namespace == "" {
		return p.Kind + " " + p.Name
	}
	return p.Kind + " " + p.Namespace + "/" + p.Name
}

// PolicyAction is what a rule does with the traffic that it fits.
type PolicyAction string

// The actions.
const (
	PolicyAdmits PolicyAction = "admits"
	PolicyDenies PolicyAction = "denies"
	// PolicyPasses leaves the decision to the next tier.
	PolicyPasses PolicyAction = "passes"
)

// PolicyRule fits traffic that fits one of its peers and one of its ports.
type PolicyRule struct {
	Action PolicyAction
	// Peers are the other ends of connections; none stands for everybody. Ports are the ports that are connected to;
	// none stands for all of all protocols.
	Peers []PolicyPeer
	Ports []PolicyPort
}

// PeerKind says which part of a PolicyPeer counts.
type PeerKind string

// The kinds of peers.
const (
	// PeerUnknown is a peer of a kind that a snapshot cannot tell, such as a domain name.
	PeerUnknown PeerKind = ""
	// PeerPods are the agents' pods of Groups and, if Others is set, perhaps pods that are no agents'.
	PeerPods PeerKind = "pods"
	// PeerNodes are some of the nodes.
	PeerNodes PeerKind = "nodes"
	// PeerNetworks are the addresses in Networks and not in Except.
	PeerNetworks PeerKind = "networks"
)

// PolicyPeer is the other end of connections.
type PolicyPeer struct {
	Kind             PeerKind
	Groups           []int
	Others           bool
	Networks, Except []netip.Prefix
}

// PolicyPort is a range of ports of one protocol.
type PolicyPort struct {
	// Protocol is TCP, UDP or SCTP; empty is any.
	Protocol string
	// Name is the name of a container's port. Without a name, First and Last bound the ports, both included; both 0
	// stand for all.
	Name        string
	First, Last uint16
}
