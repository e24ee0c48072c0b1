package fault

import (
	"context"
	"fmt"

	"kdoctor.io/kdoctor/lab/internal/plan"
)

// nobody is a link address that no interface of a lab has.
const nobody = "02:de:ad:00:00:01"

// unused is an address on the fabric that no host has.
const unused = "198.18.0.250"

// pairFaults are faults of what two nodes have in common and no others.
func pairFaults() []Fault {
	return []Fault{
		{
			Name: "node-pair-blocked", Row: 0, Place: OnPair, Components: []string{nodePair}, Cause: "PairBlocked",
			Description: "The node drops all that its peer sends to it and all that it sends to the peer.",
			Plan: only(func(s *Scene) []Step {
				theirs := addresses(s.Peer.Host)
				return []Step{table(s.on(), netdev, "node-pair-blocked",
					chain{hook: "ingress", device: uplink, rules: each(from(theirs...), drop)},
					chain{hook: "egress", device: uplink, rules: each(to(theirs...), drop)})}
			}),
		},
		{
			Name: "neighbour-wrong", Row: 6, Place: OnPair, Components: []string{nodePair}, Cause: "NeighbourWrong",
			Description: "The node has a wrong link address for its peer: what it sends to the peer reaches nobody.",
			Plan: only(func(s *Scene) []Step {
				var steps []Step
				for _, a := range addresses(s.Peer.Host) {
					steps = append(steps, command(s.on(),
						words("ip neigh replace %s lladdr %s dev %s nud permanent", a, nobody, uplink),
						words("ip neigh del %s dev %s", a, uplink)))
				}
				return steps
			}),
		},
		{
			Name: "tunnel-entry-stale", Row: 16, Place: OnPair, Components: []string{podPair}, Cause: "TunnelEntryStale",
			Needs:       []Need{NeedVXLAN, NeedIPv4},
			Description: "The node's overlay sends what is for its peer to an address that no node has any more.",
			Plan: only(func(s *Scene) []Step {
				entry := func(at string) []string {
					return words("bridge fdb replace %s dev %s dst %s self permanent", s.Peer.TunnelMAC, tunnel, at)
				}
				return []Step{command(s.on(), entry(unused), entry(s.Peer.Addresses[0].Addr().String()))}
			}),
		},
		{
			Name: "pod-route-missing", Row: 18, Place: OnPair, Components: []string{podPair, overlay},
			Cause: routeMissing, Needs: []Need{NeedIPv4},
			Aspect:      Aspect{Family: "IPv4"},
			Description: "The node has no route to the IPv4 pods of its peer.",
			Plan: only(func(s *Scene) []Step {
				return []Step{command(s.on(), words("ip -4 route del %s", s.Peer.Pods[0]),
					podRoute(s.Settings, "add", s.Peer))}
			}),
		},
		{
			Name: "reverse-path-strict", Row: 25, Place: OnPair, Components: []string{podPair, forwarding},
			Cause: "ReversePathFilter", Needs: []Need{NeedVXLAN, NeedIPv4},
			Aspect:      Aspect{Family: "IPv4"},
			Description: "The node drops IPv4 that pods send to it beside the overlay; the peer's pods send all IPv4 so.",
			Plan: only(func(s *Scene) []Step {
				return []Step{
					command(s.peer(), words("ip -4 route replace %s via %s dev %s", s.On.Pods[0],
						s.On.Addresses[0].Addr(), uplink), podRoute(s.Settings, "replace", s.On)),
					{Setting: &Setting{In: s.on(), Path: sysctl("ipv4/conf/%s/rp_filter", uplink), Value: "1"}},
				}
			}),
		},
		{
			Name: "overlay-pair-blocked", Row: 28, Place: OnPair, Components: []string{podPair},
			Cause: "OverlayPortBlocked", Needs: []Need{NeedVXLAN},
			Description: "The overlay's packets between the node and its peer are dropped, as with two keys that differ.",
			Plan: only(func(s *Scene) []Step {
				theirs := addresses(s.Peer.Host)
				return []Step{table(s.on(), netdev, "overlay-pair-blocked",
					chain{hook: "ingress", device: uplink, rules: each(from(theirs...), overlayPackets, drop)},
					chain{hook: "egress", device: uplink, rules: each(to(theirs...), overlayPackets, drop)})}
			}),
		},
		{
			Name: "policy-pair-denied", Row: 58, Place: OnPair, Components: []string{policyPair, policyIn, policyOut},
			Cause:       "PolicyDeniesPair",
			Description: "The node's policy drops what the peer's agent sends to the agent here; all else passes.",
			Plan:        policyPairDenied,
		},
	}
}

// podRoute is the command that routes the IPv4 pods of a node as the lab does; the verb is add or replace.
func podRoute(s plan.Settings, verb string, to plan.Node) []string {
	if s.Overlay == plan.OverlayVXLAN {
		return words("ip -4 route %s %s via %s dev %s onlink", verb, to.Pods[0], to.Tunnel[0], tunnel)
	}
	return words("ip -4 route %s %s via %s dev %s", verb, to.Pods[0], to.Addresses[0].Addr(), uplink)
}

// sysctl is the path of a setting of the network.
func sysctl(format string, args ...any) string {
	return "/proc/sys/net/" + fmt.Sprintf(format, args...)
}

func policyPairDenied(ctx context.Context, s *Scene) ([]Step, error) {
	mine, err := s.agents(ctx, s.On.Name)
	if err != nil {
		return nil, err
	}
	theirs, err := s.agents(ctx, s.Peer.Name)
	if err != nil {
		return nil, err
	}
	var rules []string
	for _, source := range podAddresses(theirs) {
		for _, target := range podAddresses(mine) {
			if source.Is4() == target.Is4() {
				rules = append(rules, from(source)[0]+" "+to(target)[0]+" "+drop)
			}
		}
	}
	return []Step{table(s.on(), inet, "policy-pair-denied", chain{hook: "forward", rules: rules})}, nil
}

// zoneFaults are faults of what two zones have in common: they are made in the fabric, for the zones of two nodes.
func zoneFaults() []Fault {
	return []Fault{
		zoned("zone-link-down", 9, []string{zonePair}, "ZoneLinkDown", drop, true, nil,
			"The link between the zones of two nodes is down: nothing passes between their nodes."),
		zoned("zone-link-loss", 10, []string{zonePair}, packetLoss, share(100)+" "+drop, false, nil,
			"What the nodes of the first zone send to those of the second one is lost at 10 %."),
		zoned("zone-mtu-small", 12, []string{zonePair}, pathMTU, "meta length > 1400 "+drop, true, nil,
			"The link between two zones loses packets of more than 1,400 bytes, and nobody says so.").large(),
		zoned("zone-overlay-blocked", 13, []string{zonePodPair, podPair}, "OverlayPortBlocked",
			overlayPackets+" "+drop, true, []Need{NeedVXLAN},
			"The fabric drops the overlay's packets between the zones of two nodes; the nodes reach each other."),
	}
}

// overlayPackets matches the overlay's packets between nodes.
const overlayPackets = "udp dport 8472"

// zoned is a fault between two zones, in both directions or in one.
func zoned(name string, row int, components []string, cause, rule string, both bool, needs []Need,
	description string) Fault {
	return Fault{
		Name: name, Row: row, Place: OnPair, Components: components, Cause: cause, Description: description,
		Needs: append([]Need{NeedZones}, needs...),
		Plan: func(_ context.Context, s *Scene) ([]Step, error) {
			mine, theirs, err := s.zones()
			if err != nil {
				return nil, err
			}
			rules := []string{between(mine, theirs) + " " + rule}
			if both {
				rules = append(rules, between(theirs, mine)+" "+rule)
			}
			return []Step{table(s.host(plan.Fabric), bridge, name, chain{hook: "forward", rules: rules})}, nil
		},
	}
}

// between matches frames that the fabric's bridge passes from the hosts to the others; its ports have their names.
func between(from, to []string) string {
	return "iifname " + quoted(from) + " oifname " + quoted(to)
}
