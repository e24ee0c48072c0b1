package infer_test

import (
	"fmt"
	"testing"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// counted adds the round's counted requests to the cluster address and to all node ports, n of each agent to each.
func counted(in infer.Input, s topology.Snapshot, n uint64, is broken) infer.Input {
	var nodes []string
	for _, node := range s.Nodes {
		nodes = append(nodes, node.Name)
	}
	add := func(o ladder.Observation) {
		o.Service, o.Method, o.Counted, o.Backends = ladder.Agents, ladder.HTTP, true, nodes
		failed, how := is(o, n)
		o.Sent, o.Answered = n, n-failed
		if failed > 0 {
			o.Failures = map[ladder.Failure]uint64{how: failed}
		}
		in.Observations = append(in.Observations, o)
	}
	for _, from := range nodes {
		for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
			for _, at := range nodes {
				add(ladder.Observation{Rung: ladder.NodePort, From: from, At: at, Family: family})
			}
			add(ladder.Observation{Rung: ladder.ClusterIP, From: from, Family: family})
		}
	}
	return in
}

// translatedAt reports whether the node's kube-proxy leads the observation's requests to the agents' Service.
func translatedAt(o ladder.Observation, node string) bool {
	switch o.Rung {
	case ladder.ClusterIP, ladder.HostClusterIP:
		return o.From == node
	case ladder.NodePort:
		return o.At == node
	}
	return false
}

func TestAFaultOfOneNodesTranslationIsNotTheServices(t *testing.T) {
	// share is a broken translation that fails one request in so many.
	share := func(how ladder.Failure, in uint64) broken {
		return func(o ladder.Observation, n uint64) (uint64, ladder.Failure) {
			if translatedAt(o, "n1") {
				return (n + in - 1) / in, how
			}
			return 0, ""
		}
	}
	for _, c := range []struct {
		name string
		is   broken
	}{
		{"one backend of three is stale on one node: a third gets no answer", share(ladder.NoAnswer, 3)},
		{"one node resets one connection in five", share(ladder.Reset, 5)},
		{"one node resets half of the connections", share(ladder.Reset, 2)},
	} {
		for _, nodes := range []int{3, 5} {
			for _, requests := range []uint64{0, 60, 800} {
				t.Run(fmt.Sprintf("%s, %d nodes, %d counted requests", c.name, nodes, requests), func(t *testing.T) {
					s := cluster(nodes, true)
					in := seen(s, c.is)
					if requests > 0 {
						in = counted(in, s, requests, c.is)
					}
					want := infer.Component{Part: infer.KubeProxy, Node: "n1"}
					found := infer.Find(in)
					if len(found) != 1 || found[0].Component != want || len(found[0].Group) > 0 {
						t.Errorf("found %+v, want %+v alone", found, want)
					}
				})
			}
		}
	}
}
