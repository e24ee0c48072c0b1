package diagnose_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// weight leads to the pods for which the condition holds, all alike, and to no others.
func weight(to func(agent, to int) bool) func(int, int, target.Target) float64 {
	return func(agent, pod int, _ target.Target) float64 {
		if to(agent, pod) {
			return 1
		}
		return 0
	}
}

func TestAPodThatIsNeverSelectedIsFoundAtTheDefaultLoad(t *testing.T) {
	both := []topology.Family{topology.IPv4, topology.IPv6}
	silent := weight(func(_, to int) bool { return to != 1 })
	six := func(_, to int, t target.Target) float64 {
		if t.Family == topology.IPv6 && to == 1 {
			return 0
		}
		return 1
	}
	sixPort := func(_, to int, t target.Target) float64 {
		if t.Family == topology.IPv6 && t.Kind == target.NodePort && to == 1 {
			return 0
		}
		return 1
	}
	clusterIP := func(_, to int, t target.Target) float64 {
		if t.Kind == target.ClusterIP && to == 1 {
			return 0
		}
		return 1
	}
	service := []target.Kind{target.ClusterIP}
	cases := []struct {
		name string
		lottery
		paths string
	}{
		{"over all paths", lottery{leads: silent}, "ClusterIP, NodePort"},
		{"in both families", lottery{leads: silent, families: both}, "ClusterIP, NodePort"},
		{"over IPv6 alone", lottery{leads: six, families: both}, "ClusterIP, NodePort"},
		{"over node ports and IPv6 alone", lottery{leads: sixPort, families: both}, "NodePort"},
		{"over the cluster address alone, at 20 a second", lottery{leads: clusterIP, requests: 40}, "ClusterIP"},
		{"where only the cluster address is a target, at 20 a second",
			lottery{leads: silent, requests: 40, kinds: service},
			"ClusterIP"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, pods := range []int{2, 3, 4, 7, 12, 20, 40} {
				c.pods, c.requests = pods, max(c.requests, 10)
				if pods == 2 && c.leads(0, 1, target.Target{Kind: target.NodePort, Family: topology.IPv4}) > 0 &&
					c.requests < 20 {
					// 2 x 10 requests of the one other agent.
					continue
				}
				findings := patterns(c.round(seeded(uint64(pods))))
				if len(findings) != 1 || findings[0].Reason != "SilentBackend" ||
					findings[0].Where != "pod agent-01 on node node-01" ||
					!strings.HasPrefix(findings[0].Message, c.paths+": ") ||
					findings[0].Component != diagnose.ServicePath {
					t.Errorf("%d pods: %+v", pods, findings)
				}
				if want := diagnose.High; pods > 2 && findings[0].Confidence != want {
					t.Errorf("%d pods: confidence %s", pods, findings[0].Confidence)
				}
			}
		})
	}
}

func TestAPodThatSomeNodesNeverSelectIsFoundAtTheDefaultLoad(t *testing.T) {
	for _, pods := range []int{6, 9, 20, 60} {
		zone := func(i int) bool { return i < pods/3 }
		l := lottery{pods: pods, requests: 10,
			leads: weight(func(agent, to int) bool { return to != pods-1 || !zone(agent) })}
		findings := patterns(l.round(seeded(1)))
		if len(findings) != 1 || findings[0].Reason != "SilentBackend" ||
			findings[0].Where != "pod "+name(pods-1)+" on node "+node(pods-1) ||
			findings[0].Confidence != diagnose.Medium || findings[0].Component != diagnose.ServicePath ||
			!strings.Contains(findings[0].Message,
				fmt.Sprintf("never answered %d of %d other agents", pods/3, pods-1)) {
			t.Errorf("%d pods: %+v", pods, findings)
		}
	}
}

func TestWhatBecomesOfASilentPod(t *testing.T) {
	dead := func(agent, to int) bool { return to == 1 && agent != 1 }
	cut := func(agent, to int) bool { return agent != to && (to == 1 || agent == 1) }
	changed := func(r report.Round, pods ...string) report.Round {
		for _, pod := range pods {
			r.Churn = append(r.Churn, report.Change{Pod: pod, Kind: report.Restarted})
		}
		return r
	}
	silent := lottery{pods: 8, requests: 10, leads: weight(func(_, to int) bool { return to != 1 })}
	found := []string{"high SilentBackend at pod agent-01 on node node-01"}
	many := lottery{pods: 8, requests: 10}.round(seeded(1))
	uneven := silent.round(seeded(1))
	uneven.Backends[0].UnevenWhy = "sessionAffinity is ClientIP"
	proxied := lottery{pods: 8, requests: 10, leads: silent.leads,
		kinds: []target.Kind{target.LoadBalancer, target.Ingress}}.round(seeded(1))
	kept := silent.round(seeded(1))
	for i := range kept.Agents {
		for j := range kept.Agents[i].Paths {
			kept.Agents[i].Paths[j].Reused = 1
		}
	}
	cases := []struct {
		name  string
		round report.Round
		want  []string
	}{
		{"nobody is silent", many, nil},
		{"a pod that answers nobody else, dead for its neighbours too",
			lottery{pods: 8, requests: 10, lost: dead, unreached: dead}.round(seeded(1)), found},
		{"a node that is cut off", lottery{pods: 8, requests: 10, lost: cut, unreached: cut}.round(seeded(1)), found},
		{"another pod was changed", changed(silent.round(seeded(1)), "agent-03"), found},
		{"the pod itself was changed", changed(silent.round(seeded(1)), "agent-01"), nil},
		{"all others were changed",
			changed(lottery{pods: 2, requests: 10, leads: silent.leads}.round(seeded(1)), "agent-00"), nil},
		{"the Service's spec explains it", uneven, nil},
		{"a load balancer and an Ingress select as they like", proxied, nil},
		{"connections that stay open select no backend", kept, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, reasons(c.round)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, a := range c.round.Agents {
				slices.Reverse(a.Paths)
			}
			slices.Reverse(c.round.Agents)
			slices.Reverse(c.round.Expected)
			slices.Reverse(c.round.Backends[0].Targets)
			slices.Reverse(c.round.Backends[0].Pods)
			if diff := cmp.Diff(c.want, reasons(c.round)); diff != "" {
				t.Errorf("in another order (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAServiceThatLeadsToFewPods(t *testing.T) {
	one := weight(func(_, to int) bool { return to == 0 })
	local := weight(func(agent, to int) bool { return agent == to })
	few := weight(func(_, to int) bool { return to < 3 })
	stale := weight(func(agent, to int) bool { return agent != 4 || to == 2 })
	kinds := func(kinds ...target.Kind) []target.Kind { return kinds }
	port := func(agent, to int, t target.Target) float64 {
		if t.Kind == target.NodePort && t.ID != fmt.Sprintf("Agent%s%s_%02d", t.Kind, t.Family, to) {
			return 0
		}
		return 1
	}
	both := []topology.Family{topology.IPv4, topology.IPv6}
	type leading = func(agent, to int, t target.Target) float64
	over := func(family topology.Family, leads, others leading) leading {
		return func(agent, to int, t target.Target) float64 {
			if t.Family == family {
				return leads(agent, to, t)
			}
			return others(agent, to, t)
		}
	}
	evenly := weight(func(int, int) bool { return true })
	explained := func(r report.Round) report.Round {
		r.Backends[0].UnevenWhy = "trafficDistribution is PreferClose"
		return r
	}
	away := func(agent, to int) bool { return agent != to }
	cases := []struct {
		name  string
		round report.Round
		want  []string
	}{
		{"everybody to one pod", lottery{pods: 5, requests: 10, leads: one}.round(seeded(1)),
			[]string{"high OneBackendOnly at pod agent-00 on node node-00"}},
		{"everybody to one pod, and the spec says so",
			explained(lottery{pods: 5, requests: 10, leads: one}.round(seeded(1))), nil},
		{"everybody to one pod, whose own paths are all that work",
			lottery{pods: 5, requests: 10, leads: one,
				unreached: func(_, to int) bool { return to > 0 }}.round(seeded(1)),
			[]string{"low OneBackendOnly at pod agent-00 on node node-00"}},
		{"each node to itself",
			lottery{pods: 3, requests: 10, leads: local, kinds: kinds(target.ClusterIP)}.round(seeded(1)),
			[]string{"medium LocalOnly at the Service's ClusterIP"}},
		{"each of two nodes to itself",
			lottery{pods: 2, requests: 20, leads: local, kinds: kinds(target.ClusterIP)}.round(seeded(1)),
			[]string{"medium LocalOnly at the Service's ClusterIP"}},
		{"each node to itself by all paths", lottery{pods: 3, requests: 10, leads: local}.round(seeded(1)),
			[]string{"medium LocalOnly at the Service's ClusterIP, NodePort"}},
		{"each node port to its own node", lottery{pods: 4, requests: 10, leads: port}.round(seeded(1)),
			[]string{"medium LocalOnly at the Service's NodePort"}},
		{"each node to itself, and the spec says so",
			explained(lottery{pods: 3, requests: 10, leads: local}.round(seeded(1))), nil},
		{"each node to itself, since the way to all others is broken",
			lottery{pods: 6, requests: 30, lost: away, unreached: away,
				kinds: kinds(target.ClusterIP)}.round(seeded(1)), nil},
		{"each of three nodes to itself, and a fourth gets no answer",
			lottery{pods: 4, requests: 20, leads: local, lost: func(agent, _ int) bool { return agent == 0 },
				kinds: kinds(target.ClusterIP)}.round(seeded(1)),
			[]string{"low LocalOnly at the Service's ClusterIP"}},
		{"everybody to three of ten pods", lottery{pods: 10, requests: 10, leads: few}.round(seeded(1)),
			[]string{"high FewBackends at the Service's ClusterIP, NodePort"}},
		{"one node to a single pod",
			lottery{pods: 6, requests: 20, leads: stale, kinds: kinds(target.ClusterIP)}.round(seeded(1)),
			[]string{"medium FewBackends at node-04"}},
		{"everybody to one pod over IPv6, and to all alike over IPv4",
			lottery{pods: 3, requests: 10, families: both, leads: over(topology.IPv6, one, evenly)}.round(seeded(1)),
			[]string{"high OneBackendOnly at pod agent-00 on node node-00"}},
		{"each node to itself over IPv4, and to all alike over IPv6",
			lottery{pods: 3, requests: 10, families: both, leads: over(topology.IPv4, local, evenly),
				kinds: kinds(target.ClusterIP)}.round(seeded(1)),
			[]string{"medium LocalOnly at the Service's ClusterIP over IPv4"}},
		{"each node to itself over IPv4, and everybody to one pod over IPv6",
			lottery{pods: 3, requests: 10, families: both, leads: over(topology.IPv4, local, one),
				kinds: kinds(target.ClusterIP)}.round(seeded(1)),
			[]string{"high OneBackendOnly at pod agent-00 on node node-00",
				"medium LocalOnly at the Service's ClusterIP over IPv4"}},
		{"each node to itself over both families",
			lottery{pods: 3, requests: 10, families: both, leads: local,
				kinds: kinds(target.ClusterIP)}.round(seeded(1)),
			[]string{"medium LocalOnly at the Service's ClusterIP"}},
		{"everybody to three of ten pods over IPv6 alone",
			lottery{pods: 10, requests: 10, families: both, leads: over(topology.IPv6, few, evenly)}.round(seeded(1)),
			[]string{"high FewBackends at the Service's ClusterIP, NodePort over IPv6"}},
		{"a few requests of a single agent",
			lottery{pods: 5, requests: 3, leads: stale, kinds: kinds(target.ClusterIP)}.round(seeded(1)), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, reasons(c.round)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, a := range c.round.Agents {
				slices.Reverse(a.Paths)
			}
			slices.Reverse(c.round.Agents)
			if diff := cmp.Diff(c.want, reasons(c.round)); diff != "" {
				t.Errorf("in another order (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNodePortsThatLeadToTheirOwnNodes(t *testing.T) {
	port := func(_, to int, t target.Target) float64 {
		if t.Kind == target.NodePort && !strings.HasSuffix(t.ID, fmt.Sprintf("_%02d", to)) {
			return 0
		}
		return 1
	}
	got := patterns(lottery{pods: 4, requests: 10, leads: port}.round(seeded(1)))[0].Message
	if !strings.Contains(got, "requests to each node port were answered by pods of one node alone") {
		t.Errorf("%s", got)
	}
}

func TestAPodThatGetsFarLessThanItsShare(t *testing.T) {
	part := func(of float64) func(int, int, target.Target) float64 {
		return func(_, to int, _ target.Target) float64 {
			if to == 1 {
				return of
			}
			return 1
		}
	}
	for name, c := range map[string]struct {
		weight float64
		want   []string
	}{
		"a tenth":            {0.1, []string{"low UnevenService at pod agent-01 on node node-01"}},
		"eight tenths":       {0.8, nil},
		"three times that":   {3, []string{"low UnevenService at pod agent-01 on node node-01"}},
		"one and a half":     {1.5, nil},
		"what everybody has": {1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := lottery{pods: 8, requests: 50, leads: part(c.weight), kinds: []target.Kind{target.ClusterIP}}
			if diff := cmp.Diff(c.want, reasons(l.round(seeded(1)))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
