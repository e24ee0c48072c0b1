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
	// background is the probability that a probe fails without a fault.
	background float64
	components []Component
	index      map[Component]int
	passed     [][buckets]float64
	failures   []failing
	// touching has, by component, the failures that it may have caused.
	touching [][]int
	// fresh has, by component and class of traffic, how many of these failures no fault explains yet; stale has the
	// others.
	fresh [][buckets]float64
	stale [][]int
	// places are the nodes of the components, wide the rungs with components of the whole cluster, zonePairs the pairs
	// of zones: an observation that touches none of them proves nothing about any component.
	places    map[string]bool
	wide      map[ladder.Rung]bool
	zonePairs map[[2]string]bool
}

func newEvidence(background float64) *evidence {
	return &evidence{background: background, index: map[Component]int{}, places: map[string]bool{},
		wide: map[ladder.Rung]bool{}, zonePairs: map[[2]string]bool{}}
}

// component returns the index of a component that an observation of the rung crosses.
func (e *evidence) component(c Component, rung ladder.Rung) int {
	i, ok := e.index[c]
	if ok {
		return i
	}
	i = len(e.components)
	e.index[c] = i
	e.components = append(e.components, c)
	e.passed = append(e.passed, [buckets]float64{})
	e.touching = append(e.touching, nil)
	e.fresh = append(e.fresh, [buckets]float64{})
	e.stale = append(e.stale, nil)
	switch {
	case c.Part == ZonePair || c.Part == ZonePodPair:
		e.zonePairs[[2]string{c.Node, c.Peer}] = true
	case c.Node == "":
		for _, r := range rungsOf(c.Part, rung) {
			e.wide[r] = true
		}
	default:
		e.places[c.Node] = true
	}
	return i
}

// rungsOf returns the rungs that cross a component of the whole cluster which failed on a rung.
func rungsOf(part Part, failed ladder.Rung) []ladder.Rung {
	if part == Service {
		return []ladder.Rung{ladder.ClusterIP, ladder.HostClusterIP, ladder.NodePort}
	}
	return []ladder.Rung{failed}
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
			i := e.component(c.Component, o.Rung)
			f.candidates = append(f.candidates, i)
			e.touching[i] = append(e.touching[i], len(e.failures))
			if expected == e.background {
				e.fresh[i][b] += f.count
			} else {
				e.stale[i] = append(e.stale[i], len(e.failures))
			}
		}
		e.failures = append(e.failures, f)
	}
}

// concerns reports whether the observation may cross one of the components.
func (e *evidence) concerns(o *ladder.Observation, zones map[string]string) bool {
	if e.places[o.From] || o.To != "" && e.places[o.To] || o.At != "" && e.places[o.At] || e.wide[o.Rung] {
		return true
	}
	if len(e.zonePairs) == 0 {
		return false
	}
	a, b := zones[o.From], zones[o.To]
	return e.zonePairs[[2]string{min(a, b), max(a, b)}]
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
		if !ok || c.maybe && o.Failed() == 0 {
			// Where some of the same probes fail, those that pass had the same chance to cross the component.
			continue
		}
		e.passed[i][b] += float64(o.Answered)
		if small := bucketOf(o.Family, o.Method, false); connected > 0 && c.carries() {
			e.passed[i][small] += float64(connected)
		}
	}
}

// explain notes that a failure is expected with a probability from now on.
func (e *evidence) explain(n int, expected float64) {
	f := &e.failures[n]
	if f.expected == e.background {
		for _, i := range f.candidates {
			e.fresh[i][f.bucket] -= f.count
			e.stale[i] = append(e.stale[i], n)
		}
	}
	f.expected = expected
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
