package fault

import (
	"context"
	"fmt"
)

// overlayFaults are faults of one node's end of the pod network between nodes.
func overlayFaults() []Fault {
	return []Fault{
		{
			Name: "overlay-port-blocked", Row: 15, Place: OnNode, Components: []string{overlay},
			Cause: "OverlayPortBlocked", Needs: []Need{NeedVXLAN},
			Description: "The node's firewall drops the overlay's packets: its pods reach no pod on another node.",
			Plan: only(func(s *Scene) []Step {
				return []Step{table(s.on(), inet, "overlay-port-blocked",
					chain{hook: "input", rules: []string{overlayPackets + " " + drop}})}
			}),
		},
		{
			Name: "tunnel-mac-changed", Row: 17, Place: OnNode, Components: []string{overlay},
			Cause: "TunnelAddressChanged", Needs: []Need{NeedVXLAN},
			Description: "The overlay's device of the node has a new link address that its peers do not know.",
			Plan: only(func(s *Scene) []Step {
				return []Step{command(s.on(), words("ip link set %s address %s", tunnel, nobody),
					words("ip link set %s address %s", tunnel, s.On.TunnelMAC))}
			}),
		},
		{
			Name: "tunnel-mtu-small", Row: 19, Place: OnNode, Components: []string{overlay}, Cause: pathMTU,
			Needs:       []Need{NeedVXLAN},
			Aspect:      Aspect{Large: true},
			Description: "The overlay's device of the node takes packets of at most 1,300 bytes.",
			Plan: only(func(s *Scene) []Step {
				return []Step{command(s.on(), words("ip link set %s mtu 1300", tunnel),
					words("ip link set %s mtu %d", tunnel, s.Settings.PodMTU()))}
			}),
		},
		{
			Name: "overlay-checksum-bad", Row: 21, Place: OnNode, Components: []string{overlay},
			Cause: "ChecksumWrong", Needs: []Need{NeedVXLAN, NeedIPv4},
			Description: "The overlay's packets of the node leave with a wrong checksum, as with a broken offload.",
			Plan: only(func(s *Scene) []Step {
				return []Step{
					{Offloads: &Offloads{In: s.on(), Link: uplink}},
					{Offloads: &Offloads{In: s.on(), Link: tunnel}},
					table(s.on(), netdev, "overlay-checksum-bad", chain{hook: "egress", device: uplink,
						rules: []string{overlayPackets + " counter udp checksum set 0x1234"}}),
				}
			}),
		},
		{
			Name: "forwarding-off", Row: 23, Place: OnNode, Components: []string{forwarding}, Cause: "ForwardingOff",
			Needs:       []Need{NeedIPv4},
			Aspect:      Aspect{Family: "IPv4"},
			Description: "The node forwards no IPv4: its pods reach nothing outside of the node.",
			Plan: only(func(s *Scene) []Step {
				return []Step{{Setting: &Setting{In: s.on(), Path: sysctl("ipv4/ip_forward"), Value: "0"}}}
			}),
		},
		{
			Name: "forwarding-dropped", Row: 24, Place: OnNode, Components: []string{forwarding},
			Cause:       "ForwardingDropped",
			Description: "The node's firewall drops all that the node forwards, in both families.",
			Plan: only(func(s *Scene) []Step {
				return []Step{table(s.on(), inet, "forwarding-dropped", chain{hook: "forward", rules: []string{drop}})}
			}),
		},
		{
			Name: "legacy-rules", Row: 43, Place: OnNode, Components: []string{forwarding}, Cause: "LegacyRules",
			Needs:       []Need{NeedIPv4},
			Aspect:      Aspect{Family: "IPv4"},
			Description: "Rules of the old iptables refuse IPv4 to the node's pods; nftables does not show them.",
			Plan: only(func(s *Scene) []Step {
				rule := fmt.Sprintf("FORWARD -d %s -m comment --comment %s -j REJECT", s.On.Pods[0],
					tableName("legacy-rules"))
				return []Step{command(s.on(), words("iptables-legacy -w -I %s", rule),
					words("iptables-legacy -w -D %s", rule))}
			}),
		},
		{
			Name: "ipv6-forwarding-off", Row: 60, Place: OnNode, Components: []string{forwarding},
			Cause: "ForwardingOff", Needs: []Need{NeedIPv6},
			Aspect:      Aspect{Family: "IPv6"},
			Description: "The node forwards no IPv6: its pods reach nothing outside of the node over IPv6.",
			Plan: only(func(s *Scene) []Step {
				return []Step{{Setting: &Setting{In: s.on(), Path: sysctl("ipv6/conf/all/forwarding"), Value: "0"}}}
			}),
		},
	}
}

// podFaults are faults of the agents' pods and their links to their nodes.
func podFaults() []Fault {
	return []Fault{
		{
			Name: "pod-mtu-large", Row: 20, Place: OnNode, Components: []string{podNetwork, overlay}, Cause: pathMTU,
			Needs:       []Need{NeedVXLAN, NeedIPv4},
			Aspect:      Aspect{Large: true},
			Description: "The agent's interface takes larger packets than the overlay, and nobody tells it so.",
			Plan: perAgent(func(s *Scene, p Pod) []Step {
				return []Step{
					command(s.on(), words("ip link set %s mtu 1500", p.Link),
						words("ip link set %s mtu %d", p.Link, s.Settings.PodMTU())),
					command(p.In(), words("ip link set %s mtu 1500", podUplink),
						words("ip link set %s mtu %d", podUplink, s.Settings.PodMTU())),
				}
			}, func(s *Scene, _ []Pod) []Step {
				return []Step{table(s.on(), inet, "pod-mtu-large", chain{hook: "output", rules: []string{
					"icmp type destination-unreachable icmp code 4 " + drop,
					"icmpv6 type packet-too-big " + drop,
				}})}
			}),
		},
		{
			Name: "pod-link-down", Row: 22, Place: OnNode, Components: []string{podNetwork}, Cause: interfaceDown,
			Description: "The node's end of the agent's interface is down.",
			Plan: perAgent(func(s *Scene, p Pod) []Step {
				return []Step{
					command(p.In(), nil, words("ip -6 neigh flush dev %s", podUplink)),
					command(s.on(), words("ip link set %s down", p.Link), words("ip link set %s up", p.Link)),
				}
			}, nil),
		},
		{
			Name: "pod-address-duplicate", Row: 27, Place: OnPair, Components: []string{podNetwork, podPair},
			Cause: duplicate, Needs: []Need{NeedIPv4},
			Aspect:      Aspect{Family: "IPv4"},
			Description: "The node's agent has the IPv4 address of the peer's agent as well, and answers on this node.",
			Plan:        podAddressDuplicate,
		},
		{
			Name: "hairpin-off", Row: 36, Place: OnNode, Components: []string{podNetwork, kubeProxy}, Cause: "HairpinOff",
			Description: "The agent does not reach itself through a Service.",
			Plan: perAgent(nil, func(s *Scene, pods []Pod) []Step {
				var rules []string
				for _, link := range podLinks(pods) {
					rules = append(rules, fmt.Sprintf("iifname %q oifname %q %s", link, link, drop))
				}
				return []Step{table(s.on(), inet, "hairpin-off", chain{hook: "forward", rules: rules})}
			}),
		},
		{
			Name: "pod-ipv6-route-missing", Row: 62, Place: OnNode, Components: []string{podNetwork},
			Cause: routeMissing, Needs: []Need{NeedIPv6},
			Aspect:      Aspect{Family: "IPv6"},
			Description: "The agent's pod has no default route for IPv6.",
			Plan: perAgent(func(_ *Scene, p Pod) []Step {
				return []Step{command(p.In(), words("ip -6 route del default"), nil)}
			}, nil),
		},
	}
}

// perAgent plans steps for each agent on the node, then steps for all of them. Either may be nil.
func perAgent(one func(*Scene, Pod) []Step, all func(*Scene, []Pod) []Step) planned {
	return func(ctx context.Context, s *Scene) ([]Step, error) {
		pods, err := s.agents(ctx, s.On.Name)
		if err != nil {
			return nil, err
		}
		var steps []Step
		for _, p := range pods {
			if one != nil {
				steps = append(steps, one(s, p)...)
			}
		}
		if all != nil {
			steps = append(steps, all(s, pods)...)
		}
		return steps, nil
	}
}

func podAddressDuplicate(ctx context.Context, s *Scene) ([]Step, error) {
	mine, err := s.agents(ctx, s.On.Name)
	if err != nil {
		return nil, err
	}
	theirs, err := s.agents(ctx, s.Peer.Name)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, a := range podAddresses(theirs[:1]) {
		if !a.Is4() {
			continue
		}
		steps = append(steps,
			command(mine[0].In(), words("ip addr add %s/32 dev %s", a, podUplink),
				words("ip addr del %s/32 dev %s", a, podUplink)),
			command(s.on(), words("ip route add %s/32 dev %s", a, mine[0].Link),
				words("ip route del %s/32 dev %s", a, mine[0].Link)))
	}
	return steps, nil
}
