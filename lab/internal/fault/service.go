package fault

import (
	"context"
	"fmt"

	"kdoctor.io/kdoctor/lab/internal/plan"
)

const (
	nodePort        = "node port"
	serviceEndpoint = "Service endpoints"
	endpointStale   = "EndpointStale"
	rulesMissing    = "ServiceRulesMissing"
)

// masqueraded matches what kube-proxy has marked for masquerading.
const masqueraded = "meta mark and 0x4000 == 0x4000"

// raw is the priority before the kernel tracks connections.
const raw = "raw"

// serviceFaults are faults of Services and of kube-proxy.
func serviceFaults() []Fault {
	return []Fault{
		{
			Name: "service-rules-missing", Row: 29, Place: OnNode, Components: []string{kubeProxy}, Cause: rulesMissing,
			Description: "kube-proxy's rules are gone from the node, and kube-proxy is stopped.",
			Plan:        rulesGone,
		},
		{
			Name: "service-addresses-untranslated", Row: 29, Place: OnNode, Components: []string{kubeProxy},
			Cause:       rulesMissing,
			Description: "The node translates no Service address, though kube-proxy works: packets go out as they are.",
			Plan: only(func(s *Scene) []Step {
				return []Step{untracked(s.on(), "service-addresses-untranslated", toNet(s.Settings.Services()...))}
			}),
		},
		{
			Name: "endpoint-stale-on-node", Row: 30, Place: OnPair, Components: []string{kubeProxy}, Cause: endpointStale,
			Description: "The node sends requests to the Service that the peer's agent ought to answer to nobody.",
			Plan:        staleOnNode,
		},
		{
			Name: "endpoint-stale", Row: 31, Place: OnNode, Components: []string{serviceEndpoint}, Cause: endpointStale,
			Description: "The Service has an endpoint more, of an address on the node that no pod has.",
			Plan:        staleEverywhere,
		},
		{
			Name: "node-port-blocked", Row: 33, Place: OnNode, Components: []string{nodePort}, Cause: "NodePortBlocked",
			Description: "The node's firewall drops requests to node ports at the node's addresses.",
			Plan: only(func(s *Scene) []Step {
				return []Step{table(s.on(), inet, "node-port-blocked", chain{hook: "prerouting", priority: raw,
					rules: each(to(addresses(s.On.Host)...), nodePorts, drop)})}
			}),
		},
		{
			Name: "masquerade-missing", Row: 35, Place: OnNode, Components: []string{nodePort, kubeProxy},
			Cause:       "MasqueradeMissing",
			Description: "Requests to the node's node ports keep their source, so that answers take another way.",
			Plan: only(func(s *Scene) []Step {
				var rules []string
				for _, m := range to(addresses(s.On.Host)...) {
					rules = append(rules, "ct original "+m+" "+masqueraded+
						" counter meta mark set meta mark and 0xffffbfff")
				}
				return []Step{table(s.on(), inet, "masquerade-missing",
					chain{hook: "postrouting", priority: "90", rules: rules})}
			}),
		},
		{
			Name: "service-route-missing", Row: 37, Place: OnNode, Components: []string{"route to Services"},
			Cause:       routeMissing,
			Description: "The node's own network has no route to Service addresses; its pods need none.",
			Plan: only(func(s *Scene) []Step {
				var steps []Step
				for _, a := range addresses(s.other(plan.Fabric)) {
					steps = append(steps, command(s.on(), words("%s route del default", ipFor(a)),
						words("%s route add default via %s dev %s", ipFor(a), a, uplink)))
				}
				return steps
			}),
		},
		{
			Name: "api-server-blocked", Row: 0, Place: OnNode, Components: []string{"way to the API server", "API server"},
			Cause:       "APIServerUnreachable",
			Description: "The node's firewall drops the pods' connections to the API server.",
			Plan: only(func(s *Scene) []Step {
				rules := []string{fmt.Sprintf("tcp dport %d %s", plan.APIPort, drop)}
				return []Step{table(s.on(), inet, "api-server-blocked",
					chain{hook: "forward", rules: rules}, chain{hook: "input", rules: podsOnly(s, rules)})}
			}),
		},
	}
}

// podsOnly limits rules to what the node's own pods send.
func podsOnly(s *Scene, rules []string) []string {
	var out []string
	for _, rule := range rules {
		out = append(out, each(fromNet(s.On.Pods...), rule)...)
	}
	return out
}

// untracked is a table that keeps packets from being tracked, and so from being translated.
func untracked(in Namespace, name string, matches []string) Step {
	rules := each(matches, "counter notrack")
	return table(in, inet, name, chain{hook: "prerouting", priority: raw, rules: rules},
		chain{hook: "output", priority: raw, rules: rules})
}

// rulesGone stops kube-proxy first, which would write its rules again.
func rulesGone(_ context.Context, s *Scene) ([]Step, error) {
	proxy, err := s.Cluster.Daemon("kube-proxy-" + s.On.Name)
	if err != nil {
		return nil, err
	}
	steps := []Step{{Freeze: &Freeze{Processes: processes(proxy)}}}
	if s.Settings.ProxyMode == plan.ProxyNFTables {
		for _, family := range ipFamilies(s) {
			steps = append(steps, Step{Rules: &Rules{In: s.on(), Family: family, Table: "kube-proxy"}})
		}
		return steps, nil
	}
	for _, family := range ipFamilies(s) {
		steps = append(steps, Step{Rules: &Rules{In: s.on(), Family: family, Table: "nat", Chain: "KUBE-SERVICES"}})
	}
	return steps, nil
}

// ipFamilies are nftables' names of the lab's families.
func ipFamilies(s *Scene) []string {
	var out []string
	if s.Settings.IPv4() {
		out = append(out, "ip")
	}
	if s.Settings.IPv6() {
		out = append(out, "ip6")
	}
	return out
}

// staleOnNode drops what kube-proxy has translated to the peer's agent. For whoever asks that is the same as a
// translation to an address without a pod, and other requests to the agent pass.
func staleOnNode(ctx context.Context, s *Scene) ([]Step, error) {
	theirs, err := s.agents(ctx, s.Peer.Name)
	if err != nil {
		return nil, err
	}
	rules := each(to(podAddresses(theirs)...), "ct status dnat", drop)
	return []Step{table(s.on(), inet, "endpoint-stale-on-node", chain{hook: "forward", rules: rules},
		chain{hook: "output", priority: "10", rules: rules}, chain{hook: "input", rules: rules})}, nil
}

// staleEverywhere adds the last address but a few of the node's pod subnets, which the lab's pods never reach.
func staleEverywhere(ctx context.Context, s *Scene) ([]Step, error) {
	found, err := s.services(ctx)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, service := range found {
		for _, subnet := range s.On.Pods {
			if !hasFamily(service, subnet.Addr().Is4()) {
				continue
			}
			steps = append(steps, Step{Slice: &Slice{Namespace: service.Namespace, Service: service.Name,
				Node: s.On.Name, Address: deadAddress(subnet).String()}})
		}
	}
	return steps, nil
}

func hasFamily(service Service, four bool) bool {
	for _, a := range service.ClusterIPs {
		if a.Is4() == four {
			return true
		}
	}
	return false
}

// conntrackFaults are faults of a node's table of tracked connections.
func conntrackFaults() []Fault {
	return []Fault{
		{
			Name: "conntrack-stale", Row: 39, Place: OnNode, Components: []string{kubeProxy, "way to DNS"},
			Cause: "ConntrackStale", Needs: []Need{NeedIPv4},
			Aspect:      Aspect{Family: "IPv4", Method: "UDP"},
			Description: "Each UDP flow from the agent to DNS is tracked as one to an endpoint that has gone.",
			Plan: perAgent(func(s *Scene, p Pod) []Step {
				for _, a := range p.Addresses {
					if a.Is4() {
						return []Step{{Tracked: &Tracked{In: s.on(), Kind: TrackedStale, Source: a.String(),
							Target: s.Settings.DNS()[0].String(), Dead: deadAddress(s.On.Pods[0]).String()}}}
					}
				}
				return nil
			}, nil),
		},
		{
			Name: "conntrack-full", Row: 40, Place: OnNode, Components: []string{nodeNetwork, forwarding},
			Cause: "ConntrackFull", Needs: []Need{NeedIPv4},
			Description: "The node's table of tracked connections is full: no new connection passes.",
			Plan: only(func(s *Scene) []Step {
				return []Step{{Tracked: &Tracked{In: s.on(), Kind: TrackedFull}}}
			}),
		},
		{
			Name: "connections-reset", Row: 41, Place: OnNode, Components: []string{kubeProxy}, Cause: "ConnectionsReset",
			Aspect:      Aspect{Method: "TCP"},
			Description: "The node resets connections through Services in their middle: 1 of 20 packets is refused.",
			Plan: only(func(s *Scene) []Step {
				return []Step{table(s.on(), inet, "connections-reset", chain{hook: "forward", rules: []string{
					"meta l4proto tcp ct status dnat ct state established " + share(50) +
						" counter reject with tcp reset",
				}})}
			}),
		},
		{
			Name: "source-ports-exhausted", Row: 42, Place: OnNode, Components: []string{nodePort, kubeProxy},
			Cause:       "SourcePortsExhausted",
			Description: "The node has 2 ports as sources for what it masquerades: most new connections find none.",
			Plan: only(func(s *Scene) []Step {
				rules := []string{"meta l4proto { tcp, udp } " + masqueraded + " counter " +
					"masquerade to :40000-40001"}
				return []Step{table(s.on(), inet, "source-ports-exhausted",
					chain{hook: "postrouting", kind: "nat", priority: "90", rules: rules})}
			}),
		},
	}
}
