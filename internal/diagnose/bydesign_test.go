package diagnose_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// restricted is the cluster of fourNodes with a DNS server and these objects.
func restricted(hosts bool, objects ...topology.Policy) topology.Snapshot {
	s := fourNodes(hosts)
	s.DNS = []topology.DNSServer{{Pod: "coredns", Node: "n3",
		Address: netip.MustParseAddrPort("10.0.0.99:53")}}
	s.Policies = topology.Policies{Read: true, Objects: objects, Groups: map[string]int{}}
	for i, a := range s.Agents {
		s.Policies.Groups[a.Pod] = i
	}
	return s
}

// everyAgent are the groups of all agents' pods: each is one of its own.
func everyAgent() []int { return []int{0, 1, 2, 3} }

// networkPolicy is a NetworkPolicy of the agents' namespace for the groups of pods.
func networkPolicy(name string, groups []int, change ...func(*topology.Policy)) topology.Policy {
	p := topology.Policy{Kind: "NetworkPolicy", Namespace: "kdoctor", Name: name, Tier: topology.NamespaceTier,
		Groups: groups}
	for _, c := range change {
		c(&p)
	}
	return p
}

// into and outOf isolate the pods but for what the rules admit.
func into(rules ...topology.PolicyRule) func(*topology.Policy) {
	return func(p *topology.Policy) { p.Ingress, p.IsolatesIngress = rules, true }
}

func outOf(rules ...topology.PolicyRule) func(*topology.Policy) {
	return func(p *topology.Policy) { p.Egress, p.IsolatesEgress = rules, true }
}

// admit is a rule for the port of the agents' pods.
func admit(protocol string, port uint16, peers ...topology.PolicyPeer) topology.PolicyRule {
	return topology.PolicyRule{Action: topology.PolicyAdmits, Peers: peers,
		Ports: []topology.PolicyPort{{Protocol: protocol, First: port, Last: port}}}
}

func agents() topology.PolicyPeer {
	return topology.PolicyPeer{Kind: topology.PeerPods, Groups: everyAgent()}
}

// clusterWide is an object of the whole cluster with one rule.
func clusterWide(kind string, tier topology.Tier, rule topology.PolicyRule) topology.Policy {
	return topology.Policy{Kind: kind, Name: "guard", Tier: tier, Priority: 10, Groups: everyAgent(),
		Ingress: []topology.PolicyRule{rule}}
}

// between pods is what the probes and requests between the pods of two nodes see.
func betweenPods(o ladder.Observation) bool { return o.Rung == ladder.PodToPod && o.From != o.To }

// dropped is what two passes, and the counted requests, see where some of it is dropped.
func dropped(s topology.Snapshot, fails func(ladder.Observation) bool) []ladder.Observation {
	seen := climb(s, failing("", func(ladder.Observation) bool { return false }))
	for i := range seen {
		if o := &seen[i]; fails(*o) {
			o.Answered, o.FailedPasses = 0, o.Passes
			o.Failures = map[ladder.Failure]uint64{ladder.NoAnswer: o.Sent}
		}
	}
	return seen
}

func services(o ladder.Observation) bool { return among(o, ladder.ClusterIP, ladder.NodePort) }

// everything reports all that leaves a pod for another node.
func leavesPod(o ladder.Observation) bool {
	return betweenPods(o) || services(o) ||
		among(o, ladder.PodToHost, ladder.DNSPod, ladder.DNSService, ladder.APIServer)
}

func byUDP(o ladder.Observation) bool { return o.Method == ladder.UDP }

func TestPolicyObjectsExplainWhatTheyDeny(t *testing.T) {
	const in, out = "network policy, into the pod", "network policy, out of the pod"
	denyUDP := admit("UDP", 80, agents())
	denyUDP.Action = topology.PolicyDenies
	for _, c := range []struct {
		name    string
		objects []topology.Policy
		fails   func(ladder.Observation) bool
		// component and where are of the only finding, says is a part of its message.
		component, where, says string
	}{
		{"nothing is admitted into any agent", []topology.Policy{networkPolicy("none", everyAgent(), into())},
			func(o ladder.Observation) bool {
				return betweenPods(o) || services(o) || among(o, ladder.HostToPod, ladder.HostClusterIP)
			}, in, "all nodes", "by design: NetworkPolicy kdoctor/none does not admit UDP port 80, TCP port 80 to the " +
				"agents' pods"},
		{"nothing is admitted, except what hosts send", []topology.Policy{networkPolicy("none", everyAgent(), into())},
			func(o ladder.Observation) bool { return betweenPods(o) || services(o) }, in, "all nodes", "kdoctor/none"},
		{"requests are admitted, and datagrams are not",
			[]topology.Policy{networkPolicy("web", everyAgent(), into(admit("TCP", 80, agents())))},
			func(o ladder.Observation) bool { return byUDP(o) && (betweenPods(o) || o.Rung == ladder.HostToPod) },
			in, "all nodes", "does not admit UDP port 80 to"},
		{"nothing is admitted into one agent", []topology.Policy{networkPolicy("n1", []int{1}, into())},
			func(o ladder.Observation) bool {
				return o.To == "n1" && (betweenPods(o) || o.Rung == ladder.HostToPod)
			}, in, "node n1", "kdoctor/n1"},
		{"nothing is admitted out of any agent", []topology.Policy{networkPolicy("shut", everyAgent(), outOf())},
			leavesPod, out, "all nodes", "does not admit"},
		{"agents reach each other, and nothing else",
			[]topology.Policy{networkPolicy("closed", everyAgent(), outOf(topology.PolicyRule{Action: topology.PolicyAdmits,
				Peers: []topology.PolicyPeer{agents()}}))},
			func(o ladder.Observation) bool { return leavesPod(o) && !betweenPods(o) && !services(o) }, out,
			"all nodes", "UDP port 53 (DNS), TCP (API server) from the agents' pods"},
		{"all but names is admitted out of the agents",
			[]topology.Policy{networkPolicy("mute", everyAgent(), outOf(topology.PolicyRule{Action: topology.PolicyAdmits,
				Ports: []topology.PolicyPort{{Protocol: "TCP"}}}, admit("UDP", 80)))},
			func(o ladder.Observation) bool { return among(o, ladder.DNSPod, ladder.DNSService) }, out, "all nodes",
			"does not admit UDP port 53 (DNS) from the agents' pods"},
		{"two objects admit each other things", []topology.Policy{
			networkPolicy("a", everyAgent(), into(admit("TCP", 80))),
			networkPolicy("b", everyAgent(), into(admit("TCP", 443)))},
			func(o ladder.Observation) bool { return byUDP(o) && (betweenPods(o) || o.Rung == ladder.HostToPod) }, in,
			"all nodes", "NetworkPolicy kdoctor/a, NetworkPolicy kdoctor/b do not admit UDP port 80"},
		{"an object of the whole cluster denies", []topology.Policy{
			clusterWide("ClusterNetworkPolicy", topology.AdminTier, denyUDP), networkPolicy("all", everyAgent(),
				into(topology.PolicyRule{Action: topology.PolicyAdmits}))},
			func(o ladder.Observation) bool { return byUDP(o) && betweenPods(o) }, in, "all nodes",
			"by design: ClusterNetworkPolicy guard denies UDP port 80 to the agents' pods"},
		{"a baseline denies where no NetworkPolicy is", []topology.Policy{
			clusterWide("BaselineAdminNetworkPolicy", topology.BaselineTier, denyUDP)},
			func(o ladder.Observation) bool { return byUDP(o) && betweenPods(o) }, in, "all nodes",
			"BaselineAdminNetworkPolicy guard denies UDP port 80"},
	} {
		for _, hosts := range []bool{true, false} {
			name := c.name + map[bool]string{true: ", with agents in host networks"}[hosts]
			t.Run(name, func(t *testing.T) {
				s := restricted(hosts, c.objects...)
				_, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, dropped(s, c.fails),
					diagnose.ClusterOf(s))
				if len(found) != 1 {
					for _, f := range found {
						t.Logf("%s at %s: %s", f.Component, f.Where, f.Message)
					}
					t.Fatalf("%d findings, want one", len(found))
				}
				f := found[0]
				if string(f.Component) != c.component || f.Where != c.where || f.Cause != "NetworkPolicyObject" ||
					f.Confidence != "high" || !strings.Contains(f.Message, c.says) {
					t.Errorf("%s at %s, cause %s, confidence %s: %s; want %s at %s, saying %q", f.Component, f.Where, f.Cause,
						f.Confidence, f.Message, c.component, c.where, c.says)
				}
				title := c.objects[0].Title()
				if !strings.Contains(strings.Join(f.Evidence, "\n"), title) || f.Command == "" || f.Falsify == "" {
					t.Errorf("the evidence does not name %s, or nothing says how to check it: %+v", title, f)
				}
			})
		}
	}
}

// An object that is not in force, or that admits what failed, is not why it failed.
func TestPolicyObjectsDoNotExplainOtherFaults(t *testing.T) {
	intoN1 := func(o ladder.Observation) bool {
		return o.To == "n1" && (betweenPods(o) || o.Rung == ladder.HostToPod)
	}
	tunnel := func(o ladder.Observation) bool {
		return among(o, ladder.PodToPod, ladder.HostToPod) && at(o, "n1")
	}
	all := topology.PolicyRule{Action: topology.PolicyAdmits}
	passing := all
	passing.Action = topology.PolicyPasses
	denying := all
	denying.Action = topology.PolicyDenies
	const noObject = "no NetworkPolicy object explains it"
	for _, c := range []struct {
		name     string
		policies topology.Policies
		fails    func(ladder.Observation) bool
		cause    string
		// says is a part of the message, evidence a part of the evidence; not is in neither.
		says, evidence, not string
	}{
		{"there is no object", topology.Policies{Read: true}, intoN1, "PolicyDeniesIngress", noObject,
			"no NetworkPolicy, and no policy object of the whole cluster", "by design"},
		{"nobody looked for objects", topology.Policies{}, intoN1, "PolicyDeniesIngress", "connections are dropped",
			"", "object"},
		{"objects could not be read", topology.Policies{Unread: []string{"the controller may not list x"}}, intoN1,
			"PolicyDeniesIngress", "", "is not known: the controller may not list x", noObject},
		{"there are too many objects", topology.Policies{Read: true, Omitted: 7, Objects: []topology.Policy{
			networkPolicy("open", everyAgent(), into(all))}}, intoN1, "PolicyDeniesIngress", "",
			"7 more were not looked at", noObject},
		{"an object admits what failed", topology.Policies{Read: true, Objects: []topology.Policy{
			networkPolicy("open", everyAgent(), into(all))}}, intoN1, "PolicyDeniesIngress", noObject, "",
			"kdoctor/open"},
		{"one object of two admits what failed", topology.Policies{Read: true, Objects: []topology.Policy{
			networkPolicy("open", everyAgent(), into(all)), networkPolicy("shut", everyAgent(), into())}}, intoN1, "PolicyDeniesIngress",
			noObject, "", "kdoctor/shut"},
		{"an object restricts the other direction", topology.Policies{Read: true, Objects: []topology.Policy{
			networkPolicy("out", []int{1}, outOf(all))}}, intoN1, "PolicyDeniesIngress", noObject, "", "kdoctor/out"},
		{"an object selects another agent", topology.Policies{Read: true, Objects: []topology.Policy{
			networkPolicy("other", []int{9}, into())}}, intoN1, "PolicyDeniesIngress", noObject, "", "kdoctor/other"},
		{"an object is not in force", topology.Policies{Read: true, Objects: []topology.Policy{
			networkPolicy("idle", everyAgent(), into())}}, intoN1, "PolicyDeniesIngress", "",
			"it is not in force", noObject},
		{"an object is not in force, and a tunnel is broken", topology.Policies{Read: true, Objects: []topology.Policy{
			networkPolicy("idle", everyAgent(), into())}}, tunnel, "OverlayPortBlocked", "tunnel", "", "kdoctor/idle"},
		{"a tunnel is broken at a node whose agent is restricted", topology.Policies{Read: true,
			Objects: []topology.Policy{networkPolicy("n1", []int{1}, into())}}, tunnel, "OverlayPortBlocked", "tunnel",
			"", "kdoctor/n1"},
		{"an admin passes, a NetworkPolicy admits", topology.Policies{Read: true, Objects: []topology.Policy{
			clusterWide("AdminNetworkPolicy", topology.AdminTier, passing),
			clusterWide("ClusterNetworkPolicy", topology.AdminTier, denying),
			networkPolicy("open", everyAgent(), into(all)),
			clusterWide("BaselineAdminNetworkPolicy", topology.BaselineTier, denying)}}, intoN1, "PolicyDeniesIngress",
			noObject, "", "guard"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := restricted(true)
			groups := s.Policies.Groups
			s.Policies = c.policies
			s.Policies.Groups = groups
			_, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, dropped(s, c.fails),
				diagnose.ClusterOf(s))
			if len(found) != 1 {
				t.Fatalf("%d findings, want one: %+v", len(found), found)
			}
			f := found[0]
			evidence := strings.Join(f.Evidence, "\n")
			if f.Cause != c.cause || f.Where != "node n1" || !strings.Contains(f.Message, c.says) ||
				!strings.Contains(evidence, c.evidence) || strings.Contains(f.Message+evidence, c.not) {
				t.Errorf("%s at %s: %s\n%s\nwant %s at node n1, saying %q and %q, not %q", f.Cause, f.Where, f.Message,
					evidence, c.cause, c.says, c.evidence, c.not)
			}
		})
	}
}

// Agents in the host network are not restricted.
func TestPoliciesLeaveAgentsInTheHostNetworkAlone(t *testing.T) {
	s := restricted(false, networkPolicy("none", everyAgent(), into(), outOf()))
	s.Policies.Groups = nil
	_, found := diagnose.Locate(report.Round{}, verdict.Verdict{},
		dropped(s, func(o ladder.Observation) bool { return betweenPods(o) && at(o, "n1") }),
		diagnose.ClusterOf(s))
	if slices.ContainsFunc(found, func(f diagnose.Finding) bool { return f.Cause == "NetworkPolicyObject" }) ||
		len(found) == 0 {
		t.Errorf("found %+v, want a fault of node n1 and no policy", found)
	}
}

// A policy and a fault at the same time are both found.
func TestAFaultBesideAPolicyIsFoundAsWell(t *testing.T) {
	s := restricted(true, networkPolicy("web", everyAgent(), into(admit("TCP", 80, agents()))))
	_, found := diagnose.Locate(report.Round{}, verdict.Verdict{},
		dropped(s, func(o ladder.Observation) bool {
			denied := byUDP(o) && (betweenPods(o) || o.Rung == ladder.HostToPod)
			return denied || among(o, ladder.PodToPod, ladder.HostToPod) && at(o, "n1")
		}), diagnose.ClusterOf(s))
	if len(found) != 2 || found[0].Cause != "NetworkPolicyObject" || found[1].Where != "node n1" {
		t.Errorf("found %+v, want the policy and a fault of node n1", found)
	}
}
