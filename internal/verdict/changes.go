package verdict

import (
	"cmp"
	"slices"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// behind are the changes of agents that may answer the agent on the path: those that excuse its requests where its report says it,
// else those of the round.
func (j judge) behind(agent string, p report.Path) []report.Change {
	var answers func(report.Change) bool
	switch p.Target.MayAnswer() {
	case target.OnePod:
		answers = func(c report.Change) bool { return c.Pod == p.Target.Pod }
	case target.Backends:
		pods, known := j.slow.behind.Pods(agent, p.Target.ID)
		answers = func(c report.Change) bool { return !known || slices.Contains(pods, c.Pod) }
	default:
		answers = func(report.Change) bool { return true }
	}
	var changes []report.Change
	for _, c := range j.round.Churn {
		if answers(c) {
			changes = append(changes, c)
		}
	}
	return changes
}

// changes adds what the changes were.
func changes(r Reason, churn []report.Change) Reason {
	if r.Changes = len(churn); r.Changes == 1 {
		r.Change = &churn[0]
	}
	return r
}

func sortedGaps(gaps []target.Gap) []target.Gap {
	return slices.SortedStableFunc(slices.Values(gaps), func(a, b target.Gap) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Reason, b.Reason))
	})
}

func sortedMissing(missing []report.Missing) []report.Missing {
	return slices.SortedStableFunc(slices.Values(missing), func(a, b report.Missing) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Reason, b.Reason))
	})
}
