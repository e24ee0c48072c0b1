package infer

import (
	"cmp"
	"math"
	"slices"
)

const (
	// leastBackground is the least share of probes that is taken to be lost without a fault.
	leastBackground = 1e-4
	// certain bounds the severity of a fault: nothing is sure to fail.
	certain = 0.9999
	// mostFaults bounds the faults that are found in one round.
	mostFaults = 32
	// improving is how many failures are looked at, about a second long, to improve what was found: where a network
	// loses some of everything there is no end to that, and the report waits.
	improving = 2_000_000
	// alarm is the accepted share of rounds without a fault in which one is claimed. The price of a claim follows from
	// it: ln(candidates / alarm), by the union bound.
	alarm = 1e-4
)

// claim is a candidate with its gain.
type claim struct {
	component int
	choice    int
	// severities are the shares that are lost, by class of traffic.
	severities [buckets]float64
	gain       float64
	// even says of an accepted claim that it takes some probes of each path, and not all of some paths.
	even bool
}

// search finds faults greedily, and takes back those that later ones make needless.
type search struct {
	evidence   *evidence
	aspects    []choice
	background float64
	price      float64
	// prior is an additional price by part, in nats.
	prior func(Component) float64
	// before are the faults of earlier stages, accepted those of this one.
	before   []Fault
	accepted []*claim
	// banned are components that may not be claimed.
	banned map[int]bool
	// effort is how many failures were looked at so far, bound from when on no improvement is tried any more.
	effort, bound int
	active        []int
	best          []claim
	scale         scale
}

func newSearch(e *evidence, background float64, candidates int) *search {
	return &search{evidence: e, aspects: aspects(), background: max(background, leastBackground),
		price: priceOf(candidates), prior: prior, banned: map[int]bool{}}
}

// priceOf is what a claim costs in nats where there are so many components.
func priceOf(candidates int) float64 {
	const different = 12 // aspects
	return math.Log(float64(max(candidates, 1)) * different / alarm)
}

// prior is what a claim costs beyond the price of every claim, in nats: what affects one pair is a narrower claim than
// what affects a node, and has as many candidates as there are pairs; a claim about the whole cluster explains nearly
// everything.
func prior(c Component) float64 {
	switch c.Part {
	case PodPair, NodePair, PolicyPair:
		return 3
	case ZonePair, ZonePodPair, Service, LoadBalancer, Ingress, DNSService, APIServer, SecondNetwork:
		return 1
	case inbound, stranger, plain, entrance, hairpin:
		return 2
	case HostAgent, ProbePort, hostAsking, wholeHost, asking, wholeAgent:
		// Such a fault is of the probes, and breaks nothing else.
		return 1
	}
	return 0
}

// run returns the faults, the one that explains most first. before are the faults of earlier stages.
func (s *search) run(before []Fault) []Fault {
	s.before = before
	s.best = make([]claim, len(s.evidence.components))
	for i := range s.evidence.components {
		if s.evidence.kept[i] {
			s.active = append(s.active, i)
			s.best[i] = s.strongest(i, nil)
		}
	}
	s.grow(mostFaults)
	s.bound = 2*s.effort + improving
	s.gather()
	s.replace()
	s.merge()
	return s.faults()
}

// grow accepts the best claims as long as they pay, and takes back those that no longer do.
func (s *search) grow(most int) {
	for range most {
		best := s.top()
		if best < 0 {
			return
		}
		c := s.best[best]
		s.accept(&c)
		s.settle()
	}
}

// top returns the component of the best claim that pays, or -1.
func (s *search) top() int {
	best := -1
	for _, i := range s.active {
		if s.best[i].gain <= 0 || best >= 0 && s.best[i].gain <= s.best[best].gain || s.barred(i, nil) {
			continue
		}
		best = i
	}
	return best
}

// barred reports whether a component may not be claimed beside the accepted ones but one.
func (s *search) barred(component int, but *claim) bool {
	if s.banned[component] {
		return true
	}
	c := s.evidence.components[component]
	for _, f := range s.before {
		if f.hides(c) {
			return true
		}
	}
	for _, a := range s.accepted {
		if a != but && hides(s.evidence.components[a.component], &a.severities, c) {
			return true
		}
	}
	return false
}

// most is the largest of the claim's severities.
func (c *claim) most() float64 { return slices.Max(c.severities[:]) }

// accept takes a claim for true.
func (s *search) accept(c *claim) {
	s.accepted = append(s.accepted, c)
	for _, n := range s.evidence.touching[c.component] {
		s.evidence.failures[n].by = append(s.evidence.failures[n].by, c)
	}
	s.changed(c)
}

// withdraw takes a claim back.
func (s *search) withdraw(c *claim) {
	s.accepted = slices.DeleteFunc(s.accepted, func(a *claim) bool { return a == c })
	for _, n := range s.evidence.touching[c.component] {
		f := &s.evidence.failures[n]
		f.by = slices.DeleteFunc(f.by, func(a *claim) bool { return a == c })
	}
	s.changed(c)
}

// changed computes anew what depends on an accepted claim: the failures that it may explain, and the claims of all
// components that may have caused them.
func (s *search) changed(c *claim) {
	c.even = s.evidence.even(c)
	for _, n := range s.evidence.touching[c.component] {
		s.evidence.failures[n].expect()
	}
	for _, i := range s.neighbours(c.component) {
		s.best[i] = s.strongest(i, nil)
	}
}

// neighbours are the components that share failures with one, ascending.
func (s *search) neighbours(component int) []int {
	seen := make([]bool, len(s.evidence.components))
	var all []int
	for _, n := range s.evidence.touching[component] {
		for _, i := range s.evidence.failures[n].candidates {
			if !seen[i] && s.evidence.kept[i] {
				seen[i] = true
				all = append(all, i)
			}
		}
	}
	slices.Sort(all)
	return all
}

// settle fits the severities of all accepted claims to each other, and takes back, one at a time, those that do not pay
// beside the others.
func (s *search) settle() {
	if len(s.accepted) < 2 {
		return
	}
	for {
		worst := s.refit()
		if worst == nil {
			return
		}
		s.withdraw(worst)
	}
}

// refit fits the severities of all accepted claims and returns the one that costs most beside the others; nil if all
// pay.
func (s *search) refit() (worst *claim) {
	for _, c := range s.accepted {
		fitted := s.strongest(c.component, c)
		c.choice = fitted.choice
		if c.moved(&fitted) {
			c.severities = fitted.severities
			s.changed(c)
		}
		c.gain = fitted.gain
		if c.gain <= 0 && (worst == nil || c.gain < worst.gain) {
			worst = c
		}
	}
	return worst
}

// moved reports whether the severities differ by more than does not matter.
func (c *claim) moved(other *claim) bool {
	const little = 0.01
	for b := range c.severities {
		if math.Abs(c.severities[b]-other.severities[b]) > little*max(c.severities[b], other.severities[b]) {
			return true
		}
	}
	return false
}

// strongest returns the aspect of the component that explains most beside the accepted claims but one.
func (s *search) strongest(component int, but *claim) claim { return s.stronger(component, but, 0) }

// stronger returns the same, where it can gain a number of nats at all; else a claim without any gain.
func (s *search) stronger(component int, but *claim, least float64) claim {
	s.load(component, but)
	best := claim{component: component, gain: math.Inf(-1)}
	if s.scale.most(s.background)-s.price < least {
		return best
	}
	for i := range s.aspects {
		if c := s.judge(component, i); c.gain > best.gain {
			best = c
		}
	}
	return best
}

// weigh returns a claim with the severities that fit best beside the accepted claims but one.
func (s *search) weigh(component, choice int, but *claim) claim {
	s.load(component, but)
	return s.judge(component, choice)
}

// load puts the failures of a component on the scale.
func (s *search) load(component int, but *claim) {
	s.scale.clear()
	s.effort += len(s.evidence.touching[component])
	for _, n := range s.evidence.touching[component] {
		f := &s.evidence.failures[n]
		expected, explained := f.expected, len(f.by) > 0
		if explained {
			expected, explained = f.without(but)
		}
		switch {
		case explained:
			s.scale.add(f.bucket, expected, s.further(f, expected, but))
		case f.base > s.background:
			s.scale.add(f.bucket, expected, f.independent)
		default:
			s.scale.fresh[f.bucket] += f.count
		}
	}
}

// further is how many of the failures count beside the accepted claims but one.
func (s *search) further(f *failing, expected float64, but *claim) float64 {
	for _, c := range f.by {
		if c != but && c.severities[f.bucket] > 0 && !c.even {
			return f.worth(expected)
		}
	}
	return f.stark(expected)
}

// judge returns how much likelier, in nats, the observations on the scale are with the fault than without it, less its
// price.
func (s *search) judge(component, choice int) claim {
	c := claim{component: component, choice: choice, gain: math.Inf(-1)}
	part := s.evidence.components[component]
	a := &s.aspects[choice]
	if !a.fits(part.Part) || part.Node == "" && !s.evidence.origins[component].several {
		// What fails for one node alone is not broken for all.
		return c
	}
	gain, most := 0.0, 0.0
	for _, g := range a.groups {
		f := s.scale.fit(g, s.evidence.passed[component], s.background)
		gain += f.gain
		most = max(most, f.severity)
		for b := range c.severities {
			if g.has(bucket(b)) {
				c.severities[b] = f.severity
			}
		}
	}
	if most < 20*s.background {
		return c
	}
	c.gain = gain - s.price - a.price - s.prior(part)
	return c
}

// compareClaims orders claims by their gain, the best first, in an order that does not depend on chance.
func compareClaims(a, b claim) int {
	return cmp.Or(cmp.Compare(b.gain, a.gain), cmp.Compare(a.component, b.component))
}
