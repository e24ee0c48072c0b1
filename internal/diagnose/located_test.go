package diagnose_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// fourNodes is a cluster with agents in pods and, if asked for, in host networks.
func fourNodes(hosts bool) topology.Snapshot { return nodes(4, hosts) }

// nodes is a cluster of n nodes, at most 200.
func nodes(n int, hosts bool) topology.Snapshot {
	s := topology.Snapshot{APIServer: netip.MustParseAddrPort("10.96.0.1:443"), Services: []topology.Service{{
		Name: "agents", Port: 80, NodePort: 30080, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.7")}}}}
	for i := range n {
		node := fmt.Sprintf("n%d", i)
		own := []netip.Addr{netip.MustParseAddr(fmt.Sprintf("192.168.0.%d", i+1))}
		s.Nodes = append(s.Nodes, topology.Node{Name: node, Addresses: own})
		s.Agents = append(s.Agents, topology.Agent{Pod: "agent-" + node, Node: node, HTTPPort: 80,
			Addresses: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", i+1))}})
		if hosts {
			s.Hosts = append(s.Hosts, topology.Agent{Pod: "host-" + node, Node: node, HTTPPort: 81, Addresses: own})
		}
	}
	return s
}

// lost says how many of n probes of the observation are lost, how, and the size of the largest packet that arrives.
type lost func(o ladder.Observation, n uint64) (uint64, ladder.Failure, int)

func failing(how ladder.Failure, fails func(ladder.Observation) bool) lost {
	return func(o ladder.Observation, n uint64) (uint64, ladder.Failure, int) {
		if !fails(o) {
			return 0, "", 0
		}
		return n, how, 0
	}
}

// climb returns what two passes see.
func climb(s topology.Snapshot, is lost) []ladder.Observation {
	var seen []ladder.Observation
	for _, sender := range ladder.Plan(s, ladder.Options{Families: []topology.Family{topology.IPv4},
		Counted: map[ladder.Rung]bool{ladder.PodToPod: true}}) {
		for _, p := range sender.Probes {
			o := p.Of
			o.Sent, o.Passes = uint64(2*p.Spec.Count), 2
			failed, how, mtu := is(o, o.Sent)
			o.Answered, o.PathMTU = o.Sent-failed, mtu
			if failed > 0 {
				o.Failures, o.FailedPasses = map[ladder.Failure]uint64{how: failed}, 2
			}
			seen = append(seen, o)
			if o.Rung == ladder.PodToPod && !o.Large {
				// As the counted requests would see it.
				o.Method, o.Counted, o.Passes, o.FailedPasses = ladder.HTTP, true, 0, 0
				seen = append(seen, o)
			}
		}
	}
	return seen
}

func at(o ladder.Observation, node string) bool { return (o.From == node) != (o.To == node) }

func among(o ladder.Observation, rungs ...ladder.Rung) bool { return slices.Contains(rungs, o.Rung) }

func TestAFindingNamesComponentPlaceAndCause(t *testing.T) {
	for _, c := range []struct {
		name                    string
		hosts                   bool
		is                      lost
		component, where, cause string
		// says are parts of the message, evidence parts of the evidence.
		says, evidence []string
	}{
		{"a blocked tunnel", true, failing(ladder.NoAnswer, func(o ladder.Observation) bool {
			return among(o, ladder.PodToPod, ladder.HostToPod) && at(o, "n1")
		}), "overlay", "node n1", "OverlayPortBlocked", []string{"all 48 probes and requests across it failed", "tunnel"},
			[]string{"pod to pod: 0 of 36 answered (36 no answer)", "host to host 36 of 36"}},
		{"the same without agents in host networks", false, failing(ladder.NoAnswer, func(o ladder.Observation) bool {
			return among(o, ladder.PodToPod) && at(o, "n1")
		}), "overlay", "node n1", "OverlayPortBlocked", []string{"tunnel"}, []string{"pod to host 12 of 12"}},
		{"large packets that vanish", true, func(o ladder.Observation, n uint64) (uint64, ladder.Failure, int) {
			if o.Large && at(o, "n2") && o.Rung != ladder.HostToOwnPod {
				return n, ladder.NoAnswer, 1400
			}
			return 0, "", 0
		}, "node network", "node n2", "PathMTUTooSmall", []string{"packets of more than 1400 bytes are lost"},
			[]string{"the largest packet that arrived has 1400 bytes"}},
		{"a full table of connections", true, func(o ladder.Observation, n uint64) (uint64, ladder.Failure, int) {
			if o.From == "n3" && o.To != "n3" && o.To != "" {
				return n, ladder.NotPermitted, 0
			}
			if at(o, "n3") {
				return n, ladder.NoAnswer, 0
			}
			return 0, "", 0
		}, "node network", "node n3", "ConntrackFull", []string{"nf_conntrack"}, nil},
		{"a policy that rejects", true, failing(ladder.Refused, func(o ladder.Observation) bool {
			return among(o, ladder.PodToPod, ladder.HostToPod) && o.To == "n1"
		}), "network policy, into the pod", "node n1", "PolicyDeniesIngress", []string{"rejected"}, nil},
		{"a blocked port of the probes", true, failing(ladder.NoAnswer, func(o ladder.Observation) bool {
			return among(o, ladder.HostToHost, ladder.PodToHost) && o.To == "n1" ||
				o.Rung == ladder.PodToOwnHost && o.From == "n1"
		}), "firewall for the probe port", "node n1", "ProbePortBlocked", []string{"nothing else fails"}, nil},
		{"a kube-proxy without rules", true, failing(ladder.NoAnswer, func(o ladder.Observation) bool {
			services := among(o, ladder.ClusterIP, ladder.HostClusterIP, ladder.APIServer, ladder.DNSService)
			return o.From == "n2" && services || o.At == "n2"
		}), "kube-proxy", "node n2", "ServiceRulesMissing", []string{"translate"},
			[]string{"ClusterIP: 0 of 4 answered"}},
		{"two nodes that do not reach each other", true, failing(ladder.NoAnswer, func(o ladder.Observation) bool {
			return o.To != "" && at(o, "n1") && at(o, "n2")
		}), "network between two nodes", "nodes n1 and n2", "NeighbourWrong", []string{"between the two alone"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fourNodes(c.hosts)
			spent, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, climb(s, c.is), diagnose.ClusterOf(s))
			if len(found) != 1 {
				for _, f := range found {
					t.Logf("%s at %s: %s", f.Component, f.Where, f.Message)
				}
				t.Fatalf("%d findings, want one", len(found))
			}
			f := found[0]
			right := string(f.Component) == c.component && f.Where == c.where && f.Cause == c.cause
			if !right || f.Confidence != "high" {
				t.Errorf("%s at %s, cause %s, confidence %s (%s); want %s at %s, cause %s, confidence high", f.Component,
					f.Where, f.Cause, f.Confidence, f.RunnerUp, c.component, c.where, c.cause)
			}
			for _, part := range c.says {
				if !strings.Contains(f.Message, part) {
					t.Errorf("the message lacks %q: %s", part, f.Message)
				}
			}
			for _, part := range c.evidence {
				if !strings.Contains(strings.Join(f.Evidence, "\n"), part) {
					t.Errorf("the evidence lacks %q: %s", part, strings.Join(f.Evidence, "\n"))
				}
			}
			if f.Falsify == "" || f.Command == "" {
				t.Errorf("nothing says how to check it: %+v", f)
			}
			if spent.Failed == 0 || spent.Sent < spent.Failed || len(spent.Failing) == 0 ||
				len(spent.SmallestLoss) == 0 {
				t.Errorf("the summary is %+v", spent)
			}
		})
	}
}

func TestAHealthyClusterHasNoFindings(t *testing.T) {
	s := fourNodes(true)
	spent, found := diagnose.Locate(report.Round{}, verdict.Verdict{},
		climb(s, failing("", func(ladder.Observation) bool { return false })), diagnose.ClusterOf(s))
	if len(found) > 0 || spent.Failed > 0 {
		t.Errorf("found %+v, %d failed", found, spent.Failed)
	}
}

func TestAnAgentThatWasTheLimitIsNamedWhetherOrNotProbesFailed(t *testing.T) {
	s := fourNodes(true)
	judged := verdict.Verdict{Result: verdict.ToolLimited,
		Agents: []verdict.JudgedAgent{{Pod: "agent-n1", Node: "n1", Result: verdict.ToolLimited}}}
	for name, fails := range map[string]func(ladder.Observation) bool{
		"nothing failed": func(ladder.Observation) bool { return false },
		"what it asked and what was asked of it failed": func(o ladder.Observation) bool {
			return at(o, "n1") && among(o, ladder.PodToPod)
		},
	} {
		_, found := diagnose.Locate(report.Round{}, judged, climb(s, failing(ladder.NoAnswer, fails)),
			diagnose.ClusterOf(s))
		if len(found) != 1 || found[0].Component != "agent" || found[0].Where != "node n1" ||
			found[0].Cause != "AgentStarved" {
			t.Errorf("%s: found %+v, want the agent of n1 alone", name, found)
		}
	}
}

func TestAMomentIsNoFault(t *testing.T) {
	s := fourNodes(true)
	seen := climb(s, failing(ladder.NoAnswer, func(o ladder.Observation) bool { return at(o, "n1") }))
	seen = slices.DeleteFunc(seen, func(o ladder.Observation) bool { return o.Counted })
	for i := range seen {
		// It failed in the first of three passes, and no more.
		if seen[i].Failed() > 0 {
			seen[i].FailedPasses = 1
			seen[i].Answered = seen[i].Sent - 1
			seen[i].Failures = map[ladder.Failure]uint64{ladder.NoAnswer: 1}
		}
	}
	if _, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, seen, diagnose.ClusterOf(s)); len(found) > 0 {
		t.Errorf("a moment is blamed: %+v", found)
	}
}

func TestSlowPathsAreFoundByTheFastOnes(t *testing.T) {
	s := fourNodes(true)
	seen := climb(s, failing("", func(ladder.Observation) bool { return false }))
	for i := range seen {
		seen[i].Mean = 200_000 // ns
		if at(seen[i], "n2") {
			seen[i].Mean = 50_000_000
		}
	}
	_, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, seen, diagnose.ClusterOf(s))
	if len(found) != 1 || found[0].Cause != "Delay" || found[0].Where != "node n2" ||
		found[0].Component != "node network" {
		t.Errorf("found %+v, want a delay of node n2's network alone", found)
	}
}

func TestProbesThatAreLateWhereManyRequestsAreFastNameNoSlowNetwork(t *testing.T) {
	s := fourNodes(true)
	seen := climb(s, failing("", func(ladder.Observation) bool { return false }))
	for i := range seen {
		seen[i].Mean = 200_000 // ns
		if at(seen[i], "n2") && seen[i].Rung == ladder.PodToPod && !seen[i].Counted {
			seen[i].Mean = 50_000_000
		}
	}
	if _, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, seen, diagnose.ClusterOf(s)); len(found) > 0 {
		t.Errorf("found %+v, and the counted requests were fast", found)
	}
}

func TestAFollowUpProbeDoesNotWorsenTheSmallestLoss(t *testing.T) {
	s := fourNodes(true)
	seen := climb(s, failing(ladder.NoAnswer, func(o ladder.Observation) bool { return at(o, "n1") }))
	without, _ := diagnose.Locate(report.Round{}, verdict.Verdict{}, seen, diagnose.ClusterOf(s))
	seen = append(seen, ladder.Observation{Rung: ladder.HostToPod, From: "n9", To: "n1", Method: ladder.UDP,
		FollowUp: true, Counts: ladder.Counts{Sent: 1, Answered: 1}})
	with, _ := diagnose.Locate(report.Round{}, verdict.Verdict{}, seen, diagnose.ClusterOf(s))
	if diff := cmp.Diff(without.SmallestLoss, with.SmallestLoss); diff != "" {
		t.Errorf("(-without +with):\n%s", diff)
	}
}

// Connections that nobody answers hold ports and descriptors: an agent that runs out of them excuses no network.
func TestAnAgentThatRanOutOfPortsExcusesNothing(t *testing.T) {
	s := fourNodes(true)
	for _, limit := range []verdict.Reason{{Code: verdict.OutOfPorts, Count: 10, Of: 4160},
		{Code: verdict.OutOfFiles, Count: 10, Of: 4160}, {Code: verdict.Unsent, Count: 10, Of: 4160, NotSent: 10}} {
		judged := verdict.Verdict{Result: verdict.ToolLimited, Agents: []verdict.JudgedAgent{
			{Pod: "agent-n1", Node: "n1", Result: verdict.ToolLimited, Reason: limit}}}
		_, found := diagnose.Locate(report.Round{}, judged, climb(s, failing(ladder.NoAnswer,
			func(o ladder.Observation) bool { return at(o, "n1") && among(o, ladder.PodToPod, ladder.HostToPod) })),
			diagnose.ClusterOf(s))
		if len(found) != 2 || found[0].Component != "overlay" || found[0].Where != "node n1" ||
			found[1].Cause != "AgentOutOfPorts" || !slices.Equal(found[1].Evidence, []string{limit.String()}) {
			t.Errorf("%s: found %+v, want the overlay of n1 and then its agent", limit.Code, found)
		}
	}
}

// Components that cannot be told apart have a cause if it would be the same for each of them. Else each has its own,
// with what to look at.
func TestAGroupHasTheCauseThatAllOfItWouldHave(t *testing.T) {
	s := nodes(4, false)
	for name, c := range map[string]struct {
		of     func(uint64) uint64
		cause  string
		causes []report.ComponentCause
		look   string
	}{
		"a part is lost": {func(n uint64) uint64 { return (n + 2) / 3 }, "PacketLoss", nil, "look at errors and drops of"},
		"all is lost": {func(n uint64) uint64 { return n }, "", []report.ComponentCause{
			{Component: "node network", Cause: "InterfaceDown"}, {Component: "overlay", Cause: "OverlayPortBlocked"}},
			"; if it is the overlay, look at its tunnel: a firewall"},
	} {
		t.Run(name, func(t *testing.T) {
			_, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, climb(s,
				func(o ladder.Observation, n uint64) (uint64, ladder.Failure, int) {
					if !at(o, "n1") || !among(o, ladder.PodToPod, ladder.PodToHost) {
						return 0, "", 0
					}
					return c.of(n), ladder.NoAnswer, 0
				}), diagnose.ClusterOf(s))
			if len(found) == 0 || !strings.Contains(string(found[0].Component), " or ") || found[0].Cause != c.cause {
				t.Fatalf("found %+v, want a group with the cause %q", found, c.cause)
			}
			if diff := cmp.Diff(c.causes, found[0].Causes); diff != "" || !strings.Contains(found[0].Message, c.look) {
				t.Errorf("%q (-want +got):\n%s", found[0].Message, diff)
			}
		})
	}
}
