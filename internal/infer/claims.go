package infer

import (
	"cmp"
	"math"
	"slices"
)

const (
	// alike is the difference in nats below which two explanations count as equally good.
	alike = 2.0
	// temperature spreads the confidence over explanations that are close to each other, in nats.
	temperature = 1.5
	// far is how many nats behind the best an explanation no longer matters.
	far = 20 * temperature
)

// faults returns the accepted claims as faults, the one that explains most first.
func (s *search) faults() []Fault {
	s.settle()
	claims := slices.Clone(s.accepted)
	slices.SortStableFunc(claims, func(a, b *claim) int { return cmp.Compare(b.gain, a.gain) })
	var all []Fault
	for _, c := range claims {
		all = append(all, s.fault(c))
	}
	return all
}

// fault returns the fault of an accepted claim, with other components that explain the same failures.
func (s *search) fault(c *claim) Fault {
	best := s.weigh(c.component, c.choice, c)
	requests := s.requests(c)
	f := Fault{Component: s.evidence.components[c.component], Aspect: s.aspects[c.choice].aspect,
		Severity: c.most(), by: s.everywhere(&requests), Stands: best.gain, Behind: math.Inf(1)}
	f.near = []candidate{{Component: f.Component, by: f.by}}
	s.account(c, &f)
	other := 0.0
	for _, r := range s.rivals(c, best.gain) {
		behind := best.gain - r.gain
		component := s.evidence.components[r.component]
		if known(component) == known(f.Component) || !s.overlap(*c, r) {
			continue
		}
		f.consider(candidate{component, s.everywhere(&r), behind})
		if behind < alike {
			if !slices.Contains(f.Group, component) {
				f.Group = append(f.Group, component)
			}
			continue
		}
		if f.RunnerUp.Part == "" {
			f.RunnerUp, f.Behind = component, behind
		}
		other += math.Exp(-behind / temperature)
	}
	f.Confidence = 1 / (1 + other)
	// A claim that barely pays its price is less sure than one without a rival.
	f.Confidence *= 1 - math.Exp(-(best.gain+1)/temperature)
	return f
}

// requests returns an accepted claim with the shares of requests that fail. The claim itself has the shares of packets
// that are lost: a request without a reply fails, although its connection was made. The failures of the claim must be
// on the scale.
func (s *search) requests(c *claim) claim {
	connected := s.evidence.connected[c.component]
	if connected == nil {
		return *c
	}
	answered, failing := *s.evidence.passed[c.component], *c
	for b, n := range connected {
		answered[b] = max(0, answered[b]-n)
	}
	for _, g := range s.aspects[c.choice].groups {
		fitted := s.scale.fit(g, &answered, s.background)
		for b := range failing.severities {
			if g.has(bucket(b)) {
				failing.severities[b] = max(failing.severities[b], fitted.severity)
			}
		}
	}
	return failing
}

// everywhere returns the severities of an accepted claim. A network of which the probes saw no traffic of some class
// loses it as other traffic of the same family.
func (s *search) everywhere(c *claim) [buckets]float64 {
	if !carriesAll(s.evidence.components[c.component].Part) {
		return c.severities
	}
	var seen [buckets]bool
	for b, n := range s.evidence.passed[c.component] {
		seen[b] = n > 0
	}
	for _, n := range s.evidence.touching[c.component] {
		seen[s.evidence.failures[n].bucket] = true
	}
	filled, traffic := c.severities, s.aspects[c.choice].mask
	for b := range filled {
		if seen[b] || !traffic.has(bucket(b)) {
			continue
		}
		for other, severity := range c.severities {
			// What happens to large packets says nothing of small ones.
			if other/(kinds*sizes) == b/(kinds*sizes) && other%sizes <= b%sizes {
				filled[b] = max(filled[b], severity)
			}
		}
	}
	return filled
}

// carriesAll reports whether packets of all protocols cross the part alike.
func carriesAll(p Part) bool {
	switch p {
	case NodeNetwork, inbound, plain, NodePair, ZonePair, PodNetwork, Forwarding, Overlay, PodPair, ZonePodPair:
		return true
	}
	return false
}

// rivals are the claims that could stand in place of an accepted one, the best first.
func (s *search) rivals(of *claim, gain float64) []claim {
	var all []claim
	for _, i := range s.neighbours(of.component) {
		if i == of.component || s.barred(i, of) {
			continue
		}
		if c := s.stronger(i, of, gain-far); c.gain >= gain-far {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, compareClaims)
	return all
}

// account fills in what a claim explains.
func (s *search) account(c *claim, f *Fault) {
	const responsible = 0.3
	traffic := s.aspects[c.choice].mask
	var explained, passed float64
	for _, n := range s.evidence.touching[c.component] {
		failure := &s.evidence.failures[n]
		q := c.severities[failure.bucket]
		if !traffic.has(failure.bucket) || q == 0 {
			continue
		}
		expected, _ := failure.without(c)
		share := min(1, q/either(expected, q))
		if share < responsible {
			continue
		}
		explained += failure.count
		f.observations = append(f.observations, failure.observation)
	}
	for b, n := range s.evidence.passed[c.component] {
		if traffic.has(bucket(b)) {
			passed += n
		}
	}
	if s.aspects[c.choice].uneven() && explained > 0 {
		f.Severity = explained / (explained + passed)
	}
	f.Explained, f.Crossed = uint64(explained), uint64(explained+passed)
	slices.Sort(f.observations)
	f.observations = slices.Compact(f.observations)
}

// overlap reports whether the second claim explains at least half of what the first does.
func (s *search) overlap(first, second claim) bool {
	covered := make([]bool, len(s.evidence.failures))
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
