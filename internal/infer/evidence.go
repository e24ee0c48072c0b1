package infer

import (
	"maps"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
)

// failing is probes of one observation that failed alike.
type failing struct {
	observation int
	bucket      bucket
	count       float64
	// candidates are the indexes of the components that may be the cause.
	candidates []int
	// expected is the probability that such a probe fails, by the faults found so far.
	expected float64
}

// evidence is what the search needs of the observations: how many probes passed through each component, by class of
// traffic, and the probes that failed. Nothing else of probes that passed matters, because the logarithm of the
// probability that a probe passes is a sum over the components that it crosses.
type evidence struct {
	components []Component
	index      map[Component]int
	passed     [][buckets]float64
	failures   []failing
	// touching has, by component, the failures that it may have caused.
	touching [][]int
}

func newEvidence() *evidence { return &evidence{index: map[Component]int{}} }

// component returns the index of a component.
func (e *evidence) component(c Component) int {
	i, ok := e.index[c]
	if !ok {
		i = len(e.components)
		e.index[c] = i
		e.components = append(e.components, c)
		e.passed = append(e.passed, [buckets]float64{})
		e.touching = append(e.touching, nil)
	}
	return i
}

// addFailures adds the failed probes of an observation. expected is the probability that they fail anyway.
func (e *evidence) addFailures(n int, o *ladder.Observation, crossed []crossing, expected float64) {
	b := bucketOf(o.Family, o.Method, o.Large)
	for _, failure := range slices.Sorted(maps.Keys(o.Failures)) {
		count := o.Failures[failure]
		if count == 0 {
			continue
		}
		f := failing{observation: n, bucket: b, count: float64(count), expected: expected}
		for _, c := range crossed {
			if !c.may(failure, o.Method) {
				continue
			}
			i := e.component(c.Component)
			f.candidates = append(f.candidates, i)
			e.touching[i] = append(e.touching[i], len(e.failures))
		}
		e.failures = append(e.failures, f)
	}
}

// addPasses counts what passed through the components that may have caused a failure; all others need no count. A
// connection that was made and got no reply passed through the network, and not through the process at its end.
func (e *evidence) addPasses(o *ladder.Observation, crossed []crossing) {
	connected := o.Failures[ladder.NoReply] + o.Failures[ladder.BadReply]
	if o.Answered == 0 && connected == 0 {
		return
	}
	b := bucketOf(o.Family, o.Method, o.Large)
	for _, c := range crossed {
		i, ok := e.index[c.Component]
		if !ok || c.maybe {
			continue
		}
		e.passed[i][b] += float64(o.Answered)
		if small := bucketOf(o.Family, o.Method, false); connected > 0 && c.carries() {
			e.passed[i][small] += float64(connected)
		}
	}
}

// carries reports whether the component carries packets, so that a connection that is made has passed through it.
func (c crossing) carries() bool {
	switch c.Part {
	case Agent, HostAgent, DNSServer, Service, Endpoint, LoadBalancer, Ingress, DNSService, APIServer:
		return false
	}
	return true
}

// through is how many probes of the traffic passed through the component.
func (e *evidence) through(component int, traffic mask) float64 {
	var n float64
	for b, count := range e.passed[component] {
		if traffic.has(bucket(b)) {
			n += count
		}
	}
	return n
}
