package controller

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// measured is an agent's report of some targets on which all ten requests succeeded.
func measured(pod string, targets ...target.Target) report.AgentReport {
	a := report.AgentReport{Pod: pod, Node: "node-" + pod, Finished: true}
	for _, t := range targets {
		a.Paths = append(a.Paths, report.Path{Target: t, Scheduled: 10, Sent: 10, OK: 10})
	}
	return a
}

func TestASuccessSaysWhatItIsWorth(t *testing.T) {
	x, balancer := target.Target{ID: "x"},
		target.Target{ID: "lb", Kind: target.LoadBalancer, Address: "http://172.18.255.1:80", ShortCircuit: true}
	void := measured("b", x, target.Target{ID: "y"})
	void.Paths[1] = report.Path{Target: target.Target{ID: "y"}, Scheduled: 10, Sent: 10,
		Failures: []report.Failure{{Outcome: probe.Timeout, Count: 10, Excused: 10}}}
	cases := []struct {
		name  string
		round report.Round
		want  string
	}{
		{"all there is", report.Round{Agents: []report.AgentReport{measured("a", x), measured("b", x)}},
			"Round 7 succeeded: 2 of 2 targets passed."},
		{"a path is void", report.Round{Agents: []report.AgentReport{measured("a", x), void}},
			"Round 7 succeeded: 2 of 2 targets passed, 1 void."},
		{"nodes were left out, and nodes answer for the load balancer",
			report.Round{Agents: []report.AgentReport{measured("a", x, balancer), measured("b", x)},
				Outside: []report.Outside{{Node: "n2", Reason: "its node selector leaves it out"}}},
			"Round 7 succeeded: 3 of 3 targets passed; 1 of 3 nodes was not looked at: n2 (its node selector leaves " +
				"it out); " +
				"LoadBalancer 172.18.255.1:80 was answered by the nodes themselves (ipMode VIP): this target proves " +
				"nothing about the load balancer."},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := Summarize(c.round, verdict.Judge(c.round, verdict.Expect{SuccessRate: 1}))
			if diff := cmp.Diff(c.want, succeeded(7, Result{Summary: got})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	long := succeeded(7, Result{Summary: Summary{Success: strings.Repeat("x", 2*longestReason)}})
	if len(long) != longestReason+1 || !strings.HasSuffix(long, "....") {
		t.Errorf("a long sentence has %d bytes", len(long))
	}
}

// TestAFailureSaysWhereToLook: the condition and the event have the finding first, for they may be cut.
func TestAFailureSaysWhereToLook(t *testing.T) {
	x := target.Target{ID: "x", Kind: target.ClusterIP, Family: topology.IPv4}
	y := target.Target{ID: "y", Kind: target.Endpoint, Family: topology.IPv4, Pod: "a", Node: "node-a",
		Answer: target.OnePod}
	round := report.Round{Agents: []report.AgentReport{measured("a", x, y), measured("b", x, y)}}
	const reason = "agent a on node node-a: x: 9 of 10 requests succeeded, expected a rate of at least 1 (1 Refused " +
		"at connect)"
	at := func(round report.Round) string {
		return failed(7, Result{Summary: Summarize(round, verdict.Judge(round, verdict.Expect{SuccessRate: 1}))})
	}
	round.Agents[0].Paths[0].OK = 9
	round.Agents[0].Paths[0].Failures = []report.Failure{{Outcome: probe.Refused, Phase: probe.Connect, Count: 1}}
	want := "Round 7 failed: every failing path starts at node node-a, and no other node sees a failure, and it is " +
		"only ClusterIP; " +
		"look at kube-proxy there, or what stands in for it: Pod IPs answer from there. Reasons: " + reason + "."
	if diff := cmp.Diff(want, at(round)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	alone := report.Round{Agents: round.Agents[:1]}
	alone.Agents[0].Paths = alone.Agents[0].Paths[:1]
	if diff := cmp.Diff("Round 7 failed: "+reason+".", at(alone)); diff != "" {
		t.Errorf("without a finding, -want +got:\n%s", diff)
	}
}

func TestSummarizeTellsNodesApart(t *testing.T) {
	x := target.Target{ID: "x"}
	failed := measured("c", x)
	failed.Paths[0].OK, failed.Paths[0].Failures = 9,
		[]report.Failure{{Outcome: probe.Refused, Phase: probe.Connect, Count: 1}}
	void := measured("d", x)
	void.Paths[0].OK, void.Paths[0].Failures = 0, []report.Failure{{Outcome: probe.Timeout, Count: 10, Excused: 10}}
	round := report.Round{Agents: []report.AgentReport{measured("a", x), failed, void, measured("e", x)},
		Missing:  []report.Missing{{Pod: "f", Node: "node-e", Reason: "no answer"}},
		Expected: []report.Expected{{Pod: "a", Node: "node-a"}, {Pod: "c", Node: "node-c"}}}
	got := Summarize(round, verdict.Judge(round, verdict.Expect{SuccessRate: 1}))
	want := Summary{Result: verdict.Fail, Expected: 2, Succeeded: []string{"node-a"}, Failed: []string{"node-c"},
		Silent: []string{"node-e"},
		Reasons: []string{"agent f on node node-e did not report: no answer",
			"agent c on node node-c: x: 9 of 10 requests succeeded, expected a rate of at least 1 (1 Refused at " +
				"connect)"},
		Finding: "every failing path starts at node node-c, and no other node sees a failure; look at kube-proxy " +
			"there, or what stands in " +
			"for it, and at its network: no Pod IP was probed from there"}
	if n := len(got.Findings); n != 1 || got.Findings[0].Message != want.Finding {
		t.Errorf("%d findings, want the one of the summary", n)
	}
	want.Findings = got.Findings
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
