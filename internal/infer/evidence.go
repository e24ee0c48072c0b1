package infer

import (
	"cmp"
	"maps"
	"math"
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
	// base is the probability that such a probe fails without any fault of this stage.
	base float64
	// independent is how many of the probes fail independently of each other, as far as base is the reason.
	independent float64
	// sent is how many probes the observation has, lost how many of them failed in any way.
	sent, lost float64
	// by are the accepted faults that may be the cause, and expected is the probability that such a probe fails with
	// all of them.
	by       []*claim
	expected float64
}

// evidence is what the search needs of the observations: how many probes passed through each component, by class of
// traffic, and the probes that failed. Nothing else of probes that passed matters, because the logarithm of the
// probability that a probe passes is a sum over the components that it crosses.
type evidence struct {
	// background is the probability that a probe fails without a fault.
	background float64
	components []Component
	index      index
	// passed is counted of components that are kept; for all others it is empty. connected is how many of these made a
	// connection and got no reply: the packets passed, the request did not.
	passed    []*[buckets]float64
	connected map[int]*[buckets]float64
	failures  []failing
	// weights has, by observation, the share of its failures that count where known faults let expect some: as many of
	// its passes count.
	weights map[int]float64
	// touching has, by component, the failures that it may have caused.
	touching [][]int
	// origins has, by component, where the probes that it may have made fail began.
	origins []origins
	// most is, by component, by how many nats a fault could explain its failures at best; rungs is a rung on which it
	// failed. kept are the components that may be claimed.
	most  []float64
	rungs []ladder.Rung
	kept  []bool
	// places are the nodes of the components kept, wide the rungs with components of the whole cluster, zonePairs the
	// pairs of zones: an observation that touches none of them proves nothing about any component.
	places    map[string]*atNode
	wide      map[ladder.Rung]bool
	zonePairs map[[2]string]bool
	// kinds is room for the kinds of failures of an observation.
	kinds []ladder.Failure
	// last is the path that was looked up last: observations of one path follow each other.
	last   lastPath
	shapes shapes
}

// lastPath is a path between two nodes: what is counted at each of them, nil if nothing is, the components between
// them, and the zones that the path joins if a fault between them may be claimed.
type lastPath struct {
	from, to        string
	asker, answerer *atNode
	between         *atPlace
	joined          bool
	zones           [2]string
}

// newEvidence returns evidence without any, with room for a number of observations with failures, and of components.
func newEvidence(background float64, failed, components int) *evidence {
	return &evidence{background: background, index: newIndex(), weights: map[int]float64{},
		components: make([]Component, 0, components), touching: make([][]int, 0, components),
		origins: make([]origins, 0, components), most: make([]float64, 0, components),
		rungs: make([]ladder.Rung, 0, components), connected: map[int]*[buckets]float64{},
		failures: make([]failing, 0, failed), places: map[string]*atNode{},
		wide: map[ladder.Rung]bool{}, zonePairs: map[[2]string]bool{}, shapes: newShapes()}
}

// component returns the index of a component that an observation of the rung crosses.
func (e *evidence) component(c Component, rung ladder.Rung) int {
	i, ok := e.index.find(&c)
	if ok {
		return i
	}
	i = len(e.components)
	e.index.add(&c, i)
	e.components = append(e.components, c)
	e.touching = append(e.touching, nil)
	e.origins = append(e.origins, origins{})
	e.most = append(e.most, 0)
	e.rungs = append(e.rungs, rung)
	return i
}

// keep leaves components out of whose failures, whatever passed, no claim of a price can be made: of a large cluster
// these are most, since background loss touches all of them. It is called between adding failures and passes.
func (e *evidence) keep(price float64) {
	e.kept = make([]bool, len(e.components))
	e.passed = make([]*[buckets]float64, len(e.components))
	nothing := &[buckets]float64{}
	for i, c := range e.components {
		if e.passed[i] = nothing; e.most[i] <= price+prior(c) {
			continue
		}
		e.kept[i], e.passed[i] = true, &[buckets]float64{}
		switch {
		case c.Part == ZonePair || c.Part == ZonePodPair:
			e.zonePairs[[2]string{c.Node, c.Peer}] = true
		case c.Node == "":
			for _, r := range rungsOf(c.Part, e.rungs[i]) {
				e.wide[r] = true
			}
		default:
			e.place(c)
		}
	}
}

// rungsOf returns the rungs that cross a component of the whole cluster which failed on a rung.
func rungsOf(part Part, failed ladder.Rung) []ladder.Rung {
	if part == Service {
		return []ladder.Rung{ladder.ClusterIP, ladder.HostClusterIP, ladder.NodePort}
	}
	return []ladder.Rung{failed}
}

// addFailures adds the failed probes of an observation.
func (e *evidence) addFailures(n int, o *ladder.Observation, crossed []crossing, expected anyway) {
	b := bucketOf(o)
	if failed := float64(o.Failed()); expected.share > e.background && failed > 0 {
		e.weights[n] = min(1, expected.independent/failed)
	}
	e.kinds = slices.AppendSeq(e.kinds[:0], maps.Keys(o.Failures))
	slices.Sort(e.kinds)
	for _, failure := range e.kinds {
		count := o.Failures[failure]
		if count == 0 {
			continue
		}
		f := failing{observation: n, bucket: b, count: float64(count), base: expected.share,
			sent: float64(o.Sent), lost: float64(o.Failed()),
			expected: expected.share, independent: float64(count), candidates: make([]int, 0, len(crossed))}
		if f.base > e.background {
			f.independent = min(f.count, expected.independent)
		}
		for _, c := range crossed {
			if !c.may(failure, o.Method) {
				continue
			}
			i := e.component(c.Component, o.Rung)
			// That a probe fails may be likely, and that all of several do is not.
			if math.Pow(f.base, f.independent) < likely {
				e.origins[i].add(cmp.Or(o.At, o.From))
			}
			if slices.Contains(f.candidates, i) {
				continue
			}
			f.candidates = append(f.candidates, i)
			e.most[i] -= f.independent * math.Log(f.base)
			e.touching[i] = append(e.touching[i], len(e.failures))
		}
		e.failures = append(e.failures, f)
	}
}

// concerns reports whether the observation may cross one of the components kept that are no pair of zones. It is called
// after follow.
func (e *evidence) concerns(o *ladder.Observation) bool {
	return e.last.asker != nil || e.last.answerer != nil || o.At != "" && e.places[o.At] != nil || e.wide[o.Rung]
}

// elsewhere reports whether the component is at a node, or between nodes, and no such node is kept.
func (e *evidence) elsewhere(c *Component) bool {
	switch {
	case c.Node == "" || betweenZones(c.Part):
		return false
	case c.Node == e.last.from:
		return e.last.asker == nil
	case c.Node == e.last.to:
		return e.last.answerer == nil
	}
	return e.places[c.Node] == nil
}

// addPasses counts what passed through the components that may have caused a failure; all others need no count. A
// connection that was made and got no reply passed through the network, and not through the process at its end. It is
// called after follow.
func (e *evidence) addPasses(n int, o *ladder.Observation, crossed []crossing) {
	connected := o.Failures[ladder.NoReply] + o.Failures[ladder.BadReply]
	if o.Answered == 0 && connected == 0 {
		return
	}
	b, weight := bucketOf(o), 1.0
	if w, ok := e.weights[n]; ok {
		weight = w
	}
	for _, c := range crossed {
		if e.elsewhere(&c.Component) {
			continue
		}
		i, ok := e.index.find(&c.Component)
		if !ok || !e.kept[i] || c.maybe && o.Failed() == 0 {
			// Where some of the same probes fail, those that pass had the same chance to cross the component.
			continue
		}
		e.passed[i][b] += weight * float64(o.Answered)
		if connected > 0 && c.carries() {
			e.passed[i][small(o)] += weight * float64(connected)
			if e.connected[i] == nil {
				e.connected[i] = &[buckets]float64{}
			}
			e.connected[i][small(o)] += weight * float64(connected)
		}
	}
}

// carries reports whether the component carries packets, so that a connection that is made has passed through it.
func (c crossing) carries() bool {
	switch c.Part {
	case Agent, HostAgent, asking, hostAsking, wholeAgent, wholeHost, DNSServer, Service, Endpoint, LoadBalancer,
		Ingress, DNSService, APIServer:
		return false
	}
	return true
}

// origins says whether probes failed that began at several nodes.
type origins struct {
	first   string
	several bool
}

func (o *origins) add(node string) {
	if o.first == "" {
		o.first = node
	}
	o.several = o.several || node != o.first
}

// likely is from when on a failure needs no further reason.
const likely = 0.5

// many is from how many probes on the share of an observation that failed says something, and wholly the share from
// which on nearly nothing gets through.
const (
	many   = 20
	wholly = 0.95
)

// even reports whether the failures that a claim may explain show a fault that takes some probes of each path, and not
// all of some paths.
func (e *evidence) even(c *claim) bool {
	const atLeast, some = 3, 0.5
	partly, whole := 0, 0
	for _, n := range e.touching[c.component] {
		switch f := &e.failures[n]; {
		case f.sent < many || c.severities[f.bucket] == 0:
		case f.lost < some*f.sent:
			partly++
		default:
			whole++
		}
	}
	return partly >= atLeast && partly > whole
}

// stark is how many of the failures count where faults that were found take a small part of the probes of each path,
// and nothing at all gets through here.
func (f *failing) stark(expected float64) float64 {
	const small, most = 0.3, 30
	if f.sent < many || f.lost < wholly*f.sent || expected > small {
		return f.worth(expected)
	}
	return min(f.independent, most)
}

// worth is how many of the failures count where they are expected with a probability by faults that were found: partial
// loss hits some pairs of nodes always and others never, so that further failures between the same two are less of a
// surprise, the more so the larger the loss.
func (f *failing) worth(expected float64) float64 {
	const usual, rest = 0.05, 0.02
	further := min(1, max(rest, math.Log(usual/expected)/math.Log(10)))
	return min(f.independent, 1+further*(f.independent-1))
}

// expect computes anew how likely a failure is with the accepted faults.
func (f *failing) expect() { f.expected, _ = f.without(nil) }

// without returns how likely the failure is with the accepted faults but one, and whether any of them may be its cause.
func (f *failing) without(one *claim) (expected float64, explained bool) {
	pass := 1 - f.base
	for _, c := range f.by {
		if q := c.severities[f.bucket]; c != one && q > 0 {
			pass *= 1 - q
			explained = true
		}
	}
	return min(certain, 1-pass), explained
}
