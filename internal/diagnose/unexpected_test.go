package diagnose_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// shortCircuit has nodes answer for the addresses of load balancers themselves.
func shortCircuit(r report.Round) report.Round {
	for _, a := range r.Agents {
		for i := range a.Paths {
			a.Paths[i].Target.ShortCircuit = a.Paths[i].Target.Kind == target.LoadBalancer
		}
	}
	return r
}

func TestNodesThatAnswerForALoadBalancerAreTheServicePath(t *testing.T) {
	l := lottery{pods: 4, requests: 200, kinds: []target.Kind{target.LoadBalancer},
		leads: weight(func(_, to int) bool { return to != 3 })}
	if diff := cmp.Diff([]string{"high SilentBackend at pod agent-03 on node node-03"},
		reasons(shortCircuit(l.round(seeded(1))))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	l.leads = weight(func(_, to int) bool { return to == 1 })
	if diff := cmp.Diff([]string{"high OneBackendOnly at pod agent-01 on node node-01"},
		reasons(shortCircuit(l.round(seeded(1))))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	stale := lottery{pods: 6, requests: 20, kinds: l.kinds,
		leads: weight(func(agent, to int) bool { return agent != 4 || to == 2 })}
	if diff := cmp.Diff([]string{"medium FewBackends at node-04"},
		reasons(shortCircuit(stale.round(seeded(1))))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := reasons(l.round(seeded(1))); len(got) > 0 {
		t.Errorf("a load balancer may lead to one pod alone: %v", got)
	}
	ports := lottery{pods: 4, requests: 200, kinds: []target.Kind{target.NodePort}, leads: l.leads}.round(seeded(1))
	for _, a := range ports.Agents {
		for i := range a.Paths {
			a.Paths[i].Target.ShortCircuit = true
		}
	}
	if diff := cmp.Diff([]string{"high OneBackendOnly at pod agent-01 on node node-01"}, reasons(ports)); diff != "" {
		t.Errorf("a node port (-want +got):\n%s", diff)
	}
	if got := patterns(ports)[0].Message; !strings.HasPrefix(got, "NodePort: ") {
		t.Errorf("%s", got)
	}
}

// elsewhere returns a round in which the Service may lead each agent only to its own node, and leads all agents
// everywhere.
func elsewhere(pods int) report.Round {
	r := lottery{pods: pods, requests: 10, kinds: []target.Kind{target.ClusterIP}}.round(seeded(1))
	ids := r.Backends[0].Targets
	r.Backends = nil
	for i := range pods {
		r.Backends = append(r.Backends,
			report.BackendSet{Targets: ids, Pods: []string{name(i)}, Askers: []string{name(i)}})
	}
	return r
}

func TestUnexpectedBackend(t *testing.T) {
	// agent-01 is led to agent-02, which it may not meet; all others are led to themselves.
	base := func(change func(*report.Round)) report.Round {
		r := elsewhere(3)
		for i := range r.Agents {
			peers := map[string]uint64{name(i): 10}
			if i == 1 {
				peers = map[string]uint64{name(1): 9, name(2): 1}
			}
			r.Agents[i].Paths[0].Peers = peers
		}
		change(&r)
		return r
	}
	two := "pod agent-02 on node node-02"
	cases := []struct {
		name  string
		round report.Round
		want  []string
	}{
		{"the policy is Local and everybody is led everywhere", elsewhere(3),
			[]string{"high UnexpectedBackend at pod agent-00 on node node-00, pod agent-01 on node node-01, " + two}},
		{"one answer to one agent", base(func(*report.Round) {}), []string{"medium UnexpectedBackend at " + two}},
		{"one answer to each of two agents",
			base(func(r *report.Round) { r.Agents[0].Paths[0].Peers = map[string]uint64{name(0): 9, name(2): 1} }),
			[]string{"high UnexpectedBackend at " + two}},
		{"the pod may answer beside the backends",
			base(func(r *report.Round) { r.Backends[1].MayAlsoAnswer = []string{name(2)} }),
			nil},
		{"the pod was changed", base(func(r *report.Round) { r.Churn = []report.Change{{Pod: name(2)}} }), nil},
		{"the agent was changed", base(func(r *report.Round) { r.Churn = []report.Change{{Pod: name(1)}} }), nil},
		{"another pod was changed", base(func(r *report.Round) { r.Churn = []report.Change{{Pod: name(0)}} }),
			[]string{"medium UnexpectedBackend at " + two}},
		{"a backend that was changed", base(func(r *report.Round) {
			r.Churn, r.Backends[1].Pods = []report.Change{{Pod: name(2)}}, []string{name(1), name(2)}
		}), nil},
		{"the pod was left out of the round",
			base(func(r *report.Round) { r.Expected[2].LeftOutWhy = "pod is not ready" }),
			nil},
		{"nobody knows the pod", base(func(r *report.Round) { r.Expected = r.Expected[:2] }), nil},
		{"nobody knows the backends", base(func(r *report.Round) { r.Backends = nil }), nil},
		{"anyone may answer", base(func(r *report.Round) { r.Agents[1].Paths[0].Target.Answer = target.Anyone }), nil},
		{"it never answered", base(func(r *report.Round) { r.Agents[1].Paths[0].Peers[name(2)] = 0 }), nil},
		{"a node port, by a round of the first release", base(func(r *report.Round) {
			r.Agents[1].Paths[0].Target.Kind, r.Agents[1].Paths[0].Target.Answer = target.NodePort, ""
		}), nil},
		{"a node port", base(func(r *report.Round) { r.Agents[1].Paths[0].Target.Kind = target.NodePort }),
			[]string{"medium UnexpectedBackend at " + two}},
		{"a node port of one node alone", base(func(r *report.Round) {
			r.Agents[1].Paths[0].Target.Kind, r.Agents[1].Paths[0].Target.Answer,
				r.Agents[1].Paths[0].Target.OnlyNode = target.NodePort, "", node(1)
		}), []string{"medium UnexpectedBackend at " + two}},
		{"a cluster address, by a round of the first release",
			base(func(r *report.Round) { r.Agents[1].Paths[0].Target.Answer = "" }),
			[]string{"medium UnexpectedBackend at " + two}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, reasons(c.round)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			slices.Reverse(c.round.Agents)
			slices.Reverse(c.round.Backends)
			if diff := cmp.Diff(c.want, reasons(c.round)); diff != "" {
				t.Errorf("in another order (-want +got):\n%s", diff)
			}
		})
	}
}
