// Package target says what can be probed: Target is one address that ought to answer, Gap is something wanted that does
// not exist. Each kind of target has a package of its own below this one, which derives targets from a snapshot.
package target

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	"kdoctor.io/kdoctor/internal/topology"
)

// Kind is one way through the cluster to an agent.
type Kind string

// Protocol is how a target is spoken to.
type Protocol string

// The protocols.
const (
	// HTTP is plain HTTP/1.1 over TCP.
	HTTP Protocol = "http"
	// HTTPS is HTTP/1.1 over TLS, HTTP2 is HTTP/2 over TLS.
	HTTPS Protocol = "https"
	HTTP2 Protocol = "h2"
	// TCP is a connection that is opened and closed again, without a word.
	TCP Protocol = "tcp"
)

// Answer says who may answer on a target.
type Answer string

// Who may answer.
const (
	// OnePod: the target's Pod and nobody else.
	OnePod Answer = "pod"
	// Backends: any pod of the backend set that the round's report has for the target and the asking agent.
	Backends Answer = "backends"
	// Anyone: whoever stands there; it need not be an agent.
	Anyone Answer = "anyone"
)

// Target is one address that one of the agents ought to answer on.
type Target struct {
	// ID names the target in reports and is unique within an agent's plan, such as AgentPodV4IP_<pod>_<ip>.
	ID       string          `json:"ID"`
	Kind     Kind            `json:"Kind"`
	Family   topology.Family `json:"Family"`
	Protocol Protocol        `json:"Protocol"`
	// Address is the URL to request; for TCP it is tcp://<host>:<port>.
	Address string `json:"Address"`
	// Dial is the host and port to connect to where that is not the URL's own host, such as an Ingress's address for
	// the host of its rule; empty otherwise. The host is an address of the target's family, or a name that is resolved
	// in that family for each attempt that opens a connection.
	Dial string `json:"Dial"`
	// Trust names the plan's authority that must have signed the other side's certificate; empty stands for those of
	// the system.
	Trust string `json:"Trust"`
	// Answer says who may answer. Builders state it; see MayAnswer for targets that the first release stored.
	Answer Answer `json:"Answer"`
	// Pod and Node name the agent that alone may answer where Answer is OnePod; both are empty elsewhere.
	Pod  string `json:"Pod"`
	Node string `json:"Node"`
	// Interface is the device inside the pod that has the address, such as net1; empty for the pod's first one and
	// where nobody tells.
	Interface string `json:"Interface"`
	// OnlyNode names the node whose agents alone stand behind an address that any of several may answer on; empty where
	// those of all nodes do.
	OnlyNode string `json:"OnlyNode"`
	// ShortCircuit reports that the Service proxy of the asking agent's own node answers for the address (ipMode VIP,
	// Kubernetes' default): requests never leave for the load balancer, so they prove nothing about it.
	ShortCircuit bool `json:"ShortCircuit"`
	// Further reports that the address of a node port is not the node's primary one of the family. A Service proxy may
	// be told to answer on primary addresses alone, which is the default of kube-proxy with nftables.
	Further bool `json:"Further"`
	// AtNode names the node that has the address of a node port; empty elsewhere. External reports that the address is
	// an ExternalIP of the node, at which something in front of the cluster may stop requests.
	AtNode   string `json:"AtNode"`
	External bool   `json:"External"`
}

// MayAnswer returns who may answer on the target. Rounds that the first release stored do not say it: there a target
// with a pod was that pod's alone, and any other target was for the backends.
func (t Target) MayAnswer() Answer {
	switch {
	case t.Answer != "":
		return t.Answer
	case t.Pod != "":
		return OnePod
	}
	return Backends
}

// Proxied reports whether something on the path ends connections itself and speaks for the agents behind it. Nothing
// does where the asking agent's own node answers for a load balancer.
func (t Target) Proxied() bool { return t.Kind.Traits().Proxied && !t.ShortCircuit }

// Gap is a target that was asked for and cannot be built. It fails the round, with its reason.
type Gap struct {
	Kind   Kind            `json:"Kind"`
	Family topology.Family `json:"Family"`
	// Node is the node whose agent lacks the target; empty when all agents lack it.
	Node string `json:"Node"`
	// Reason is one sentence without a final stop that says what is missing.
	Reason string `json:"Reason"`
}

// Query is what a builder derives targets from.
type Query struct {
	Snapshot topology.Snapshot
	// Source is the agent that will send the requests.
	Source topology.Agent
	// Family is the one family asked for.
	Family topology.Family
	// NodePorts says on which nodes node ports are probed; empty is AllNodes.
	NodePorts Nodes
	// NodeAddresses says by which addresses of a node its node ports are probed; empty is PrimaryAddress.
	NodeAddresses Addresses
}

// Nodes tells which nodes are meant.
type Nodes string

// The choices of nodes.
const (
	// AllNodes are all nodes of the cluster, LocalNode is the source's own.
	AllNodes  Nodes = "All"
	LocalNode Nodes = "Local"
)

// Addresses says which addresses of a node are meant.
type Addresses string

// The choices of addresses.
const (
	// PrimaryAddress is the first InternalIP of the family, or the first address of the family where there is no
	// InternalIP.
	PrimaryAddress Addresses = "Primary"
	// InternalAddresses are all addresses of the type InternalIP, AllAddresses are those of the type ExternalIP as
	// well.
	InternalAddresses Addresses = "Internal"
	AllAddresses      Addresses = "All"
)

// Builder derives the targets of one kind and family for one source.
type Builder func(Query) ([]Target, []Gap)

// Port returns the number as it stands in a URL.
func Port(p uint16) string { return strconv.Itoa(int(p)) }

// HostPort joins an address and a port, with brackets around IPv6.
func HostPort(a netip.Addr, port uint16) string { return net.JoinHostPort(a.String(), Port(port)) }

// Of returns the addresses of the family that other nodes can reach, in their order.
func Of(family topology.Family, addresses []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addresses), func(a netip.Addr) bool {
		return topology.FamilyOf(a) != family || topology.Unreachable(a) != ""
	})
}

// Short is the family as it stands in target names: V4 or V6.
func Short(f topology.Family) string {
	if f == topology.IPv6 {
		return "V6"
	}
	return "V4"
}
