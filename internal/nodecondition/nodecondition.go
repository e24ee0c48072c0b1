// Package nodecondition decides which nodes have a network problem, from what rounds found. It is slow to accuse and
// slow to acquit, and it never accuses many nodes at once: then it is the network that has the problem.
package nodecondition

import (
	"maps"
	"slices"
	"strings"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

const (
	// SetAfter is how many rounds of a task in a row have to accuse a node before it has a problem.
	SetAfter = 3
	// ClearAfter is how many rounds in a row the node has to pass before the problem is over.
	ClearAfter = 3
	// Percent is how many percent of the nodes have a problem at once at most; one node always may.
	Percent = 10
	// leastValid is how long a round's word counts at least without a further round of its task, validRounds how many
	// intervals between rounds where that is longer.
	leastValid  = 15 * time.Minute
	validRounds = 3
)

// Round is what a round of a task says of nodes. It passed or failed: any other result says nothing.
type Round struct {
	// Passed are the nodes whose agents passed, Failed those whose agents did not or gave no report.
	Passed, Failed []string
	Findings       []report.Finding
	// Interval is the time between two rounds of the task; 0 is not known.
	Interval time.Duration
}

// Problem is a node that has a problem, and what accuses it in one sentence without a final stop.
type Problem struct{ Node, Message string }

// opinion is what a task's rounds say of a node.
type opinion struct {
	// bad and good are how many rounds in a row accused the node, or saw it pass.
	bad, good int
	problem   bool
	message   string
	// until is when the opinion no longer counts.
	until time.Time
}

// Tracker follows what rounds say of nodes. The zero value knows of no round. It is for one goroutine at a time.
type Tracker struct {
	// opinions are by the task's UID and the node. Those of the task "" were there before the first round.
	opinions map[string]map[string]*opinion
	// shown are the nodes that had a problem at the last look.
	shown map[string]bool
}

// Accuses reports whether the finding is evidence enough against one node: its place is that node, and the failures are
// on more than one kind of path or to and from more than one other node. Rules on a node, filters and processes are no
// node's network. A finding that something else may explain is none.
func Accuses(f report.Finding) bool {
	const lowest = "low"
	for part := range strings.SplitSeq(string(f.Component), " or ") {
		if slices.Contains(beside(), part) {
			return false
		}
	}
	return len(f.Nodes) == 1 && f.Confidence != lowest && (f.Kinds > 1 || f.Others > 1)
}

// beside are the components of findings that are at a node, and are not its network.
func beside() []string {
	return []string{"Service path", "kube-proxy", "node port", "route to Services", "agent", "host agent",
		"firewall for the probe port", "network policy, into the pod", "network policy, out of the pod", "way to DNS",
		"way to the API server", "way to the load balancer", "way to the Ingress", "DNS server", "second interface"}
}

// Adopt takes over a problem that another controller found, until a round says otherwise or the time for that is over.
func (t *Tracker) Adopt(p Problem, now time.Time) {
	t.of("")[p.Node] = &opinion{problem: true, message: p.Message, until: now.Add(leastValid)}
	t.show(p.Node)
}

// Observe takes a round of the task into account.
func (t *Tracker) Observe(task string, r Round, now time.Time) {
	opinions := t.of(task)
	until := now.Add(max(leastValid, validRounds*r.Interval))
	accused := map[string]string{}
	for _, f := range r.Findings {
		if Accuses(f) {
			accused[f.Nodes[0]] = f.Message
		}
	}
	failed := map[string]bool{}
	for _, node := range r.Failed {
		failed[node] = true
	}
	for node, message := range accused {
		o := opinions[node]
		if o == nil {
			o = &opinion{}
			opinions[node] = o
		}
		o.bad, o.good, o.message, o.until = o.bad+1, 0, message, until
		if o.bad >= SetAfter {
			o.problem = true
			delete(t.of(""), node)
		}
	}
	for _, node := range slices.Concat(r.Passed, r.Failed) {
		if _, is := accused[node]; !is {
			t.acquit(opinions, node, !failed[node], until)
		}
	}
}

// acquit notes that a round does not accuse the node. A node that failed all the same is not acquitted by that.
func (t *Tracker) acquit(opinions map[string]*opinion, node string, passed bool, until time.Time) {
	adopted := t.of("")[node] != nil
	o := opinions[node]
	if o == nil {
		if !adopted {
			return
		}
		o = &opinion{}
		opinions[node] = o
	}
	o.bad, o.until = 0, until
	if !passed {
		o.good = 0
		return
	}
	if o.good++; o.good >= ClearAfter {
		delete(opinions, node)
		delete(t.of(""), node)
	}
}

// Forget takes back what rounds of the task said.
func (t *Tracker) Forget(task string) { delete(t.opinions, task) }

// Problems returns the nodes that have a problem, sorted, and how many more are accused than may have one at once; then
// no further node gets a problem. nodes are all nodes that exist.
func (t *Tracker) Problems(nodes map[string]bool, now time.Time) (problems []Problem, withheld int) {
	accused := map[string]string{}
	for _, opinions := range t.opinions {
		maps.DeleteFunc(opinions, func(node string, o *opinion) bool { return !now.Before(o.until) || !nodes[node] })
		for node, o := range opinions {
			if o.problem && (accused[node] == "" || o.message < accused[node]) {
				accused[node] = o.message
			}
		}
	}
	most := max(1, len(nodes)*Percent/100)
	if len(accused) > most {
		before := len(accused)
		maps.DeleteFunc(accused, func(node, _ string) bool { return !t.shown[node] })
		for _, node := range slices.Sorted(maps.Keys(accused))[min(most, len(accused)):] {
			delete(accused, node)
		}
		withheld = before - len(accused)
	}
	clear(t.shown)
	for _, node := range slices.Sorted(maps.Keys(accused)) {
		problems = append(problems, Problem{node, accused[node]})
		t.show(node)
	}
	return problems, withheld
}

func (t *Tracker) of(task string) map[string]*opinion {
	if t.opinions == nil {
		t.opinions = map[string]map[string]*opinion{}
	}
	if t.opinions[task] == nil {
		t.opinions[task] = map[string]*opinion{}
	}
	return t.opinions[task]
}

func (t *Tracker) show(node string) {
	if t.shown == nil {
		t.shown = map[string]bool{}
	}
	t.shown[node] = true
}
