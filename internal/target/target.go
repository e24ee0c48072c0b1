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

// Protocol is the protocol of the requests to a target.
type Protocol string

// The protocols.
const (
	// HTTP is plain HTTP/1.1 over TCP.
	HTTP Protocol = "http"
	// HTTPS is HTTP/1.1 over TLS, HTTP2 is HTTP/2 over TLS.
	HTTPS Protocol = "https"
	HTTP2 Protocol = "h2"
	// TCP is a connection that is opened and closed again, without any data.
	TCP Protocol = "tcp"
)

// Answer says who may answer on a target.
type Answer string

// Who may answer.
const (
	// OnePod is the target's Pod and nobody else.
	OnePod Answer = "pod"
	// Backends is any pod of the backend set that the round's report has for the target and the asking agent.
	Backends Answer = "backends"
	// Anyone is any answer, whether an agent's or not.
	Anyone Answer = "anyone"
)

// Target is one address on which an agent ought to answer. Agents get the part of it that they need to send requests:
// see internal/wire.
type Target struct {
	// ID names the target in reports and is unique within an agent's plan, such as AgentPodV4IP_<pod>_<ip>.
	ID       string          `json:"ID"`
	Kind     Kind            `json:"Kind"`
	Family   topology.Family `json:"Family"`
	Protocol Protocol        `json:"Protocol"`
	// Address is the URL to request; for TCP it is tcp://<host>:<port>.
	Address string `json:"Address"`
	// Dial is the host and port to connect to when it is not the URL's own host, such as an Ingress's address for the
	// host of its rule; empty otherwise. The host is an address of the target's family, or a name that is resolved in
	// the family for each attempt that opens a connection.
	Dial string `json:"Dial"`
	// Trust names the plan's authority that must have signed the other side's certificate; empty stands for the
	// system's authorities.
	Trust string `json:"Trust"`
	// Answer says who may answer. Builders always set it; see MayAnswer for targets that the first release stored.
	Answer Answer `json:"Answer"`
	// Pod and Node name the only agent that may answer when Answer is OnePod; both are empty otherwise.
	Pod  string `json:"Pod"`
	Node string `json:"Node"`
	// Interface is the device inside the pod that has the address, such as net1; empty for the pod's first device and
	// when nobody knows the device.
	Interface string `json:"Interface"`
	// OnlyNode names the only node whose agents are backends of the address; empty when agents of all nodes are.
	OnlyNode string `json:"OnlyNode"`
	// ShortCircuit reports that the Service proxy of the asking agent's own node answers for the address (ipMode VIP,
	// Kubernetes' default): requests never leave for the load balancer, so they prove nothing about it.
	ShortCircuit bool `json:"ShortCircuit"`
	// Further reports that the address of a node port is not the node's primary address of the family. A Service proxy
	// may be configured to answer on primary addresses alone, which is the default of kube-proxy with nftables.
	Further bool `json:"Further"`
	// AtNode names the node that has the address of a node port; empty for other kinds. External reports that the
	// address is an ExternalIP of the node: something in front of the cluster may stop requests to it.
	AtNode   string `json:"AtNode"`
	External bool   `json:"External"`
}

// MayAnswer returns who may answer on the target. Rounds that the first release stored have no Answer: there only the
// pod of a target with a pod may answer, and any backend on another target.
func (t Target) MayAnswer() Answer {
	switch {
	case t.Answer != "":
		return t.Answer
	case t.Pod != "":
		return OnePod
	}
	return Backends
}

// Proxied reports whether something on the path ends connections itself and speaks for the agents behind it. There is
// no such thing when the asking agent's own node answers for a load balancer.
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

// Nodes says on which nodes node ports are probed.
type Nodes string

// The choices of nodes.
const (
	// AllNodes are all nodes of the cluster, LocalNode is the source's own node.
	AllNodes  Nodes = "All"
	LocalNode Nodes = "Local"
)

// Addresses says by which addresses of a node its node ports are probed.
type Addresses string

// The choices of addresses.
const (
	// PrimaryAddress is the first InternalIP of the family, or the first address of the family where there is no
	// InternalIP.
	PrimaryAddress Addresses = "Primary"
	// InternalAddresses are all addresses of the type InternalIP, AllAddresses all addresses of the types InternalIP
	// and ExternalIP.
	InternalAddresses Addresses = "Internal"
	AllAddresses      Addresses = "All"
)

// Builder derives the targets of one kind and family for one source.
type Builder func(Query) ([]Target, []Gap)

// Port returns the number as a URL has it.
func Port(p uint16) string { return strconv.Itoa(int(p)) }

// HostPort joins an address and a port, with brackets around IPv6.
func HostPort(a netip.Addr, port uint16) string { return net.JoinHostPort(a.String(), Port(port)) }

// Of returns the addresses of the family that other nodes can reach, in their order.
func Of(family topology.Family, addresses []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addresses), func(a netip.Addr) bool {
		return topology.FamilyOf(a) != family || topology.Unreachable(a) != ""
	})
}

// Short returns the family as target names have it: V4 or V6.
func Short(f topology.Family) string {
	if f == topology.IPv6 {
		return "V6"
	}
	return "V4"
}
