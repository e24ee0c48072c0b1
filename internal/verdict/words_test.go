package verdict_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// TestWhatReasonsSay has a line for each reason, and for each form that it takes.
func TestWhatReasonsSay(t *testing.T) {
	change := deleted("b")[0]
	throttled := &verdict.Reason{Code: verdict.Throttled, Count: 6, Of: 100, Cores: 0.5, Delay: 180 * time.Millisecond}
	answerer := *throttled
	answerer.Pod, answerer.Node = "b", "node-b"
	worst := &verdict.Failures{Outcome: probe.Timeout, Phase: probe.Connect, Count: 3}
	reasons := []verdict.Reason{
		{},
		{Text: "a sentence of the first release"},
		{Pod: "a", Node: "node-a", Text: "x: a clause of the first release"},
		{Code: verdict.NoTarget, Kind: target.Ingress, Family: topology.IPv6, Text: "the agents have no Ingress"},
		{Code: verdict.NotReported, Pod: "c", Node: "node-c", Text: "pod is Pending"},
		{Code: verdict.NotReported, Pod: "c", Text: "no node takes its pod"},
		{Code: verdict.NothingGiven, Text: "nothing was sent: each agent may send 8 requests a second"},
		{Code: verdict.NobodyReported},
		{Code: verdict.NothingLeft, Change: &change, Changes: 1},
		{Code: verdict.NothingLeft, Changes: 2},
		{Code: verdict.NothingLeft},
		{Code: verdict.NothingLeft, Text: "pod b on node node-b: its pod was deleted"},
		{Code: verdict.FewAgents, Count: 1, Of: 100, Changes: 99},
		{Code: verdict.FewPaths, Count: 1, Of: 4, Kind: target.Endpoint, Family: topology.IPv4, Changes: 1,
			Change: &change},
		{Code: verdict.FewPaths, Count: 1, Of: 4},
		{Code: verdict.Stopped, Pod: "a", Node: "node-a"},
		{Code: verdict.NotMeasured, Pod: "a", Node: "node-a", Target: "x"},
		{Code: verdict.NoTargets},
		{Code: verdict.TooFewSucceeded, Count: 7, Of: 10, Rate: 0.95, Worst: worst},
		{Code: verdict.TooFewSucceeded, Count: 7, Of: 10, Rate: 1, Worst: worst, Limit: throttled, Pod: "a",
			Node: "node-a", Target: "x"},
		{Code: verdict.TooFewSucceeded, Count: 7, Of: 10, Rate: 1, Limit: &answerer},
		{Code: verdict.TooFewSucceeded, Count: 10, Of: 10, Rate: 1, Lost: 1, Persistent: true, Target: "x"},
		{Code: verdict.TooFewSucceeded, Count: 10, Of: 10, Rate: 1, Lost: 2, Persistent: true},
		{Code: verdict.TooSlow, Delay: 100*time.Millisecond + time.Microsecond, Allowed: 100 * time.Millisecond},
		{Code: verdict.TooSlow, Delay: time.Second, Allowed: 100 * time.Millisecond, Limit: throttled},
		{Code: verdict.NeverReused, Count: 100, Persistent: true},
		{Code: verdict.NothingSent, Of: 10},
		{Code: verdict.NothingSent, Of: 10, Worst: &verdict.Failures{Outcome: probe.NotSent, Count: 10},
			Limit: throttled},
		{Code: verdict.NothingSucceeded, Worst: worst, Limit: throttled},
		{Code: verdict.NotDue, Count: 10, Of: 100},
		{Code: verdict.TooFewJudged, Count: 10, Of: 100, Worst: &verdict.Failures{Outcome: probe.Aborted, Count: 90}},
		{Code: verdict.ShortAnswers, Count: 200, Of: 8000},
		{Code: verdict.Excused, Excused: 10, Of: 10, Changes: 1, Change: &change},
		{Code: verdict.Excused, Excused: 90, Of: 100, Count: 10, Changes: 3},
		{Code: verdict.Cut, Text: "its pod was deleted during the round"},
		{Code: verdict.Cut, Text: "its pod was deleted during the round", Count: 1, Of: 3000},
		{Code: verdict.Cut, Text: "its pod was deleted during the round", Of: 1},
		*throttled,
		{Code: verdict.Throttled, Pod: "a", Node: "node-a", Count: 3, Delay: time.Second},
		{Code: verdict.OutOfFiles, Count: 100, Of: 1000, Used: 1000, Room: 1024},
		{Code: verdict.OutOfPorts, Count: 100, Of: 1000, Room: 28232},
		{Code: verdict.OutOfPorts, Count: 100, Of: 1000},
		{Code: verdict.Late, Count: 11, Of: 1000, Delay: 39900 * time.Microsecond, Allowed: 10 * time.Millisecond},
		{Code: verdict.Unsent, Count: 97, Of: 100, Missed: 2, NotSent: 1},
		{Code: verdict.Unsent, Count: 99, Of: 100, Missed: 1},
		{Code: verdict.Unsent, Count: 99, Of: 100, NotSent: 1},
		{Code: "OfALaterRelease"},
	}
	var b strings.Builder
	for _, r := range reasons {
		fmt.Fprintf(&b, "%s | %s\n", r.Code, r)
		if r.IsZero() != (r.String() == "") {
			t.Errorf("%q is zero: %t", r, r.IsZero())
		}
	}
	golden(t, "what reasons say", b.String())
}

func TestWhatNotesSay(t *testing.T) {
	outside := func(reasons ...string) (all []report.Outside) {
		for i, r := range reasons {
			all = append(all, report.Outside{Node: fmt.Sprintf("n%d", i), Reason: r})
		}
		return all
	}
	const selector, virtual = "its node selector leaves it out", "it is virtual"
	notes := []verdict.Note{
		{Code: verdict.NodesLeftOut, Count: 1, Of: 3, Outside: outside(selector)},
		{Code: verdict.NodesLeftOut, Count: 2, Of: 3, Outside: outside(selector, selector)},
		{Code: verdict.NodesLeftOut, Count: 3, Of: 3, Outside: outside(selector, virtual, selector)},
		{Code: verdict.NodesLeftOut, Count: 3, Of: 9, Outside: outside(selector, selector, selector)},
		{Code: verdict.NodesLeftOut, Count: 3, Of: 9, Outside: outside("a", "b", "c")},
		{Code: verdict.NodesLeftOut, Count: 5, Of: 50,
			Outside: outside(selector, selector, selector, selector, virtual)},
		{Code: verdict.NodesLeftOut, Count: 4, Of: 50, Outside: outside("a", "b", "c", "d")},
		{Code: verdict.NodesInPart, Count: 1, Of: 3,
			Outside: outside("its node ports are not probed, because it is virtual")},
		{Code: verdict.ShortCircuit, Address: "172.18.255.1:80", Count: 9},
		{Code: verdict.ShortCircuit, Address: "172.18.255.1:80", Count: 1},
	}
	var b strings.Builder
	for _, n := range notes {
		fmt.Fprintln(&b, n)
	}
	golden(t, "what notes say", b.String())
}

func TestWhatExcusesSay(t *testing.T) {
	at := time.Date(2026, time.March, 1, 3, 0, 6, 0, time.FixedZone("CET", 3600))
	excuses := []report.Excuse{
		{Explained: 33, Of: 100, First: at, Last: at.Add(6 * time.Second), Away: 1, Backends: 3, Changes: deleted("b")},
		{Explained: 66, Of: 100, First: at, Last: at.Add(6 * time.Second), Away: 2, Backends: 3,
			Changes: deleted("b", "c")},
		{Explained: 90, Of: 100, First: at, Last: at, Away: 4, Backends: 5, Changes: deleted("b", "c", "d", "e", "f")},
		{Explained: 1, Of: 1, First: at, Last: at, Changes: deleted("b")},
		{Explained: 1, Of: 1, First: at, Last: at, Away: 1, Backends: 1, Changes: deleted("b", "c", "d")},
	}
	var b strings.Builder
	for _, e := range excuses {
		fmt.Fprintln(&b, phrases.Excuse(e))
	}
	golden(t, "what excuses say", b.String())
}

func TestNotes(t *testing.T) {
	load := func(id, address string, short bool) report.Path {
		p := path(id, 10, 10, 10, time.Millisecond)
		p.Target.Kind, p.Target.Address, p.Target.ShortCircuit = target.LoadBalancer, address, short
		return p
	}
	failing := load("y", "http://172.18.255.2:80", true)
	failing.OK, failing.Failures = 9, []report.Failure{refused(1)}
	round := report.Round{
		Expected: []report.Expected{expected("a"), expected("b"), {Pod: "pending"}},
		Outside:  []report.Outside{{Node: "n3", Reason: "r"}, {Node: "n4", Reason: "r"}, {Node: "node-a", Reason: "p"}},
		Agents: []report.AgentReport{agent("b", load("x", "http://172.18.255.1:80", true), failing,
			load("z", "http://172.18.255.3:80", false)),
			agent("a", load("x", "http://172.18.255.1:80", true), load("w", "172.18.255.0", true),
				load("v", "", true))},
		Missing: []report.Missing{{Pod: "c", Node: "node-c"}},
	}
	var got []string
	for _, n := range verdict.Notes(round, verdict.Judge(round, strict())) {
		got = append(got, fmt.Sprintf("%s %d of %d %s", n.Code, n.Count, n.Of, n.Address))
	}
	want := []string{"NodesLeftOut 2 of 5 ", "NodesInPart 1 of 5 ", "ShortCircuit 1 of 0 172.18.255.0",
		"ShortCircuit 2 of 0 172.18.255.1:80", "ShortCircuit 1 of 0 v"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if notes := verdict.Notes(report.Round{Agents: round.Agents[:0]}, verdict.Verdict{}); notes != nil {
		t.Errorf("of a round of which nothing is to be said: %v", notes)
	}
}

func TestCounts(t *testing.T) {
	v := verdict.Judge(report.Round{Churn: deleted("b"),
		Agents: []report.AgentReport{agent("a", path("x", 10, 10, 10, time.Millisecond),
			path("y", 10, 10, 0, 0, excused(10))),
			agent("c", path("x", 10, 10, 10, time.Millisecond), path("y", 10, 10, 9, time.Millisecond, refused(1)))}},
		strict())
	if got := fmt.Sprint(verdict.Counts(v)); got != "map[fail:1 pass:2 void:1]" {
		t.Errorf("got %s", got)
	}
}
