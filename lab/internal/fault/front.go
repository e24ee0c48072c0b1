package fault

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"kdoctor.io/kdoctor/lab/internal/plan"
)

const (
	loadBalancer    = "load balancer"
	loadBalancerWay = "way to the load balancer"
	ingressProxy    = "Ingress"
	ingressWay      = "way to the Ingress"
)

// balancerFaults are faults of the load balancers, which run outside of the cluster.
func balancerFaults() []Fault {
	return []Fault{
		{
			Name: "balancer-silent", Row: 44, Place: OnLab, Components: []string{loadBalancer, loadBalancerWay},
			Cause:       "AddressNotAnnounced",
			Description: "Nobody answers for the addresses of load balancers: their packets go nowhere.",
			Plan:        only(balancerSilent),
		},
		{
			Name: "balancer-down", Row: 44, Place: OnLab, Components: []string{loadBalancer}, Cause: "BalancerDown",
			Description: "The load balancers drop all connections to their addresses.",
			Plan: only(func(s *Scene) []Step {
				return []Step{table(s.host(plan.LoadBalancer), inet, "balancer-down",
					chain{hook: "input", rules: each(toNet(s.Settings.Pools()...), drop)})}
			}),
		},
		{
			Name: "balancer-frozen", Row: 47, Place: OnLab, Components: []string{loadBalancer}, Cause: "BalancerFrozen",
			Description: "The load balancers' processes are stopped: they take connections and say nothing.",
			Plan: func(_ context.Context, s *Scene) ([]Step, error) {
				return frozen(s, "cloud")
			},
		},
		{
			Name: "balancer-address-duplicate", Row: 45, Place: OnLab, Components: []string{loadBalancer, loadBalancerWay},
			Cause:  duplicate,
			Aspect: Aspect{Family: "IPv4"}, Needs: []Need{NeedIPv4},
			Description: "A stranger on the fabric answers for the load balancers' IPv4 addresses and refuses connections.",
			Plan: func(ctx context.Context, s *Scene) ([]Step, error) {
				found, err := s.services(ctx)
				if err != nil {
					return nil, err
				}
				var steps []Step
				for _, service := range found {
					for _, a := range service.Balancers {
						if a.Is4() {
							steps = append(steps, duplicateOnFabric(s, plan.LoadBalancer, a)...)
						}
					}
				}
				if len(steps) == 0 {
					return nil, errors.New("none of the chosen Services has a load balancer of IPv4")
				}
				return steps, nil
			},
		},
		{
			Name: "balancer-route-missing", Row: 46, Place: OnNode, Components: []string{loadBalancerWay},
			Cause:       routeMissing,
			Description: "The node has no route to the load balancers' addresses.",
			Plan: only(func(s *Scene) []Step {
				var steps []Step
				for _, p := range s.Settings.Pools() {
					steps = append(steps, command(s.on(), words("%s route del %s dev %s", ipFor(p.Addr()), p, uplink),
						words("%s route add %s dev %s scope link", ipFor(p.Addr()), p, uplink)))
				}
				return steps
			}),
		},
		{
			Name: "balancer-backend-blocked", Row: 33, Place: OnNode, Components: []string{nodePort, loadBalancer},
			Cause:       "BackendUnreachable",
			Description: "The load balancers do not reach the node: the node drops what they send.",
			Plan: only(func(s *Scene) []Step {
				return []Step{table(s.on(), inet, "balancer-backend-blocked", chain{hook: "prerouting", priority: raw,
					rules: each(from(addresses(s.other(plan.LoadBalancer))...), drop)})}
			}),
		},
	}
}

// balancerSilent drops questions for the link addresses of the load balancers' addresses, and lets all hosts ask again.
func balancerSilent(s *Scene) []Step {
	var rules []string
	var again []Step
	for _, p := range s.Settings.Pools() {
		rule := fmt.Sprintf("ether type arp arp daddr ip %s %s", p, drop)
		if p.Addr().Is6() {
			rule = fmt.Sprintf("ether type ip6 icmpv6 type nd-neighbor-solicit @th,64,96 0x%x %s", prefix96(p), drop)
		}
		rules = append(rules, rule)
		for _, h := range everyHost(s.Settings) {
			if h.Name != plan.LoadBalancer && h.Name != plan.Fabric {
				again = append(again, command(Namespace{Host: h.Namespace},
					words("%s neigh flush to %s dev %s", ipFor(p.Addr()), p, uplink), nil))
			}
		}
	}
	return append([]Step{table(s.host(plan.LoadBalancer), netdev, "balancer-silent",
		chain{hook: "ingress", device: uplink, rules: rules})}, again...)
}

// prefix96 is the beginning of an IPv6 subnet's addresses.
func prefix96(p netip.Prefix) []byte {
	a := p.Addr().As16()
	return a[:12]
}

// frozen stops everything that a daemon has started.
func frozen(s *Scene, daemon string) ([]Step, error) {
	parent, err := s.Cluster.Daemon(daemon)
	if err != nil {
		return nil, err
	}
	children, err := s.Cluster.Under(parent)
	if err != nil {
		return nil, err
	}
	if len(children) == 0 {
		return nil, fmt.Errorf("the daemon %s has started nothing that could be stopped", daemon)
	}
	return []Step{{Freeze: &Freeze{Processes: children}}}, nil
}

// pagePort is where the foreign page is served, beside nginx.
const pagePort = 8999

// ingressFaults are faults of the Ingress controller, which runs outside of the cluster.
func ingressFaults() []Fault {
	return []Fault{
		{
			Name: "ingress-frozen", Row: 47, Place: OnLab, Components: []string{ingressProxy}, Cause: "IngressFrozen",
			Description: "The Ingress controller's processes are stopped: they take connections and say nothing.",
			Plan:        func(_ context.Context, s *Scene) ([]Step, error) { return frozen(s, "ingress") },
		},
		pages("ingress-foreign-page", 200, "ForeignAnswer", "The Ingress answers every request with a page of its own."),
		pages("ingress-not-found", 404, "IngressRuleMissing",
			"The Ingress answers every request with 404, as without a rule for the host."),
		pages("ingress-unavailable", 503, "IngressUnavailable",
			"The Ingress answers every request with 503, as without backends."),
		{
			Name: "ingress-upstream-blocked", Row: 47, Place: OnLab, Components: []string{ingressProxy},
			Cause:       "UpstreamUnreachable",
			Description: "The Ingress controller does not reach the pods and answers 504.",
			Plan: only(func(s *Scene) []Step {
				return []Step{table(s.host(plan.Ingress), inet, "ingress-upstream-blocked",
					chain{hook: "output", rules: each(toNet(s.Settings.PodNetwork()...), "ct state new", drop)})}
			}),
		},
		{
			Name: "ingress-way-blocked", Row: 0, Place: OnNode, Components: []string{ingressWay},
			Cause:       "RouteBlocked",
			Description: "The node drops new connections to the Ingress controller.",
			Plan: only(func(s *Scene) []Step {
				rules := each(to(addresses(s.other(plan.Ingress))...), "ct state new", drop)
				return []Step{table(s.on(), inet, "ingress-way-blocked", chain{hook: "forward", rules: rules},
					chain{hook: "output", rules: rules})}
			}),
		},
		{
			Name: "balancer-way-blocked", Row: 0, Place: OnNode, Components: []string{loadBalancerWay},
			Cause:       "RouteBlocked",
			Description: "The node drops what it sends to the load balancers.",
			Plan: only(func(s *Scene) []Step {
				return []Step{table(s.on(), netdev, "balancer-way-blocked", chain{hook: "egress", device: uplink,
					rules: each(toNet(s.Settings.Pools()...), drop)})}
			}),
		},
	}
}

// pages is a fault by which the Ingress answers everything by itself.
func pages(name string, status int, cause, description string) Fault {
	return Fault{
		Name: name, Row: 48, Place: OnLab, Components: []string{ingressProxy}, Cause: cause, Description: description,
		Plan: only(func(s *Scene) []Step {
			in := s.host(plan.Ingress)
			return []Step{
				{Daemon: &Daemon{Name: "fault-page", Host: in.Host, Args: []string{"run-page",
					fmt.Sprintf("--port=%d", pagePort), fmt.Sprintf("--status=%d", status)}}},
				table(in, inet, name, chain{hook: "prerouting", kind: "nat", priority: "dstnat",
					rules: []string{fmt.Sprintf("tcp dport { 80, 443 } counter redirect to :%d", pagePort)}}),
			}
		}),
	}
}

// dnsFaults are faults of the cluster's name server.
func dnsFaults() []Fault {
	const server, service, way = "DNS server", "DNS Service", "way to DNS"
	return []Fault{
		dnsServer("dns-server-drops", 49, "DNSServerDown", drop, "The DNS pod drops all queries."),
		dnsServer("dns-server-rejects", 50, "DNSServerRefuses", "counter reject", "The DNS pod refuses all queries."),
		{
			Name: "dns-server-frozen", Row: 49, Place: OnLab, Components: []string{server}, Cause: "DNSServerFrozen",
			Description: "The DNS pod's process is stopped.",
			Plan: func(ctx context.Context, s *Scene) ([]Step, error) {
				pods, err := s.dns(ctx)
				if err != nil {
					return nil, err
				}
				var steps []Step
				for _, p := range pods {
					steps = append(steps, Step{Freeze: &Freeze{Processes: p.Processes}})
				}
				return steps, nil
			},
		},
		{
			Name: "dns-service-broken", Row: 51, Place: OnNode, Components: []string{service, way, kubeProxy},
			Cause:       rulesMissing,
			Description: "The node does not translate the address of DNS; it reaches the DNS pods.",
			Plan: only(func(s *Scene) []Step {
				return []Step{untracked(s.on(), "dns-service-broken", to(s.Settings.DNS()...))}
			}),
		},
		{
			Name: "dns-service-broken-everywhere", Row: 51, Place: OnLab, Components: []string{service},
			Cause:       rulesMissing,
			Description: "No node translates the address of DNS; all reach the DNS pods.",
			Plan: only(func(s *Scene) []Step {
				var steps []Step
				for _, n := range s.Settings.ClusterNodes() {
					steps = append(steps, untracked(Namespace{Host: n.Namespace}, "dns-service-broken-everywhere",
						to(s.Settings.DNS()...)))
				}
				return steps
			}),
		},
	}
}

// dnsPort is where the lab's DNS pods listen; 53 is the port of their Service.
const dnsPort = 1053

func dnsServer(name string, row int, cause, verdict, description string) Fault {
	return Fault{
		Name: name, Row: row, Place: OnLab, Components: []string{"DNS server"}, Cause: cause, Description: description,
		Plan: func(ctx context.Context, s *Scene) ([]Step, error) {
			pods, err := s.dns(ctx)
			if err != nil {
				return nil, err
			}
			var steps []Step
			for _, p := range pods {
				steps = append(steps, table(p.In(), inet, name,
					chain{hook: "input", rules: []string{ports(53, dnsPort) + " " + verdict}}))
			}
			return steps, nil
		},
	}
}
