package verdict

import (
	"cmp"
	"slices"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// answererChanges returns the changes of agents that may answer the agent on the target.
func (j *judge) answererChanges(agent string, t *target.Target) []report.Change {
	answers := func(report.Change) bool { return true }
	switch t.MayAnswer() {
	case target.OnePod:
		answers = func(c report.Change) bool { return c.Pod == t.Pod }
	case target.Backends:
		if set, known := j.slow.backendSets.Of(agent, t.ID); known {
			answers = func(c report.Change) bool {
				return slices.Contains(set.Pods, c.Pod) || slices.Contains(set.MayAlsoAnswer, c.Pod)
			}
		}
	case target.Anyone:
	}
	var changes []report.Change
	for _, c := range j.round.Churn {
		if answers(c) {
			changes = append(changes, c)
		}
	}
	return changes
}

// excusingChanges returns the changes that excuse requests of the path: the changes that the path's excuses name, else
// the changes of agents that may answer.
func (j *judge) excusingChanges(agent string, t *target.Target, p *report.Path) []report.Change {
	var changes []report.Change
	for _, e := range p.Excuses {
		for _, c := range e.Changes {
			if !slices.Contains(changes, c) {
				changes = append(changes, c)
			}
		}
	}
	if len(changes) > 0 {
		return changes
	}
	return j.answererChanges(agent, t)
}

// withChanges returns the reason with the number of changes and, if there is only one, the change.
func withChanges(r Reason, churn []report.Change) Reason {
	if r.Changes = len(churn); r.Changes == 1 {
		r.Change = &churn[0]
	}
	return r
}

func sortedGaps(gaps []target.Gap) []target.Gap {
	return slices.SortedStableFunc(slices.Values(gaps), func(a, b target.Gap) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Node, b.Node),
			cmp.Compare(a.Reason, b.Reason))
	})
}

// missingAgents returns the agents without a report, sorted. Expected agents that are neither in Agents nor in Missing
// are among them.
func missingAgents(round report.Round) []report.Missing {
	known := map[string]bool{}
	for _, a := range round.Agents {
		known[a.Pod] = true
	}
	for _, m := range round.Missing {
		known[m.Pod] = true
	}
	all := slices.Clone(round.Missing)
	for _, e := range round.Expected {
		if !known[e.Pod] {
			all = append(all, report.Missing{Pod: e.Pod, Node: e.Node, Reason: cmp.Or(e.LeftOutWhy, "no report")})
		}
	}
	slices.SortStableFunc(all, func(a, b report.Missing) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}
