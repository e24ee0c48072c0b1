package verdict_test

import (
	"fmt"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

func strict() verdict.Expect {
	return verdict.Expect{SuccessRate: 1, MeanDelay: 100 * time.Millisecond}
}

// excused returns requests that timed out because of a change.
func excused(n uint64) report.Failure {
	return report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: n, Excused: n}
}

func aborted(n uint64) report.Failure { return report.Failure{Outcome: probe.Aborted, Count: n} }

// deleted is the change of a pod that was deleted.
func deleted(pods ...string) []report.Change {
	var changes []report.Change
	for _, pod := range pods {
		changes = append(changes, report.Change{Pod: pod, Node: "node-" + pod, Kind: report.Deleted})
	}
	return changes
}

// planned is what an agent was expected to measure, with the number of requests to each target.
func planned(requests uint64, pod string, targets ...string) report.Expected {
	e := expected(pod, targets...)
	e.Requests = requests
	return e
}

// cutShort is an agent that was deleted during the round.
func cutShort(a report.AgentReport) report.AgentReport {
	change := deleted(a.Pod)[0]
	a.Finished, a.StoppedWhy, a.StoppedBy = false, "its pod was deleted during the round", &change
	return a
}

// one judges a path of agent a, beside a good path y, in a round in which b was deleted.
func one(p report.Path, requests uint64) verdict.JudgedPath {
	good := path("y", requests, requests, requests, time.Millisecond)
	v := verdict.Judge(report.Round{Churn: deleted("b"), Expected: []report.Expected{planned(requests, "a", "x", "y")},
		Agents: []report.AgentReport{agent("a", p, good)}}, strict())
	return v.Agents[0].Paths[0]
}

func TestAPathPassesOnlyWhenAThirdOfWhatWasPlannedIsJudged(t *testing.T) {
	sent := func(ok uint64, failures ...report.Failure) report.Path {
		n := ok
		for _, f := range failures {
			n += f.Count
		}
		return path("x", n, n, ok, time.Millisecond, failures...)
	}
	missing := func(p report.Path, n uint64) report.Path {
		p.Scheduled, p.Missed = p.Scheduled+n, n
		return p
	}
	cases := []struct {
		name string
		path report.Path
		want verdict.Result
	}{
		{"a third is left beside excused ones: pass", sent(1000, excused(2000)), verdict.Pass},
		{"one fewer than a third is left beside excused ones: void", sent(999, excused(2001)), verdict.Void},
		{"nothing is left beside excused ones: void", sent(0, excused(3000)), verdict.Void},
		{"a failure that is not excused is all that is left: fail", sent(0, excused(2999), timedOut(1)), verdict.Fail},
		{"what is left is too slow: fail", path("x", 3000, 3000, 1, time.Second, excused(2999)), verdict.Fail},
		{"a third is left beside those that the end of the round cut off: pass", sent(1000, aborted(2000)),
			verdict.Pass},
		{"one fewer than a third is left beside those that were cut off: no data", sent(999, aborted(2001)),
			verdict.NoData},
		{"excused ones and those cut off, of which the excused ones would have been enough: void",
			sent(0, excused(1000), aborted(2000)), verdict.Void},
		{"excused ones and those cut off, of which the excused ones would not have been enough: no data",
			sent(0, excused(999), aborted(2001)), verdict.NoData},
		{"excused ones, and as many missed as are forgiven: void", missing(sent(0, excused(2997)), 3), verdict.Void},
		{"excused ones, and one more missed than is forgiven: no data", missing(sent(0, excused(2996)), 4),
			verdict.NoData},
		{"excused ones, and as many without a port as are forgiven: void", sent(0, excused(2997), unsent(3)),
			verdict.Void},
		{"excused ones, and one more without a port than is forgiven: no data", sent(0, excused(2996), unsent(4)),
			verdict.NoData},
		{"excused ones, and as few that never came due as are forgiven: void", sent(0, excused(2997)), verdict.Void},
		{"excused ones, and one more that never came due than is forgiven: no data", sent(0, excused(2996)),
			verdict.NoData},
		{"one excused request and 2999 that were missed: no data", missing(sent(0, excused(1)), 2999), verdict.NoData},
		{"one excused request and 2999 without a port: no data", sent(0, excused(1), unsent(2999)), verdict.NoData},
		{"one excused request and 2999 that never came due: no data", sent(0, excused(1)), verdict.NoData},
		{"one success, one excused request and 2998 that were missed: tool-limited", missing(sent(1, excused(1)), 2998),
			verdict.ToolLimited},
		{"one success, one excused request and 2998 that never came due: no data", sent(1, excused(1)), verdict.NoData},
		{"most succeed and some never came due: no data", sent(2999), verdict.NoData},
		{"all succeed: pass", sent(3000), verdict.Pass},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := one(c.path, 3000); got.Result != c.want || got.Reason.IsZero() != (c.want == verdict.Pass) {
				t.Errorf("got %s: %s; want %s", got.Result, got.Reason, c.want)
			}
		})
	}
	t.Run("the only request is excused", func(t *testing.T) {
		if got := one(path("x", 1, 1, 0, 0, excused(1)), 1); got.Result != verdict.Void {
			t.Errorf("got %s: %s; want void", got.Result, got.Reason)
		}
	})
	t.Run("without a known plan what came due counts", func(t *testing.T) {
		for left, want := range map[uint64]verdict.Result{1000: verdict.Pass, 999: verdict.Void} {
			p := path("x", 3000, 3000, left, time.Millisecond, excused(3000-left))
			v := verdict.Judge(report.Round{Churn: deleted("b"),
				Agents: []report.AgentReport{agent("a", p, path("y", 10, 10, 10, time.Millisecond))}}, strict())
			if got := v.Agents[0].Paths[0]; got.Result != want {
				t.Errorf("%d of 3000 are left: got %s: %s; want %s", left, got.Result, got.Reason, want)
			}
		}
	})
}

func TestAnAgentThatWasCut(t *testing.T) {
	good := agent("c", path("x", 3000, 3000, 3000, time.Millisecond))
	cases := []struct {
		name  string
		agent report.AgentReport
		want  verdict.Result
		round verdict.Result
	}{
		{"after 1 of 3000 requests: void", agent("a", path("x", 1, 1, 1, time.Millisecond)), verdict.Void,
			verdict.Pass},
		{"before it sent anything: void", agent("a", path("x", 0, 0, 0, 0)), verdict.Void, verdict.Pass},
		{"and does not report its target: no data, for a cut explains no target that is left out", agent("a"),
			verdict.NoData, verdict.NoData},
		{"one request short of a third: void", agent("a", path("x", 999, 999, 999, time.Millisecond)), verdict.Void,
			verdict.Pass},
		{"after a third: what it measured counts", agent("a", path("x", 1000, 1000, 1000, time.Millisecond)),
			verdict.Pass, verdict.Pass},
		{"after a request that failed: fail", agent("a", path("x", 1, 1, 0, 0, refused(1))), verdict.Fail,
			verdict.Fail},
		{"after it missed more than is forgiven: tool-limited", agent("a", path("x", 1000, 998, 998, time.Millisecond)),
			verdict.ToolLimited, verdict.ToolLimited},
		{"after it missed all: no data", agent("a", path("x", 1000, 0, 0, 0)), verdict.NoData, verdict.NoData},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := verdict.Judge(report.Round{Churn: deleted("a"),
				Expected: []report.Expected{planned(3000, "a", "x"), planned(3000, "c", "x")},
				Agents:   []report.AgentReport{cutShort(c.agent), good}}, strict())
			if v.Agents[0].Result != c.want || v.Result != c.round {
				t.Errorf("the agent is %s, the round %s; want %s and %s:\n%s", v.Agents[0].Result, v.Result, c.want,
					c.round, show(v))
			}
		})
	}
}

// A stop, or a missing measurement, weighs more than an excuse.
func TestNothingUnmeasuredHidesBehindVoidPaths(t *testing.T) {
	void := agent("a", path("x", 10, 10, 0, 0, excused(10)))
	stopped := void
	stopped.Finished = false
	cases := []struct {
		name     string
		agent    report.AgentReport
		expected report.Expected
		want     verdict.Result
		code     verdict.Code
	}{
		{"all that was planned is void", void, planned(10, "a", "x"), verdict.Void, verdict.Excused},
		{"two targets were never measured", void, planned(10, "a", "x", "z", "y"), verdict.NoData, verdict.NotMeasured},
		{"the round was stopped after 10 of 1000 requests", stopped, planned(1000, "a", "x"), verdict.NoData,
			verdict.NothingSent},
		{"the round was stopped at its end", stopped, planned(10, "a", "x"), verdict.NoData, verdict.Stopped},
		{"990 of 1000 requests never came due", void, planned(1000, "a", "x"), verdict.NoData, verdict.NothingSent},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := verdict.Judge(report.Round{Churn: deleted("b"),
				Expected: []report.Expected{c.expected, planned(10, "c", "x")},
				Agents:   []report.AgentReport{c.agent, agent("c", path("x", 10, 10, 10, time.Millisecond))}}, strict())
			if a := v.Agents[0]; a.Result != c.want || a.Reason.Code != c.code ||
				(v.Result == verdict.Pass) != (c.want == verdict.Void) {
				t.Errorf("got %s (%s), the round is %s; want %s (%s)", a.Result, a.Reason.Code, v.Result, c.want,
					c.code)
			}
		})
	}
}

// fullMesh returns a round of agents that each have a path to each pod, to a Service and to their own node port. The
// last agents are gone.
func fullMesh(agents, gone int, leftOut bool) report.Round {
	var r report.Round
	name := func(i int) string { return fmt.Sprintf("p%03d", i) }
	for i := range agents {
		e := report.Expected{Pod: name(i), Node: "n" + name(i), Requests: 10}
		a := report.AgentReport{Pod: e.Pod, Node: e.Node, Finished: true}
		add := func(t target.Target, dead bool) {
			p := path(t.ID, 10, 10, 10, time.Millisecond)
			if dead {
				p = path(t.ID, 10, 10, 0, 0, excused(10))
			}
			p.Target = t
			a.Paths, e.Targets = append(a.Paths, p), append(e.Targets, t.ID)
		}
		for k := range agents {
			if dead := k >= agents-gone; !dead || !leftOut {
				add(target.Target{ID: "AgentPodV4IP_" + name(k), Kind: target.Endpoint, Family: topology.IPv4,
					Answer: target.OnePod, Pod: name(k)}, dead)
			}
		}
		add(target.Target{ID: "AgentClusterV4IP_1", Kind: target.ClusterIP, Family: topology.IPv4,
			Answer: target.Backends}, false)
		add(target.Target{ID: "AgentNodePortV4IP_" + name(i), Kind: target.NodePort, Family: topology.IPv4,
			Answer: target.Backends}, false)
		if i >= agents-gone {
			if leftOut {
				e.LeftOutWhy, e.Targets, e.Requests = "its node is drained", nil, 0
			}
			change := deleted(name(i))[0]
			r.Churn = append(r.Churn, change)
			r.Missing = append(r.Missing,
				report.Missing{Pod: e.Pod, Node: e.Node, Reason: "its pod was deleted", Excused: true, Change: &change})
		} else {
			r.Agents = append(r.Agents, a)
		}
		r.Expected = append(r.Expected, e)
	}
	return r
}

func TestARoundPassesOnlyWhenAThirdOfItIsJudged(t *testing.T) {
	cases := []struct {
		name         string
		agents, gone int
		leftOut      bool
		want         verdict.Result
		reasons      []string
	}{
		{"nobody is gone", 3, 0, false, verdict.Pass, nil},
		{"one of three is drained", 3, 1, false, verdict.Pass, nil},
		{"one of three was drained before", 3, 1, true, verdict.Pass, nil},
		{"one of two is drained", 2, 1, false, verdict.NoData,
			[]string{"only 1 of 4 planned Endpoint paths over IPv4 could be judged, which is less than a third: pod " +
				"p001 on node node-p001: its pod was deleted"}},
		{"one of two was drained before", 2, 1, true, verdict.NoData,
			[]string{"only 1 of 4 planned Endpoint paths over IPv4 could be judged, which is less than a third: pod " +
				"p001 on node node-p001: its pod was deleted"}},
		{"three of four were drained before", 4, 3, true, verdict.NoData, []string{
			"only 1 of 4 agents have a report that could be judged, which is fewer than a third: agents were deleted " +
				"or restarted 3 times during the round",
			"only 1 of 4 planned ClusterIP paths over IPv4 could be judged, which is less than a third: agents were " +
				"deleted or restarted 3 times during the round",
			"only 1 of 16 planned Endpoint paths over IPv4 could be judged, which is less than a third: agents were " +
				"deleted or restarted 3 times during the round",
			"only 1 of 4 planned NodePort paths over IPv4 could be judged, which is less than a third: agents were " +
				"deleted or restarted 3 times during the round"}},
		{"two of three are drained", 3, 2, false, verdict.NoData,
			[]string{"only 1 of 9 planned Endpoint paths over IPv4 could be judged, which is less than a third: " +
				"agents were deleted or restarted 2 times during the round"}},
		{"three of four are drained", 4, 3, false, verdict.NoData, []string{
			"only 1 of 4 agents have a report that could be judged, which is fewer than a third: agents were deleted " +
				"or restarted 3 times during the round",
			"only 1 of 4 planned ClusterIP paths over IPv4 could be judged, which is less than a third: agents were " +
				"deleted or restarted 3 times during the round",
			"only 1 of 16 planned Endpoint paths over IPv4 could be judged, which is less than a third: agents were " +
				"deleted or restarted 3 times during the round",
			"only 1 of 4 planned NodePort paths over IPv4 could be judged, which is less than a third: agents were " +
				"deleted or restarted 3 times during the round"}},
		{"99 of 100 are drained", 100, 99, false, verdict.NoData, nil},
		{"42 of 100 are drained: 3364 of 10000 paths are left", 100, 42, false, verdict.Pass, nil},
		{"43 of 100 are drained: 3249 of 10000 paths are left", 100, 43, false, verdict.NoData, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := verdict.Judge(fullMesh(c.agents, c.gone, c.leftOut), strict())
			if v.Result != c.want {
				t.Fatalf("got %s, want %s: %s", v.Result, c.want, v.Reasons)
			}
			if c.reasons == nil {
				return
			}
			if got := fmt.Sprintf("%q", v.Reasons); got != fmt.Sprintf("%q", c.reasons) {
				t.Errorf("got  %s\nwant %q", got, c.reasons)
			}
		})
	}
}

func TestEachKindAndFamilyIsJudged(t *testing.T) {
	way := func(id string, kind target.Kind, family topology.Family, ok uint64) report.Path {
		p := path(id, 10, 10, ok, time.Millisecond)
		if ok == 0 {
			p = path(id, 10, 10, 0, 0, excused(10))
		}
		p.Target.Kind, p.Target.Family = kind, family
		return p
	}
	good := way("x", target.Endpoint, topology.IPv4, 10)
	cases := []struct {
		name     string
		paths    []report.Path
		want     verdict.Result
		expected []string
	}{
		{"the only path of a kind is void", []report.Path{good, way("y", target.LoadBalancer, topology.IPv4, 0)},
			verdict.NoData, nil},
		{"the only path of a family is void", []report.Path{good, way("y", target.Endpoint, topology.IPv6, 0)},
			verdict.NoData, nil},
		{"two of three paths of a kind are void",
			[]report.Path{good, way("y", target.NodePort, topology.IPv4, 10),
				way("z", target.NodePort, topology.IPv4, 0),
				way("w", target.NodePort, topology.IPv4, 0)}, verdict.Pass, nil},
		{"three of four paths of a kind are void",
			[]report.Path{good, way("y", target.NodePort, topology.IPv4, 10),
				way("z", target.NodePort, topology.IPv4, 0),
				way("w", target.NodePort, topology.IPv4, 0), way("v", target.NodePort, topology.IPv4, 0)},
			verdict.NoData, nil},
		{"targets of a lost agent count by what their names begin with",
			[]report.Path{good, way("P4_a", target.NodePort, topology.IPv4, 10)}, verdict.Pass,
			[]string{"P4_b", "P4_c"}},
		{"three such targets are too many", []report.Path{good, way("P4_a", target.NodePort, topology.IPv4, 10)},
			verdict.NoData, []string{"P4_b", "P4_c", "P4_d"}},
		{"of two kinds with such names the first one counts",
			[]report.Path{good, way("P4_a", target.NodePort, topology.IPv4, 10),
				way("P4_e", target.ClusterIP, topology.IPv4, 10)},
			verdict.NoData, []string{"P4_b", "P4_c", "P4_d"}},
		{"of two kinds with such names the first one counts, in whatever order",
			[]report.Path{good, way("P4_a", target.ClusterIP, topology.IPv4, 10),
				way("P4_b", target.NodePort, topology.IPv4, 10),
				way("P4_c", target.NodePort, topology.IPv4, 10)}, verdict.NoData, []string{"P4_d", "P4_e", "P4_f"}},
		{"targets of a lost agent that others measured count by these",
			[]report.Path{good, way("z", target.NodePort, topology.IPv4, 10)}, verdict.Pass, []string{"z", "x"}},
		{"targets of a lost agent that nobody knows count by themselves", []report.Path{good}, verdict.NoData,
			[]string{"Q4_z"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := report.Round{Churn: deleted("b"), Agents: []report.AgentReport{agent("a", c.paths...)}}
			if c.expected != nil {
				r.Expected = []report.Expected{expected("a"), expected("b", c.expected...)}
				r.Missing = []report.Missing{{Pod: "b", Node: "node-b", Excused: true}}
			}
			if v := verdict.Judge(r, strict()); v.Result != c.want ||
				(v.Result == verdict.NoData && v.Reasons[0].Code != verdict.FewPaths) {
				t.Errorf("got %s: %s; want %s", v.Result, v.Reasons, c.want)
			}
		})
	}
}

func TestWhoIsExpectedIsNeverForgotten(t *testing.T) {
	r := report.Round{Expected: []report.Expected{expected("a", "x"), expected("b", "x"),
		{Pod: "c", Node: "node-c", LeftOutWhy: "pod is Pending"}},
		Agents: []report.AgentReport{agent("a", path("x", 10, 10, 10, time.Millisecond))}}
	v := verdict.Judge(r, strict())
	want := `["agent b on node node-b did not report: no report" "agent c on node node-c did not report: pod is Pending"]`
	if got := fmt.Sprintf("%q", v.Reasons); v.Result != verdict.Fail || got != want {
		t.Errorf("got %s: %s\nwant %s", v.Result, got, want)
	}
}
