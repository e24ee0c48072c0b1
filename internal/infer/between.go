package infer

import "slices"

// between tries broken pairs of nodes in place of a fault of one node, or between two zones, that explains, beside the
// other faults, nothing but failures between one or two pairs of nodes, and reports whether that was better. The search
// takes what explains most at once: of two broken pairs at one node that is the node, and of two between the same zones
// these.
func (s *search) between(c *claim) bool {
	alone := s.alone(c)
	if len(alone) == 0 || len(alone) >= several {
		return false
	}
	var chosen []int
	for _, candidates := range alone {
		candidates = slices.DeleteFunc(candidates, func(i int) bool { return s.barred(i, c) })
		if len(candidates) == 0 {
			return false
		}
		chosen = append(chosen, slices.MaxFunc(candidates,
			func(a, b int) int { return compareClaims(s.strongest(b, c), s.strongest(a, c)) }))
	}
	// Two pairs of one node that fail in the same way have one reason, at that node.
	if len(chosen) == 2 && s.evidence.components[c.component].Peer == "" &&
		s.evidence.components[chosen[0]].Part == s.evidence.components[chosen[1]].Part {
		return false
	}
	return s.try([]*claim{c}, chosen, s.apart)
}

// alone returns the components between two nodes that may have caused what the claim alone explains, for each pair of
// nodes. It is empty if some of that does not lie between two nodes.
func (s *search) alone(c *claim) (found [][]int) {
	for _, n := range s.evidence.touching[c.component] {
		f := &s.evidence.failures[n]
		if c.severities[f.bucket] == 0 || slices.ContainsFunc(f.by,
			func(other *claim) bool { return other != c && other.severities[f.bucket] > 0 }) {
			continue
		}
		between := slices.DeleteFunc(slices.Clone(f.candidates),
			func(i int) bool { return !pairs(s.evidence.components[i].Part) })
		if len(between) == 0 {
			return nil
		}
		at := slices.IndexFunc(found, func(of []int) bool { return s.sameNodes(of[0], between[0]) })
		if at < 0 {
			found = append(found, between)
			continue
		}
		for _, i := range between {
			if !slices.Contains(found[at], i) {
				found[at] = append(found[at], i)
			}
		}
	}
	return found
}

// sameNodes reports whether both components lie between the same two nodes.
func (s *search) sameNodes(a, b int) bool {
	first, second := s.evidence.components[a], s.evidence.components[b]
	return first.Node == second.Node && first.Peer == second.Peer
}
