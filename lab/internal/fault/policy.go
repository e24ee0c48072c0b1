package fault

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"kdoctor.io/kdoctor/lab/internal/process"
)

// policyFaults are faults of what filters the agents' traffic on their nodes.
func policyFaults() []Fault {
	const newOnly = "ct state new"
	return []Fault{
		filtered("policy-denies-ingress", 55, []string{policyIn}, "PolicyDeniesIngress", to, newOnly+" "+drop,
			"The node drops new connections into the agent's pod; those out of it pass."),
		filtered("policy-denies-egress", 56, []string{policyOut}, "PolicyDeniesEgress", from, newOnly+" "+drop,
			"The node drops new connections out of the agent's pod; those into it pass."),
		filtered("policy-rejects-egress", 56, []string{policyOut}, "PolicyDeniesEgress", from,
			newOnly+" counter reject", "The node refuses new connections out of the agent's pod; those into it pass."),
		filtered("policy-denies-dns", 57, []string{"way to DNS", policyOut}, "PolicyDeniesDNS", from,
			ports(53, dnsPort)+" "+drop, "The node drops the agent's queries to DNS."),
		filtered("policy-denies-tcp", 59, []string{policyIn}, "TCPDropped", to, "meta l4proto tcp "+newOnly+" "+drop,
			"The node drops new TCP connections into the agent's pod; UDP and ICMP pass.").overTCP(),
	}
}

// filtered is a fault by which a node filters what it forwards from or to its agents.
func filtered(name string, row int, components []string, cause string, side func(...netip.Addr) []string,
	rule, description string) Fault {
	return Fault{
		Name: name, Row: row, Place: OnNode, Components: components, Cause: cause, Description: description,
		Plan: perAgent(nil, func(s *Scene, pods []Pod) []Step {
			return []Step{table(s.on(), inet, name, chain{hook: "forward",
				rules: each(side(podAddresses(pods)...), rule)})}
		}),
	}
}

// secondFaults are faults of the pods' second interfaces.
func secondFaults() []Fault {
	const secondInterface, secondNetwork = "second interface", "second network"
	return []Fault{
		{
			Name: "second-interface-down", Row: 63, Place: OnNode, Components: []string{secondInterface},
			Cause:       interfaceDown,
			Description: "The agent's second interface is down.",
			Plan: perAgent(func(_ *Scene, p Pod) []Step {
				return []Step{command(p.In(), words("ip link set %s down", podSecond),
					words("ip link set %s up", podSecond))}
			}, nil),
		},
		{
			Name: "second-network-blocked", Row: 63, Place: OnLab, Components: []string{secondNetwork},
			Cause:       "SecondNetworkBlocked",
			Description: "The fabric drops all traffic of the pods' second network.",
			Plan: only(func(s *Scene) []Step {
				var subnets []netip.Prefix
				for _, r := range s.Settings.ClusterNodes()[0].Second {
					subnets = append(subnets, r.Subnet)
				}
				return []Step{table(s.host("fabric"), bridge, "second-network-blocked",
					chain{hook: "forward", rules: each(toNet(subnets...), drop)})}
			}),
		},
		{
			Name: "second-interface-filtered", Row: 64, Place: OnNode, Components: []string{secondInterface},
			Cause: "ReversePathFilter", Needs: []Need{NeedIPv4},
			Aspect:      Aspect{Family: "IPv4"},
			Description: "The agent's pod drops IPv4 from the second network, since its route back is another one.",
			Plan: perAgent(func(s *Scene, p Pod) []Step {
				var steps []Step
				for _, half := range halves(s.Settings.ClusterNodes()[0].Second[0].Subnet) {
					steps = append(steps, command(p.In(), words("ip -4 route add %s via %s dev %s", half,
						s.On.Pods[0].Addr().Next(), podUplink), words("ip -4 route del %s dev %s", half, podUplink)))
				}
				return append(steps, Step{Setting: &Setting{In: p.In(),
					Path: sysctl("ipv4/conf/%s/rp_filter", podSecond), Value: "1"}})
			}, nil),
		},
	}
}

// halves returns the two subnets of one IPv4 subnet.
func halves(p netip.Prefix) []netip.Prefix {
	first := netip.PrefixFrom(p.Masked().Addr(), p.Bits()+1)
	bytes := first.Addr().As4()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	return []netip.Prefix{first, netip.PrefixFrom(netip.AddrFrom4(bytes), p.Bits()+1)}
}

// deadAddress is an address of a pod subnet that no pod has: the lab gives out addresses from the beginning.
func deadAddress(subnet netip.Prefix) netip.Addr {
	const fromTheStart = 250
	a := subnet.Masked().Addr()
	if a.Is4() {
		bytes := a.As4()
		bytes[3] = fromTheStart
		return netip.AddrFrom4(bytes)
	}
	bytes := a.As16()
	bytes[14], bytes[15] = 0xff, fromTheStart
	return netip.AddrFrom16(bytes)
}

// agentFaults are faults of the agents' processes.
func agentFaults() []Fault {
	return []Fault{
		{
			Name: "listener-dead", Row: 32, Place: OnNode, Components: []string{agentProcess}, Cause: "ListenerDead",
			Description: "The agent's pod refuses all connections to the ports on which the agent answers.",
			Plan: perAgent(func(_ *Scene, p Pod) []Step {
				return []Step{table(p.In(), inet, "listener-dead", chain{hook: "input", rules: []string{
					fmt.Sprintf("tcp dport %s counter reject with tcp reset", numbers(p.Ports)),
					fmt.Sprintf("udp dport %s counter reject", numbers(p.Ports)),
				}})}
			}, nil),
		},
		{
			Name: "agent-frozen", Row: 66, Place: OnNode, Components: []string{agentProcess}, Cause: "AgentFrozen",
			Description: "The agent's process is stopped: the kernel takes connections, and nobody answers.",
			Plan: perAgent(func(_ *Scene, p Pod) []Step {
				return []Step{{Freeze: &Freeze{Processes: p.Processes}}}
			}, nil),
		},
		{
			Name: "agent-starved", Row: 67, Place: OnNode, Components: []string{agentProcess}, Cause: "AgentStarved",
			Description: "The agent gets 1 % of one CPU.",
			Plan: perAgent(func(_ *Scene, p Pod) []Step {
				var steps []Step
				for _, c := range p.Cgroups {
					steps = append(steps, quota(c, 1)...)
				}
				return steps
			}, nil),
		},
		{
			Name: "agent-overloaded", Row: 68, Place: OnNode, Components: []string{agentProcess}, Cause: "AgentStarved",
			Description: "The agent shares 5 % of one CPU with a process that uses all it gets.",
			Plan:        perAgent(overloaded, nil),
		},
	}
}

// overloaded gives the agent a twentieth of a CPU, and company that uses all of it.
func overloaded(s *Scene, p Pod) []Step {
	var steps []Step
	for i, c := range p.Cgroups {
		steps = append(steps, quota(c, 5)...)
		steps = append(steps, Step{Daemon: &Daemon{Name: fmt.Sprintf("fault-burn-%s-%s-%d", s.On.Name, p.Name, i),
			Host: s.On.Namespace, Args: []string{"run-burn", "--cgroup=" + c.Path}}})
	}
	return steps
}

// quota limits a cgroup to a share of one CPU, in percent.
func quota(c Cgroup, percent int) []Step {
	const period = 100_000
	share := strconv.Itoa(period * percent / 100)
	if c.Unified {
		return []Step{{Setting: &Setting{Path: c.Path + "/cpu.max", Value: share + " " + strconv.Itoa(period)}}}
	}
	return []Step{
		{Setting: &Setting{Path: c.Path + "/cpu.cfs_period_us", Value: strconv.Itoa(period)}},
		{Setting: &Setting{Path: c.Path + "/cpu.cfs_quota_us", Value: share}},
	}
}

// numbers writes ports as a set.
func numbers(ports []int) string {
	words := make([]string, 0, len(ports))
	for _, p := range ports {
		words = append(words, strconv.Itoa(p))
	}
	return "{ " + strings.Join(words, ", ") + " }"
}

// processes is a list of one process.
func processes(p process.Identity) []process.Identity { return []process.Identity{p} }
