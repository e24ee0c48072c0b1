// Package ladder describes the probes that a round sends beside its counted requests, to tell components apart: a
// ladder of paths, of which each rung adds one component to the rung below. If a rung fails and the rung below does
// not, then the component between the two is broken.
//
// The package holds plain values and computes which probes an agent sends. Agents know nothing of rungs: they get
// addresses and methods.
package ladder

import (
	"net/netip"
	"time"

	"kdoctor.io/kdoctor/internal/topology"
)

// Rung is one kind of path of the ladder.
type Rung string

// The rungs. "Host" is the network of a node itself, where a second agent runs if the installation has one; "pod" is
// the network of an agent's pod.
const (
	// Self is from a pod to its own address: the agent's process alone.
	Self Rung = "Self"
	// HostToOwnPod is from a node's host network to the agent's pod on the same node, PodToOwnHost the opposite: the
	// pod's interface and the CNI plugin's part on the node, without any other node.
	HostToOwnPod Rung = "HostToOwnPod"
	PodToOwnHost Rung = "PodToOwnHost"
	// HostToHost is between the host networks of two nodes: the nodes' network below the pod network.
	HostToHost Rung = "HostToHost"
	// PodToPod is between pods on two nodes: the pod network.
	PodToPod Rung = "PodToPod"
	// HostToPod is from a host network to a pod on another node, PodToHost from a pod to the host network of another
	// node. A network policy for traffic between pods leaves both alone.
	HostToPod Rung = "HostToPod"
	PodToHost Rung = "PodToHost"
	// ClusterIP and HostClusterIP are to a Service's cluster address, from a pod and from a host network.
	ClusterIP     Rung = "ClusterIP"
	HostClusterIP Rung = "HostClusterIP"
	// NodePort is from a pod to the node port at an address of a node.
	NodePort Rung = "NodePort"
	// LoadBalancer and Ingress are from a pod to the address of a load balancer, and through an Ingress.
	LoadBalancer Rung = "LoadBalancer"
	Ingress      Rung = "Ingress"
	// DNSPod is a query to one DNS server's own address, DNSService a query to the address in the pod's resolv.conf.
	DNSPod     Rung = "DNSPod"
	DNSService Rung = "DNSService"
	// APIServer is a connection to the API server's cluster address.
	APIServer Rung = "APIServer"
	// SecondInterface is between pods on two nodes, by the addresses of a further network.
	SecondInterface Rung = "SecondInterface"
)

// Method is how a probe asks.
type Method string

// The methods.
const (
	// UDP is one datagram, which is answered by one of the same size that says who answered. Datagrams are never
	// fragmented.
	UDP Method = "UDP"
	// ICMP is an echo request, which the kernel at the address answers.
	ICMP Method = "ICMP"
	// TCP opens a connection and closes it.
	TCP Method = "TCP"
	// HTTP is a request over a connection of its own; the answer says who answered.
	HTTP Method = "HTTP"
	// DNS is a query for an A record over UDP.
	DNS Method = "DNS"
)

// Failure is how a probe failed.
type Failure string

// The failures.
const (
	// NoAnswer: nothing came back in time. For TCP and HTTP, no connection was made in time.
	NoAnswer Failure = "no answer"
	// NoReply: a connection was made, and no reply came over it in time.
	NoReply Failure = "connected, no reply"
	// Refused: the address refused the connection or the datagram.
	Refused Failure = "refused"
	// Reset: the connection was reset or closed before the reply.
	Reset Failure = "reset"
	// Unreachable: a router, or the sender's own node, knows no way to the address.
	Unreachable Failure = "unreachable"
	// TooLarge: the sender's own node refused to send a packet of this size.
	TooLarge Failure = "too large"
	// NotPermitted: the sender's own node refused to send, as it does if its table of tracked connections is full.
	NotPermitted Failure = "not permitted"
	// WrongPeer: somebody else answered. BadReply: an answer that no agent sends.
	WrongPeer Failure = "wrong peer"
	BadReply  Failure = "bad reply"
)

// Counts is what became of probes that were sent alike.
type Counts struct {
	// Sent = Answered + the sum of Failures.
	Sent     uint64             `json:"Sent"`
	Answered uint64             `json:"Answered"`
	Failures map[Failure]uint64 `json:"Failures,omitempty"`
	// Mean and Max are the round-trip times of answered probes; for TCP and HTTP with the connection.
	Mean time.Duration `json:"Mean,omitempty"`
	Max  time.Duration `json:"Max,omitempty"`
	// Retried is how many answered connections took a second SYN or more.
	Retried uint64 `json:"Retried,omitempty"`
	// PathMTU is the size in bytes, with IP header, of the largest packet that arrived, if full-size packets were lost
	// and smaller ones were not; 0 otherwise.
	PathMTU int `json:"PathMTU,omitempty"`
	// Peers counts answers by the pod that answered, where any of several may.
	Peers map[string]uint64 `json:"Peers,omitempty"`
}

// Failed is how many probes got no proper answer.
func (c Counts) Failed() uint64 { return c.Sent - c.Answered }

// Add adds the counts of another pass of the same probe.
func (c *Counts) Add(other Counts) {
	if total := c.Answered + other.Answered; total > 0 {
		// Counts of a round's few probes do not overflow.
		c.Mean = (c.Mean*time.Duration(c.Answered) + other.Mean*time.Duration(other.Answered)) / // #nosec G115
			time.Duration(total) // #nosec G115
	}
	c.Sent, c.Answered, c.Retried = c.Sent+other.Sent, c.Answered+other.Answered, c.Retried+other.Retried
	c.Max = max(c.Max, other.Max)
	if other.PathMTU > 0 && (c.PathMTU == 0 || other.PathMTU < c.PathMTU) {
		c.PathMTU = other.PathMTU
	}
	for failure, n := range other.Failures {
		if c.Failures == nil {
			c.Failures = map[Failure]uint64{}
		}
		c.Failures[failure] += n
	}
	for peer, n := range other.Peers {
		if c.Peers == nil {
			c.Peers = map[string]uint64{}
		}
		c.Peers[peer] += n
	}
}

// Observation is what the probes of one rung saw between two places.
type Observation struct {
	Rung Rung `json:"Rung"`
	// From is the node that asked.
	From string `json:"From"`
	// To is the node of the pod or host network that ought to answer; empty where one of several may.
	To string `json:"To,omitempty"`
	// At is the node whose node port was asked; empty on other rungs.
	At string `json:"At,omitempty"`
	// Service names the Service, the DNS server's pod, the load balancer or the Ingress that was asked; empty on rungs
	// without one.
	Service string          `json:"Service,omitempty"`
	Family  topology.Family `json:"Family"`
	Method  Method          `json:"Method"`
	// Large says that the packets were as large as the interface permits.
	Large bool `json:"Large,omitempty"`
	// Address is what was asked, as address and port; empty where it is not known.
	Address string `json:"Address,omitempty"`
	// Counted says that the counts are of the round's counted requests.
	Counted bool `json:"Counted,omitempty"`
	// Passes is in how many passes the probe was sent, FailedPasses in how many at least one failed; both are 0 for
	// counted requests.
	Passes       int `json:"Passes,omitempty"`
	FailedPasses int `json:"FailedPasses,omitempty"`
	// FollowUp says that the probe was sent on suspicion alone, at the end of the round.
	FollowUp bool `json:"FollowUp,omitempty"`
	// Backends are the nodes of the pods that may answer; empty on rungs to one pod or host.
	Backends []string `json:"Backends,omitempty"`
	Counts
}

// Spec is one probe as an agent gets it.
type Spec struct {
	Method  Method         `json:"Method"`
	Address netip.AddrPort `json:"Address"`
	// Bytes is the size of a datagram's packet with its IP header; 0 is the smallest, FullSize as large as the
	// interface permits.
	Bytes int `json:"Bytes,omitempty"`
	// Count is how often to ask, 1 to MaxCount, from a new source port each time.
	Count int `json:"Count"`
	// Timeout is how long to wait for each answer, up to MaxTimeout.
	Timeout time.Duration `json:"Timeout"`
	// Peer is the pod that ought to answer; empty where any may.
	Peer string `json:"Peer,omitempty"`
	// SourcePort is the port to send from; 0 is any.
	SourcePort uint16 `json:"SourcePort,omitempty"`
}

// FullSize is the size of packets that are as large as the interface permits.
const FullSize = -1

// Bounds of what an agent sends at one request.
const (
	MaxSpecs   = 2048
	MaxCount   = 20
	MaxTimeout = 5 * time.Second
)

// Result is what became of one Spec.
type Result struct {
	Counts
	// Unsupported is why the agent could not send such probes at all, as one clause; nothing was sent then.
	Unsupported string
}
