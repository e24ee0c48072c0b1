package infer_test

import (
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// meet returns how many of n requests through a Service of four backends fail that are led to each in turn, where the
// way to a backend loses the share.
func meet(n uint64, lost func(backend string) float64) uint64 {
	var sum float64
	for _, backend := range []string{"n0", "n1", "n2", "n3"} {
		sum += float64(n) / 4 * lost(backend)
	}
	return uint64(sum)
}

// Of two faults the larger one makes failures through Services likely anyway; the smaller one shows as those beyond.
func TestAFaultOfAServiceBesideAFaultOfANode(t *testing.T) {
	for _, c := range []struct {
		name string
		// silent is a node whose agent reports nothing.
		silent string
		is     broken
		want   []infer.Component
	}{
		{"a node port that masquerades nothing, and a dead node", "n1",
			func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
				if o.To == "n1" || o.At == "n1" {
					return n, ladder.NoAnswer
				}
				if o.Service != ladder.Agents || len(o.Backends) == 0 {
					return 0, ""
				}
				return meet(n, func(backend string) float64 {
					if backend == "n1" || o.At == "n2" && o.From != "n2" && backend != "n2" {
						return 1
					}
					return 0
				}), ladder.NoAnswer
			}, []infer.Component{{Part: infer.NodeNetwork, Node: "n1"}, {Part: infer.NodePort, Node: "n2"}}},
		{"a pod that does not reach itself through the Service, and a node that loses a fifth of its packets", "",
			func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
				lossy := func(a, b string) float64 {
					if a == b || a != "n2" && b != "n2" {
						return 0
					}
					return 0.2
				}
				if o.Service != ladder.Agents || len(o.Backends) == 0 {
					if o.To == "" {
						return 0, ""
					}
					return uint64(float64(n)*lossy(o.From, o.To) + 0.5), ladder.NoAnswer
				}
				return meet(n, func(backend string) float64 {
					if o.Rung != ladder.HostClusterIP && o.From == "n3" && backend == "n3" {
						return 1
					}
					if o.At != "" {
						return 1 - (1-lossy(o.From, o.At))*(1-lossy(o.At, backend))
					}
					return lossy(o.From, backend)
				}), ladder.NoAnswer
			}, []infer.Component{{Part: infer.NodeNetwork, Node: "n2"}, {Part: infer.KubeProxy, Node: "n3"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := cluster(4, true)
			in := counted(seen(s, c.is), s, 80, c.is)
			in.Observations = slices.DeleteFunc(in.Observations,
				func(o ladder.Observation) bool { return o.From == c.silent })
			var got []infer.Component
			for _, f := range infer.Find(in) {
				got = append(got, f.Component)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %+v, want %+v", got, c.want)
			}
		})
	}
}

// A load balancer that loses a few of all requests does not make it likely that one node's requests all fail.
func TestOneNodesWayToALoadBalancerBesideALoadBalancerThatLosesSome(t *testing.T) {
	s := cluster(4, true)
	whole := func(ladder.Observation, uint64) (uint64, ladder.Failure) { return 0, "" }
	in := counted(seen(s, whole), s, 80, whole)
	for _, from := range []string{"n0", "n1", "n2", "n3"} {
		for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
			o := ladder.Observation{Rung: ladder.LoadBalancer, From: from, Family: family, Service: "load balancer",
				Method: ladder.HTTP, Counted: true, Backends: []string{"n0", "n1", "n2", "n3"}}
			o.Sent, o.Answered, o.Failures = 80, 76, map[ladder.Failure]uint64{ladder.NoReply: 4}
			if from == "n1" {
				o.Answered, o.Failures = 0, map[ladder.Failure]uint64{ladder.NoAnswer: 80}
			}
			in.Observations = append(in.Observations, o)
		}
	}
	found := infer.Find(in)
	if len(found) != 2 || found[0].Component != (infer.Component{Part: infer.LoadBalancerWay, Node: "n1"}) ||
		len(found[0].Group) > 0 || found[1].Component.Part != infer.LoadBalancer {
		t.Errorf("found %+v, want n1's way there and the load balancer", found)
	}
}

// Of an agent that was short of CPU nothing but datagrams is known: requests that Services lead to it may fail, and are
// no fault of the Services.
func TestRequestsThatMeetAnAgentShortOfCPUAreNoFaultOfTheService(t *testing.T) {
	s := cluster(4, true)
	in := seen(s, func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		if len(o.Backends) == 4 && (o.Rung == ladder.ClusterIP || o.Rung == ladder.HostClusterIP) {
			return n / 3, ladder.NoReply
		}
		return 0, ""
	})
	in.Observations = slices.DeleteFunc(in.Observations, func(o ladder.Observation) bool {
		return o.Rung == ladder.PodToPod && o.Method != ladder.UDP
	})
	if found := infer.Find(in); len(found) != 1 || found[0].Component.Part != infer.Service {
		t.Errorf("found %+v, want the Service where all agents are well", found)
	}
	in.Suspect = map[string]bool{"n3": true}
	if found := infer.Find(in); len(found) > 0 {
		t.Errorf("found %+v, want nothing where one of four was short of CPU", found)
	}
}

// What agents that are short of CPU cannot have done is found beside them: an ICMP error is never theirs, and neither
// is a loss where they answered all counted requests.
func TestAFaultOnTheWayIsFoundBesideAgentsShortOfCPU(t *testing.T) {
	for _, c := range []struct {
		name    string
		how     ladder.Failure
		counted uint64
	}{
		{"an ICMP error", ladder.Unreachable, 0},
		{"no answer, and all counted requests to them were answered", ladder.NoAnswer, 80},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := cluster(4, true)
			is := func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
				if o.Rung == ladder.HostClusterIP && o.From == "n1" {
					return n, c.how
				}
				return 0, ""
			}
			in := seen(s, is)
			in.Observations = slices.DeleteFunc(in.Observations, func(o ladder.Observation) bool {
				return o.Rung == ladder.PodToPod && o.Method != ladder.UDP
			})
			for _, to := range []string{"n2", "n3"} {
				for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
					in.Observations = append(in.Observations, ladder.Observation{Rung: ladder.PodToPod, From: "n0",
						To: to, Family: family, Method: ladder.HTTP, Counted: true,
						Counts: ladder.Counts{Sent: c.counted, Answered: c.counted}})
				}
			}
			in.Suspect = map[string]bool{"n2": true, "n3": true}
			want := infer.Component{Part: infer.HostRoute, Node: "n1"}
			if found := infer.Find(in); len(found) != 1 || found[0].Component != want {
				t.Errorf("found %+v, want %+v alone", found, want)
			}
		})
	}
}

// A node without room for more connections refuses what its own pods and its host network begin, at the node too.
func TestANodeThatTracksNoMoreConnectionsIsOneFaultBesideASlightLoss(t *testing.T) {
	is := func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		switch {
		case o.Rung == ladder.Self || o.Rung == ladder.SecondInterface:
			return 0, ""
		case o.From == "n3" && (o.Rung == ladder.HostToOwnPod || o.Rung == ladder.HostToHost || o.Rung == ladder.HostToPod):
			return n, ladder.NotPermitted
		case o.From == "n3" || o.To == "n3" || o.At == "n3":
			return n, ladder.NoAnswer
		case len(o.Backends) == 4:
			return n / 4, ladder.NoAnswer
		case (o.From == "n2" || o.To == "n2") && o.To != o.From && o.Method == ladder.UDP && o.Large:
			return min(n, 1), ladder.NoAnswer
		}
		return 0, ""
	}
	s := cluster(4, true)
	found := infer.Find(counted(seen(s, is), s, 80, is))
	var got []infer.Component
	for _, f := range found {
		got = append(got, f.Component)
	}
	want := infer.Component{Part: infer.NodeNetwork, Node: "n3"}
	others := func(c infer.Component) bool { return c.Node == "n3" }
	if len(got) == 0 || got[0] != want || slices.ContainsFunc(got[1:], others) {
		t.Errorf("found %+v, want %+v first, and nothing else of this node", got, want)
	}
}
