package diagnose_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
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

var update = flag.Bool("update", false, "rewrite the golden files")

// cluster makes the report of a round out of what is wrong in it; without anything wrong every pod answers its share of
// everything.
type cluster struct {
	pods, requests int
	kinds          []target.Kind
	// silent reports whether the pod never answers the agent on the path, lost whether the requests that are led to it
	// fail.
	silent func(agent, pod string, kind target.Kind) bool
	lost   bool
	// direct reports whether the pod's own address answers the agent; nil does not probe it.
	direct func(agent, pod string) bool
	// failure is how lost requests fail; the zero value is a timeout while connecting.
	failure report.Failure
	// reused is how many attempts went over connections that others had opened, dropped how many fail for no reason.
	reused, dropped uint64
}

func pod(i int) string { return fmt.Sprintf("agent-%c", 'a'+rune(i)) }

func (c cluster) build() report.Round {
	var r report.Round
	var pods []string
	for i := range c.pods {
		pods = append(pods, pod(i))
		r.Expected = append(r.Expected, report.Expected{Pod: pod(i), Node: fmt.Sprintf("node-%d", i+1)})
	}
	var ids []string
	for i, agent := range pods {
		a := report.AgentReport{Pod: agent, Node: r.Expected[i].Node, Finished: true}
		for _, kind := range c.kinds {
			p := c.path(agent, kind, pods)
			ids = append(ids, p.Target.ID)
			a.Paths = append(a.Paths, p)
		}
		for _, to := range pods {
			if c.direct == nil {
				continue
			}
			p := report.Path{Target: target.Target{ID: "AgentPodV4IP_" + to, Kind: target.Endpoint,
				Family: topology.IPv4,
				Pod:    to}, Scheduled: 10, Sent: 10, OK: 10}
			if !c.direct(agent, to) {
				p.OK, p.Failures = 0, []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: 10}}
			}
			a.Paths = append(a.Paths, p)
		}
		r.Agents = append(r.Agents, a)
	}
	slices.Sort(ids)
	r.Backends = []report.BackendSet{{Targets: slices.Compact(ids), Pods: pods}}
	return r
}

func (c cluster) path(agent string, kind target.Kind, pods []string) report.Path {
	p := report.Path{Target: target.Target{ID: "Agent" + string(kind) + "V4IP_10.0.0.1:80", Kind: kind,
		Family: topology.IPv4}, Reused: c.reused, Peers: map[string]uint64{}}
	var answering []string
	for _, to := range pods {
		if c.silent == nil || !c.silent(agent, to, kind) {
			answering = append(answering, to)
		}
	}
	chosen := answering
	if c.lost {
		chosen = pods
	}
	failed := c.dropped
	for i := range c.requests {
		if to := chosen[i%len(chosen)]; slices.Contains(answering, to) {
			p.Peers[to]++
			p.OK++
			continue
		}
		failed++
	}
	if failed > 0 {
		f := report.Failure{Outcome: probe.Timeout, Phase: probe.Connect}
		if c.failure.Outcome != probe.OK {
			f = c.failure
		}
		f.Count = failed
		p.Failures = []report.Failure{f}
	}
	p.Sent = p.OK + failed
	p.Scheduled = p.Sent
	return p
}

func always(string, string) bool { return true }

func anywhere(pods ...string) func(string, string, target.Kind) bool {
	return func(agent, pod string, _ target.Kind) bool { return agent != pod && slices.Contains(pods, pod) }
}

// cut returns a node without a route to the others: its pod cannot be reached from elsewhere, and cannot reach others.
func cut(pod string) func(string, string, target.Kind) bool {
	return func(agent, to string, _ target.Kind) bool { return agent != to && (agent == pod || to == pod) }
}

func TestSilentBackend(t *testing.T) {
	service := []target.Kind{target.ClusterIP}
	dead := func(agent, to string) bool { return agent == to || to != "agent-c" }
	from := func(source string) func(string, string, target.Kind) bool {
		return func(agent, to string, _ target.Kind) bool { return agent == source && to == "agent-c" }
	}
	type found struct {
		Where      string
		Component  diagnose.Component
		Confidence diagnose.Confidence
	}
	const c, onC = "pod agent-c on node node-3", 300
	badStatus := report.Failure{Outcome: probe.BadStatus, Phase: probe.FirstByte}
	one := func(component diagnose.Component, confidence diagnose.Confidence) []found {
		return []found{{c, component, confidence}}
	}
	cases := []struct {
		name string
		cluster
		want []found
	}{
		{"everyone answers", cluster{pods: 3, requests: onC, kinds: service, direct: always}, nil},
		{"a pod answers nobody, at its own address neither",
			cluster{pods: 4, requests: onC, kinds: service, silent: anywhere("agent-c"), lost: true, direct: dead},
			one(diagnose.PodOrNode, diagnose.High)},
		{"a pod answers at its own address alone",
			cluster{pods: 4, requests: onC, kinds: service, silent: anywhere("agent-c"), lost: true, direct: always},
			one(diagnose.ServicePath, diagnose.High)},
		{"a pod is never chosen", cluster{pods: 4, requests: onC, kinds: service, silent: anywhere("agent-c"),
			direct: always}, one(diagnose.ServicePath, diagnose.High)},
		{"one node's rules lead nowhere",
			cluster{pods: 4, requests: onC, kinds: service, silent: from("agent-a"), lost: true, direct: always},
			one(diagnose.ServicePath, diagnose.High)},
		{"one node has no way to another",
			cluster{pods: 4, requests: onC, kinds: service, silent: from("agent-a"), lost: true,
				direct: func(agent, to string) bool { return agent != "agent-a" || to != "agent-c" }},
			one(diagnose.BetweenNodes, diagnose.High)},
		{"nobody probed the pod's own address",
			cluster{pods: 4, requests: onC, kinds: service, silent: anywhere("agent-c"),
				lost: true}, one(diagnose.Unclear, diagnose.Low)},
		{"some reach the pod's own address and some do not",
			cluster{pods: 4, requests: onC, kinds: service, silent: anywhere("agent-c"), lost: true,
				direct: func(agent, to string) bool { return to != "agent-c" || agent == "agent-a" }},
			one(diagnose.Unclear, diagnose.Low)},
		{"a node that is cut off is one finding, not one for each pod that it misses",
			cluster{pods: 4, requests: onC, kinds: service, silent: cut("agent-c"), lost: true,
				direct: func(agent, to string) bool { return agent == to || (agent != "agent-c" && to != "agent-c") }},
			one(diagnose.PodOrNode, diagnose.High)},
		{"most pods are dead, and everyone says so", cluster{pods: 4, requests: onC, kinds: service, lost: true,
			silent: func(_, to string, _ target.Kind) bool { return to != "agent-a" },
			direct: func(_, to string) bool { return to == "agent-a" }},
			[]found{{"pod agent-b on node node-2", diagnose.PodOrNode, diagnose.High},
				{c, diagnose.PodOrNode, diagnose.High},
				{"pod agent-d on node node-4", diagnose.PodOrNode, diagnose.High}}},
		{"seen by one other agent alone", cluster{pods: 2, requests: onC, kinds: service, lost: true,
			silent: func(agent, to string, _ target.Kind) bool { return agent == "agent-a" && to == "agent-b" },
			direct: func(_, to string) bool { return to == "agent-a" }},
			[]found{{"pod agent-b on node node-2", diagnose.PodOrNode, diagnose.Medium}}},
		{"too few requests of all agents together to have met everyone",
			cluster{pods: 4, requests: 15, kinds: service, silent: anywhere("agent-c"), lost: true, direct: dead}, nil},
		{"enough requests of all agents together",
			cluster{pods: 4, requests: 16, kinds: service, silent: anywhere("agent-c"), lost: true, direct: dead},
			one(diagnose.PodOrNode, diagnose.High)},
		{"one request too few of all agents together, and none lost",
			cluster{pods: 4, requests: 11, kinds: service, silent: anywhere("agent-c"), direct: always}, nil},
		{"enough requests of all agents together, and none lost",
			cluster{pods: 4, requests: 12, kinds: service, silent: anywhere("agent-c"), direct: always},
			one(diagnose.ServicePath, diagnose.High)},
		{"connections that stay open choose no backend",
			cluster{pods: 4, requests: onC, kinds: service, silent: anywhere("agent-c"), direct: always, reused: 1},
			nil},
		{"losses that have another reason leave it at what was not answered",
			cluster{pods: 4, requests: onC, kinds: service, silent: anywhere("agent-c"), lost: true, dropped: 200,
				direct: always},
			one(diagnose.ServicePath, diagnose.Medium)},
		{"nobody answers at all, which is no silent backend", cluster{pods: 3, requests: onC, kinds: service,
			silent: func(string, string, target.Kind) bool { return true }, lost: true}, nil},
		{"a load balancer that leaves a pod out may pin", cluster{pods: 4, requests: onC,
			kinds: []target.Kind{target.LoadBalancer}, silent: anywhere("agent-c"), direct: always}, nil},
		{"an Ingress that leaves a pod out may pin",
			cluster{pods: 4, requests: onC, kinds: []target.Kind{target.Ingress},
				silent: anywhere("agent-c"), direct: always}, nil},
		{"a load balancer whose share for a pod fails", cluster{pods: 4, requests: onC,
			kinds: []target.Kind{target.LoadBalancer}, silent: anywhere("agent-c"), lost: true, direct: always},
			one(diagnose.LoadBalancerPath, diagnose.Medium)},
		{"an Ingress answers with a status of its own in the place of a silent pod",
			cluster{pods: 4, requests: onC, kinds: []target.Kind{target.Ingress}, silent: anywhere("agent-c"),
				lost:   true,
				direct: always, failure: badStatus}, one(diagnose.IngressPath, diagnose.Medium)},
		{"a kind of path that this release does not know",
			cluster{pods: 4, requests: onC, kinds: []target.Kind{"Other"},
				silent: anywhere("agent-c"), lost: true, direct: always},
			one(diagnose.ServicePath, diagnose.High)},
		{"the last node is cut off", cluster{pods: 4, requests: onC, kinds: service, silent: cut("agent-d"), lost: true,
			direct: func(agent, to string) bool { return agent == to || (agent != "agent-d" && to != "agent-d") }},
			[]found{{"pod agent-d on node node-4", diagnose.PodOrNode, diagnose.High}}},
		{"one of the agents does not reach the pod's own address",
			cluster{pods: 4, requests: onC, kinds: service, silent: anywhere("agent-c"), lost: true,
				direct: func(agent, to string) bool { return to != "agent-c" || agent != "agent-a" }},
			one(diagnose.Unclear, diagnose.Low)},
		{"two pods, one of which is reached at its own address alone",
			cluster{pods: 2, requests: onC, kinds: service, lost: true,
				silent: func(agent, to string, _ target.Kind) bool { return agent == "agent-a" && to == "agent-b" },
				direct: always},
			[]found{{"pod agent-b on node node-2", diagnose.ServicePath, diagnose.Medium}}},
		{"a Service answers with no status of its own, so it is a pod that does",
			cluster{pods: 4, requests: onC, kinds: service, silent: anywhere("agent-c"), lost: true,
				direct: always, failure: badStatus}, one(diagnose.ServicePath, diagnose.Medium)},
		{"requests that end in the middle of an answer met a pod",
			cluster{pods: 4, requests: onC, kinds: service, silent: anywhere("agent-c"), lost: true,
				direct: always, failure: report.Failure{Outcome: probe.Timeout, Phase: probe.Body}},
			one(diagnose.ServicePath, diagnose.Medium)},
		{"an Ingress whose share for a pod fails", cluster{pods: 4, requests: onC, kinds: []target.Kind{target.Ingress},
			silent: anywhere("agent-c"), lost: true, direct: dead},
			one(diagnose.PodOrNode, diagnose.Medium)},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			round := tc.build()
			all := patterns(round)
			var got []found
			for _, f := range all {
				got = append(got, found{f.Where, f.Component, f.Confidence})
				if f.Reason != "SilentBackend" || f.Message == "" || len(f.Evidence) == 0 {
					t.Errorf("half a finding: %+v", f)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			slices.Reverse(round.Agents)
			if diff := cmp.Diff(all, patterns(round)); diff != "" {
				t.Errorf("another order of agents gives something else (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatThePodsOwnAddressTells(t *testing.T) {
	to := func(family topology.Family, sent, ok, notSent uint64) report.Path {
		p := report.Path{Target: target.Target{Kind: target.Endpoint, Family: family, Pod: "agent-c"}, Sent: sent,
			OK: ok}
		p.Failures = []report.Failure{{Outcome: probe.NotSent, Phase: probe.Connect, Count: notSent},
			{Outcome: probe.Timeout, Phase: probe.Connect, Count: sent - ok - notSent}}
		return p
	}
	for name, c := range map[string]struct {
		direct []report.Path
		want   diagnose.Component
	}{
		"half of the requests succeed": {[]report.Path{to(topology.IPv4, 10, 5, 0)},
			diagnose.ServicePath},
		"fewer than half succeed": {[]report.Path{to(topology.IPv4, 10, 4, 0)},
			diagnose.PodOrNode},
		"what the agent could not send says nothing": {[]report.Path{to(topology.IPv4, 10, 4, 6)},
			diagnose.ServicePath},
		"nothing was sent": {[]report.Path{to(topology.IPv4, 10, 0, 10)},
			diagnose.Unclear},
		"the other family is another way": {[]report.Path{to(topology.IPv6, 10, 0, 0)}, diagnose.Unclear},
		"the family in which the pod is silent decides alone": {[]report.Path{to(topology.IPv6, 100, 0, 0),
			to(topology.IPv4, 10, 10, 0)}, diagnose.ServicePath},
	} {
		t.Run(name, func(t *testing.T) {
			round := cluster{pods: 4, requests: 300, kinds: []target.Kind{target.ClusterIP},
				silent: anywhere("agent-c"),
				lost:   true}.build()
			for i := range round.Agents {
				round.Agents[i].Paths = append(round.Agents[i].Paths, c.direct...)
			}
			if all := patterns(round); len(all) != 1 || all[0].Component != c.want {
				t.Errorf("got %+v, want one about %s", all, c.want)
			}
		})
	}
}

func TestAnswersWithoutANameAreNoSilence(t *testing.T) {
	round := cluster{pods: 3, requests: 300, kinds: []target.Kind{target.ClusterIP}, silent: anywhere("agent-c"),
		direct: always}.build()
	for i := range round.Agents {
		round.Agents[i].Paths[0].OK++
		round.Agents[i].Paths[0].Sent++
	}
	if got := patterns(round); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
}

func TestAViewTellsOfSilenceFromSoManyAnswersOn(t *testing.T) {
	for _, c := range []struct {
		pods, views int
		// answers is the lowest number that is enough.
		answers int
	}{{4, 4, 39}, {4, 8, 41}, {2, 2, 14}} {
		for requests, want := range map[int]bool{c.answers - 1: false, c.answers: true} {
			kinds := []target.Kind{target.ClusterIP, target.NodePort}[:c.views/c.pods]
			round := cluster{pods: c.pods, requests: requests, kinds: kinds, silent: anywhere("agent-b")}.build()
			if got := len(diagnose.SilentBackends(round)) > 0; got != want {
				t.Errorf("%d answers in each of %d views of %d pods: a silent pod is seen %v, want %v", requests,
					c.views, c.pods,
					got, want)
			}
		}
	}
}

func TestSilentBackendsOfOneView(t *testing.T) {
	round := cluster{pods: 3, requests: 300, kinds: []target.Kind{target.ClusterIP, target.Ingress},
		silent: anywhere("agent-c")}.build()
	want := map[diagnose.AgentTarget][]string{
		{Agent: "agent-a", Target: "AgentClusterIPV4IP_10.0.0.1:80"}: {"agent-c"},
		{Agent: "agent-b", Target: "AgentClusterIPV4IP_10.0.0.1:80"}: {"agent-c"},
	}
	if diff := cmp.Diff(want, diagnose.SilentBackends(round)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWords holds what people read of each rule.
func TestWords(t *testing.T) {
	kinds := []target.Kind{target.ClusterIP, target.NodePort, target.Ingress}
	dead := cluster{pods: 5, requests: 500, kinds: kinds, silent: anywhere("agent-e"), lost: true,
		direct: func(agent, to string) bool { return agent == to || to != "agent-e" }}.build()
	dead.Missing = []report.Missing{{Pod: "agent-e", Node: "node-5", Reason: "no answer on either way"}}
	dead.Agents = dead.Agents[:4]
	cases := map[string]report.Round{
		"silent_backend_dead_pod": dead,
		"silent_backend_not_in_the_service": cluster{pods: 3, requests: 300, kinds: kinds[:1],
			silent: anywhere("agent-c"),
			direct: always}.build(),
		"silent_backend_from_one_node": cluster{pods: 3, requests: 300, kinds: kinds[:1], lost: true, direct: always,
			silent: func(agent, to string, _ target.Kind) bool {
				return agent == "agent-a" &&
					to == "agent-b"
			}}.build(),
	}
	one := weight(func(_, to int) bool { return to == 0 })
	cases["silent_backend_between_nodes"] = lottery{pods: 4, requests: 200,
		lost:      func(agent, to int) bool { return agent == 0 && to == 3 },
		unreached: func(agent, to int) bool { return agent == 0 && to == 3 }}.round(seeded(1))
	cases["silent_backend_reached_by_some"] = lottery{pods: 4, requests: 200,
		lost:      func(agent, to int) bool { return agent != 3 && to == 3 },
		unreached: func(agent, to int) bool { return agent < 2 && to == 3 }}.round(seeded(1))
	cases["silent_backend_not_probed"] = lottery{pods: 6, requests: 200, services: true,
		leads: weight(func(_, to int) bool { return to != 3 })}.round(seeded(1))
	cases["silent_backend_of_all_views_together"] = lottery{pods: 20, requests: 10,
		leads: weight(func(_, to int) bool { return to != 3 })}.round(seeded(1))
	cases["silent_backend_from_some_nodes"] = lottery{pods: 12, requests: 10,
		leads: weight(func(agent, to int) bool { return agent > 4 || to != 7 })}.round(seeded(1))
	cases["silent_backend_dead_at_the_default_load"] = lottery{pods: 12, requests: 10,
		lost:      func(agent, to int) bool { return to == 7 && agent != 7 },
		unreached: func(agent, to int) bool { return to == 7 && agent != 7 }}.round(seeded(1))
	cases["one_backend_only"] = lottery{pods: 5, requests: 10, leads: one}.round(seeded(1))
	losses := everyone(5, "ClusterIP", 20)
	losses[3].lost = 1
	more := everyone(5, "NodePort", 30)[1:]
	more[0].lost = 2
	cases["one_backend_only_with_losses"] = counted(5, append(losses, more...)...)
	cases["local_only_of_one_kind"] = lottery{pods: 4, requests: 10, kinds: kinds[:1],
		leads: weight(func(agent, to int) bool { return agent == to })}.round(seeded(1))
	cases["local_only"] = lottery{pods: 4, requests: 10,
		leads: weight(func(agent, to int) bool { return agent == to })}.round(seeded(1))
	cases["few_backends"] = lottery{pods: 12, requests: 10,
		leads: weight(func(_, to int) bool { return to < 5 })}.round(seeded(1))
	cases["few_backends_from_one_node"] = lottery{pods: 6, requests: 20, kinds: kinds[:1],
		leads: weight(func(agent, to int) bool { return agent != 4 || to == 2 })}.round(seeded(1))
	cases["few_backends_by_one_node_port"] = lottery{pods: 6, requests: 20,
		leads: func(_, to int, t target.Target) float64 {
			if strings.HasSuffix(t.ID, "NodePortIPv4_03") && to != 2 {
				return 0
			}
			return 1
		}}.round(seeded(1))
	cases["uneven_service"] = lottery{pods: 8, requests: 50, kinds: kinds[:1],
		leads: func(_, to int, _ target.Target) float64 {
			if to == 5 {
				return 0.1
			}
			return 1
		}}.round(seeded(1))
	closed := report.Failure{Outcome: probe.Refused, Phase: probe.Connect, Count: 10}
	cases["node_port_addresses"] = addressed(3, nodeAddress{node: 1, host: "10.0.0.1", ok: 10},
		nodeAddress{node: 2, host: "10.0.0.2", ok: 10},
		nodeAddress{node: 1, host: "10.1.0.1", further: true, failure: closed},
		nodeAddress{node: 2, host: "10.1.0.2", further: true, failure: closed},
		nodeAddress{node: 1, host: "10.1.0.3", further: true, failure: closed},
		nodeAddress{node: 1, host: "10.1.0.4", further: true, failure: closed})
	cases["node_port_addresses_external"] = addressed(3, nodeAddress{node: 1, host: "10.0.0.1", ok: 10},
		nodeAddress{node: 2, host: "10.0.0.2", ok: 10},
		nodeAddress{node: 1, host: "192.0.2.1", further: true, external: true, failure: closed},
		nodeAddress{node: 2, host: "192.0.2.2", further: true, external: true, ok: 10})
	cases["uneven_service_of_two_pods"] = counted(5, everyone(5, "ClusterIP", 100, 20, 20, 100, 100)...)
	once := everyone(10, "ClusterIP", 20, 0, 20)
	once[2].lost = 1
	cases["few_backends_with_a_loss"] = counted(10, once...)
	cases["unexpected_backend"] = elsewhere(3)
	cases["load_balancer_answered_by_the_node"] = shortCircuit(lottery{pods: 4, requests: 200,
		kinds: []target.Kind{target.LoadBalancer},
		leads: weight(func(_, to int) bool { return to != 3 })}.round(seeded(1)))
	for name, round := range cases {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			for _, f := range patterns(round) {
				write(&text, f)
			}
			golden(t, filepath.Join("testdata", name+".txt"), text.String())
		})
	}
}

func write(text *strings.Builder, f diagnose.Finding) {
	fmt.Fprintf(text, "%s, %s, confidence %s, at %s\n%s\n", f.Reason, f.Component, f.Confidence, f.Where, f.Message)
	for _, line := range f.Evidence {
		fmt.Fprintln(text, "  "+line)
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got (rewrite with -update):\n%s", diff)
	}
}
