package diagnose

import "slices"

// Compare returns the findings that are there now and were not before, and those that were there before and are not any
// more, both in their order. A finding is the same as long as its rule and its place are.
func Compare(before, now []Finding) (opened, cleared []Finding) {
	return without(now, before), without(before, now)
}

// without returns the findings of all that are not among others, each once.
func without(all, others []Finding) []Finding {
	var left []Finding
	for _, f := range all {
		if !among(others, f) && !among(left, f) {
			left = append(left, f)
		}
	}
	return left
}

func among(all []Finding, f Finding) bool {
	return slices.ContainsFunc(all, func(o Finding) bool { return o.Reason == f.Reason && o.Where == f.Where })
}

// ends are the two ends of a failed path, and its kind.
type ends struct{ from, to, kind string }

// about returns the finding with the node as its place, and how broad its evidence is: on how many kinds of paths the
// failures are, and how many other nodes are at the other ends.
func about(found Finding, node string, failed []ends) Finding {
	kinds, others := map[string]bool{}, map[string]bool{}
	for _, e := range failed {
		other := e.to
		switch node {
		case e.from:
		case e.to:
			other = e.from
		default:
			continue
		}
		kinds[e.kind] = true
		if other != "" && other != node {
			others[other] = true
		}
	}
	found.Nodes, found.Kinds, found.Others = []string{node}, len(kinds), len(others)
	return found
}

// ends returns the ends of the routes.
func (all routes) ends() []ends {
	failed := make([]ends, 0, len(all))
	for _, r := range all {
		failed = append(failed, ends{r.from, r.to, string(r.kind)})
	}
	return failed
}

// nodesNamed returns the node alone, and nothing where it is not known.
func nodesNamed(node string) []string {
	if node == "" {
		return nil
	}
	return []string{node}
}
