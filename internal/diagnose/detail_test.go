package diagnose_test

import (
	"fmt"
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

// view is what one agent saw on one target: how often each pod answered, and how many requests failed before an answer,
// or within one.
type view struct {
	agent        int
	id           string
	peers        []uint64
	lost, broken uint64
}

// counted returns a round with the given number of pods, one on each node, and exactly these views. The IDs of targets
// begin with their kind.
func counted(pods int, views ...view) report.Round {
	var r report.Round
	var backends report.BackendSet
	for i := range pods {
		backends.Pods = append(backends.Pods, name(i))
		r.Expected = append(r.Expected, report.Expected{Pod: name(i), Node: node(i)})
		r.Agents = append(r.Agents, report.AgentReport{Pod: name(i), Node: node(i)})
	}
	for _, v := range views {
		kind := target.ClusterIP
		for _, traits := range target.Kinds() {
			if strings.HasPrefix(v.id, string(traits.Kind)) {
				kind = traits.Kind
			}
		}
		p := report.Path{Target: target.Target{ID: v.id, Kind: kind, Family: topology.IPv4, Answer: target.Backends},
			Peers: map[string]uint64{}}
		for i, n := range v.peers {
			p.Peers[name(i)], p.OK = n, p.OK+n
		}
		p.Sent = p.OK + v.lost + v.broken
		p.Failures = []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: v.lost},
			{Outcome: probe.Timeout, Phase: probe.Body, Count: v.broken}}
		r.Agents[v.agent].Paths = append(r.Agents[v.agent].Paths, p)
		if !slices.Contains(backends.Targets, v.id) {
			backends.Targets = append(backends.Targets, v.id)
		}
	}
	r.Backends = []report.BackendSet{backends}
	return r
}

// reaching adds a path from one pod to the other's own address.
func reaching(r report.Round, from, to int, ok bool) report.Round {
	p := report.Path{Target: target.Target{ID: "Endpoint" + name(to), Kind: target.Endpoint, Family: topology.IPv4,
		Answer: target.OnePod,
		Pod:    name(to)}, Sent: 10, OK: 10}
	if !ok {
		p.OK, p.Failures = 0, []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: 10}}
	}
	r.Agents[from].Paths = append(r.Agents[from].Paths, p)
	return r
}

// everyone is the same view of all agents.
func everyone(pods int, id string, peers ...uint64) []view {
	var all []view
	for i := range pods {
		all = append(all, view{agent: i, id: id, peers: peers})
	}
	return all
}

func TestWhereServicesLead(t *testing.T) {
	const a, b = "ClusterIP-a", "NodePort-b"
	oneOf := func(n ...uint64) report.Round {
		var views []view
		for i, n := range n {
			views = append(views, view{agent: i, id: a, peers: []uint64{n, 0, 0}})
		}
		return counted(3, views...)
	}
	twoSets := counted(6, append(everyone(5, a, 20), everyone(6, "ClusterIP-b", 20)...)...)
	twoSets.Backends = []report.BackendSet{{Targets: []string{a}, Pods: twoSets.Backends[0].Pods[:5]},
		{Targets: []string{"ClusterIP-b"}, Pods: twoSets.Backends[0].Pods}}
	elsewhere := append(everyone(5, a, 10, 10, 10, 10, 10), everyone(5, b, 10, 10, 10, 10, 10)...)
	elsewhere[3].peers = []uint64{0, 50}
	elsewhere = append(elsewhere, everyone(5, "NodePort-c", 0, 10)...)
	stale := everyone(6, a, 40, 0, 40, 40, 40, 40)
	stale[4].peers = []uint64{0, 0, 200}
	local := func(nodes, each int, id string) []view {
		var all []view
		for i := range nodes {
			peers := make([]uint64, nodes)
			peers[i] = uint64(each)
			for j := range nodes {
				all = append(all, view{agent: i, id: fmt.Sprintf("%s-%d", id, j), peers: peers})
			}
		}
		return all
	}
	var once []view
	for i := range 12 {
		peers := make([]uint64, 12)
		peers[i] = 1
		once = append(once, view{id: fmt.Sprintf("NodePort-%d", i), peers: peers})
	}
	merged := counted(6, append(append(everyone(5, a, 20), everyone(5, b, 20)...),
		everyone(6, "ClusterIP-b", 20)...)...)
	merged.Backends = []report.BackendSet{{Targets: []string{a, b}, Pods: merged.Backends[0].Pods[:5]},
		{Targets: []string{"ClusterIP-b"}, Pods: merged.Backends[0].Pods}}
	var seven []view
	for i := range 8 {
		seven = append(seven, view{agent: i, id: a, peers: []uint64{uint64(min(1, i))}})
	}
	eight := counted(8, seven...)
	eight.Backends[0].Pods = eight.Backends[0].Pods[:6]
	other := counted(4, append(local(4, 10, "ClusterIP"), local(3, 10, "NodePort")...)...)
	other.Backends = nil
	for i := range 4 {
		other.Backends = append(other.Backends,
			report.BackendSet{Targets: []string{fmt.Sprintf("ClusterIP-%d", i)}, Pods: names(4)},
			report.BackendSet{Targets: []string{fmt.Sprintf("NodePort-%d", i)}, Pods: names(3)})
	}
	cases := []struct {
		name  string
		round report.Round
		want  []string
	}{
		{"two ways of one backend set lead to one pod, and one of another", merged,
			[]string{"medium OneBackendOnly at pod agent-00 on node node-00",
				"medium OneBackendOnly at pod agent-00 on node node-00"}},
		{"node ports may do by turns what the cluster address of other backends does", other,
			[]string{"low LocalOnly at the Service's ClusterIP"}},
		{"one way leads to one pod, and another leaves one out for a part",
			counted(5, append(everyone(5, a, 50), everyone(5, b, 50, 5, 50, 50, 50)...)...),
			[]string{"medium OneBackendOnly at pod agent-00 on node node-00",
				"low UnevenService at pod agent-01 on node node-01"}},
		{"just enough answers for eight agents and one of six pods", eight,
			[]string{"medium OneBackendOnly at pod agent-00 on node node-00"}},
		{"one way is local, and another leads to the same few",
			counted(5, view{id: a, peers: []uint64{20}}, view{agent: 1, id: a, peers: []uint64{0, 20}},
				view{id: b, peers: []uint64{10, 10}}, view{agent: 1, id: b, peers: []uint64{10, 10}}),
			[]string{"medium FewBackends at the Service's NodePort", "low LocalOnly at the Service's ClusterIP"}},
		{"one of two agents is led to itself, and the other gets no answer",
			counted(3, view{id: a, peers: []uint64{30}}, view{agent: 1, id: a, lost: 5}),
			[]string{"low OneBackendOnly at pod agent-00 on node node-00"}},
		{"one answer too few for one of three pods", oneOf(4, 3, 3), nil},
		{"just enough answers for one of three pods", oneOf(4, 4, 3),
			[]string{"medium OneBackendOnly at pod agent-00 on node node-00"}},
		{"two ways lead to a pod each", counted(5, append(everyone(5, a, 20), everyone(5, b, 0, 20)...)...),
			[]string{"medium OneBackendOnly at pod agent-00 on node node-00",
				"medium OneBackendOnly at pod agent-01 on node node-01"}},
		{"two backend sets lead to the same pod", twoSets,
			[]string{"medium OneBackendOnly at pod agent-00 on node node-00",
				"medium OneBackendOnly at pod agent-00 on node node-00"}},
		{"a node and a node port lead to the same pod", counted(5, elsewhere...),
			[]string{"medium FewBackends at node-03", "medium FewBackends at NodePort-c"}},
		{"a node leads to one pod, and all others leave out another", counted(6, stale...),
			[]string{"medium FewBackends at node-04", "low SilentBackend at pod agent-01 on node node-01"}},
		{"three node ports lead each client to itself, which turns may do", counted(3, local(3, 10, "NodePort")...),
			nil},
		{"eight node ports lead each client to itself", counted(8, local(8, 10, "NodePort")...),
			[]string{"low LocalOnly at the Service's NodePort"}},
		{"three node ports do what the cluster address does",
			counted(3, append(local(3, 10, "NodePort"), local(3, 10, "ClusterIP")...)...),
			[]string{"low LocalOnly at the Service's ClusterIP, NodePort"}},
		{"a single agent asks, and is led to itself", counted(3, view{id: a, peers: []uint64{30}}),
			[]string{"medium OneBackendOnly at pod agent-00 on node node-00"}},
		{"one request to each node port", counted(12, once...), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, reasons(c.round)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	late := append([]view{{id: b, peers: []uint64{20}}}, append(everyone(5, a, 20)[1:], everyone(5, b, 20)[1:]...)...)
	if got := patterns(counted(5, late...))[0].Message; !strings.HasPrefix(got, "ClusterIP, NodePort: ") {
		t.Errorf("%s", got)
	}
	if got := patterns(counted(8, local(8, 10, "NodePort")...))[0].Message; !strings.Contains(got,
		"requests from each of 8 nodes") {
		t.Errorf("%s", got)
	}
}

func names(pods int) []string {
	var all []string
	for i := range pods {
		all = append(all, name(i))
	}
	return all
}

func TestHowSureAServiceLeadsToOnePod(t *testing.T) {
	all := func() report.Round { return counted(5, everyone(5, "ClusterIP", 20)...) }
	one := counted(5, view{id: "ClusterIP", peers: []uint64{0, 100}})
	lost := everyone(5, "ClusterIP", 20)
	lost[2].lost = 1
	for name, c := range map[string]struct {
		round report.Round
		want  diagnose.Confidence
	}{
		"nobody asked the others' own addresses": {all(), diagnose.Medium},
		"one of the others answers one agent":    {reaching(all(), 1, 2, true), diagnose.High},
		"one of the others does not answer one":  {reaching(reaching(all(), 1, 2, true), 3, 2, false), diagnose.Low},
		"the pod itself does not answer, by itself": {reaching(reaching(all(), 1, 2, true), 1, 0, false),
			diagnose.High},
		"an agent does not reach itself": {reaching(reaching(all(), 1, 2, true), 1, 1, false), diagnose.High},
		"one agent asked":                {reaching(one, 0, 2, true), diagnose.Medium},
		"one request was lost":           {reaching(counted(5, lost...), 1, 2, true), diagnose.Low},
	} {
		found := patterns(c.round)
		if len(found) != 1 || found[0].Reason != "OneBackendOnly" || found[0].Confidence != c.want {
			t.Errorf("%s: want confidence %s, got %+v", name, c.want, found)
		}
	}
}

func TestFamiliesOfWaysThatLeadAlike(t *testing.T) {
	round := counted(5, append(everyone(5, "ClusterIP", 20), everyone(5, "NodePort", 20)...)...)
	for i := range round.Agents {
		round.Agents[i].Paths[1].Target.Family = topology.IPv6
	}
	round = reaching(reaching(round, 1, 2, true), 1, 3, false)
	paths := round.Agents[1].Paths
	paths[len(paths)-1].Target.Family = topology.IPv6
	if found := patterns(round); len(found) != 1 || found[0].Confidence != diagnose.Low {
		t.Errorf("another pod cannot be reached over IPv6: %+v", found)
	}
}

func TestPoolsThatAreDealtInTurnHideNoOthers(t *testing.T) {
	turns := everyone(12, "ClusterIP", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
	round := counted(12, append(turns, everyone(12, "NodePort", 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 5, 5)...)...)
	round.Backends = []report.BackendSet{{Targets: []string{"ClusterIP"}, Pods: names(12)},
		{Targets: []string{"NodePort"}, Pods: names(12)[8:]}}
	if diff := cmp.Diff([]string{"low SilentBackend at pod agent-09 on node node-09"}, reasons(round)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestServicesThatLeadToOnePodHideNoOthers(t *testing.T) {
	round := counted(9, append(everyone(5, "ClusterIP-a", 20),
		everyone(9, "ClusterIP-b", 0, 0, 0, 0, 0, 9, 0, 9, 9)...)...)
	pods := names(9)
	round.Backends = []report.BackendSet{{Targets: []string{"ClusterIP-a"}, Pods: pods[:5]},
		{Targets: []string{"ClusterIP-b"}, Pods: pods[5:]}}
	want := []string{"medium OneBackendOnly at pod agent-00 on node node-00",
		"low SilentBackend at pod agent-06 on node node-06"}
	if diff := cmp.Diff(want, reasons(round)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFamiliesAreTakenTogether(t *testing.T) {
	both := func(n uint64) report.Round {
		round := counted(4, append(everyone(4, "ClusterIP-4", n, 0, n, n),
			everyone(4, "ClusterIP-6", n, 0, n, n)...)...)
		for i := range round.Agents {
			round.Agents[i].Paths[1].Target.Family = topology.IPv6
		}
		return round
	}
	// 38 answers of other agents are enough, and these are 36 and 54.
	if got := reasons(both(2)); len(got) > 0 {
		t.Errorf("6 answers a view: %v", got)
	}
	if diff := cmp.Diff([]string{"low SilentBackend at pod agent-01 on node node-01"}, reasons(both(3))); diff != "" {
		t.Errorf("9 answers a view (-want +got):\n%s", diff)
	}
}

func TestOtherInterfacesAreOtherPaths(t *testing.T) {
	round := reaching(counted(4, everyone(4, "ClusterIP", 100, 100, 100)...), 0, 3, false)
	for i := range round.Agents {
		round.Agents[i].Paths[0].Failures[0].Count = 100
		round.Agents[i].Paths = append(round.Agents[i].Paths,
			report.Path{Target: target.Target{ID: "net1", Kind: target.SecondInterface,
				Family: topology.IPv4, Answer: target.OnePod, Pod: name(3)}, Sent: 10, OK: 10})
	}
	found := patterns(round)
	if len(found) != 1 || found[0].Component != diagnose.PodOrNode {
		t.Errorf("the pod answers on its second interface alone: %+v", found)
	}
}

func TestBackendsOfOneNode(t *testing.T) {
	// Pods 0 and 1 are on the target's node, pods 2 and 4 are on others, and nobody knows where pod 3 is.
	round := counted(5, everyone(3, "NodePort", 100)...)
	round.Expected, round.Agents = slices.Delete(round.Expected, 3, 4), round.Agents[:3]
	round.Expected[1].Node, round.Agents[1].Node = node(0), node(0)
	for i := range round.Agents {
		round.Agents[i].Paths[0].Target.OnlyNode = node(0)
	}
	if diff := cmp.Diff([]string{"medium OneBackendOnly at pod agent-00 on node node-00"}, reasons(round)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := patterns(round)[0].Message; !strings.Contains(got, "none of 2 other pods") {
		t.Errorf("%s", got)
	}
	round.Backends = nil
	if got := reasons(round); len(got) > 0 {
		t.Errorf("without known backends: %v", got)
	}
}

func TestOneViewIsEnough(t *testing.T) {
	seen := func(round report.Round) []string {
		var all []string
		for s, pods := range diagnose.SilentBackends(round) {
			all = append(all, fmt.Sprint(s.Agent, " on ", s.Target, ": ", pods))
		}
		slices.Sort(all)
		return all
	}
	views := everyone(4, "ClusterIP", 13, 13, 0, 13)
	single := slices.Clone(views)
	for i := range 4 {
		single = append(single, view{agent: i, id: "NodePort", peers: []uint64{5}})
	}
	alone := counted(4, single...)
	alone.Backends[0].Targets = []string{"ClusterIP"}
	alone.Backends = append(alone.Backends, report.BackendSet{Targets: []string{"NodePort"}, Pods: []string{name(0)}})
	first := slices.Clone(views)
	first[0].peers = []uint64{1}
	halves := append(everyone(4, "NodePort", 20, 0, 20, 20), []view{
		{agent: 4, id: "NodePort", peers: []uint64{4: 20, 5: 20, 6: 20, 7: 20}},
		{agent: 5, id: "NodePort", peers: []uint64{4: 20, 5: 20, 6: 20, 7: 20}}}...)
	apart := counted(8, halves...)
	pods := apart.Backends[0].Pods
	apart.Backends = []report.BackendSet{{Targets: []string{"NodePort"}, Pods: pods[:4], Askers: pods[:4]},
		{Targets: []string{"NodePort"}, Pods: pods[4:], Askers: pods[4:]}}
	turns := func(own uint64) report.Round {
		views := everyone(4, "NodePort", 14, 0, 13, 13)
		views[1].peers = []uint64{0, own, 0, 40 - own}
		return counted(4, views...)
	}
	stale := everyone(6, "ClusterIP", 40, 0, 40, 40, 40, 40)
	stale[4].peers = []uint64{0, 0, 200}
	local := append(everyone(2, "NodePort", 20), view{agent: 0, id: "ClusterIP", peers: []uint64{20}},
		view{agent: 1, id: "ClusterIP", peers: []uint64{0, 20}})
	beside := counted(4, view{agent: 0, id: "ClusterIP-a", peers: []uint64{20}},
		view{agent: 1, id: "ClusterIP-a", peers: []uint64{0, 20}},
		view{agent: 2, id: "ClusterIP-b", peers: []uint64{20}}, view{agent: 3, id: "ClusterIP-b", peers: []uint64{20}})
	beside.Backends = []report.BackendSet{{Targets: []string{"ClusterIP-a"}, Pods: names(4)},
		{Targets: []string{"ClusterIP-b"}, Pods: names(2)}}
	of := func(agents []int, id string, pod int) []string {
		var all []string
		for _, i := range agents {
			all = append(all, fmt.Sprintf("%s on %s: [%s]", name(i), id, name(pod)))
		}
		return all
	}
	for title, c := range map[string]struct {
		round report.Round
		want  []string
	}{
		"beside a node that leads to one pod":        {counted(6, stale...), of([]int{0, 1, 2, 3, 5}, "ClusterIP", 1)},
		"beside a Service of others that is local":   {beside, of([]int{2, 3}, "ClusterIP-b", 1)},
		"a node port beside a Service that is local": {counted(2, local...), of([]int{0, 1}, "NodePort", 1)},
		"all views": {counted(4, views...), of([]int{0, 1, 2, 3}, "ClusterIP", 2)},
		"targets with one backend are no comparisons":   {alone, of([]int{0, 1, 2, 3}, "ClusterIP", 2)},
		"the first view has too few answers":            {counted(4, first...), of([]int{1, 2, 3}, "ClusterIP", 2)},
		"another backend set has turns at the target":   {apart, of([]int{0, 1, 2, 3}, "NodePort", 1)},
		"the pod has less than its turns at the target": {turns(29), of([]int{0, 2, 3}, "NodePort", 1)},
		"the pod has its turns at the target":           {turns(30), nil},
	} {
		if diff := cmp.Diff(c.want, seen(c.round)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", title, diff)
		}
	}
}

func TestSilenceOfSomeNodes(t *testing.T) {
	// Three of twenty nodes never select the last pod, which has its turns at node ports all the same.
	l := lottery{pods: 20, requests: 10, leads: weight(func(agent, to int) bool { return agent > 2 || to != 19 })}
	if diff := cmp.Diff([]string{"medium SilentBackend at pod agent-19 on node node-19"},
		reasons(l.round(seeded(1)))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	far := l.round(seeded(1))
	for i := range far.Agents {
		far.Agents[i].Node, far.Expected[i].Node = node(50-i), node(50-i)
	}
	if got := patterns(far)[0].Message; !strings.Contains(got, "as it is on node-48, node-49, node-50") {
		t.Errorf("%s", got)
	}
	// ports are views on node ports; the first agent meets only pods 0 and 2 there, one of them on each, and the others
	// meet all alike.
	ports := func(own ...uint64) report.Round {
		views := []view{{agent: 0, id: "ClusterIP", peers: own}}
		for i := range 8 {
			id := fmt.Sprintf("NodePort-%d", i)
			locked := []uint64{0, 0, 0, 0}
			locked[i%2*2] = 12
			views = append(views, view{agent: 0, id: id, peers: locked})
			for agent := 1; agent < 4; agent++ {
				views = append(views, view{agent: agent, id: id, peers: []uint64{4, 6, 4, 4}})
			}
		}
		return counted(4, views...)
	}
	few := ports(1, 0, 1, 1)
	for i := 1; i < 4; i++ {
		for j := range few.Agents[i].Paths {
			few.Agents[i].Paths[j].Peers[name(1)] = 3
			few.Agents[i].Paths[j].OK -= 3
		}
		few.Agents[i].Paths = append(few.Agents[i].Paths,
			counted(4, view{id: "ClusterIP", peers: []uint64{2, 30, 2, 2}}).Agents[0].Paths...)
	}
	rare := ports(1, 0, 1, 1)
	for i := 1; i < 4; i++ {
		rare.Agents[i].Paths = append(rare.Agents[i].Paths,
			counted(4, view{id: "ClusterIP", peers: []uint64{30, 2, 30, 30}}).Agents[0].Paths...)
	}
	for title, c := range map[string]struct {
		round report.Round
		want  []string
	}{
		"each agent may have its own pods, and its turns elsewhere are few": {rare,
			[]string{"low UnevenService at pod agent-01 on node node-01"}},
		"each agent may have its own pods by turns": {ports(1, 0, 1, 1), nil},
		"its own node had more requests to deal than there are pods": {ports(2, 0, 1, 1),
			[]string{"low SilentBackend at pod agent-01 on node node-01"}},
		"the pod has too few turns on node ports": {few,
			[]string{"low SilentBackend at pod agent-01 on node node-01"}},
		"its own node had more requests, and led some of them to the pod": {ports(2, 1, 1, 1), nil},
	} {
		if diff := cmp.Diff(c.want, reasons(c.round)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", title, diff)
		}
	}
}

func TestTargetsAndAgentsWithoutAnswers(t *testing.T) {
	base := lottery{pods: 12, requests: 10, lost: func(agent, to int) bool { return to == 7 && agent != 7 }}
	closed := base.round(seeded(1))
	for i := range closed.Agents {
		closed.Agents[i].Paths = append(closed.Agents[i].Paths,
			report.Path{Target: target.Target{ID: "AgentNodePort_closed", Kind: target.NodePort,
				Family: topology.IPv4, Answer: target.Backends}, Sent: 10,
				Failures: []report.Failure{{Outcome: probe.Refused, Phase: probe.Connect, Count: 10}}})
	}
	closed.Backends[0].Targets = append(closed.Backends[0].Targets, "AgentNodePort_closed")
	cut := func(agent int) report.Round {
		l := lottery{pods: 12, requests: 10, leads: weight(func(_, to int) bool { return to != 7 }),
			lost: func(from, _ int) bool { return from == agent }}
		return l.round(seeded(1))
	}
	beside := lottery{pods: 12, requests: 10, leads: weight(func(_, to int) bool { return to != 7 }),
		kinds: []target.Kind{target.ClusterIP, target.Ingress, target.NodePort}}
	if got := patterns(cut(0))[0].Message; !strings.Contains(got, "never answered 10 of 10 other agents") {
		t.Errorf("%s", got)
	}
	three := lottery{pods: 3, requests: 10, lost: func(agent, to int) bool { return to == 2 && agent != 2 },
		services: true}.round(seeded(1))
	if found := patterns(reaching(reaching(three, 0, 2, false), 1, 2, false)); len(found) != 1 ||
		found[0].Confidence != diagnose.High {
		t.Errorf("losses explain what is silent: %+v", found)
	}
	want := "SilentBackend at pod agent-07 on node node-07"
	for title, c := range map[string]struct {
		round report.Round
		want  string
	}{
		"a target that is closed takes nothing from the explanation": {closed, "high " + want},
		"the first agent gets no answer":                             {cut(0), "high " + want},
		"the last agent gets no answer":                              {cut(11), "high " + want},
		"an Ingress says nothing, and node ports do":                 {beside.round(seeded(1)), "high " + want},
	} {
		if diff := cmp.Diff([]string{c.want}, reasons(c.round)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", title, diff)
		}
	}
}

func TestSilenceIsNotCleanWhereAnythingFails(t *testing.T) {
	for agent := range 4 {
		views := everyone(4, "ClusterIP", 20, 20, 0, 20)
		views[agent].broken = 1
		round := counted(4, views...)
		for _, i := range []int{0, 1, 3} {
			reaching(round, i, 2, true)
		}
		want := diagnose.Medium
		if agent == 2 {
			want = diagnose.High
		}
		if found := patterns(round); len(found) != 1 || found[0].Confidence != want {
			t.Errorf("a request of agent %d fails within an answer: want confidence %s, got %+v", agent, want, found)
		}
		views = append(everyone(4, "ClusterIP-a", 5, 5, 0, 5), everyone(4, "ClusterIP-b", 5, 5, 0, 5)...)
		views[agent].broken = 1
		round = counted(4, views...)
		for _, i := range []int{0, 1, 3} {
			reaching(round, i, 2, true)
		}
		if found := patterns(round); len(found) != 1 || found[0].Confidence != want {
			t.Errorf("a request of agent %d fails within an answer, in a pool: want confidence %s, got %+v", agent,
				want, found)
		}
	}
}

func TestTheLeastSureViewDecides(t *testing.T) {
	const id = "ClusterIP"
	from := func(change func([]view)) report.Round {
		views := everyone(4, id, 100, 100, 0, 100)
		for i := range views {
			views[i].lost = 100
		}
		change(views)
		round := counted(4, views...)
		for _, i := range []int{0, 1, 3} {
			reaching(round, i, 2, true)
		}
		return round
	}
	same := func([]view) {}
	uneven := from(same)
	pods := names(4)
	uneven.Backends = []report.BackendSet{{Targets: []string{id}, Pods: pods, Askers: pods[:1],
		UnevenWhy: "sessionAffinity is ClientIP"},
		{Targets: []string{id}, Pods: pods, Askers: pods[1:]}}
	clean := counted(4, everyone(4, id, 100, 100, 0, 100)...)
	for title, c := range map[string]struct {
		round report.Round
		want  diagnose.Confidence
	}{
		"losses explain all views":             {from(same), diagnose.High},
		"losses do not explain the first view": {from(func(v []view) { v[0].lost = 200 }), diagnose.Medium},
		"the first view is of an uneven set":   {uneven, diagnose.Medium},
		"one agent did not ask the pod itself": {reaching(reaching(clean, 0, 2, true), 1, 2, true), diagnose.Medium},
	} {
		found := patterns(c.round)
		if len(found) != 1 || found[0].Reason != "SilentBackend" || found[0].Confidence != c.want {
			t.Errorf("%s: want confidence %s, got %+v", title, c.want, found)
		}
	}
}

func TestShares(t *testing.T) {
	skewed := "low UnevenService at pod agent-01 on node node-01"
	of := func(got, rest, lost uint64) report.Round {
		views := everyone(4, "ClusterIP", rest, got, rest, rest)
		for i := range views {
			views[i].lost = lost
		}
		return counted(4, views...)
	}
	for title, c := range map[string]struct {
		round report.Round
		want  []string
	}{
		"a little more than half of its share":  {of(50, 116, 0), nil},
		"exactly a half of its share":           {of(30, 70, 0), []string{skewed}},
		"less than half of its share":           {of(50, 117, 0), []string{skewed}},
		"just enough less":                      {of(3, 12, 0), []string{skewed}},
		"too few answers to say so":             {of(3, 11, 0), nil},
		"lost requests may have been its turns": {of(50, 117, 3), nil},
		"lost requests count as asked":          {of(3, 15, 2), []string{skewed}},
		"lost requests are few":                 {of(2, 47, 10), []string{skewed}},
		"twice its share":                       {of(300, 100, 0), []string{skewed}},
		"less than twice its share":             {of(299, 100, 0), nil},
		"two pods have less": {counted(5,
			everyone(5, "ClusterIP", 100, 20, 20, 100, 100)...),
			[]string{"low UnevenService at pod agent-01 on node node-01, pod agent-02 on node node-02"}},
		"much less, but the spec says that it may": {unevenly(of(4, 100, 0)), nil},
		"of two ways, one is uneven": {counted(4,
			append(everyone(4, "ClusterIP", 50, 50, 50, 50), everyone(4, "NodePort", 90, 9, 90, 90)...)...),
			[]string{skewed}},
		"a pod that does not meet itself at the cluster address": {counted(4, hairpin("ClusterIP")...), nil},
		"a pod that does not meet itself at a node port": {counted(4, hairpin("NodePort")...),
			[]string{skewed}},
	} {
		if diff := cmp.Diff(c.want, reasons(c.round)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", title, diff)
		}
	}
}

// hairpin gives a pod about half of its share of all others' requests, and none of its own.
func hairpin(id string) []view {
	views := everyone(4, id, 116, 51, 116, 116)
	views[1].peers = []uint64{116, 0, 116, 116}
	return views
}

func unevenly(r report.Round) report.Round {
	r.Backends[0].UnevenWhy = "trafficDistribution is PreferClose"
	return r
}
