package infer_test

import (
	"cmp"
	"slices"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// both is two faults at the same time: the one that loses more of an observation is seen.
func both(first, second broken) broken {
	return func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		lost, how := first(o, n)
		if also, what := second(o, n); also > lost {
			return also, what
		}
		return lost, how
	}
}

// all loses what a condition holds of.
func all(how ladder.Failure, fails func(o ladder.Observation) bool) broken {
	return func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		if fails(o) {
			return n, how
		}
		return 0, ""
	}
}

// askedByPod reports whether the agent in the pod on the node sends the probe.
func askedByPod(o ladder.Observation, node string) bool {
	switch o.Rung {
	case ladder.HostToHost, ladder.HostToPod, ladder.HostToOwnPod, ladder.HostClusterIP:
		return false
	}
	return o.From == node
}

func kubeProxy(node string) broken {
	return all(ladder.NoAnswer, func(o ladder.Observation) bool {
		return translatedAt(o, node) || o.From == node && (o.Rung == ladder.DNSService || o.Rung == ladder.APIServer)
	})
}

func largeAt(node string) broken {
	return all(ladder.NoAnswer, func(o ladder.Observation) bool {
		return o.Large && overlay(o) && touches(o, node)
	})
}

func dnsAt(nodes ...string) broken {
	return all(ladder.NoAnswer, func(o ladder.Observation) bool {
		return o.Rung == ladder.DNSService && slices.Contains(nodes, o.From)
	})
}

// twin is a node of whose address another machine has the same, for the nodes given.
func twin(node string, of ...string) broken {
	return func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		met := touches(o, node) && (slices.Contains(of, o.From) || slices.Contains(of, o.To))
		switch {
		case !met:
			return 0, ""
		case overlay(o):
			return n, ladder.NoAnswer
		case o.To == node && (o.Rung == ladder.HostToHost || o.Rung == ladder.PodToHost):
			return n, ladder.Refused
		case o.Rung == ladder.HostToHost || o.Rung == ladder.PodToHost:
			return n, ladder.NoAnswer
		}
		return 0, ""
	}
}

// mute is an agent that answers nobody and hears no answers.
func mute(node string) broken {
	return func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		answers := o.To == node && slices.Contains([]ladder.Rung{ladder.Self, ladder.HostToOwnPod, ladder.HostToPod,
			ladder.PodToPod, ladder.SecondInterface}, o.Rung)
		switch {
		case !answers && !askedByPod(o, node):
			return 0, ""
		case o.Method == ladder.HTTP:
			return n, ladder.NoReply
		}
		return n, ladder.NoAnswer
	}
}

func TestFaultsAreFoundJointly(t *testing.T) {
	at := func(part infer.Part, node string) infer.Component { return infer.Component{Part: part, Node: node} }
	for _, c := range []struct {
		name string
		is   broken
		want []infer.Component
	}{
		{"full-size packets and kube-proxy of one node are two faults", both(largeAt("n1"), kubeProxy("n1")),
			[]infer.Component{at(infer.KubeProxy, "n1"), at(infer.Overlay, "n1")}},
		{"two nodes without DNS are no broken DNS Service", dnsAt("n2", "n5"),
			[]infer.Component{at(infer.DNSWay, "n2"), at(infer.DNSWay, "n5")}},
		{"an agent that neither asks nor answers is one fault", mute("n3"),
			[]infer.Component{at(infer.Agent, "n3")}},
		{"a node's address that half of the nodes find at another machine is the node's network",
			twin("n1", "n0", "n2", "n4", "n6"), []infer.Component{at(infer.NodeNetwork, "n1")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var found []infer.Component
			for _, f := range infer.Find(seen(cluster(8, true), c.is)) {
				if !slices.Contains(found, f.Component) {
					found = append(found, f.Component)
				}
				if len(f.Group) > 0 {
					t.Logf("%+v may as well be %+v", f.Component, f.Group)
				}
			}
			slices.SortFunc(found, compare)
			if !slices.Equal(found, c.want) {
				t.Errorf("found %+v, want %+v", found, c.want)
			}
		})
	}
}

func compare(a, b infer.Component) int {
	return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Node, b.Node))
}

// TestALossyLinkOfWhichConnectionsNoticeLittleIsOneFault has a node that loses a fifth of the datagrams, and one
// request in a hundred, since lost segments are sent again.
func TestALossyLinkOfWhichConnectionsNoticeLittleIsOneFault(t *testing.T) {
	lossy := func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		crosses := overlay(o) || o.Rung == ladder.HostToHost || o.Rung == ladder.PodToHost
		if !crosses || !touches(o, "n4") {
			return 0, ""
		}
		if o.Method == ladder.HTTP || o.Method == ladder.TCP {
			return n / 100, ladder.NoAnswer
		}
		return (n + 4) / 5, ladder.NoAnswer
	}
	s := cluster(8, true)
	in := seen(s, lossy)
	for i := range s.Nodes {
		for k := range s.Nodes {
			o := ladder.Observation{Rung: ladder.PodToPod, From: s.Nodes[i].Name, To: s.Nodes[k].Name,
				Family: topology.IPv4, Method: ladder.HTTP, Counted: true}
			if i == k {
				continue
			}
			o.Sent = 200
			failed, how := lossy(o, o.Sent)
			o.Answered = o.Sent - failed
			if failed > 0 {
				o.Failures = map[ladder.Failure]uint64{how: failed}
			}
			in.Observations = append(in.Observations, o)
		}
	}
	want := infer.Component{Part: infer.NodeNetwork, Node: "n4"}
	if found := infer.Find(in); len(found) != 1 || found[0].Component != want {
		t.Errorf("found %+v, want %+v alone", found, want)
	}
}

// TestABackendThatNobodyMeetsIsAStaleEndpoint has a Service of which one backend of five answers nobody.
func TestABackendThatNobodyMeetsIsAStaleEndpoint(t *testing.T) {
	s := cluster(5, true)
	stale := func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
		switch o.Rung {
		case ladder.ClusterIP, ladder.HostClusterIP, ladder.NodePort:
			return (n + 2) / 5, ladder.NoAnswer
		}
		return 0, ""
	}
	in := counted(seen(s, stale), s, 60, stale)
	for i := range in.Observations {
		o := &in.Observations[i]
		if o.Service != ladder.Agents {
			continue
		}
		o.Peers = map[string]uint64{}
		for k := range o.Answered {
			o.Peers[[]string{"n0", "n1", "n3", "n4"}[k%4]]++
		}
	}
	found := infer.Find(in)
	want := infer.Component{Part: infer.Endpoint, Node: "n2", Service: ladder.Agents}
	if len(found) != 1 || found[0].Component != want || len(found[0].Observations()) == 0 {
		t.Errorf("found %+v, want %+v alone", found, want)
	}
}
