package verdict_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

var update = flag.Bool("update", false, "write the golden files anew")

// path is what an agent measured on a target: ok of sent requests of due, each taking the given time.
func path(id string, due, sent, ok uint64, each time.Duration, failures ...report.Failure) report.Path {
	p := report.Path{Target: target.Target{ID: id}, Scheduled: due, Sent: sent, Missed: due - sent, OK: ok,
		Failures: failures}
	for range ok {
		p.Latency.Record(each)
	}
	return p
}

func expected(pod string, targets ...string) report.Expected {
	return report.Expected{Pod: pod, Node: "node-" + pod, Targets: targets}
}

func agent(pod string, paths ...report.Path) report.AgentReport {
	return report.AgentReport{Pod: pod, Node: "node-" + pod, Finished: true, Paths: paths}
}

func TestJudge(t *testing.T) {
	strict := verdict.Expect{SuccessRate: 1, MeanDelay: 100 * time.Millisecond}
	timeouts := report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: 2}
	stopped := agent("a")
	stopped.Finished = false
	cases := []struct {
		name   string
		round  report.Round
		expect verdict.Expect
	}{
		{"all requests succeed in time", report.Round{Expected: []report.Expected{expected("a", "x")},
			Agents: []report.AgentReport{agent("a", path("x", 10, 10, 10, time.Millisecond))}}, strict},
		{"one path of one agent fails",
			report.Round{Expected: []report.Expected{expected("a", "x", "y"), expected("b", "x")},
				Agents: []report.AgentReport{agent("a", path("x", 10, 10, 10, time.Millisecond),
					path("y", 10, 10, 7, time.Millisecond,
						report.Failure{Outcome: probe.Refused, Phase: probe.Connect, Count: 1}, timeouts)),
					agent("b", path("x", 10, 10, 10, time.Millisecond))}}, strict},
		{"an agent planned fewer requests than it was told to",
			report.Round{Expected: []report.Expected{{Pod: "a", Node: "node-a", Targets: []string{"x"}, Requests: 100}},
				Agents: []report.AgentReport{agent("a", path("x", 10, 10, 10, time.Millisecond))}}, strict},
		{"an agent without free ports is not a network that fails",
			report.Round{Expected: []report.Expected{expected("a", "x", "y")},
				Agents: []report.AgentReport{agent("a",
					path("x", 100, 100, 60, time.Millisecond,
						report.Failure{Outcome: probe.NotSent, Phase: probe.Connect, Count: 40}),
					path("y", 10, 10, 0, 0, report.Failure{Outcome: probe.NotSent, Phase: probe.Connect, Count: 10}))}},
			strict},
		{"as many succeed as were asked for", report.Round{Expected: []report.Expected{expected("a", "x")},
			Agents: []report.AgentReport{agent("a", path("x", 100, 100, 7, time.Millisecond))}},
			verdict.Expect{SuccessRate: 0.07}},
		{"one fewer succeeds than was asked for", report.Round{Expected: []report.Expected{expected("a", "x")},
			Agents: []report.AgentReport{agent("a", path("x", 100, 100, 6, time.Millisecond))}},
			verdict.Expect{SuccessRate: 0.07}},
		{"the mean delay is as long as allowed", report.Round{Expected: []report.Expected{expected("a", "x")},
			Agents: []report.AgentReport{agent("a", path("x", 10, 10, 10, 100*time.Millisecond))}}, strict},
		{"the mean delay is too long", report.Round{Expected: []report.Expected{expected("a", "x")},
			Agents: []report.AgentReport{agent("a", path("x", 10, 10, 10, 100*time.Millisecond+time.Microsecond))}},
			strict},
		{"nothing was sent", report.Round{Expected: []report.Expected{expected("a", "x")},
			Agents: []report.AgentReport{agent("a", path("x", 10, 0, 0, 0))}}, strict},
		{"nothing succeeded where nothing had to, so there is no delay to judge",
			report.Round{Expected: []report.Expected{expected("a", "x")},
				Agents: []report.AgentReport{agent("a", path("x", 2, 2, 0, 0, timeouts))}},
			verdict.Expect{SuccessRate: 0, MeanDelay: time.Second}},
		{"the agent could not keep its rate", report.Round{Expected: []report.Expected{expected("a", "x")},
			Agents: []report.AgentReport{agent("a", path("x", 1000, 998, 998, time.Millisecond))}}, strict},
		{"a miss in a thousand is forgiven", report.Round{Expected: []report.Expected{expected("a", "x")},
			Agents: []report.AgentReport{agent("a", path("x", 1000, 999, 999, time.Millisecond))}}, strict},
		{"a target was not measured", report.Round{Expected: []report.Expected{expected("a", "x", "y")},
			Agents: []report.AgentReport{agent("a", path("x", 10, 10, 10, time.Millisecond))}}, strict},
		{"an agent was stopped before its end",
			report.Round{Expected: []report.Expected{expected("a", "x")}, Agents: []report.AgentReport{stopped}},
			strict},
		{"an agent had no target",
			report.Round{Expected: []report.Expected{expected("a")}, Agents: []report.AgentReport{agent("a")}}, strict},
		{"an agent did not report", report.Round{Expected: []report.Expected{expected("a", "x"), expected("b", "x")},
			Agents:  []report.AgentReport{agent("a", path("x", 10, 10, 10, time.Millisecond))},
			Missing: []report.Missing{{Pod: "b", Node: "node-b", Reason: "pod is Pending"}}}, strict},
		{"an agent that no node took did not report",
			report.Round{Expected: []report.Expected{expected("a", "x"), {Pod: "b"}},
				Agents:  []report.AgentReport{agent("a", path("x", 10, 10, 10, time.Millisecond))},
				Missing: []report.Missing{{Pod: "b", Reason: "no node takes its pod"}}}, strict},
		{"a wanted target does not exist", report.Round{Expected: []report.Expected{expected("a", "x")},
			Agents: []report.AgentReport{agent("a", path("x", 10, 10, 10, time.Millisecond))},
			Gaps:   []target.Gap{{Kind: target.Ingress, Family: topology.IPv6, Reason: "the agents have no Ingress"}}},
			strict},
		{"there are no agents", report.Round{}, strict},
		{"a failure weighs more than no data, whatever comes first",
			report.Round{Expected: []report.Expected{expected("a", "x"), expected("b", "x")},
				Agents: []report.AgentReport{agent("a", path("x", 10, 0, 0, 0)),
					agent("b", path("x", 2, 2, 0, 0, timeouts))}}, strict},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			golden(t, c.name, show(verdict.Judge(c.round, c.expect)))
		})
	}
}

// show prints a verdict as a person would read it.
func show(v verdict.Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", v.Result)
	for _, r := range v.Reasons {
		fmt.Fprintf(&b, "  because %s\n", r)
	}
	for _, a := range v.Agents {
		fmt.Fprintf(&b, "agent %s on %s: %s %s\n", a.Pod, a.Node, a.Result, a.Reason)
		for _, p := range a.Paths {
			fmt.Fprintf(&b, "  path %s: %s %s\n", p.Target, p.Result, p.Reason)
		}
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' {
			return '_'
		}
		return r
	}, name)+".txt")
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
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}
