package infer

import (
	"math"
	"slices"
)

// replace looks at each partial fault of a node that was accepted: several others may explain the same failures better,
// and the search, which accepts one at a time, takes what explains most at once.
func (s *search) replace() {
	const most = 6
	tried := 0
	for _, c := range slices.Clone(s.accepted) {
		if tried == most || !slices.Contains(s.accepted, c) || c.most() >= nearlyAll || len(s.accepted) > mostFaults/2 {
			continue
		}
		tried++
		s.without(c)
	}
}

// nearlyAll is the severity from which on a fault loses all.
const nearlyAll = 0.98

// without tries what explains the failures if a claim is not accepted, and keeps it where that is likelier by far.
func (s *search) without(c *claim) {
	const clearly = 3
	before := slices.Clone(s.accepted)
	severities := make([][buckets]float64, len(before))
	for i, a := range before {
		severities[i] = a.severities
	}
	score := s.score()
	s.withdraw(c)
	banned := []int{c.component}
	for _, i := range s.neighbours(c.component) {
		if s.evidence.components[i].Peer != "" {
			// One broken node in place of several broken pairs is what partial loss of some pairs means.
			banned = append(banned, i)
		}
	}
	banned = slices.DeleteFunc(banned, func(i int) bool { return s.banned[i] })
	for _, i := range banned {
		s.banned[i] = true
	}
	s.grow(4)
	for _, i := range banned {
		delete(s.banned, i)
	}
	if s.score() > score+clearly {
		s.grow(4)
		return
	}
	s.restore(before, severities)
}

// restore accepts these claims with these severities, and no others.
func (s *search) restore(claims []*claim, severities [][buckets]float64) {
	for _, a := range slices.Clone(s.accepted) {
		if !slices.Contains(claims, a) {
			s.withdraw(a)
		}
	}
	for i, c := range claims {
		was := *c
		c.severities = severities[i]
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
	return f.count*math.Log(first/f.base) + min(f.count, 1+rest*(f.count-1))*math.Log(max(f.expected, first)/first)
}
