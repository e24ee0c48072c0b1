package diagnose_test

import (
	"slices"
	"strings"
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
		want map[diagnose.AgentTarget][]string
	}{
		{"no request was lost", 0, map[diagnose.AgentTarget][]string{}},
		{"three of four requests were lost", 180,
			map[diagnose.AgentTarget][]string{{Agent: name(0), Target: "ClusterIP"}: {name(1), name(2), name(3)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := diagnose.SilentBackends(counted(4, at(0, c.lost), at(1, 0), at(2, 0), at(3, 0)))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// If the node of an address is unknown, no other path counts as the primary address of that node.
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

// Several kinds of Services have the Service path in common, and not the proxy before one of them.
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

// overBoth is the round with those targets over IPv6 whose IDs end so.
func overBoth(round report.Round) report.Round {
	for i := range round.Agents {
		for j := range round.Agents[i].Paths {
			if t := &round.Agents[i].Paths[j].Target; strings.HasSuffix(t.ID, "v6") {
				t.Family = topology.IPv6
			}
		}
	}
	return round
}

// Each family is led by rules of its own, so a finding about one family hides nothing about the other.
func TestWhatOneFamilyDoesHidesNothingOfTheOther(t *testing.T) {
	even := []uint64{40, 40, 40, 40, 40, 40}
	v4, v6 := everyone(6, "ClusterIP", even...), everyone(6, "ClusterIP-v6", even...)
	v4[4].peers = []uint64{0, 0, 240}
	v6[4].peers = nil
	v6[3].peers = []uint64{0, 240}
	turned := append(everyone(6, "ClusterIP", even...), everyone(6, "ClusterIP-v6", 40)...)
	turned = append(turned, everyone(6, "NodePort", 40)...)
	for _, c := range []struct {
		name  string
		round report.Round
		want  []string
	}{
		{"one node leads to one pod over IPv4, and another one over IPv6", counted(6, append(v4, v6...)...),
			[]string{"medium FewBackends at node-03", "medium FewBackends at node-04"}},
		{"a node port leads to one pod, as a cluster address does over IPv6", counted(6, turned...),
			[]string{"medium OneBackendOnly at pod agent-00 on node node-00",
				"medium OneBackendOnly at pod agent-00 on node node-00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := reasons(overBoth(c.round))
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A Service that leads each node to itself over IPv4 is no evidence about a pod that is silent over IPv6.
func TestAServiceThatIsLocalOverOneFamilyHidesNoSilenceOverTheOther(t *testing.T) {
	views := everyone(4, "ClusterIP-v6", 40, 40, 0, 40)
	for i := range 4 {
		peers := make([]uint64, 4)
		peers[i] = 60
		views = append(views, view{agent: i, id: "ClusterIP", peers: peers})
	}
	silent := diagnose.SilentBackends(overBoth(counted(4, views...)))
	for i := range 4 {
		if got := silent[diagnose.AgentTarget{Agent: name(i), Target: "ClusterIP-v6"}]; !slices.Equal(got,
			[]string{name(2)}) {
			t.Errorf("%s misses %v over IPv6, want the third pod", name(i), got)
		}
	}
}

// Node ports that lead each client to itself may do so by turns. That a cluster address leads to one pod does not
// change that; that one leads each client to itself does.
func TestWhatTurnsMayDoIsNoFaultBesideAnotherOne(t *testing.T) {
	var views []view
	for i := range 3 {
		peers := make([]uint64, 3)
		peers[i] = 10
		for _, id := range []string{"NodePort-0", "NodePort-1", "NodePort-2"} {
			views = append(views, view{agent: i, id: id, peers: peers})
		}
	}
	got := reasons(counted(3, append(views, everyone(3, "ClusterIP", 20)...)...))
	if diff := cmp.Diff([]string{"medium OneBackendOnly at pod agent-00 on node node-00"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// If a rule is sure, a node that failing paths have in common is shown too, and a common kind is not.
func TestWhatIsShownBesideASureFinding(t *testing.T) {
	refused := report.Failure{Outcome: probe.Refused, Phase: probe.Connect, Count: 10}
	sure := addressed(2, nodeAddress{node: 1, host: "10.0.0.1", ok: 10},
		nodeAddress{node: 1, host: "10.1.0.1", further: true, failure: refused})
	const closed = "NodePortAddresses"
	for _, c := range []struct {
		name   string
		failed func(way) bool
		want   []string
	}{
		{"a node is cut off", func(w way) bool {
			return w.kind == target.Endpoint && w.from != w.to && (w.from == 1 || w.to == 1)
		}, []string{"CommonNode", closed}},
		{"a kind fails", func(w way) bool { return w.kind == target.ClusterIP }, []string{closed}},
	} {
		t.Run(c.name, func(t *testing.T) {
			round, judged := matrix{nodes: 4, kinds: []target.Kind{target.Endpoint, target.ClusterIP},
				result: fails(c.failed)}.build()
			for i := range sure.Agents {
				round.Agents[i].Paths = append(round.Agents[i].Paths, sure.Agents[i].Paths...)
			}
			var got []string
			for _, f := range diagnose.Findings(round, judged) {
				got = append(got, f.Reason)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Requests that the end of the round cut off are no evidence about the address that they were sent to.
func TestRequestsThatWereCutOffOpenNoAddress(t *testing.T) {
	refused := report.Failure{Outcome: probe.Refused, Phase: probe.Connect, Count: 10}
	for _, outcome := range []probe.Outcome{probe.NotSent, probe.Aborted} {
		round := addressed(2, nodeAddress{node: 1, host: "10.0.0.1", ok: 10}, nodeAddress{node: 1, host: "10.1.0.1",
			further: true, failure: refused, more: report.Failure{Outcome: outcome, Count: 5}})
		want := []string{"high NodePortAddresses at 10.1.0.1 of node node-01"}
		if diff := cmp.Diff(want, reasons(round)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", outcome, diff)
		}
	}
}
