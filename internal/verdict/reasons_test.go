package verdict_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// TestReasonsAreData checks the data of each reason.
func TestReasonsAreData(t *testing.T) {
	good := path("x", 10, 10, 10, time.Millisecond)
	b, c := deleted("b")[0], deleted("c")[0]
	all := func(p report.Path, by ...report.Change) report.Path {
		p.Excuses = []report.Excuse{{Changes: by, Explained: 10, Of: 10}, {Changes: by[:1], Explained: 1, Of: 1}}
		return p
	}
	void := path("x", 10, 10, 0, 0, excused(10))
	direct := by(target.Endpoint, "b", path("x", 100, 100, 100, time.Millisecond))
	slow := path("x", 10, 10, 10, time.Second)
	slow.Reused = 9
	cut := cutShort(agent("a"))
	cases := []struct {
		name string
		path report.Path
		of   uint64
		want verdict.Reason
	}{
		{"too few succeed", path("x", 10, 10, 7, time.Millisecond, refused(3)), 10,
			verdict.Reason{Code: verdict.TooFewSucceeded, Count: 7, Of: 10, Rate: 1,
				Worst: &verdict.Failures{Outcome: probe.Refused, Phase: probe.Connect, Count: 3}}},
		{"too slow", path("x", 10, 10, 10, time.Second), 10,
			verdict.Reason{Code: verdict.TooSlow, Delay: time.Second, Allowed: 100 * time.Millisecond}},
		{"nothing was sent", path("x", 10, 10, 0, 0, unsent(9), excused(1)), 10,
			verdict.Reason{Code: verdict.NothingSent, Of: 9,
				Worst: &verdict.Failures{Outcome: probe.NotSent, Phase: probe.Connect, Count: 9}}},
		{"too little came due", path("x", 3, 3, 3, time.Millisecond), 10,
			verdict.Reason{Code: verdict.NotDue, Count: 3, Of: 10}},
		{"not all came due", path("x", 9, 9, 9, time.Millisecond), 10,
			verdict.Reason{Code: verdict.NotDue, Count: 9, Of: 10}},
		{"too little is judged", path("x", 10, 10, 3, time.Millisecond, aborted(7)), 10,
			verdict.Reason{Code: verdict.TooFewJudged, Count: 3, Of: 10,
				Worst: &verdict.Failures{Outcome: probe.Aborted, Count: 7}}},
		{"a change of its pod excuses all", by("", "b", void), 10,
			verdict.Reason{Code: verdict.Excused, Excused: 10, Of: 10, Change: &b, Changes: 1}},
		{"changes of unknown backends excuse all", void, 10,
			verdict.Reason{Code: verdict.Excused, Excused: 10, Of: 10, Changes: 2}},
		{"a change that the report names excuses all", all(void, c), 10,
			verdict.Reason{Code: verdict.Excused, Excused: 10, Of: 10, Change: &c, Changes: 1}},
		{"changes that the report names excuse all", by("", "b", all(void, c, b)), 10,
			verdict.Reason{Code: verdict.Excused, Excused: 10, Of: 10, Changes: 2}},
		{"a change excuses most", by("", "b", path("x", 10, 10, 3, time.Millisecond, excused(7))), 10,
			verdict.Reason{Code: verdict.Excused, Excused: 7, Of: 10, Count: 3, Change: &b, Changes: 1}},
		{"requests are missed", path("x", 10, 9, 9, time.Millisecond), 10,
			verdict.Reason{Code: verdict.Unsent, Count: 9, Of: 10, Missed: 1}},
		{"excused and missed ones", path("x", 10, 8, 6, time.Millisecond, excused(2)), 10,
			verdict.Reason{Code: verdict.Unsent, Count: 6, Of: 8, Missed: 2}},
		{"connections are reset while idle",
			by(target.Endpoint, "d", idle(used(path("x", 10, 10, 10, time.Millisecond), 8, 0), 2, 0)), 10,
			verdict.Reason{Code: verdict.TooFewSucceeded, Count: 10, Of: 10, Lost: 2, Rate: 1}},
		{"the stream is too slow", withPersistent(direct, slow), 100,
			verdict.Reason{Code: verdict.TooSlow, Delay: time.Second, Allowed: 100 * time.Millisecond,
				Persistent: true}},
		{"the stream fails", withPersistent(direct, reused(10, 9, 0, refused(1))), 100,
			verdict.Reason{Code: verdict.TooFewSucceeded, Count: 9, Of: 10, Rate: 1, Persistent: true,
				Worst: &verdict.Failures{Outcome: probe.Refused, Phase: probe.Connect, Count: 1}}},
		{"the stream never reuses", withPersistent(direct, used(path("x", 10, 10, 10, time.Millisecond), 0, 0)), 100,
			verdict.Reason{Code: verdict.NeverReused, Count: 10, Persistent: true}},
		{"the stream loses connections",
			withPersistent(direct, idle(used(path("x", 10, 10, 10, time.Millisecond), 5, 0), 3, 1)),
			100,
			verdict.Reason{Code: verdict.TooFewSucceeded, Count: 10, Of: 10, Lost: 3, Rate: 1, Persistent: true}},
		{"most of the stream is missed",
			withPersistent(direct, func() report.Path {
				p := used(path("x", 10, 3, 2, time.Millisecond, unsent(1)), 1,
					0)
				return p
			}()), 100,
			verdict.Reason{Code: verdict.Unsent, Count: 2, Of: 10, Missed: 7, NotSent: 1, Persistent: true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			// Beside many good requests, so that what could not be sent is no limit of the agent.
			v := verdict.Judge(report.Round{Churn: deleted("b", "c"),
				Expected: []report.Expected{planned(c.of, "a", "x")},
				Agents: []report.AgentReport{agent("a", c.path,
					path("y", 100_000, 100_000, 100_000, time.Millisecond))}},
				strict())
			if diff := cmp.Diff(c.want, v.Agents[0].Paths[0].Reason); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	t.Run("an agent that was cut before anything was planned for it", func(t *testing.T) {
		v := verdict.Judge(report.Round{Agents: []report.AgentReport{cutShort(agent("a", path("x", 0, 0, 0, 0)))}},
			strict())
		if got := v.Agents[0].Paths[0]; got.Result != verdict.Void || got.Reason.Code != verdict.Cut {
			t.Errorf("got %s: %s", got.Result, got.Reason)
		}
	})
	t.Run("an agent that was cut", func(t *testing.T) {
		v := verdict.Judge(report.Round{Expected: []report.Expected{planned(10, "a", "x"), planned(10, "c", "x")},
			Agents: []report.AgentReport{cutShort(agent("a", path("x", 1, 1, 1, 0))), agent("c", good)}}, strict())
		want := verdict.Reason{Code: verdict.Cut, Text: cut.StoppedWhy, Change: cut.StoppedBy, Count: 1, Of: 10}
		if diff := cmp.Diff(want, v.Agents[0].Paths[0].Reason); diff != "" {
			t.Errorf("path (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(verdict.Reason{Code: verdict.Cut, Text: cut.StoppedWhy}, v.Agents[0].Reason); diff != "" {
			t.Errorf("agent (-want +got):\n%s", diff)
		}
	})
}

func TestReasonsOfRounds(t *testing.T) {
	good := agent("a", path("x", 10, 10, 10, time.Millisecond))
	cases := []struct {
		name  string
		round report.Round
		want  []verdict.Reason
	}{
		{"gaps are sorted", report.Round{Agents: []report.AgentReport{good},
			Gaps: []target.Gap{{Kind: target.LoadBalancer, Family: topology.IPv6, Reason: "d"},
				{Kind: target.LoadBalancer, Family: topology.IPv4, Node: "n2", Reason: "a"},
				{Kind: target.LoadBalancer, Family: topology.IPv4, Node: "n1", Reason: "c"},
				{Kind: target.LoadBalancer, Family: topology.IPv4, Node: "n1", Reason: "b"},
				{Kind: target.Ingress, Family: topology.IPv6, Reason: "e"}}},
			[]verdict.Reason{{Code: verdict.NoTarget, Kind: target.Ingress, Family: topology.IPv6, Text: "e"},
				{Code: verdict.NoTarget, Kind: target.LoadBalancer, Family: topology.IPv4, Text: "b"},
				{Code: verdict.NoTarget, Kind: target.LoadBalancer, Family: topology.IPv4, Text: "c"},
				{Code: verdict.NoTarget, Kind: target.LoadBalancer, Family: topology.IPv4, Text: "a"},
				{Code: verdict.NoTarget, Kind: target.LoadBalancer, Family: topology.IPv6, Text: "d"}}},
		{"missing agents are sorted",
			report.Round{Agents: []report.AgentReport{good},
				Missing: []report.Missing{{Pod: "c", Node: "n2", Reason: "r"}, {Pod: "d", Node: "n1", Reason: "r"},
					{Pod: "b", Node: "n1", Reason: "r"}}},
			[]verdict.Reason{{Code: verdict.NotReported, Pod: "b", Node: "n1", Text: "r"},
				{Code: verdict.NotReported, Pod: "d", Node: "n1", Text: "r"},
				{Code: verdict.NotReported, Pod: "c", Node: "n2", Text: "r"}}},
		{"nothing was given", report.Round{Budget: report.RequestBudget{Asked: 10, Cap: 8, LowestRate: 9, Targets: 9}},
			[]verdict.Reason{{Code: verdict.NothingGiven,
				Text: phrases.NothingSent(report.RequestBudget{Asked: 10, Cap: 8, LowestRate: 9, Targets: 9})}}},
		{"nobody reported", report.Round{}, []verdict.Reason{{Code: verdict.NobodyReported}}},
		{"nobody could report",
			report.Round{Churn: deleted("b"), Missing: []report.Missing{{Pod: "b", Node: "node-b", Excused: true}}},
			[]verdict.Reason{{Code: verdict.NobodyReported, Changes: 1, Change: &deleted("b")[0]}}},
		{"nobody reported, for a reason that is known",
			report.Round{Missing: []report.Missing{{Pod: "b", Node: "node-b", Reason: "r"}}},
			[]verdict.Reason{{Code: verdict.NotReported, Pod: "b", Node: "node-b", Text: "r"}}},
		{"agents that were not expected and are void are missing too",
			report.Round{Agents: []report.AgentReport{good},
				Missing: []report.Missing{{Pod: "b", Excused: true}, {Pod: "c", Excused: true},
					{Pod: "d", Excused: true}}},
			[]verdict.Reason{{Code: verdict.FewAgents, Count: 1, Of: 4}}},
		{"two such agents are not too many",
			report.Round{Agents: []report.AgentReport{good},
				Missing: []report.Missing{{Pod: "b", Excused: true}, {Pod: "c", Excused: true}}}, nil},
		{"an agent that had no target", report.Round{Agents: []report.AgentReport{good, agent("b")}},
			[]verdict.Reason{{Code: verdict.NoTargets, Pod: "b", Node: "node-b"}}},
		{"an agent's targets that were not measured: the first is named",
			report.Round{Expected: []report.Expected{expected("a", "z", "x", "y")}, Agents: []report.AgentReport{good}},
			[]verdict.Reason{{Code: verdict.NotMeasured, Pod: "a", Node: "node-a", Target: "y"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, verdict.Judge(c.round, strict()).Reasons); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestNodesThatReportedCountWithoutAPlan(t *testing.T) {
	round := report.Round{Agents: []report.AgentReport{agent("a"), agent("b")},
		Missing: []report.Missing{{Pod: "c", Node: "node-c"}, {Pod: "d"}},
		Outside: []report.Outside{{Node: "n", Reason: "r"}}}
	if n := verdict.Notes(round, verdict.Verdict{})[0]; n.Count != 1 || n.Of != 4 {
		t.Errorf("%d of %d nodes were left out, want 1 of 4", n.Count, n.Of)
	}
}
