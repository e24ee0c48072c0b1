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
	// alarm is the accepted share of rounds without a fault in which one is claimed. The price of a claim follows from
	// it: ln(candidates / alarm), by the union bound.
	alarm = 1e-4
	// alike is the difference in nats below which two explanations count as equally good.
	alike = 1.0
	// temperature spreads the confidence over explanations that are close to each other, in nats.
	temperature = 3.0
)

// claim is a candidate with its gain.
type claim struct {
	component int
	choice    int
	severity  float64
	gain      float64
	explained float64
	crossed   float64
}

// search finds faults greedily.
type search struct {
	evidence   *evidence
	aspects    []choice
	background float64
	price      float64
	// prior is an additional price by part, in nats.
	prior func(Component) float64
}

func newSearch(e *evidence, background float64, candidates int) *search {
	return &search{evidence: e, aspects: aspects(), background: max(background, leastBackground),
		price: priceOf(candidates), prior: prior}
}

// priceOf is what a claim costs in nats where there are so many components.
func priceOf(candidates int) float64 {
	return math.Log(float64(max(candidates, 1)) * float64(len(aspects())) / alarm)
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
	case inbound:
		return 2
	case HostAgent, ProbePort:
		// Such a fault is of the probes, and breaks nothing else.
		return 1
	}
	return 0
}

// run returns the faults, the one that explains most first. before are the faults of earlier stages.
func (s *search) run(before []Fault) []Fault {
	all := slices.Clone(before)
	var active []int
	for i := range s.evidence.components {
		if len(s.evidence.touching[i]) > 0 {
			active = append(active, i)
		}
	}
	best := make([]claim, len(s.evidence.components))
	for _, i := range active {
		best[i] = s.best(i)
	}
	for len(all)-len(before) < mostFaults {
		active = slices.DeleteFunc(active, func(i int) bool {
			return best[i].gain <= 0 || masked(all, s.evidence.components[i])
		})
		ranked := ranking(best, active)
		if len(ranked) == 0 {
			break
		}
		all = append(all, s.fault(ranked))
		for _, changed := range s.apply(ranked[0]) {
			best[changed] = s.best(changed)
		}
	}
	return all[len(before):]
}

// ranking returns the best claim and those that are close to it, the best first, in an order that does not depend on
// chance.
func ranking(best []claim, active []int) []claim {
	if len(active) == 0 {
		return nil
	}
	top := math.Inf(-1)
	for _, i := range active {
		top = max(top, best[i].gain)
	}
	var ranked []claim
	for _, i := range active {
		if best[i].gain >= top-10*temperature {
			ranked = append(ranked, best[i])
		}
	}
	slices.SortFunc(ranked, func(a, b claim) int {
		return cmp.Or(cmp.Compare(b.gain, a.gain), cmp.Compare(a.component, b.component))
	})
	return ranked
}

// best returns the aspect of the component that explains most.
func (s *search) best(component int) claim {
	best := claim{component: component, gain: math.Inf(-1)}
	for i := range s.aspects {
		if c := s.gain(component, i); c.gain > best.gain {
			best = c
		}
	}
	return best
}

// gain returns how much likelier, in nats, the observations are with the fault than without it, less its price. The
// severity is that which fits best: unexplained failures by all probes that crossed the component.
func (s *search) gain(component, choice int) claim {
	c := claim{component: component, choice: choice, gain: math.Inf(-1)}
	a := s.aspects[choice]
	var fresh, open float64
	for b, n := range s.evidence.fresh[component] {
		if a.mask.has(bucket(b)) {
			fresh += n
		}
	}
	open, c.explained = fresh, fresh
	for _, n := range s.evidence.stale[component] {
		if f := &s.evidence.failures[n]; a.mask.has(f.bucket) {
			open += f.count * min(1, 30*s.background/f.expected)
			c.explained += f.count
		}
	}
	if open <= 0 {
		return c
	}
	passed := s.evidence.through(component, a.mask)
	c.severity = min(certain, open/(open+passed))
	c.crossed = c.explained + passed
	if c.severity < 20*s.background {
		return c
	}
	c.gain = passed*math.Log1p(-c.severity) - s.price - a.price - s.prior(s.evidence.components[component]) +
		fresh*math.Log(either(s.background, c.severity)/s.background)
	for _, n := range s.evidence.stale[component] {
		if f := &s.evidence.failures[n]; a.mask.has(f.bucket) {
			c.gain += f.count * math.Log(either(f.expected, c.severity)/f.expected)
		}
	}
	return c
}

// either is the probability that at least one of two independent things happens.
func either(a, b float64) float64 { return 1 - (1-a)*(1-b) }

// apply takes the claim for true, and returns the components whose claims change by that.
func (s *search) apply(c claim) []int {
	changed := map[int]bool{}
	a := s.aspects[c.choice]
	for _, n := range s.evidence.touching[c.component] {
		f := &s.evidence.failures[n]
		if !a.mask.has(f.bucket) {
			continue
		}
		s.evidence.explain(n, min(certain, either(f.expected, c.severity)))
		for _, other := range f.candidates {
			changed[other] = true
		}
	}
	all := make([]int, 0, len(changed))
	for i := range changed {
		all = append(all, i)
	}
	slices.Sort(all)
	return all
}

// fault returns the fault of the best claim, with the others that explain the same failures.
func (s *search) fault(ranked []claim) Fault {
	best := ranked[0]
	f := Fault{Component: s.evidence.components[best.component], Aspect: s.aspects[best.choice].aspect,
		Severity: best.severity, Explained: uint64(best.explained), Crossed: uint64(best.crossed), Stands: best.gain,
		Behind: math.Inf(1), observations: s.observations(best)}
	rest := 0.0
	for _, c := range ranked[1:] {
		behind := best.gain - c.gain
		if behind > 10*temperature {
			break
		}
		if known(s.evidence.components[c.component]) == known(f.Component) || !s.overlap(best, c) {
			continue
		}
		if behind < alike {
			f.Group = append(f.Group, s.evidence.components[c.component])
			continue
		}
		if f.RunnerUp.Part == "" {
			f.RunnerUp, f.Behind = s.evidence.components[c.component], behind
		}
		rest += math.Exp(-behind / temperature)
	}
	f.Confidence = 1 / (1 + rest)
	// A claim that barely pays its price is less sure than one without a rival.
	f.Confidence *= 1 - math.Exp(-(best.gain+1)/temperature)
	return f
}

// overlap reports whether the second claim explains at least half of what the first does.
func (s *search) overlap(first, second claim) bool {
	covered := map[int]bool{}
	for _, n := range s.evidence.touching[second.component] {
		if s.aspects[second.choice].mask.has(s.evidence.failures[n].bucket) {
			covered[n] = true
		}
	}
	var all, both float64
	for _, n := range s.evidence.touching[first.component] {
		f := &s.evidence.failures[n]
		if !s.aspects[first.choice].mask.has(f.bucket) {
			continue
		}
		all += f.count
		if covered[n] {
			both += f.count
		}
	}
	return all > 0 && both >= all/2
}

// observations are the indexes of the observations with failures that the claim explains, ascending.
func (s *search) observations(c claim) []int {
	var all []int
	for _, n := range s.evidence.touching[c.component] {
		if f := &s.evidence.failures[n]; s.aspects[c.choice].mask.has(f.bucket) {
			all = append(all, f.observation)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
