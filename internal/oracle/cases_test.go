package oracle_test

import (
	"bytes"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/oracle"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

const (
	all   = -1
	never = time.Duration(1<<63 - 1)
	long  = -time.Hour
)

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// of is a healthy cluster of n nodes on which the kinds are probed, ten times a second for 100 s.
func of(n int, kinds ...target.Kind) oracle.Scenario {
	s := oracle.Scenario{Seed: 1, Kinds: kinds, Families: []topology.Family{topology.IPv4},
		Load: mesh.Load{PerSecond: 10, Duration: 100 * time.Second, Timeout: time.Second,
			Connection: mesh.NewConnection},
		Expect: verdict.Expect{SuccessRate: 1, MeanDelay: 100 * time.Millisecond}}
	for range n {
		s.Nodes = append(s.Nodes, oracle.Node{})
		s.Starts = append(s.Starts, oracle.Start{At: 10 * time.Millisecond, Known: 20 * time.Millisecond})
	}
	return s
}

func overPersistent(s oracle.Scenario) oracle.Scenario {
	s.Load.Connection = mesh.Both
	return s
}

func restart(node int, at, back float64) oracle.Change {
	return oracle.Change{Kind: oracle.Restart, Node: node, At: seconds(at), Back: seconds(back), Follows: seconds(3),
		TimeKnown: true}
}

func remove(node int, at float64) oracle.Change {
	return oracle.Change{Kind: oracle.Delete, Node: node, At: seconds(at), Follows: seconds(2), TimeKnown: true}
}

func with(s oracle.Scenario, change func(*oracle.Scenario)) oracle.Scenario {
	change(&s)
	return s
}

// Every case is a situation in which the first release was wrong.
func TestSituationsThatWereJudgedWrongly(t *testing.T) {
	for _, c := range situations() {
		t.Run(c.name, func(t *testing.T) {
			c.scenario.Name = c.name
			got, err := oracle.Judge(c.scenario)
			if err != nil {
				t.Fatal(err)
			}
			wrong := false
			for _, result := range c.not {
				wrong = wrong || got.Verdict.Result == result
			}
			if wrong || (c.want != "" && got.Verdict.Result != c.want) {
				t.Errorf("the round is %q, want %q, not %q: %v", got.Verdict.Result, c.want, c.not, got.Verdict.Reasons)
			}
			if c.found && got.Verdict.Result == verdict.Pass && len(got.Findings) == 0 {
				t.Error("the round is a pass, and nothing is found")
			}
			if c.quiet && len(got.Findings) > 0 {
				t.Errorf("%+v is found, and nothing is broken", got.Findings)
			}
			for _, p := range oracle.Check(c.scenario).Problems {
				t.Errorf("%s: %s", p.Kind, p.Text)
			}
			if t.Failed() {
				var text bytes.Buffer
				oracle.Show(&text, c.scenario)
				t.Log(text.String()[:min(text.Len(), 6000)])
			}
		})
	}
}

type situation struct {
	name     string
	scenario oracle.Scenario
	want     verdict.Result
	not      []verdict.Result
	// found: unless the round does not pass, there must be a finding; quiet: there must be none.
	found, quiet bool
}

func situations() []situation {
	var all []situation
	for _, some := range [][]situation{ofChanges(), ofMeasurements(), ofStreams(), ofInventory(), ofFindings()} {
		all = append(all, some...)
	}
	return all
}

func ofChanges() []situation {
	local := func(s *oracle.Scenario) { s.Service.InternalLocal = true }
	rolling := func(s *oracle.Scenario) {
		for i := 1; i < len(s.Nodes); i++ {
			s.Changes = append(s.Changes, restart(i, 35+float64(i)*1.2, 1))
		}
	}
	return []situation{
		{name: "a pod of another node is deleted while a local Service is broken: fail", want: verdict.Fail,
			scenario: with(of(3, target.ClusterIP), func(s *oracle.Scenario) {
				local(s)
				s.Changes = []oracle.Change{remove(2, 50)}
				s.Faults = []oracle.Fault{{Kind: oracle.BrokenService, Node: 1, Peer: all, Rate: 1, From: seconds(55),
					To: seconds(75), How: oracle.ByRefusal}}
			})},
		{name: "one of two pods of the node is deleted behind a local Service: no fail",
			not: []verdict.Result{verdict.Fail},
			scenario: with(of(2, target.ClusterIP), func(s *oracle.Scenario) {
				local(s)
				s.Nodes[1].AgentOn = 1
				s.Changes = []oracle.Change{remove(1, 50)}
			})},
		{name: "twenty pods restart one by one while four in five requests are lost: fail", want: verdict.Fail,
			scenario: with(of(20, target.ClusterIP), func(s *oracle.Scenario) {
				rolling(s)
				s.Faults = []oracle.Fault{{Kind: oracle.BrokenService, Node: 0, Peer: all, Rate: 0.8, From: seconds(45),
					To: seconds(65), How: oracle.ByRefusal}}
			})},
		{name: "twenty pods restart one by one and nothing else happens: no fail", not: []verdict.Result{verdict.Fail},
			quiet:    true,
			scenario: with(of(20, target.ClusterIP), rolling)},
		{name: "a node that was cordoned long before the round dies: fail", want: verdict.Fail,
			scenario: with(of(3, target.Endpoint), func(s *oracle.Scenario) {
				s.Nodes[2].Cordoned = true
				s.Faults = []oracle.Fault{{Kind: oracle.DeadNode, Node: 2, Peer: all, Rate: 1, From: seconds(30),
					To: never}}
			})},
		{name: "a node is taken away by Karpenter as the round begins: no fail", not: []verdict.Result{verdict.Fail},
			quiet: true,
			scenario: with(of(3, target.Endpoint, target.NodePort), func(s *oracle.Scenario) {
				s.Nodes[2].Removing = true
				s.Changes = []oracle.Change{{Kind: oracle.Remove, Node: 2, At: seconds(3), Announced: seconds(30),
					Follows: seconds(8)}}
			})},
		{name: "the only pod behind a local node port is deleted: no fail", not: []verdict.Result{verdict.Fail},
			scenario: with(of(3, target.NodePort), func(s *oracle.Scenario) {
				s.Service.ExternalLocal = true
				s.Changes = []oracle.Change{remove(2, 75)}
			})},
		{name: "another node's pod is deleted while a local node port is blocked: fail", want: verdict.Fail,
			scenario: with(of(3, target.NodePort), func(s *oracle.Scenario) {
				s.Service.ExternalLocal = true
				s.Changes = []oracle.Change{remove(2, 50)}
				s.Faults = []oracle.Fault{{Kind: oracle.BlockedNodePort, Node: 1, Peer: all, Rate: 1, From: seconds(55),
					To: seconds(75)}}
			})},
		{name: "an agent restarts long before its report is lost: fail", want: verdict.Fail,
			scenario: with(of(3, target.Endpoint), func(s *oracle.Scenario) {
				s.Starts[2] = oracle.Start{Asked: seconds(0), At: seconds(8), Known: seconds(8.1)}
				s.Changes = []oracle.Change{restart(2, 2, 3)}
				s.Faults = []oracle.Fault{{Kind: oracle.LostReport, Node: 2, Peer: all, From: seconds(60), To: never}}
			})},
	}
}

func ofMeasurements() []situation {
	return []situation{
		{name: "an agent is stopped after one in a hundred requests, its peer deleted: no pass",
			not: []verdict.Result{verdict.Pass},
			scenario: with(of(2, target.Endpoint), func(s *oracle.Scenario) {
				s.Changes = []oracle.Change{remove(1, 0.02)}
				s.Limits = []oracle.Limit{{Node: 0, Stopped: true, To: seconds(1)}}
			})},
		{name: "999 in 1000 requests have no port, and one is lost to a deletion: no pass",
			not: []verdict.Result{verdict.Pass, verdict.Fail},
			scenario: with(of(2, target.Endpoint), func(s *oracle.Scenario) {
				s.Changes = []oracle.Change{remove(1, 50)}
				s.Limits = []oracle.Limit{{Node: 0, Unsent: 0.999, To: never}}
			})},
		{name: "999 in 1000 requests are missed, and one is lost to a deletion: no pass",
			not: []verdict.Result{verdict.Pass, verdict.Fail},
			scenario: with(of(2, target.Endpoint), func(s *oracle.Scenario) {
				s.Changes = []oracle.Change{remove(1, 50)}
				s.Limits = []oracle.Limit{{Node: 0, Missed: 0.999, To: never}}
			})},
		{name: "six of ten peers are cut off from an agent that is throttled: fail", want: verdict.Fail,
			scenario: with(of(11, target.Endpoint), func(s *oracle.Scenario) {
				s.Load.Duration = 20 * time.Second
				s.Limits = []oracle.Limit{{Node: 0, Throttled: 0.5, Late: 0.3, To: never}}
				for peer := 5; peer < 11; peer++ {
					s.Faults = append(s.Faults,
						oracle.Fault{Kind: oracle.Partition, Node: 0, Peer: peer, Rate: 1, From: long, To: never})
				}
			})},
		{name: "a policy refuses a tenth of all requests: fail", want: verdict.Fail,
			scenario: with(of(2, target.Endpoint), func(s *oracle.Scenario) {
				s.Faults = []oracle.Fault{{Kind: oracle.PolicyRefuses, Node: 0, Peer: all, Rate: 0.1, From: long,
					To:  never,
					How: oracle.ByUnreachable}}
			})},
	}
}

func ofStreams() []situation {
	return []situation{
		{name: "every idle connection is reset: no pass", not: []verdict.Result{verdict.Pass},
			scenario: with(overPersistent(of(2, target.Endpoint)), func(s *oracle.Scenario) {
				s.Faults = []oracle.Fault{{Kind: oracle.IdleReset, Node: all, Peer: all, Rate: 1, From: long,
					To: never}}
			})},
		{name: "nothing of the persistent stream is sent: no pass", not: []verdict.Result{verdict.Pass},
			scenario: with(overPersistent(of(2, target.Endpoint)), func(s *oracle.Scenario) {
				s.Limits = []oracle.Limit{{Node: 0, Missed: 1, OnlyPersistent: true, To: never}}
			})},
		{name: "every persistent connection to a Pod IP is torn down: no pass", not: []verdict.Result{verdict.Pass},
			scenario: with(overPersistent(of(2, target.Endpoint)), func(s *oracle.Scenario) {
				s.Faults = []oracle.Fault{{Kind: oracle.PolicyRefuses, Node: 0, Peer: all, Rate: 1,
					OnlyPersistent: true,
					From:           seconds(1), To: never, How: oracle.ByReset}}
			})},
		{name: "all requests of the persistent stream time out: no pass", not: []verdict.Result{verdict.Pass},
			scenario: with(overPersistent(of(2, target.Endpoint)), func(s *oracle.Scenario) {
				s.Faults = []oracle.Fault{{Kind: oracle.PolicyRefuses, Node: 0, Peer: all, Rate: 1,
					OnlyPersistent: true,
					From:           long,
					To:             never}}
			})},
		{name: "the persistent stream alone takes 4 s: no pass", not: []verdict.Result{verdict.Pass},
			scenario: with(overPersistent(of(2, target.Endpoint)), func(s *oracle.Scenario) {
				s.Load.Timeout = 10 * time.Second
				s.Faults = []oracle.Fault{{Kind: oracle.SlowPod, Node: 1, Peer: all, Rate: 1, OnlyPersistent: true,
					From: long,
					To:   never, Delay: seconds(4)}}
			})},
	}
}

func ofInventory() []situation {
	down := []oracle.Fault{{Kind: oracle.BalancerDown, Node: all, Peer: all, Rate: 1, From: long, To: never}}
	return []situation{
		{name: "a node that ought to have an agent has none: fail", want: verdict.Fail,
			scenario: with(of(3, target.Endpoint), func(s *oracle.Scenario) {
				s.Nodes[1].NoAgentWhy = "no pod of DaemonSet agents is on the node"
				s.Faults = []oracle.Fault{{Kind: oracle.AgentAbsent, Node: 1, Peer: all, From: long, To: never}}
			})},
		{name: "a load balancer is down that nodes leave requests to: fail", want: verdict.Fail,
			scenario: with(of(2, target.LoadBalancer), func(s *oracle.Scenario) { s.Faults = down })},
		{name: "a load balancer is down whose address nodes answer for themselves: no request meets it",
			want: verdict.Pass,
			scenario: with(of(2, target.LoadBalancer),
				func(s *oracle.Scenario) { s.Faults, s.Balancer.ShortCircuit = down, true })},
		{name: "two nodes have the same address: no pass", not: []verdict.Result{verdict.Pass},
			scenario: with(of(3, target.NodePort), func(s *oracle.Scenario) {
				s.Nodes[1].SameAddressAs = 1
				s.Faults = []oracle.Fault{{Kind: oracle.SharedAddress, Node: 1, Peer: all, From: long, To: never}}
			})},
	}
}

func ofFindings() []situation {
	little := func(s *oracle.Scenario) { s.Load.PerSecond, s.Load.Duration = 5, 2*time.Second }
	spread := func(how oracle.Spread) func(*oracle.Scenario) {
		return func(s *oracle.Scenario) { s.Service.Spread, s.Service.SpreadIsFault = how, true }
	}
	silent := func(s *oracle.Scenario) {
		s.Faults = []oracle.Fault{{Kind: oracle.SilentBackend, Node: 1, Peer: all, Rate: 1, From: long, To: never}}
	}
	all := []situation{
		{name: "a Service leads everybody to one pod and nothing says so: found", found: true,
			scenario: with(of(5, target.Endpoint, target.ClusterIP, target.NodePort), spread(oracle.OneOnly))},
		{name: "a Service leads each node to itself and nothing says so: found", found: true,
			scenario: with(of(3, target.Endpoint, target.ClusterIP), spread(oracle.SameNode))},
		{name: "a Service leads each node to itself as its spec says: nothing is found", want: verdict.Pass,
			quiet: true,
			scenario: with(of(3, target.Endpoint, target.ClusterIP),
				func(s *oracle.Scenario) { s.Service.Spread = oracle.SameNode })},
		{name: "25 agents, one silent, 100 requests each: found", found: true,
			scenario: with(of(25, target.Endpoint, target.ClusterIP),
				func(s *oracle.Scenario) { silent(s); s.Load.Duration = 10 * time.Second })},
	}
	for _, n := range []int{2, 3, 5, 10, 20} {
		all = append(all, situation{name: "the default load, a backend is never chosen: found", found: true,
			scenario: with(of(n, target.Endpoint, target.ClusterIP, target.NodePort),
				func(s *oracle.Scenario) { silent(s); little(s) })})
	}
	return all
}
