package plan

import (
	"fmt"
	"net"
	"net/netip"
)

// All addresses are from the benchmarking range 198.18.0.0/15 and from fd98::/16. They exist in namespaces without an
// uplink only.

// APIPort is where the API server listens on the first node.
const APIPort = 6443

// Fabric is the pseudo node that stands for the network outside of the cluster; LoadBalancer and Ingress carry the
// add-ons' data paths.
const (
	Fabric       = "fabric"
	LoadBalancer = "lb"
	Ingress      = "ingress"
)

// Host is something with an own network namespace on the fabric.
type Host struct {
	Name      string
	Namespace string
	// Addresses are those on the fabric, with the fabric's prefix length; IPv4 first.
	Addresses []netip.Prefix
}

// Node is a host that belongs to the cluster.
type Node struct {
	Host
	Index int
	Zone  string
	// Pods are the node's pod subnets, IPv4 first.
	Pods []netip.Prefix
	// Second are the subnets of the pods' second interface with the range in it that is this node's.
	Second []Range
	// Tunnel are the addresses of the overlay's device: the first ones of the pod subnets, by which peers route to it.
	Tunnel []netip.Addr
	// TunnelMAC is the link address of the overlay's device, the same on every run so that peers need not ask for it.
	TunnelMAC net.HardwareAddr
}

// Range is a part of a subnet.
type Range struct {
	Subnet     netip.Prefix
	Start, End netip.Addr
}

// Namespace is the name of a host's network namespace.
func (s Settings) Namespace(host string) string { return s.Name + "-" + host }

// NodeName is the name of the node with that index.
func NodeName(index int) string { return fmt.Sprintf("n%d", index) }

// ClusterNodes returns the lab's nodes. A lab without nodes still has the first one's place, for the API server.
func (s Settings) ClusterNodes() []Node {
	nodes := make([]Node, max(s.Nodes, 1))
	for i := range nodes {
		nodes[i] = s.node(i)
	}
	return nodes
}

// Others returns the hosts on the fabric that are not nodes; the first one is the fabric itself.
func (s Settings) Others() []Host {
	return []Host{s.host(Fabric, 1), s.host(LoadBalancer, 2), s.host(Ingress, 3)}
}

// Namespaces returns the names of all network namespaces of the lab.
func (s Settings) Namespaces() []string {
	var names []string
	for _, h := range s.Others() {
		names = append(names, h.Namespace)
	}
	for _, n := range s.ClusterNodes() {
		names = append(names, n.Namespace)
	}
	return names
}

func (s Settings) host(name string, number int) Host {
	return Host{Name: name, Namespace: s.Namespace(name), Addresses: s.prefixes(
		fmt.Sprintf("198.18.0.%d/24", number), fmt.Sprintf("fd98:18::%d/64", number))}
}

func (s Settings) node(i int) Node {
	n := Node{
		Host:  s.host(NodeName(i), 10+i),
		Index: i,
		Zone:  "zone-" + string(rune('a'+i%3)),
		Pods:  s.prefixes(fmt.Sprintf("198.19.%d.0/24", i), fmt.Sprintf("fd98:19:0:%x::/64", i)),
		// Locally administered, and as the pod subnet in its last octets.
		TunnelMAC: net.HardwareAddr{0x02, 0x98, 198, 19, byte(i), 0}, //nolint:gosec // MaxNodes bounds i.
	}
	for _, p := range n.Pods {
		n.Tunnel = append(n.Tunnel, p.Addr())
	}
	if s.IPv4() {
		n.Second = append(n.Second, Range{
			Subnet: netip.MustParsePrefix("198.18.64.0/18"),
			Start:  netip.MustParseAddr(fmt.Sprintf("198.18.%d.10", 64+i)),
			End:    netip.MustParseAddr(fmt.Sprintf("198.18.%d.250", 64+i)),
		})
	}
	if s.IPv6() {
		n.Second = append(n.Second, Range{
			Subnet: netip.MustParsePrefix("fd98:64::/64"),
			Start:  netip.MustParseAddr(fmt.Sprintf("fd98:64::%x:10", i+1)),
			End:    netip.MustParseAddr(fmt.Sprintf("fd98:64::%x:ffff", i+1)),
		})
	}
	return n
}

// Services are the ranges of ClusterIPs.
func (s Settings) Services() []netip.Prefix {
	return s.prefixes("198.18.128.0/17", "fd98:18:128::/112")
}

// PodNetwork are the ranges that hold every node's pod subnet.
func (s Settings) PodNetwork() []netip.Prefix { return s.prefixes("198.19.0.0/16", "fd98:19::/56") }

// Pools are the ranges from which Services of type LoadBalancer get addresses.
func (s Settings) Pools() []netip.Prefix { return s.prefixes("198.18.1.0/24", "fd98:18:1::/112") }

// DNS are the cluster's name server addresses.
func (s Settings) DNS() []netip.Addr { return s.addresses("198.18.128.10", "fd98:18:128::a") }

// APIService are the addresses of the Service "kubernetes".
func (s Settings) APIService() []netip.Addr { return s.addresses("198.18.128.1", "fd98:18:128::1") }

// APIServer is where the lab's hosts reach the API server.
func (s Settings) APIServer() netip.AddrPort {
	return netip.AddrPortFrom(s.node(0).Addresses[0].Addr(), APIPort)
}

// PodMTU is what is left for pods: a VXLAN header takes 50 bytes over IPv4 and 70 over IPv6.
func (s Settings) PodMTU() int {
	switch {
	case s.Overlay == OverlayNone:
		return 1500
	case s.IPv4():
		return 1450
	default:
		return 1430
	}
}

func (s Settings) prefixes(v4, v6 string) []netip.Prefix {
	var out []netip.Prefix
	if s.IPv4() {
		out = append(out, netip.MustParsePrefix(v4))
	}
	if s.IPv6() {
		out = append(out, netip.MustParsePrefix(v6))
	}
	return out
}

func (s Settings) addresses(v4, v6 string) []netip.Addr {
	var out []netip.Addr
	if s.IPv4() {
		out = append(out, netip.MustParseAddr(v4))
	}
	if s.IPv6() {
		out = append(out, netip.MustParseAddr(v6))
	}
	return out
}

// Join writes values with commas between them, as Kubernetes' flags want lists.
func Join[T fmt.Stringer](values []T) string {
	text := ""
	for i, v := range values {
		if i > 0 {
			text += ","
		}
		text += v.String()
	}
	return text
}
