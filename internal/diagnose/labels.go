package diagnose

import (
	"fmt"

	"kdoctor.io/kdoctor/internal/infer"
)

// labelEvidence names the nodes whose zone label does not fit the fault between zones, at most ten.
func labelEvidence(f infer.Fault) []string {
	const most = 10
	var all []string
	for i, l := range f.Labels {
		if i == most {
			return append(all, fmt.Sprintf("%d more nodes carry zone labels that do not fit their paths", len(f.Labels)-most))
		}
		all = append(all, labelled(l))
	}
	return all
}

// labelled says what the paths of a node show of its zone.
func labelled(l infer.Label) string {
	switch {
	case l.Says == "":
		return fmt.Sprintf("node %s carries no label of a zone, and its paths behave as those of zone %s", l.Node, l.Behaves)
	case l.Behaves == "":
		return fmt.Sprintf("node %s carries the label of zone %s, and its paths do not behave as those of zone %s", l.Node,
			l.Says, l.Says)
	}
	return fmt.Sprintf("node %s carries the label of zone %s, and its paths behave as those of zone %s", l.Node, l.Says,
		l.Behaves)
}
