package tally

import (
	"cmp"
	"slices"

	"kdoctor.io/kdoctor/internal/report"
)

// pair is two nodes by their indices in Tally.Nodes; -1 for a node that this round does not have.
type pair struct{ from, to int32 }

// Again returns the pairs of nodes that the next round probes again: those that failed in this round, and those of
// before that have not passed often enough since. asked are the nodes of the agents that reported. What it remembers of
// the failures is bounded by report.MaxAgain pairs a node, however many there are.
func (t *Tally) Again(before []report.Again, asked map[string]bool) []report.Again {
	pairOf := t.indices()
	failed := make(map[pair]bool, len(before))
	for _, a := range before {
		failed[pairOf(a)] = false
	}
	again, perNode := t.failedPairs(failed)
	for _, a := range before {
		if failed[pairOf(a)] {
			continue
		}
		if asked[a.From] {
			a.Passed++
		}
		if a.Passed < report.AgainUntil && perNode[a.From] < report.MaxAgain {
			perNode[a.From]++
			again = append(again, a)
		}
	}
	slices.SortFunc(again, func(a, b report.Again) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return again
}

// failedPairs returns the pairs that failed, at most report.MaxAgain of each node, and how many of each node. It notes
// in watched which of the pairs there failed.
func (t *Tally) failedPairs(watched map[pair]bool) (again []report.Again, perNode map[string]int) {
	added, perNode := map[pair]bool{}, map[string]int{}
	for _, f := range t.Failures {
		p := pair{f.From, f.To}
		if p.to < 0 || p.from == p.to {
			continue
		}
		if _, ok := watched[p]; ok {
			watched[p] = true
		}
		if from := t.Nodes[p.from]; perNode[from] < report.MaxAgain && !added[p] {
			added[p] = true
			perNode[from]++
			again = append(again, report.Again{From: from, To: t.Nodes[p.to]})
		}
	}
	return again, perNode
}

// indices returns what finds the indices of a pair's nodes.
func (t *Tally) indices() func(report.Again) pair {
	known := make(map[string]int32, len(t.Nodes))
	for i, name := range t.Nodes {
		known[name] = int32(i) // #nosec G115 -- a cluster has fewer nodes
	}
	index := func(name string) int32 {
		if i, ok := known[name]; ok {
			return i
		}
		return -1
	}
	return func(a report.Again) pair { return pair{index(a.From), index(a.To)} }
}
