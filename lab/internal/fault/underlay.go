package fault

import (
	"context"
	"fmt"
	"net/netip"

	"kdoctor.io/kdoctor/lab/internal/plan"
)

// Components that several faults are about.
const (
	nodeNetwork  = "node network"
	nodePair     = "network between two nodes"
	zonePair     = "network between two zones"
	zonePodPair  = "overlay between two zones"
	overlay      = "overlay"
	podPair      = "overlay between two nodes"
	policyPair   = "network policy between two pods"
	forwarding   = "forwarding"
	podNetwork   = "CNI"
	kubeProxy    = "kube-proxy"
	policyIn     = "network policy, into the pod"
	policyOut    = "network policy, out of the pod"
	agentProcess = "agent"
)

// Causes that several faults have.
const (
	packetLoss    = "PacketLoss"
	interfaceDown = "InterfaceDown"
	pathMTU       = "PathMTUTooSmall"
	routeMissing  = "RouteMissing"
	duplicate     = "AddressDuplicate"
)

// planned is what plans a fault's steps.
type planned = func(ctx context.Context, s *Scene) ([]Step, error)

// only makes a plan of steps that need nothing but the lab's settings.
func only(steps func(s *Scene) []Step) planned {
	return func(_ context.Context, s *Scene) ([]Step, error) { return steps(s), nil }
}

// underlayFaults are faults of one node's own interface and link.
func underlayFaults() []Fault {
	return []Fault{
		{
			Name: "node-interface-down", Row: 1, Place: OnNode, Components: []string{nodeNetwork}, Cause: interfaceDown,
			Description: "The node's interface is down: nothing reaches the node or leaves it.",
			Plan: only(func(s *Scene) []Step {
				return []Step{command(s.on(), words("ip link set %s down", uplink), words("ip link set %s up", uplink))}
			}),
		},
		lossy("receive-loss", 2, "ingress", 200, "The node loses 20 % of the packets that it receives."),
		lossy("receive-loss-slight", 2, "ingress", 15, "The node loses 1.5 % of the packets that it receives."),
		lossy("transmit-loss", 3, "egress", 200, "The node loses 20 % of the packets that it sends."),
		lossy("transmit-loss-slight", 3, "egress", 15, "The node loses 1.5 % of the packets that it sends."),
		{
			Name: "flow-loss", Row: 4, Place: OnNode, Components: []string{nodeNetwork}, Cause: "FlowsDropped",
			Description: "The node loses a quarter of the flows that it receives, by their ports, as if one link of a " +
				"bond were broken.",
			Plan: only(func(s *Scene) []Step {
				return []Step{table(s.on(), netdev, "flow-loss", chain{hook: "ingress", device: uplink, rules: []string{
					"meta l4proto tcp jhash tcp sport . tcp dport mod 4 seed 0x1 0 " + drop,
					"meta l4proto udp jhash udp sport . udp dport mod 4 seed 0x1 0 " + drop,
				}})}
			}),
		},
		{
			Name: "rate-limited", Row: 5, Place: OnNode, Components: []string{nodeNetwork}, Cause: "RateLimited",
			Description: "The node sends at most 256 kbit/s: answers are late before any are lost.",
			Plan: only(func(s *Scene) []Step {
				return []Step{command(s.on(),
					words("tc qdisc add dev %s root tbf rate 256kbit burst 3000 limit 30000", uplink),
					words("tc qdisc del dev %s root", uplink))}
			}),
		},
		{
			Name: "node-address-duplicate", Row: 7, Place: OnNode, Components: []string{nodeNetwork}, Cause: duplicate,
			Needs:       []Need{NeedIPv4},
			Aspect:      Aspect{Family: "IPv4"},
			Description: "A stranger on the fabric answers for the node's IPv4 address and refuses connections.",
			Plan: only(func(s *Scene) []Step {
				return duplicateOnFabric(s, s.On.Name, s.On.Addresses[0].Addr())
			}),
		},
		{
			Name: "path-mtu-small", Row: 12, Place: OnNode, Components: []string{nodeNetwork}, Cause: pathMTU,
			Aspect:      Aspect{Large: true},
			Description: "The node's link loses packets of more than 1,400 bytes, and nobody says so.",
			Plan:        only(func(s *Scene) []Step { return []Step{largeDropped(s.on(), "path-mtu-small", 1400)} }),
		},
		{
			Name: "probe-port-blocked", Row: 14, Place: OnNode, Components: []string{"firewall for the probe port"},
			Cause:       "ProbePortBlocked",
			Description: "The node's firewall drops requests to the port of the host agent (--port); all else passes.",
			Plan: only(func(s *Scene) []Step {
				return []Step{table(s.on(), inet, "probe-port-blocked",
					chain{hook: "input", rules: []string{ports(s.Port) + " " + drop}})}
			}),
		},
		{
			Name: "ipv6-neighbours-blocked", Row: 61, Place: OnNode, Components: []string{nodeNetwork},
			Cause: "IPv6NeighbourDiscoveryBlocked", Needs: []Need{NeedIPv6},
			Aspect:      Aspect{Family: "IPv6"},
			Description: "The node hears no IPv6 neighbour discovery: IPv6 to and from its own addresses fails.",
			Plan:        only(neighboursBlocked),
		},
	}
}

// lossy is a fault that loses a random share of a node's packets in one direction.
func lossy(name string, row int, hook string, perMille int, description string) Fault {
	return Fault{
		Name: name, Row: row, Place: OnNode, Components: []string{nodeNetwork}, Cause: packetLoss,
		Description: description,
		Plan: only(func(s *Scene) []Step {
			return []Step{table(s.on(), netdev, name,
				chain{hook: hook, device: uplink, rules: []string{share(perMille) + " " + drop}})}
		}),
	}
}

// largeDropped drops packets above a size in bytes on a node's interface, both ways. The kernel hands several segments
// of a connection on as one long packet, which is dropped too: in a lab they are as large as the interface permits. On
// the way out the length includes the Ethernet header.
func largeDropped(in Namespace, name string, limit int) Step {
	const header = 14
	return table(in, netdev, name,
		chain{hook: "ingress", device: uplink, rules: []string{longer(limit)}},
		chain{hook: "egress", device: uplink, rules: []string{longer(limit + header)}})
}

// duplicateOnFabric lets the fabric answer for an address. Whoever asked before asks again.
func duplicateOnFabric(s *Scene, owner string, address netip.Addr) []Step {
	var flush []Step
	for _, h := range everyHost(s.Settings) {
		if h.Name == owner || h.Name == plan.Fabric {
			continue
		}
		again := words("%s neigh flush to %s dev %s", ipFor(address), address, uplink)
		flush = append(flush, command(Namespace{Host: h.Namespace}, again, again))
	}
	add := command(s.host(plan.Fabric), words("ip addr add %s/%d dev %s", address, address.BitLen(), fabricBridge),
		words("ip addr del %s/%d dev %s", address, address.BitLen(), fabricBridge))
	return append(onlyUndo(flush), append([]Step{add}, onlyDo(flush)...)...)
}

func neighboursBlocked(s *Scene) []Step {
	steps := []Step{table(s.on(), inet, "ipv6-neighbours-blocked", chain{hook: "input", rules: []string{
		"iifname " + quoted([]string{uplink}) + " icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } " + drop,
	}})}
	steps = append(steps, command(s.on(), words("ip -6 neigh flush dev %s", uplink), nil))
	for _, h := range everyHost(s.Settings) {
		if h.Name == s.On.Name || h.Name == plan.Fabric {
			continue
		}
		for _, a := range addresses(s.On.Host) {
			if a.Is6() {
				steps = append(steps, command(Namespace{Host: h.Namespace},
					words("ip -6 neigh flush to %s dev %s", a, uplink), nil))
			}
		}
	}
	return steps
}

// everyHost returns all hosts of a lab, nodes first.
func everyHost(s plan.Settings) []plan.Host {
	var out []plan.Host
	for _, n := range s.ClusterNodes() {
		out = append(out, n.Host)
	}
	return append(out, s.Others()...)
}

// longer drops packets above a length in bytes.
func longer(limit int) string { return fmt.Sprintf("meta length > %d %s", limit, drop) }

// onlyDo and onlyUndo return the steps without what undoes them, or with that alone.
func onlyDo(steps []Step) []Step {
	var out []Step
	for _, s := range steps {
		out = append(out, command(s.Command.In, s.Command.Do, nil))
	}
	return out
}

func onlyUndo(steps []Step) []Step {
	var out []Step
	for _, s := range steps {
		out = append(out, command(s.Command.In, nil, s.Command.Undo))
	}
	return out
}
