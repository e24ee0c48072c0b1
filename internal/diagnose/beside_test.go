package diagnose_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// A Service of four pods leads each node to itself. Where an agent loses as many requests as the other three pods have
// turns, these are silent all the same: the requests went to them.
func TestLossesTellOfSilenceAlsoWhereAServiceIsLocal(t *testing.T) {
	at := func(agent int, lost uint64) view {
		peers := make([]uint64, 4)
		peers[agent] = 60
		return view{agent: agent, id: "ClusterIP", peers: peers, lost: lost}
	}
	for _, c := range []struct {
		name string
		lost uint64
		want map[diagnose.Seen][]string
	}{
		{"no request was lost", 0, map[diagnose.Seen][]string{}},
		{"three of four requests were lost", 180,
			map[diagnose.Seen][]string{{Agent: name(0), Target: "ClusterIP"}: {name(1), name(2), name(3)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := diagnose.SilentBackends(counted(4, at(0, c.lost), at(1, 0), at(2, 0), at(3, 0)))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Where nobody knows which node has an address, no other path stands for the primary address of that node.
func TestPathsOfOtherKindsAreNoPrimaryAddresses(t *testing.T) {
	refused := report.Failure{Outcome: probe.Refused, Phase: probe.Connect, Count: 10}
	round := addressed(2, nodeAddress{node: 1, host: "10.0.0.1", ok: 10},
		nodeAddress{node: 1, host: "10.1.0.1", further: true, failure: refused})
	for i := range round.Agents {
		for j := range round.Agents[i].Paths {
			round.Agents[i].Paths[j].Target.AtNode = ""
		}
	}
	if got := reasons(round); len(got) != 1 {
		t.Fatalf("beside a primary address that answers: %v, want one finding", got)
	}
	for i := range round.Agents {
		round.Agents[i].Paths[0].Target.Kind = target.Ingress
	}
	if got := reasons(round); len(got) > 0 {
		t.Errorf("beside an Ingress that answers: %v", got)
	}
}

// What several kinds of Services have in common is the Service path, not what stands before one of them.
func TestSeveralKindsOfServicesThatFailShareTheServicePath(t *testing.T) {
	for _, kinds := range [][]target.Kind{
		{target.Endpoint, target.ClusterIP, target.LoadBalancer},
		{target.Endpoint, target.LoadBalancer, target.ClusterIP},
		{target.Endpoint, target.LoadBalancer, target.NodePort},
	} {
		round, judged := matrix{nodes: 3, kinds: kinds,
			result: fails(func(w way) bool { return w.kind != target.Endpoint })}.build()
		found := diagnose.Localise(round, judged)
		if len(found) != 1 || found[0].Reason != "OnlyKind" || found[0].Component != diagnose.ServicePath {
			t.Errorf("%v: %+v", kinds[1:], found)
		}
	}
	// One kind alone is said by its own name.
	round, judged := matrix{nodes: 3, kinds: []target.Kind{target.Endpoint, target.LoadBalancer},
		families: []topology.Family{topology.IPv6},
		result:   fails(func(w way) bool { return w.kind == target.LoadBalancer })}.build()
	if found := diagnose.Localise(round, judged); len(found) != 1 || found[0].Component == diagnose.ServicePath {
		t.Errorf("the load balancer alone: %+v", found)
	}
}
