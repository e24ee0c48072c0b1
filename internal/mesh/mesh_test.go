package mesh_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/limits"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

func TestNew(t *testing.T) {
	ready := func(pod, address string) topology.Agent {
		return topology.Agent{Pod: pod, Node: "node-" + pod, HTTPPort: 80,
			Addresses: []netip.Addr{netip.MustParseAddr(address)}}
	}
	a, b := ready("a", "192.0.2.1"), ready("b", "192.0.2.2")
	pending := topology.Agent{Pod: "c", Node: "node-c", NotReady: "pod is Pending"}
	toA, toB := "AgentPodV4IP_a_192.0.2.1", "AgentPodV4IP_b_192.0.2.2"
	v4 := []topology.Family{topology.IPv4}
	cases := []struct {
		name     string
		agents   []topology.Agent
		kinds    []target.Kind
		families []topology.Family
		plans    map[string][]string
		expected []report.Expected
		gaps     []target.Gap
	}{
		{name: "every ready agent probes every target, its own included", agents: []topology.Agent{a, b},
			kinds: []target.Kind{target.Endpoint}, families: v4,
			plans: map[string][]string{"a": {toA, toB}, "b": {toA, toB}},
			expected: []report.Expected{{Pod: "a", Node: "node-a", Requests: 10, Targets: []string{toA, toB}},
				{Pod: "b", Node: "node-b", Requests: 10, Targets: []string{toA, toB}}}},
		{name: "an agent that is not ready gets no plan and is expected with its reason",
			agents: []topology.Agent{a, pending}, kinds: []target.Kind{target.Endpoint}, families: v4,
			plans: map[string][]string{"a": {toA}},
			expected: []report.Expected{{Pod: "a", Node: "node-a", Requests: 10, Targets: []string{toA}},
				{Pod: "c", Node: "node-c", LeftOutWhy: "pod is Pending"}}},
		{name: "a gap that all agents see is told once", agents: []topology.Agent{a, b},
			kinds: []target.Kind{target.Ingress}, families: v4,
			plans: map[string][]string{"a": nil, "b": nil},
			expected: []report.Expected{{Pod: "a", Node: "node-a", Requests: 10},
				{Pod: "b", Node: "node-b", Requests: 10}},
			gaps: []target.Gap{{Kind: target.Ingress, Family: topology.IPv4, Reason: "the agents have no Ingress"}}},
		{name: "a kind that this release does not have is a gap", agents: []topology.Agent{a},
			kinds: []target.Kind{"Gateway"}, families: v4,
			plans: map[string][]string{"a": nil}, expected: []report.Expected{{Pod: "a", Node: "node-a", Requests: 10}},
			gaps: []target.Gap{{Kind: "Gateway", Family: topology.IPv4,
				Reason: "this release has no target kind Gateway"}}},
		{name: "a target that is asked for twice is probed once", agents: []topology.Agent{a},
			kinds: []target.Kind{target.Endpoint, target.Endpoint}, families: v4,
			plans:    map[string][]string{"a": {toA}},
			expected: []report.Expected{{Pod: "a", Node: "node-a", Requests: 10, Targets: []string{toA}}}},
		{name: "without agents there is nothing to do", kinds: []target.Kind{target.Endpoint}, families: v4,
			plans: map[string][]string{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			key := schedule.Key{UID: "u", Generation: 2, Round: 3}
			want := mesh.Want{Kinds: c.kinds, Families: c.families,
				Load: mesh.Load{PerSecond: 5, Duration: 2 * time.Second}, Limit: time.Minute,
				HTTP: mesh.HTTP{Status: 204, Answer: mesh.Answer{Bytes: 8000}}}
			m := mesh.New(key, report.TaskRef{Kind: "NetReach", Name: "t"}, topology.Snapshot{Agents: c.agents}, want)
			plans := map[string][]string{}
			for _, p := range m.Plans {
				var ids []string
				for _, found := range p.Targets {
					ids = append(ids, found.ID)
				}
				plans[p.Agent.Pod] = ids
				if p.Key != key || p.Load != want.Load || p.Limit != want.Limit || p.Status != want.Status ||
					p.Answer != want.Answer || p.Task.Name != "t" {
					t.Errorf("plan of %s: %+v; want key, load, limit, status, answer and task as asked for",
						p.Agent.Pod, p)
				}
			}
			limits.Grant(&m, want.Load, limits.Share{})
			if len(m.Plans) > 0 && m.Load.AnswerBytes != want.Answer.Bytes {
				t.Errorf("answers of %d bytes are told, want %d", m.Load.AnswerBytes, want.Answer.Bytes)
			}
			if diff := cmp.Diff(c.plans, plans); diff != "" {
				t.Errorf("plans (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.expected, m.Expected); diff != "" {
				t.Errorf("expected (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.gaps, m.Gaps); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsExpectedOfThePersistentStream(t *testing.T) {
	m := mesh.New(schedule.Key{}, report.TaskRef{}, twoNodes(),
		mesh.Want{Load: mesh.Load{PerSecond: 10, Duration: 10 * time.Second, Connection: mesh.Both}})
	if m.Expected[0].Requests != 100 || m.Expected[0].Persistent != 10 {
		t.Errorf("%d requests and %d of the persistent stream are expected, want 100 and 10", m.Expected[0].Requests,
			m.Expected[0].Persistent)
	}
}

func TestAMeshThatIsWithheldExpectsThoseWhoCouldNotHaveBegun(t *testing.T) {
	s := twoNodes()
	s.Agents[1].NotReady = "pod is Pending"
	m := mesh.New(schedule.Key{}, report.TaskRef{}, s,
		mesh.Want{Kinds: []target.Kind{target.ClusterIP}, Families: []topology.Family{topology.IPv4}})
	m.DropPlans()
	if diff := cmp.Diff(mesh.Mesh{Expected: []report.Expected{{Pod: "b", Node: "n1", LeftOutWhy: "pod is Pending"}},
		Load: m.Load}, m); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestThereIsNoPersistentStreamUnlessBothAreAskedFor(t *testing.T) {
	for connection, want := range map[mesh.Connection][2]time.Duration{"": {}, mesh.NewConnection: {},
		mesh.KeepAlive: {}, mesh.Both: {10, time.Second}} {
		requests, every := (mesh.Load{PerSecond: 10, Duration: 10 * time.Second, Connection: connection}).Persistent()
		if requests != uint64(want[0]) || every != want[1] {
			t.Errorf("%q: %d requests every %v, want %d every %v", connection, requests, every, want[0], want[1])
		}
	}
}

func TestCount(t *testing.T) {
	s := twoNodes()
	s.Services[0].InternalLocal, s.Agents[1].NotReady = true, "pod is Pending"
	agents, most := mesh.Count(s,
		mesh.Want{Kinds: []target.Kind{target.Endpoint, target.ClusterIP}, Families: []topology.Family{topology.IPv4}})
	if agents != 2 || most != 3 {
		t.Errorf("%d agents have up to %d targets, want 2 with 3", agents, most)
	}
}

func TestRequests(t *testing.T) {
	if n := (mesh.Load{PerSecond: 10, Duration: 10 * time.Second}).Requests(); n != 100 {
		t.Errorf("10 a second for 10 seconds are %d requests, want 100", n)
	}
}

func TestBackends(t *testing.T) {
	addr := netip.MustParseAddr
	dual := topology.Agent{Pod: "b", Node: "n1", HTTPPort: 80,
		Addresses: []netip.Addr{addr("192.0.2.2"), addr("2001:db8::2")}}
	four := topology.Agent{Pod: "a", Node: "n2", HTTPPort: 80, Addresses: []netip.Addr{addr("192.0.2.1")}}
	pending := topology.Agent{Pod: "c", Node: "n3", NotReady: "pod is Pending",
		Addresses: []netip.Addr{addr("192.0.2.3")}}
	snapshot := topology.Snapshot{
		Agents: []topology.Agent{dual, four, pending},
		Nodes: []topology.Node{{Name: "n1", Addresses: []netip.Addr{addr("198.51.100.1")}},
			{Name: "n2", Addresses: []netip.Addr{addr("198.51.100.2")}}},
		Services: []topology.Service{{Name: "s", Port: 80, NodePort: 30080, LoadBalancer: true,
			ClusterIPs: []netip.Addr{addr("203.0.113.1"), addr("2001:db8:1::1")},
			Ingress:    []topology.Entry{{Address: addr("203.0.113.9")}}}},
		Ingresses: []topology.Ingress{{Rules: []topology.Rule{{Path: "/x"}},
			Entries: []topology.Entry{{Address: addr("203.0.113.10")}, {Address: addr("2001:db8:2::1")}}}},
	}
	want := mesh.Want{Kinds: []target.Kind{target.Endpoint, target.ClusterIP, target.NodePort, target.LoadBalancer,
		target.Ingress},
		Families: []topology.Family{topology.IPv4, topology.IPv6}}
	got := mesh.New(schedule.Key{}, report.TaskRef{}, snapshot, want).Backends
	all := []report.BackendSet{
		{Pods: []string{"a", "b"},
			Targets: []string{"AgentClusterV4IP_203.0.113.1:80", "AgentIngress_http://203.0.113.10/x",
				"AgentIngress_http://[2001:db8:2::1]/x", "AgentLoadbalancerV4IP_203.0.113.9:80",
				"AgentNodePortV4IP_198.51.100.1_30080", "AgentNodePortV4IP_198.51.100.2_30080"}},
		{Pods: []string{"b"}, Targets: []string{"AgentClusterV6IP_[2001:db8:1::1]:80"}},
	}
	if diff := cmp.Diff(all, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	slices.Reverse(snapshot.Agents)
	if diff := cmp.Diff(all, mesh.New(schedule.Key{}, report.TaskRef{}, snapshot, want).Backends); diff != "" {
		t.Errorf("with the agents in another order (-want +got):\n%s", diff)
	}
}
