package infer

import (
	"maps"
	"math"
	"slices"
)

// several is how many broken pairs of nodes at one node mean that the node is broken.
const several = 3

// gather claims a broken node in place of several broken pairs with it: faults such as an address that another machine
// has as well take some pairs of nodes and leave others alone.
func (s *search) gather() {
	count := map[string]int{}
	for _, c := range s.accepted {
		if of := s.evidence.components[c.component]; pairs(of.Part) {
			count[of.Node]++
			count[of.Peer]++
		}
	}
	for _, node := range slices.Sorted(maps.Keys(count)) {
		if count[node] < several {
			continue
		}
		for i, of := range s.evidence.components {
			if pairs(of.Part) && (of.Node == node || of.Peer == node) {
				s.banned[i] = true
			}
		}
		for _, c := range slices.Clone(s.accepted) {
			if s.banned[c.component] {
				s.withdraw(c)
			}
		}
		s.grow(mostFaults / 2)
	}
}

// pairs reports whether the part is between two nodes.
func pairs(p Part) bool { return p == PodPair || p == NodePair || p == PolicyPair }

// replace looks at each partial fault that was accepted: several others may explain the same failures better, and the
// search, which accepts one at a time, takes what explains most at once.
func (s *search) replace() {
	const most = 6
	tried := 0
	for _, c := range slices.Clone(s.accepted) {
		of := s.evidence.components[c.component]
		if tried == most || !slices.Contains(s.accepted, c) || !s.partial(c) || of.Peer != "" {
			continue
		}
		tried++
		for _, others := range s.instead(c) {
			if s.try([]*claim{c}, others, clearly) {
				break
			}
		}
	}
}

// clearly is by how many nats several claims have to explain more than one claim that they replace.
const clearly = 10

// merge looks at nodes of which several components were claimed: one alone may explain the same failures better.
func (s *search) merge() {
	at := map[string][]*claim{}
	for _, c := range s.accepted {
		if of := s.evidence.components[c.component]; of.Node != "" && of.Peer == "" {
			at[of.Node] = append(at[of.Node], c)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(at)) {
		if len(at[node]) > 1 {
			s.try(at[node], nil, 0)
		}
	}
}

// partial reports whether a claim leaves some of its traffic alone.
func (s *search) partial(c *claim) bool {
	const least, nearlyAll = 0.02, 0.98
	most := c.most()
	return most >= least && (most < nearlyAll || s.aspects[c.choice].uneven())
}

// instead returns what may stand in the place of a claim: nothing, so that the search looks for other components; parts
// of its traffic; for an agent that asks and answers badly, both on their own.
func (s *search) instead(c *claim) [][]claim {
	all := [][]claim{nil}
	of := s.evidence.components[c.component]
	if of.Part == wholeAgent {
		answering, ok := s.evidence.index[Component{Part: Agent, Node: of.Node}]
		asks, also := s.evidence.index[Component{Part: asking, Node: of.Node}]
		if ok && also {
			all = append(all, []claim{s.strongest(answering, c), s.strongest(asks, c)})
		}
	}
	if c.most() < hiding {
		return all
	}
	for i, a := range s.aspects {
		if narrow := !a.uneven() && a.aspect != (Aspect{}) && i != c.choice; narrow {
			all = append(all, []claim{s.weigh(c.component, i, c)})
		}
	}
	return all
}

// try tries what explains the failures if others are accepted instead of some claims, and keeps that where it is
// likelier by some nats. Of several claims the components may be claimed again, of one alone they may not.
func (s *search) try(claims []*claim, others []claim, by float64) bool {
	const more = 8
	before := slices.Clone(s.accepted)
	severities := make([][buckets]float64, len(before))
	choices := make([]int, len(before))
	for i, a := range before {
		severities[i], choices[i] = a.severities, a.choice
	}
	score := s.score()
	var banned []int
	for _, c := range claims {
		s.withdraw(c)
		for _, i := range s.neighbours(c.component) {
			// One broken node in place of several broken pairs is what partial loss of some pairs means.
			if !s.banned[i] && (pairs(s.evidence.components[i].Part) || i == c.component && len(claims) == 1) {
				s.banned[i] = true
				banned = append(banned, i)
			}
		}
	}
	for _, other := range others {
		if other.gain > 0 {
			s.accept(&other)
		}
	}
	s.grow(more)
	for _, i := range banned {
		delete(s.banned, i)
	}
	if s.score() > score+by {
		s.grow(more)
		return true
	}
	s.restore(before, severities, choices)
	return false
}

// restore accepts these claims with these severities, and no others.
func (s *search) restore(claims []*claim, severities [][buckets]float64, choices []int) {
	for _, a := range slices.Clone(s.accepted) {
		if !slices.Contains(claims, a) {
			s.withdraw(a)
		}
	}
	for i, c := range claims {
		was := *c
		c.severities, c.choice = severities[i], choices[i]
		if !slices.Contains(s.accepted, c) {
			s.accept(c)
		} else if c.moved(&was) {
			s.changed(c)
		}
	}
	s.accepted = slices.Clone(claims)
}

// score is by how many nats the observations are likelier with the accepted claims than without any, less their
// prices.
func (s *search) score() (total float64) {
	seen := map[int]bool{}
	for _, c := range s.accepted {
		total -= s.price + s.aspects[c.choice].price + s.prior(s.evidence.components[c.component])
		for b, q := range c.severities {
			if q > 0 {
				total += s.evidence.passed[c.component][b] * math.Log1p(-q)
			}
		}
		for _, n := range s.evidence.touching[c.component] {
			if !seen[n] {
				seen[n] = true
				total += s.evidence.failures[n].explained()
			}
		}
	}
	return total
}

// explained is by how many nats the accepted claims make the failures likelier. The first of several counts for all
// failures, the others for less.
func (f *failing) explained() float64 {
	most := 0.0
	for _, c := range f.by {
		most = max(most, c.severities[f.bucket])
	}
	if most == 0 {
		return 0
	}
	first := either(f.base, most)
	return f.independent*math.Log(first/f.base) + f.worth(first)*math.Log(max(f.expected, first)/first)
}
