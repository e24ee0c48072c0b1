package infer

import (
	"maps"
	"math"
	"slices"
)

// several is how many broken pairs of nodes at one node mean that the node is broken, and severalTunnels how many of
// these are enough if all are between the nodes' pods.
const several, severalTunnels = 3, 2

// gather claims a broken node in place of several broken pairs with it: faults such as an address that another machine
// has as well take some pairs of nodes and leave others alone.
func (s *search) gather() {
	for _, node := range slices.Sorted(maps.Keys(s.ends())) {
		if !s.brokenAt(node) {
			continue
		}
		for i, of := range s.evidence.components {
			if pairs(of.Part) && (of.Node == node || of.Peer == node) {
				s.banned[i] = true
			}
		}
		for _, c := range slices.Clone(s.accepted) {
			if s.banned[c.component] || s.partlyAt(c, node) {
				s.withdraw(c)
			}
		}
		s.grow(mostFaults / 2)
	}
}

// ends are the nodes of the pairs that were claimed.
func (s *search) ends() map[string]bool {
	all := map[string]bool{}
	for _, c := range s.accepted {
		if of := s.evidence.components[c.component]; pairs(of.Part) {
			all[of.Node], all[of.Peer] = true, true
		}
	}
	return all
}

// brokenAt reports whether what was claimed of pairs with a node means that the node is broken: there are several, or
// a part of what else leads to the node is lost as well.
func (s *search) brokenAt(node string) bool {
	all, tunnels, networks, partly := 0, 0, 0, false
	for _, c := range s.accepted {
		of := s.evidence.components[c.component]
		if pairs(of.Part) && (of.Node == node || of.Peer == node) {
			all++
			switch of.Part {
			case PodPair:
				tunnels++
			case NodePair:
				networks++
			}
		}
		partly = partly || s.partlyAt(c, node)
	}
	return all >= several || tunnels >= severalTunnels || partly && networks > 0
}

// partlyAt reports whether the claim says that a small part of what leads to a node is lost.
func (s *search) partlyAt(c *claim, node string) bool {
	of := known(s.evidence.components[c.component])
	return of.Node == node && of.Peer == "" && (of.Part == NodeNetwork || of.Part == HostAgent) && c.most() < hiding
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
		if tried == most || !slices.Contains(s.accepted, c) || !s.partial(c) || pairs(of.Part) {
			continue
		}
		tried++
		if s.halves(c) {
			continue
		}
		for _, others := range s.instead(c) {
			if s.try([]*claim{c}, others, s.several) {
				break
			}
		}
		if slices.Contains(s.accepted, c) && !s.between(c) {
			s.narrower(c)
		}
	}
}

// better reports whether the accepted claims, with a score, are better than those before with theirs.
type better func(score float64, before []*claim, was float64) bool

// several reports whether several claims may replace one: they have to explain clearly more, and each has to lose all.
// A fault that takes some pairs of nodes and leaves others alone looks like several partial ones.
func (s *search) several(score float64, before []*claim, was float64) bool {
	const clearly, all = 10, 0.95
	return score > was+clearly && !slices.ContainsFunc(s.accepted, func(c *claim) bool {
		return !slices.Contains(before, c) && c.least() < all
	})
}

// least is the smallest of the claim's severities for traffic that it affects.
func (c *claim) least() float64 {
	least := 1.0
	for _, q := range c.severities {
		if q > 0 {
			least = min(least, q)
		}
	}
	return least
}

// fewer reports whether fewer claims explain as much, but for a slack in nats.
func (s *search) fewer(slack float64) better {
	return func(score float64, before []*claim, was float64) bool {
		return len(s.accepted) < len(before) && score > was-slack
	}
}

// apart reports whether what one agent asks and what it answers explain more on their own.
func (s *search) apart(score float64, _ []*claim, was float64) bool { return score > was }

// merge looks at nodes of which several components were claimed: one alone may explain the same failures better.
func (s *search) merge() {
	at := map[string][]*claim{}
	for _, c := range s.accepted {
		if of := s.evidence.components[c.component]; of.Node != "" && of.Peer == "" {
			at[of.Node] = append(at[of.Node], c)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(at)) {
		claims := at[node]
		if len(claims) < 2 || s.try(claims, nil, s.fewer(0)) {
			continue
		}
		fewer, best, top := s.fewer(s.slack(claims)), -1, math.Inf(-1)
		for _, other := range append(s.beside(claims[0]), claims[0].component) {
			s.try(claims, []int{other}, func(score float64, before []*claim, was float64) bool {
				if fewer(score, before, was) && score > top {
					best, top = other, score
				}
				return false
			})
		}
		if best >= 0 {
			s.try(claims, []int{best}, fewer)
		}
	}
}

// slack is by how many nats one claim may explain less than several of which some are partial: those fit chance well,
// where a fault takes some pairs of nodes and leaves others alone.
func (s *search) slack(claims []*claim) float64 {
	const share, all = 0.05, 0.95
	if !slices.ContainsFunc(claims, func(c *claim) bool { return c.most() < all }) {
		return 0
	}
	var explained float64
	seen := map[int]bool{}
	for _, c := range claims {
		for _, n := range s.evidence.touching[c.component] {
			if f := &s.evidence.failures[n]; !seen[n] && c.severities[f.bucket] > 0 {
				seen[n] = true
				explained += f.explained()
			}
		}
	}
	return share * explained
}

// beside are the other components of a claim's node that may explain some of the same failures.
func (s *search) beside(c *claim) []int {
	node := s.evidence.components[c.component].Node
	return slices.DeleteFunc(s.neighbours(c.component), func(i int) bool {
		of := s.evidence.components[i]
		return of.Node != node || of.Peer != "" || i == c.component
	})
}

// partial reports whether a claim leaves some of its traffic alone.
func (s *search) partial(c *claim) bool {
	const least, nearlyAll = 0.02, 0.98
	most := c.most()
	return most >= least && (most < nearlyAll || s.aspects[c.choice].uneven())
}

// instead returns the components that may stand in the place of a claim: none, so that the search looks for others, a
// broken pair with the claim's node, or one of the same node.
func (s *search) instead(c *claim) [][]int {
	all := [][]int{nil}
	if pair := s.brokenPair(c); pair >= 0 {
		all = append(all, []int{pair})
	}
	of := s.evidence.components[c.component]
	if of.Node == "" || c.most() < hiding || len(s.accepted) < 2 {
		return all
	}
	for _, i := range s.beside(c) {
		all = append(all, []int{i})
	}
	return all
}

// brokenPair returns the number of the pair with the claim's node that explains most and loses all, else -1.
func (s *search) brokenPair(c *claim) int {
	const all = 0.95
	best := claim{component: -1}
	for _, i := range s.neighbours(c.component) {
		if !pairs(s.evidence.components[i].Part) || s.barred(i, c) {
			continue
		}
		if p := s.strongest(i, c); p.gain > best.gain && p.least() >= all {
			best = p
		}
	}
	return best.component
}

// halves tries whether an agent that asks and answers badly does so differently.
func (s *search) halves(c *claim) bool {
	of := s.evidence.components[c.component]
	answering, ok := s.evidence.index.find(&Component{Part: Agent, Node: of.Node})
	asks, also := s.evidence.index.find(&Component{Part: asking, Node: of.Node})
	return of.Part == wholeAgent && ok && also && s.try([]*claim{c}, []int{answering, asks}, s.apart)
}

// narrower tries whether a claim for a part of the traffic, beside others, explains more than one for all of it.
func (s *search) narrower(c *claim) {
	if c.most() < hiding {
		return
	}
	for i, a := range s.aspects {
		if a.uneven() || a.aspect == (Aspect{}) || i == c.choice {
			continue
		}
		narrow := s.weigh(c.component, i, c)
		if narrow.gain > 0 && s.attempt([]*claim{c}, []claim{narrow}, s.several) {
			return
		}
	}
}

// try tries what explains the failures if others are accepted instead of some claims.
func (s *search) try(claims []*claim, others []int, is better) bool {
	var forced []claim
	for _, i := range others {
		forced = append(forced, claim{component: i, choice: -1})
	}
	return s.attempt(claims, forced, is)
}

// attempt accepts others instead of some claims, and keeps them where that is better. Of several claims the components
// may be claimed again, of one alone they may not.
func (s *search) attempt(claims []*claim, others []claim, is better) bool {
	const more = 8
	if s.effort > s.bound {
		return false
	}
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
		for _, i := range s.beside(&other) {
			// Of several claims at a node one alone shall stand for all.
			if len(claims) > 1 && !s.banned[i] {
				s.banned[i] = true
				banned = append(banned, i)
			}
		}
		if other.choice < 0 {
			other = s.strongest(other.component, nil)
		}
		if other.gain > 0 {
			s.accept(&other)
		}
	}
	s.settle()
	s.grow(more)
	for _, i := range banned {
		delete(s.banned, i)
	}
	if is(s.score(), before, score) {
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
	seen := make([]bool, len(s.evidence.failures))
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
