package nodecondition_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/nodecondition"
	"kdoctor.io/kdoctor/internal/report"
)

func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// at is a finding about the node with evidence enough.
func at(node string) report.Finding {
	return report.Finding{Reason: "CommonNode", Component: "pod or node", Confidence: "high", Nodes: []string{node},
		Kinds: 2, Others: 2, Message: node + " fails"}
}

// cluster is n nodes: n0, n1 and so on.
func cluster(n int) map[string]bool {
	nodes := map[string]bool{}
	for i := range n {
		nodes[fmt.Sprintf("n%d", i)] = true
	}
	return nodes
}

func names(problems []nodecondition.Problem) string {
	var all []string
	for _, p := range problems {
		all = append(all, p.Node)
	}
	return strings.Join(all, " ")
}

func TestOnlyTwoKindsOfEvidenceAccuseANode(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*report.Finding)
		want   bool
	}{
		"two kinds of paths and two nodes":   {func(*report.Finding) {}, true},
		"one kind of path from two nodes":    {func(f *report.Finding) { f.Kinds = 1 }, true},
		"two kinds of paths from one node":   {func(f *report.Finding) { f.Others = 1 }, true},
		"one kind of path from one node":     {func(f *report.Finding) { f.Kinds, f.Others = 1, 1 }, false},
		"a finding without figures":          {func(f *report.Finding) { f.Kinds, f.Others = 0, 0 }, false},
		"between two nodes":                  {func(f *report.Finding) { f.Nodes = []string{"a", "b"} }, false},
		"no node":                            {func(f *report.Finding) { f.Nodes = nil }, false},
		"something else may explain it":      {func(f *report.Finding) { f.Confidence = "low" }, false},
		"the rules of a Service on the node": {func(f *report.Finding) { f.Component = "Service path" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := at("a")
			c.change(&f)
			if got := nodecondition.Accuses(f); got != c.want {
				t.Errorf("accuses: %t, want %t", got, c.want)
			}
		})
	}
}

// Each round is a letter: B accuses n1, P sees it pass, F sees it fail without accusing it, - does not measure it.
func TestAProblemIsSetAndClearedAfterSomeRoundsInARow(t *testing.T) {
	for name, c := range map[string]struct{ rounds, want string }{
		"three in a row set it":                 {"BBB", "..X"},
		"two are not enough":                    {"BBPBBP", "......"},
		"a round that fails without accusing":   {"BBFBB", "....."},
		"rounds that do not measure it between": {"BB-B", "...X"},
		"three passes clear it":                 {"BBBPPP", "..XXX."},
		"two passes do not":                     {"BBBPPBPP", "..XXXXXX"},
		"failures do not clear it":              {"BBBFFFF", "..XXXXX"},
		"a failure between passes":              {"BBBPPFPPP", "..XXXXXX."},
		"it comes back after three more":        {"BBBPPPBBB", "..XXX...X"},
	} {
		t.Run(name, func(t *testing.T) {
			var tracker nodecondition.Tracker
			got, now := "", start()
			for _, letter := range c.rounds {
				now = now.Add(time.Minute)
				r := nodecondition.Round{Passed: []string{"n0"}}
				switch letter {
				case 'B':
					r.Failed, r.Findings = []string{"n1"}, []report.Finding{at("n1")}
				case 'P':
					r.Passed = append(r.Passed, "n1")
				case 'F':
					r.Failed = []string{"n1"}
				}
				tracker.Observe("task", r, now)
				switch problems, _ := tracker.Problems(cluster(3), now); names(problems) {
				case "":
					got += "."
				case "n1":
					got += "X"
				default:
					got += "?"
				}
			}
			if got != c.want {
				t.Errorf("after %s the problem is %s, want %s", c.rounds, got, c.want)
			}
		})
	}
}

// accuse has the task accuse the nodes often enough.
func accuse(tracker *nodecondition.Tracker, task string, now time.Time, interval time.Duration, nodes ...string) {
	for range nodecondition.SetAfter {
		r := nodecondition.Round{Failed: nodes, Interval: interval}
		for _, node := range nodes {
			r.Findings = append(r.Findings, at(node))
		}
		tracker.Observe(task, r, now)
	}
}

func TestManyAccusedNodesAreNoProblemOfTheirs(t *testing.T) {
	for name, c := range map[string]struct {
		nodes         int
		first, second []string
		want          string
		withheld      int
	}{
		"one of three":                         {3, nil, []string{"n1"}, "n1", 0},
		"two of three: none":                   {3, nil, []string{"n1", "n2"}, "", 2},
		"two of three, one of which was there": {3, []string{"n2"}, []string{"n1"}, "n2", 1},
		"two of twenty":                        {20, nil, []string{"n1", "n2"}, "n1 n2", 0},
		"three of twenty: none":                {20, nil, []string{"n1", "n2", "n3"}, "", 3},
		"three of 29, two of which were there": {29, []string{"n7", "n8"}, []string{"n1"}, "n7 n8", 1},
	} {
		t.Run(name, func(t *testing.T) {
			var tracker nodecondition.Tracker
			accuse(&tracker, "first", start(), 0, c.first...)
			tracker.Problems(cluster(c.nodes), start())
			accuse(&tracker, "second", start(), 0, c.second...)
			problems, withheld := tracker.Problems(cluster(c.nodes), start())
			if names(problems) != c.want || withheld != c.withheld {
				t.Errorf("problems of %q, %d withheld; want %q and %d", names(problems), withheld, c.want, c.withheld)
			}
		})
	}
}

func TestNodesThatLeaveAClusterTakeTheirShareWithThem(t *testing.T) {
	var tracker nodecondition.Tracker
	accuse(&tracker, "task", start(), 0, "n1", "n2")
	if problems, _ := tracker.Problems(cluster(20), start()); names(problems) != "n1 n2" {
		t.Fatalf("problems of %q", names(problems))
	}
	if problems, _ := tracker.Problems(cluster(10), start()); names(problems) != "n1" {
		t.Errorf("of ten nodes %q have a problem, want one", names(problems))
	}
}

func TestAProblemEndsWithWhatConfirmsIt(t *testing.T) {
	for name, c := range map[string]struct {
		interval, after time.Duration
		forget          bool
		gone            bool
		want            string
	}{
		"within 15 minutes it stays":                   {time.Minute, 14 * time.Minute, false, false, "n1"},
		"15 minutes without a round end it":            {time.Minute, 15 * time.Minute, false, false, ""},
		"hourly rounds have three hours":               {time.Hour, 179 * time.Minute, false, false, "n1"},
		"hourly rounds that end":                       {time.Hour, 3 * time.Hour, false, false, ""},
		"a deleted task takes its word back":           {time.Minute, 0, true, false, ""},
		"a node that is gone has no problem any more":  {time.Minute, 0, false, true, ""},
		"a problem that nothing changed at once stays": {time.Minute, 0, false, false, "n1"},
	} {
		t.Run(name, func(t *testing.T) {
			var tracker nodecondition.Tracker
			accuse(&tracker, "task", start(), c.interval, "n1")
			nodes := cluster(3)
			if c.forget {
				tracker.Forget("task")
			}
			if c.gone {
				delete(nodes, "n1")
			}
			if problems, _ := tracker.Problems(nodes, start().Add(c.after)); names(problems) != c.want {
				t.Errorf("problems of %q, want %q", names(problems), c.want)
			}
		})
	}
}

func TestOneTaskDoesNotAcquitForAnother(t *testing.T) {
	var tracker nodecondition.Tracker
	accuse(&tracker, "pods", start(), 0, "n1")
	for range 5 {
		tracker.Observe("services", nodecondition.Round{Passed: []string{"n1"}}, start())
	}
	if problems, _ := tracker.Problems(cluster(3), start()); names(problems) != "n1" {
		t.Errorf("problems of %q, want n1", names(problems))
	}
}

func TestAProblemOfAnotherControllerIsTakenOver(t *testing.T) {
	for name, c := range map[string]struct {
		rounds int
		accuse bool
		after  time.Duration
		want   []nodecondition.Problem
	}{
		"it stays at first":            {0, false, 0, []nodecondition.Problem{{"n1", "old"}}},
		"two passes do not end it":     {2, false, 0, []nodecondition.Problem{{"n1", "old"}}},
		"three passes end it":          {3, false, 0, nil},
		"nobody confirms it":           {0, false, 15 * time.Minute, nil},
		"rounds confirm it themselves": {0, true, 0, []nodecondition.Problem{{"n1", "n1 fails"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var tracker nodecondition.Tracker
			tracker.Adopt(nodecondition.Problem{Node: "n1", Message: "old"}, start())
			for range c.rounds {
				tracker.Observe("task", nodecondition.Round{Passed: []string{"n1"}}, start())
			}
			if c.accuse {
				accuse(&tracker, "task", start(), 0, "n1")
			}
			got, _ := tracker.Problems(cluster(3), start().Add(c.after))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
