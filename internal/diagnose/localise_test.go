package diagnose_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// way is one path of a matrix: to is -1 where any pod may answer.
type way struct {
	from, to int
	kind     target.Kind
	family   topology.Family
}

// matrix is a judged round in which every agent asks every other one over every kind and family.
type matrix struct {
	nodes    int
	kinds    []target.Kind
	families []topology.Family
	// result is the result of a path; with nil, all paths pass.
	result func(way) verdict.Result
	// persistent reports which paths fail only for the requests over a persistent connection; with nil, no path does.
	persistent func(way) bool
}

func (m matrix) build() (report.Round, verdict.Verdict) {
	kinds, families := m.kinds, m.families
	if kinds == nil {
		kinds = []target.Kind{target.Endpoint, target.ClusterIP, target.NodePort}
	}
	if families == nil {
		families = []topology.Family{topology.IPv4}
	}
	var r report.Round
	var v verdict.Verdict
	for i := range m.nodes {
		a := report.AgentReport{Pod: name(i), Node: node(i)}
		judged := verdict.JudgedAgent{Pod: name(i), Node: node(i)}
		add := func(w way, t target.Target) {
			t.ID = fmt.Sprintf("%s-%s-%d", w.kind, w.family, w.to)
			t.Kind, t.Family = w.kind, w.family
			result := verdict.Pass
			if m.result != nil {
				result = m.result(w)
			}
			a.Paths = append(a.Paths, report.Path{Target: t})
			path := verdict.JudgedPath{Target: t.ID, Result: result}
			path.Reason.Persistent = result == verdict.Fail && m.persistent != nil && m.persistent(w)
			judged.Paths = append(judged.Paths, path)
		}
		for _, family := range families {
			for _, kind := range kinds {
				if kind == target.ClusterIP || kind == target.LoadBalancer {
					add(way{i, -1, kind, family}, target.Target{Answer: target.Backends})
					continue
				}
				for to := range m.nodes {
					t := target.Target{Answer: target.OnePod, Pod: name(to), Node: node(to)}
					if kind == target.NodePort {
						t = target.Target{Answer: target.Backends, AtNode: node(to)}
					}
					if kind == target.SecondInterface {
						t.Interface = "net1"
					}
					add(way{i, to, kind, family}, t)
				}
			}
		}
		r.Agents, v.Agents = append(r.Agents, a), append(v.Agents, judged)
	}
	return r, v
}

// fails makes the paths fail for which the condition holds.
func fails(hold func(way) bool) func(way) verdict.Result {
	return func(w way) verdict.Result {
		if hold(w) {
			return verdict.Fail
		}
		return verdict.Pass
	}
}

// known makes paths fail or pass, and leaves all others without a result.
func known(failed, passed bool) verdict.Result {
	switch {
	case failed:
		return verdict.Fail
	case passed:
		return verdict.Pass
	}
	return verdict.NoData
}

func TestFailuresOfPersistentConnectionsAlone(t *testing.T) {
	cut := func(w way) bool { return w.kind == target.Endpoint && w.from != w.to && (w.from == 1 || w.to == 1) }
	one := func(w way) bool { return w.kind == target.Endpoint && w.from == 0 && w.to == 1 }
	all := func(way) bool { return true }
	cases := []struct {
		name string
		matrix
		want string
	}{
		{"several nodes see them", matrix{nodes: 4, result: fails(cut), persistent: all}, "high"},
		{"one node sees them", matrix{nodes: 4, result: fails(one), persistent: all}, "medium"},
		{"one path fails for its counted requests", matrix{nodes: 4, result: fails(cut),
			persistent: func(w way) bool { return !one(w) }}, ""},
		{"nothing fails", matrix{nodes: 4, persistent: all}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			for _, f := range diagnose.Localise(c.build()) {
				if f.Reason == "OnlyPersistent" {
					got = string(f.Confidence)
				}
			}
			if got != c.want {
				t.Errorf("confidence %q, want %q", got, c.want)
			}
		})
	}
}

func TestFurtherAddressesOfANodeAreNoFaultOfTheNode(t *testing.T) {
	ports := func(w way) bool { return w.kind == target.NodePort && w.to == 1 }
	round, judged := matrix{nodes: 3, result: fails(ports)}.build()
	for i := range round.Agents {
		for j := range round.Agents[i].Paths {
			to := &round.Agents[i].Paths[j].Target
			to.Further = to.AtNode == node(1)
		}
	}
	if found := diagnose.Localise(round, judged); len(found) != 0 {
		t.Errorf("further addresses alone fail, and the findings are %+v", found)
	}
	round, judged = matrix{nodes: 3, result: fails(ports)}.build()
	if found := diagnose.Localise(round, judged); len(found) != 1 || found[0].Where != "node "+node(1) {
		t.Errorf("primary addresses of one node fail, and the findings are %+v", found)
	}
}

func TestTheSurestFindingComesFirst(t *testing.T) {
	round, judged := matrix{nodes: 4,
		result:     fails(func(w way) bool { return w.kind == target.Endpoint && w.from == 0 && w.to == 1 }),
		persistent: func(way) bool { return true }}.build()
	rank := map[diagnose.Confidence]int{diagnose.High: 0, diagnose.Medium: 1, diagnose.Low: 2}
	found := diagnose.Findings(round, judged)
	if len(found) < 2 || !slices.IsSortedFunc(found,
		func(a, b diagnose.Finding) int { return rank[a.Confidence] - rank[b.Confidence] }) {
		t.Errorf("findings %+v; want several, the surest first", found)
	}
}

func TestLocalise(t *testing.T) {
	both := []topology.Family{topology.IPv4, topology.IPv6}
	pods := []target.Kind{target.Endpoint}
	net1 := []target.Kind{target.Endpoint, target.SecondInterface}
	cut := func(w way) bool { return w.kind == target.Endpoint && w.from != w.to && (w.from == 1 || w.to == 1) }
	pair := func(w way) bool {
		return w.kind == target.Endpoint && w.from != w.to && w.from < 2 && w.to >= 0 && w.to < 2
	}
	cases := []struct {
		name string
		matrix
		want string
	}{
		{"nothing fails", matrix{nodes: 3}, ""},
		{"everything fails", matrix{nodes: 3, result: fails(func(way) bool { return true })}, ""},
		{"a node is cut off", matrix{nodes: 4, result: fails(cut)}, "high CommonNode node node-01"},
		{"a node is cut off, and Services fail for a part",
			matrix{nodes: 4, result: fails(func(w way) bool { return cut(w) || w.kind == target.ClusterIP })},
			"high CommonNode node node-01"},
		{"a node is cut off over IPv6",
			matrix{nodes: 4, families: both,
				result: fails(func(w way) bool { return cut(w) && w.family == topology.IPv6 })},
			"high CommonNode node node-01"},
		{"nobody reaches a node, which reaches all", matrix{nodes: 4,
			result: fails(func(w way) bool { return cut(w) && w.to == 1 })}, "medium CommonNode node node-01"},
		{"some do not reach a node", matrix{nodes: 6,
			result: fails(func(w way) bool { return cut(w) && w.to == 1 && w.from > 3 })},
			"low CommonNode node node-01"},
		{"two of three nodes do not reach each other", matrix{nodes: 3, result: fails(pair)},
			"high BetweenTwoNodes nodes node-00 and node-01"},
		{"one of three nodes does not reach another",
			matrix{nodes: 3, result: fails(func(w way) bool { return pair(w) && w.from == 0 })},
			"medium BetweenTwoNodes nodes node-00 and node-01"},
		{"two nodes do not reach each other, and there are no others", matrix{nodes: 2, result: fails(pair)},
			"low BetweenTwoNodes nodes node-00 and node-01"},
		{"two nodes do not reach each other by IPv4", matrix{nodes: 3, families: both, kinds: pods,
			result: fails(func(w way) bool { return pair(w) && w.family == topology.IPv4 })},
			"high BetweenTwoNodes nodes node-00 and node-01"},
		{"a pod does not reach itself", matrix{nodes: 3, kinds: pods,
			result: fails(func(w way) bool { return w.from == 1 && w.to == 1 })}, "medium OneSource node node-01"},
		{"one node reaches nobody and is reached", matrix{nodes: 4,
			result: fails(func(w way) bool { return cut(w) && w.from == 1 })}, "high OneSource node node-01"},
		{"one node's Services fail", matrix{nodes: 3, result: fails(func(w way) bool {
			return w.kind != target.Endpoint &&
				w.from == 2
		})}, "high OneSource node node-02"},
		{"one node's Services fail, seen beside one other",
			matrix{nodes: 2, result: fails(func(w way) bool { return w.kind != target.Endpoint && w.from == 1 })},
			"medium OneSource node node-01"},
		{"the node ports of one node fail", matrix{nodes: 3,
			result: fails(func(w way) bool { return w.kind == target.NodePort && w.to == 2 && w.from != 2 })},
			"high CommonNode node node-02"},
		{"only node ports fail, on all nodes",
			matrix{nodes: 3, result: fails(func(w way) bool { return w.kind == target.NodePort })},
			"high OnlyKind NodePort"},
		{"only Services fail", matrix{nodes: 3, result: fails(func(w way) bool { return w.kind != target.Endpoint })},
			"high OnlyKind ClusterIP, NodePort"},
		{"only the load balancer fails", matrix{nodes: 3, kinds: []target.Kind{target.Endpoint, target.LoadBalancer},
			result: fails(func(w way) bool { return w.kind == target.LoadBalancer })}, "high OnlyKind LoadBalancer"},
		{"only the second interface fails",
			matrix{nodes: 3, kinds: net1, result: fails(func(w way) bool { return w.kind == target.SecondInterface })},
			"high OnlyKind interface net1"},
		{"only IPv6 fails", matrix{nodes: 3, families: both,
			result: fails(func(w way) bool { return w.family == topology.IPv6 })}, "high OnlyFamily IPv6"},
		{"only IPv4 fails", matrix{nodes: 3, families: both,
			result: fails(func(w way) bool { return w.family == topology.IPv4 })}, "high OnlyFamily IPv4"},
		{"only node ports over IPv6 fail", matrix{nodes: 3, families: both,
			result: fails(func(w way) bool { return w.kind == target.NodePort && w.family == topology.IPv6 })},
			"high OnlyKind NodePort"},
		{"all of the one family that was tested fails",
			matrix{nodes: 3, families: both[1:], result: fails(func(way) bool { return true })}, ""},
		{"two nodes do not reach each other, and nothing else is known of one",
			matrix{nodes: 3, kinds: pods, result: func(w way) verdict.Result {
				return known(pair(w), w.from != 1 && w.to != 1)
			}}, "low BetweenTwoNodes nodes node-00 and node-01"},
		{"two nodes do not reach each other, and nothing else is known of both",
			matrix{nodes: 4, kinds: pods, result: func(w way) verdict.Result {
				return known(pair(w), w.from > 1 && w.to > 1)
			}}, "low BetweenTwoNodes nodes node-00 and node-01"},
		{"one node's cluster address fails, and Pod IPs were not tested",
			matrix{nodes: 3, kinds: []target.Kind{target.ClusterIP, target.LoadBalancer},
				result: fails(func(w way) bool { return w.kind == target.ClusterIP && w.from == 2 })},
			"medium OneSource node node-02"},
		{"node ports of two of three nodes fail",
			matrix{nodes: 3, result: fails(func(w way) bool { return w.kind == target.NodePort && w.to > 0 })},
			"high OnlyKind NodePort"},
		{"node ports fail from two of three nodes",
			matrix{nodes: 3, result: fails(func(w way) bool { return w.kind == target.NodePort && w.from > 0 })},
			"high OnlyKind NodePort"},
		{"the node ports of one node fail over IPv6", matrix{nodes: 3, families: both,
			result: fails(func(w way) bool {
				return w.kind == target.NodePort && w.to == 2 &&
					w.family == topology.IPv6
			})},
			"high CommonNode node node-02"},
		{"a node port fails from the one node that asked",
			matrix{nodes: 3, kinds: []target.Kind{target.NodePort}, result: func(w way) verdict.Result {
				return known(w.to == 2 && w.from == 0, w.from == 0)
			}}, "medium CommonNode node node-02"},
		{"a node is cut off on one of two networks over IPv6", matrix{nodes: 4, families: both, kinds: net1,
			result: fails(func(w way) bool { return cut(w) && w.family == topology.IPv6 })},
			"high CommonNode node node-01"},
		{"both families fail for a part", matrix{nodes: 3, families: both, kinds: []target.Kind{target.ClusterIP},
			result: fails(func(w way) bool { return (w.from == 0) == (w.family == topology.IPv4) })}, ""},
		{"one node of two was asked from, and does not reach the other",
			matrix{nodes: 2, kinds: pods, result: func(w way) verdict.Result {
				return known(w.from == 0, false)
			}}, ""},
		{"every node that was asked from fails to reach one",
			matrix{nodes: 3, kinds: pods, result: func(w way) verdict.Result {
				return known(w.to == 1 && w.from != 1, w.from == w.to)
			}}, ""},
		{"two nodes reach each other on one network, one way",
			matrix{nodes: 3, kinds: net1, result: fails(func(w way) bool {
				return w.from != w.to && w.from < 2 && w.to < 2 && (w.kind == target.Endpoint || w.from == 0)
			})}, "medium BetweenTwoNodes nodes node-00 and node-01"},
		{"one of three nodes does not reach another, and the way back is not known",
			matrix{nodes: 3, kinds: pods, result: func(w way) verdict.Result {
				return known(w.from == 0 && w.to == 1, w.from != 1 || w.to != 0)
			}}, "medium BetweenTwoNodes nodes node-00 and node-01"},
		{"one agent, whose load balancer alone fails",
			matrix{nodes: 1, kinds: []target.Kind{target.Endpoint, target.LoadBalancer},
				result: fails(func(w way) bool { return w.kind == target.LoadBalancer })},
			"medium OnlyKind LoadBalancer"},
		{"two paths of one node fail",
			matrix{nodes: 3, kinds: []target.Kind{target.Endpoint, target.ClusterIP, target.LoadBalancer},
				result: fails(func(w way) bool { return w.kind != target.Endpoint && w.from == 2 })},
			"high OneSource node node-02"},
		{"the node ports of the one node that was asked fail", matrix{nodes: 3, result: func(w way) verdict.Result {
			return known(w.kind == target.NodePort && w.to == 2, w.kind != target.NodePort)
		}}, "high OnlyKind NodePort"},
		{"the cluster address and the second interface fail",
			matrix{nodes: 3, kinds: []target.Kind{target.Endpoint, target.SecondInterface, target.ClusterIP},
				result: fails(func(w way) bool { return w.kind != target.Endpoint })}, ""},
		{"one of two nodes does not reach the other, which reaches it",
			matrix{nodes: 2, kinds: pods, result: fails(func(w way) bool { return pair(w) && w.from == 0 })},
			"low BetweenTwoNodes nodes node-00 and node-01"},
		{"failures here and there", matrix{nodes: 4, result: fails(func(w way) bool {
			return w.kind != target.ClusterIP && (w.from == 0 && w.to == 1 || w.from == 2 && w.to == 3) ||
				w.kind == target.ClusterIP && w.from == 0
		})}, ""},
		{"what was not measured is no failure", matrix{nodes: 3, result: func(w way) verdict.Result {
			return map[bool]verdict.Result{true: verdict.NoData, false: verdict.Pass}[cut(w)]
		}}, ""},
		{"what was not measured is no success", matrix{nodes: 3, result: func(w way) verdict.Result {
			return map[bool]verdict.Result{true: verdict.Fail, false: verdict.ToolLimited}[cut(w)]
		}}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			round, judged := c.build()
			check := func() string {
				var text strings.Builder
				got := ""
				for _, f := range diagnose.Localise(round, judged) {
					got = fmt.Sprintf("%s %s %s", f.Confidence, f.Reason, f.Where)
					write(&text, f)
				}
				if got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				return text.String()
			}
			text := check()
			for _, a := range round.Agents {
				round.Expected = append(round.Expected, report.Expected{Pod: a.Pod, Node: a.Node})
				for i := range a.Paths {
					a.Paths[i].Target.Node = ""
				}
			}
			if again := check(); again != text {
				t.Errorf("where targets name pods alone:\n%s", again)
			}
			if c.want != "" {
				golden(t, filepath.Join("testdata", "localise",
					strings.ReplaceAll(strings.ReplaceAll(c.name, " ", "_"), ",", "")+".txt"), text)
			}
			slices.Reverse(round.Agents)
			slices.Reverse(judged.Agents)
			for _, a := range round.Agents {
				slices.Reverse(a.Paths)
			}
			if again := check(); again != text {
				t.Errorf("in another order:\n%s", again)
			}
		})
	}
}

func TestEveryFindingIsExplainedToUsers(t *testing.T) {
	for _, page := range []string{"../../docs/use.md", "../../docs/use.zh-CN.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, reason := range diagnose.Reasons() {
			if !strings.Contains(string(text), "| `"+reason+"` |") {
				t.Errorf("%s has no row for the finding %s", page, reason)
			}
		}
	}
}
