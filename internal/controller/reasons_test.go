package controller

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/api/v1beta1"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// failing is a round in which every agent fails on the same ClusterIP and reaches a pod, and as many agents are silent.
// Nodes are named by name.
func failing(agents int, name func(int) string) report.Round {
	x := target.Target{ID: "x", Kind: target.ClusterIP, Family: topology.IPv4}
	y := target.Target{ID: "y", Kind: target.Endpoint, Family: topology.IPv4, Pod: "p", Node: "p", Answer: target.OnePod}
	var round report.Round
	for n := range agents {
		a := measured(fmt.Sprintf("a%03d", n), x, y)
		a.Node = name(n)
		a.Paths[0].OK, a.Paths[0].Failures = 0,
			[]report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: 10}}
		round.Agents = append(round.Agents, a)
		round.Missing = append(round.Missing,
			report.Missing{Pod: fmt.Sprintf("s%03d", n), Node: name(n) + "s", Reason: "no answer"})
	}
	return round
}

func shortName(n int) string { return fmt.Sprintf("n%03d", n) }

func longName(n int) string { return fmt.Sprintf("%0253d", n) }

func TestTheStatusOfManyFailingAgentsCountsThemAndNamesSome(t *testing.T) {
	round := failing(300, shortName)
	s := Summarize(round, verdict.Judge(round, verdict.Expect{SuccessRate: 1}))
	nodes := func(suffix string) string {
		var first []string
		for n := range mostNames {
			first = append(first, shortName(n)+suffix)
		}
		return strings.Join(first, ", ") + " and 280 more"
	}
	want := []string{
		"300 agents on 300 nodes (" + nodes("s") + ") did not report, the first of them: agent s000 on node n000s " +
			"did not report: no answer",
		"300 agents on 300 nodes (" + nodes("") + ") did not pass, the first of them: agent a000 on node n000: x: " +
			"0 of 10 requests succeeded, expected a rate of at least 1 (10 Timeout at connect)",
	}
	if diff := cmp.Diff(want, s.Reasons); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if s.Finding == "" {
		t.Fatal("the round has no finding: the sentences must be as short with one")
	}
	var record v1beta1.Record
	write(&record, Result{Summary: s}, created())
	if got := strings.Join(want, "; "); record.FailureReason != got {
		t.Errorf("the record's reason is %q, want it uncut: %q", record.FailureReason, got)
	}
	if n := len(record.FailedAgentNodeList); n != mostNames || *record.FailedAgentNodeNumber != 300 {
		t.Errorf("the record names %d of %d failed nodes, want %d of 300", n, *record.FailedAgentNodeNumber, mostNames)
	}
	if got := failed(7, Result{Summary: s}); strings.Count(got, "agent a") > 1 {
		t.Errorf("the condition names agents one by one: %s", got)
	}
}

func TestReasonsOfAFewAgentsStandOneByOne(t *testing.T) {
	round := failing(mostNames, shortName)
	round.Gaps = []target.Gap{{Kind: target.Ingress, Family: topology.IPv4, Reason: "no Ingress"}}
	v := verdict.Judge(round, verdict.Expect{SuccessRate: 1})
	var want []string
	for _, r := range v.Reasons {
		want = append(want, r.String())
	}
	if diff := cmp.Diff(want, Summarize(round, v).Reasons); diff != "" || len(want) != 2*mostNames+1 {
		t.Errorf("%d reasons, -want +got:\n%s", len(want), diff)
	}
}

func TestReasonsThatAreNotAboutAgentsAreKept(t *testing.T) {
	var reasons []verdict.Reason
	for n := range 2 * mostNames {
		reasons = append(reasons, verdict.Reason{Code: verdict.Located, Text: fmt.Sprintf("finding %d", n)})
	}
	for n := range mostNames + 1 {
		reasons = append(reasons, verdict.Reason{Code: verdict.NotReported, Pod: shortName(n), Text: "no node yet"})
	}
	got := sentences(reasons)
	if len(got) != 2*mostNames+1 || got[0] != "finding 0" {
		t.Errorf("%d sentences, the first %q; want one of each finding, and one of the agents", len(got), got[0])
	}
	want := "21 agents did not report, the first of them: agent n000 did not report: no node yet"
	if last := got[len(got)-1]; last != want {
		t.Errorf("agents without a node: %q, want %q", last, want)
	}
}

func TestLongNamesAreFewer(t *testing.T) {
	var all []string
	for n := range 300 {
		all = append(all, longName(n))
	}
	if got, want := firstNames(all), longName(0)+" and 299 more"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := firstNames(all[:1]), longName(0); got != want {
		t.Errorf("one name: %q, want %q", got, want)
	}
}
