package diagnose_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// reaches reports whether the attempt ends at the agent's pod on the node.
func reaches(a asked, node string) bool {
	if among(a.Observation, ladder.HostToHost, ladder.PodToHost, ladder.PodToOwnHost) {
		return false
	}
	return a.backend == node || a.To == node
}

// frozen is how attempts fail that end at an agent whose process is stopped.
func frozen(node string) func(asked) ladder.Failure {
	return func(a asked) ladder.Failure {
		switch {
		case !reaches(a, node):
			return ""
		case a.Method == ladder.UDP:
			return ladder.NoAnswer
		}
		return ladder.NoReply
	}
}

func TestWholeRoundsWithoutFaultsHaveNoFindings(t *testing.T) {
	if got := (whole{snapshot: cluster4(true)}).found(t); len(got) > 0 {
		t.Errorf("found %q", got)
	}
}

// sameZone leads requests for Services to pods of the asker's zone, as trafficDistribution asks for.
func sameZone(a asked) []string {
	half := []string{"n0", "n1"}
	if a.From > "n1" {
		half = []string{"n2", "n3"}
	}
	return half
}

// ownNode leads requests for Services to the pod of the asker's node, or of the node port's.
func ownNode(a asked) []string { return []string{cmp.Or(a.At, a.From)} }

func preferring(s topology.Snapshot) topology.Snapshot {
	s.Services[0].Uneven = "trafficDistribution is PreferSameZone"
	return s
}

func local(internal, external bool) topology.Snapshot {
	s := cluster4(true)
	s.Services[0].InternalLocal, s.Services[0].ExternalLocal = internal, external
	return s
}

// without is the cluster in which the agent of a node is not ready.
func without(s topology.Snapshot, node string) topology.Snapshot {
	for i := range s.Agents {
		if s.Agents[i].Node == node {
			s.Agents[i].NotReady = "pod is Pending"
		}
	}
	return s
}

func unselected(s topology.Snapshot, pod string) topology.Snapshot {
	s.Services[0].Unselected = []string{pod}
	return s
}

// denied is the cluster with a NetworkPolicy that admits nothing into any agent.
func denied() topology.Snapshot {
	s := cluster4(true)
	s.Policies = restricted(true, networkPolicy("none", everyAgent(), into())).Policies
	return s
}

// addressed4 is the cluster in which each node has a further internal address and an external one.
func addressed4() topology.Snapshot {
	s := cluster4(true)
	for i := range s.Nodes {
		external := netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", i+1))
		s.Nodes[i].External = []netip.Addr{external}
		s.Nodes[i].Addresses = append(s.Nodes[i].Addresses, netip.MustParseAddr(fmt.Sprintf("192.168.1.%d", i+1)),
			external)
	}
	return s
}

// everywhere4 are all kinds of targets with a load balancer.
func everywhere4() []target.Kind {
	return []target.Kind{target.Endpoint, target.ClusterIP, target.NodePort, target.LoadBalancer}
}

// left is what fails when the node of an agent goes away.
func left(node string) func(asked) ladder.Failure {
	return func(a asked) ladder.Failure {
		if a.gone && (a.From == node || a.To == node || a.At == node || a.backend == node) {
			return ladder.NoAnswer
		}
		return ""
	}
}

// awayFrom leads requests for Services away from the agent that goes away, soon after it did.
func awayFrom(node string) func(asked) []string {
	return func(a asked) []string {
		if !a.long {
			return a.Backends
		}
		return slices.DeleteFunc(slices.Clone(a.Backends), func(backend string) bool { return backend == node })
	}
}

func TestLookAlikesOfBrokenNetworksAreToldApart(t *testing.T) {
	limit := report.Observer{Quota: 0.1, Periods: 100, ThrottledPeriods: 61}
	const frozenAgent = "AgentFault: agent at pod agent-n1 on node n1: AgentFrozen"
	drained := report.Change{Pod: "agent-n1", Node: "n1", Kind: report.Drained}
	gone := drained
	gone.NodeLeft = true
	for _, c := range []struct {
		name  string
		round whole
		want  []string
	}{
		{"an agent is frozen", whole{snapshot: cluster4(true), fails: frozen("n1"), mute: []string{"n1"}},
			[]string{frozenAgent}},
		{"an agent is throttled", whole{snapshot: cluster4(true), observers: map[string]report.Observer{"n1": limit},
			fails: func(a asked) ladder.Failure {
				if (reaches(a, "n1") || a.From == "n1" && !hostAsks(a.Rung)) && a.Counted {
					return ladder.NoReply
				}
				return ""
			}}, []string{"AgentFault: agent at node n1: AgentStarved"}},
		{"a node is drained", whole{snapshot: cluster4(true), changes: []report.Change{drained}, mute: []string{"n1"},
			fails: func(a asked) ladder.Failure {
				if a.gone && reaches(a, "n1") {
					return ladder.NoAnswer
				}
				return ""
			}, leads: awayFrom("n1")}, nil},
		{"a node is scaled down", whole{snapshot: cluster4(true), changes: []report.Change{gone}, mute: []string{"n1"},
			fails: left("n1"), leads: awayFrom("n1")}, nil},
		{"internalTrafficPolicy: Local without an agent on a node", whole{snapshot: without(local(true, false), "n1"),
			leads: func(a asked) []string {
				if a.Rung == ladder.ClusterIP || a.Rung == ladder.HostClusterIP {
					return ownNode(a)
				}
				return a.Backends
			}}, nil},
		{"internalTrafficPolicy: Local, and the agent there is frozen", whole{snapshot: local(true, false),
			fails: frozen("n1"), mute: []string{"n1"}, leads: func(a asked) []string {
				if a.Rung == ladder.ClusterIP || a.Rung == ladder.HostClusterIP {
					return ownNode(a)
				}
				return a.Backends
			}}, []string{frozenAgent}},
		{"internalTrafficPolicy: Local, and the Service leaves the agent there out", whole{
			snapshot: unselected(local(true, false), "agent-n1"), leads: func(a asked) []string {
				if a.Rung != ladder.ClusterIP && a.Rung != ladder.HostClusterIP {
					return a.Backends
				}
				if a.From == "n1" {
					return nil
				}
				return ownNode(a)
			}}, []string{"ServiceFault: Service at node n1: NoLocalBackend"}},
		{"externalTrafficPolicy: Local without an agent on a node", whole{snapshot: without(local(false, true), "n1"),
			fails: func(a asked) ladder.Failure {
				if a.At == "n1" {
					return ladder.NoAnswer
				}
				return ""
			}}, nil},
		{"trafficDistribution leads to the asker's zone", whole{snapshot: preferring(cluster4(true)), leads: sameZone}, nil},
		{"trafficDistribution, and an agent is frozen", whole{snapshot: preferring(cluster4(true)), leads: sameZone,
			fails: frozen("n1"), mute: []string{"n1"}}, []string{frozenAgent}},
		{"trafficDistribution leads to the asker's node, and an agent is frozen", whole{
			snapshot: preferring(cluster4(true)), leads: ownNode, fails: frozen("n1"), mute: []string{"n1"}},
			[]string{frozenAgent}},
		{"a policy admits nothing into the agents", whole{snapshot: denied(), fails: func(a asked) ladder.Failure {
			to := cmp.Or(a.backend, a.To)
			if to != a.From && (a.backend != "" || among(a.Observation, ladder.PodToPod, ladder.HostToPod)) {
				return ladder.NoAnswer
			}
			return ""
		}}, []string{"PolicyFault: network policy, into the pod at all nodes: NetworkPolicyObject"}},
		{"node ports answer at primary addresses alone", whole{snapshot: addressed4(),
			addresses: target.InternalAddresses, fails: func(a asked) ladder.Failure {
				if a.further {
					return ladder.Refused
				}
				return ""
			}}, []string{"NodePortAddresses: Service path at 192.168.1.1 of node n0, 192.168.1.2 of node n1, " +
			"192.168.1.3 of node n2 and 1 more:"}},
		{"a firewall keeps requests from ExternalIPs", whole{snapshot: addressed4(), addresses: target.AllAddresses,
			fails: func(a asked) ladder.Failure {
				if a.external {
					return ladder.NoAnswer
				}
				return ""
			}}, []string{"NodePortAddresses: not clear at 203.0.113.1 of node n0, 203.0.113.2 of node n1, " +
			"203.0.113.3 of node n2 and 1 more:"}},
		{"a load balancer does not lead askers back to their own nodes", whole{snapshot: cluster4(true),
			kinds: everywhere4(), fails: func(a asked) ladder.Failure {
				if a.Rung == ladder.LoadBalancer && a.backend == a.From {
					return ladder.NoAnswer
				}
				return ""
			}}, []string{"LoadBalancerFault: load balancer at load balancer: HairpinOff"}},
		{"a load balancer is dead, and nodes leave requests to it", whole{snapshot: cluster4(true),
			kinds: everywhere4(), fails: func(a asked) ladder.Failure {
				if a.Rung == ladder.LoadBalancer {
					return ladder.NoAnswer
				}
				return ""
			}}, []string{"LoadBalancerFault: load balancer at load balancer: NotReachable"}},
		{"nodes answer for the load balancer, and one of them has no rules", whole{snapshot: cluster4(false),
			kinds: everywhere4(), fails: func(a asked) ladder.Failure {
				if a.From == "n2" && among(a.Observation, ladder.LoadBalancer, ladder.ClusterIP, ladder.HostClusterIP,
					ladder.APIServer) || a.At == "n2" {
					return ladder.NoAnswer
				}
				return ""
			}}, []string{"KubeProxyFault: kube-proxy at node n2: ServiceRulesMissing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := gocmp.Diff(c.want, c.round.found(t)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Where nodes answer for the load balancer's address, that requests pass proves nothing about the load balancer, and
// the report says so.
func TestAPathThatNeverLeavesTheNodeProvesNothingAboutTheLoadBalancer(t *testing.T) {
	for name, c := range map[string]struct {
		proxy bool
		want  uint64
	}{"ipMode: VIP": {false, 4}, "ipMode: Proxy": {true, 0}} {
		t.Run(name, func(t *testing.T) {
			round, judged := whole{snapshot: cluster4(c.proxy), kinds: everywhere4()}.round()
			var got uint64
			for _, note := range verdict.Notes(round, judged) {
				if note.Code == verdict.ShortCircuit {
					got += note.Count
				}
			}
			if got != c.want || judged.Result != verdict.Pass {
				t.Errorf("%d paths prove nothing, and the round %s; want %d, and that it passes", got, judged.Result, c.want)
			}
		})
	}
}
