package infer

import (
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
)

// Find returns the faults that explain the observations best, the one that explains most first. No failures, no
// faults; and failures that many faults would have to explain one by one may stay unexplained.
//
// The search has three stages. The first explains the failures on paths whose ends are known. The second explains what
// failed on paths through Services beyond what the faults of the first let expect there, and the third what failed
// through load balancers and Ingresses, which lead to Services.
func Find(in Input) []Fault {
	f := finder{in: in, background: max(in.Background, leastBackground)}
	f.in.Zones = severalNodes(in)
	first := f.stage(func(o *ladder.Observation) bool { return !throughService(o.Rung) }, nil)
	second := f.stage(func(o *ladder.Observation) bool { return throughService(o.Rung) && !proxied(o.Rung) }, first)
	for i := range second {
		second[i].Component = f.endpoint(second[i])
	}
	found := slices.Concat(first, second)
	found = append(found, f.stage(func(o *ladder.Observation) bool { return proxied(o.Rung) }, found)...)
	for i := range found {
		found[i] = bySize(asReported(found[i]))
	}
	return found
}

// proxied reports whether something that is no part of the cluster's nodes leads the requests to node ports or pods.
func proxied(r ladder.Rung) bool { return r == ladder.LoadBalancer || r == ladder.Ingress }

// wholeService is the severity from which on it is the Service that fails, and not one of its endpoints.
const wholeService = 0.9

// endpoint returns the component of a fault of a Service. Where only a part of the connections fails, from everywhere,
// and one backend alone answers nobody, it is that backend's entry among the Service's endpoints.
func (f *finder) endpoint(of Fault) Component {
	if of.Component.Part != Service || of.Severity >= wholeService {
		return of.Component
	}
	answered, expected := map[string]uint64{}, map[string]bool{}
	var answers uint64
	for i := range f.in.Observations {
		o := &f.in.Observations[i]
		if o.Service != of.Component.Service || !throughService(o.Rung) || proxied(o.Rung) {
			continue
		}
		for peer, n := range o.Peers {
			node, ok := f.in.Pods[peer]
			if !ok {
				node = peer
			}
			answered[node] += n
			answers += n
		}
		for _, node := range o.Backends {
			expected[node] = true
		}
	}
	var silent []string
	for node := range expected {
		if answered[node] == 0 {
			silent = append(silent, node)
		}
	}
	// With so many answers each backend that takes its turns has some.
	if len(silent) != 1 || answers < turns*uint64(len(expected)) {
		return of.Component
	}
	return Component{Part: Endpoint, Node: silent[0], Service: of.Component.Service}
}

// turns is how many answers for each backend are enough to expect one from all of them.
const turns = 8

// severalNodes returns the zones of the nodes that share their zone with another one. What is wrong between the only
// node of a zone and another zone is as well the node's.
func severalNodes(in Input) map[string]string {
	count, seen := map[string]int{}, map[string]bool{}
	for i := range in.Observations {
		if node := in.Observations[i].From; !seen[node] {
			seen[node] = true
			count[in.Zones[node]]++
		}
	}
	zones := make(map[string]string, len(in.Zones))
	for node, zone := range in.Zones {
		if count[zone] > 1 {
			zones[node] = zone
		}
	}
	return zones
}

type finder struct {
	in         Input
	background float64
}

// stage searches among the observations of one stage. before are the faults of the stage before.
func (f *finder) stage(of func(*ladder.Observation) bool, before []Fault) []Fault {
	e := newEvidence(f.background)
	var buffer []crossing
	predict := newPrediction(before, f.in.Zones)
	predict.observe(f.in.Observations)
	for i := range f.in.Observations {
		o := &f.in.Observations[i]
		if o.Sent > o.Answered && of(o) && !f.suspect(o) {
			expected := f.background
			if len(before) > 0 {
				expected = min(certain, expected+predict.failing(o))
			}
			buffer = crossed(o, f.in.Zones, buffer)
			e.addFailures(i, o, buffer, expected)
		}
	}
	if len(e.failures) == 0 {
		return nil
	}
	for i := range f.in.Observations {
		o := &f.in.Observations[i]
		if of(o) && o.Answered+o.Failed() > 0 && e.concerns(o, f.in.Zones) && !f.suspect(o) {
			buffer = crossed(o, f.in.Zones, buffer)
			e.addPasses(o, buffer)
		}
	}
	return newSearch(e, f.background, f.candidates()).run(before)
}

// suspect reports whether an agent at one of the ends was itself the reason for failures.
func (f *finder) suspect(o *ladder.Observation) bool {
	return f.in.Suspect[o.From] || o.To != "" && f.in.Suspect[o.To]
}

// candidates is how many components of nodes there may be; claims about pairs have a price of their own.
func (f *finder) candidates() int {
	nodes := map[string]bool{}
	for i := range f.in.Observations {
		nodes[f.in.Observations[i].From] = true
	}
	return candidatesOf(len(nodes))
}

// candidatesOf is how many components there may be on the nodes.
func candidatesOf(nodes int) int {
	const parts = 14
	return nodes * parts
}

// SmallestLoss returns the smallest share of probes, 0 to 1, that a fault must lose so that a round with this many
// probes through it is expected to show it, in a cluster of the number of nodes; 1 if even the loss of all probes shows
// nothing. It solves n D(q || p0) = the price of a claim, where D is the Kullback-Leibler divergence between losses of
// the shares q and p0.
func SmallestLoss(probes uint64, nodes int) float64 {
	price := priceOf(candidatesOf(nodes))
	enough := func(q float64) bool {
		d := q * math.Log(q/leastBackground)
		if q < 1 {
			d += (1 - q) * math.Log((1-q)/(1-leastBackground))
		}
		return float64(probes)*d >= price
	}
	if !enough(certain) {
		return 1
	}
	low, high := leastBackground, certain
	for range 40 {
		if middle := (low + high) / 2; enough(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return max(high, 20*leastBackground)
}
