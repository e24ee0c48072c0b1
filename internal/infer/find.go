package infer

import (
	"maps"
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
	first = append(first, f.endpoints(first)...)
	second := f.stage(func(o *ladder.Observation) bool { return throughService(o.Rung) && !proxied(o.Rung) }, first)
	for i := range second {
		if second[i].Component.Part == DNSService {
			second[i] = f.dnsServer(second[i])
		}
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
	predict := newPrediction(slices.Concat(before, f.suspects()), f.in.Zones)
	predict.observe(f.in.Observations)
	predict.apart = f.apart()
	for i := range f.in.Observations {
		o := &f.in.Observations[i]
		if o.Sent <= o.Answered || !of(o) || f.suspect(o) {
			continue
		}
		expected := anyway{share: f.background}
		if throughService(o.Rung) {
			expected = f.anyway(predict, o)
		}
		buffer = f.crossed(o, predict.apart, buffer)
		e.addFailures(i, o, buffer, expected)
	}
	if len(e.failures) == 0 {
		return nil
	}
	for i := range f.in.Observations {
		o := &f.in.Observations[i]
		if of(o) && o.Answered+o.Failed() > 0 && e.concerns(o, f.in.Zones) && !f.suspect(o) {
			buffer = f.crossed(o, predict.apart, buffer)
			e.addPasses(o, buffer)
		}
	}
	return newSearch(e, f.background, f.candidates()).run(before)
}

// crossed returns what an observation crosses; with apart, node ports do not cross the Service.
func (f *finder) crossed(o *ladder.Observation, apart bool, buffer []crossing) []crossing {
	all := crossed(o, f.in.Zones, buffer)
	if apart && o.Rung == ladder.NodePort {
		all = slices.DeleteFunc(all, func(c crossing) bool { return c.Part == Service })
	}
	return all
}

// apart reports whether node ports work although the addresses of Services do not: with some ways of translation they
// share everything, with others nothing.
func (f *finder) apart() bool {
	var sent, lost [2]float64
	for i := range f.in.Observations {
		o, k := &f.in.Observations[i], 0
		switch o.Rung {
		case ladder.NodePort:
			k = 1
		case ladder.ClusterIP, ladder.HostClusterIP:
		default:
			continue
		}
		sent[k] += float64(o.Sent)
		lost[k] += float64(o.Failed())
	}
	return sent[1] > 0 && lost[1]/sent[1] < lost[0]/max(sent[0], 1)/2
}

// anyway is the probability that a probe fails without any fault of the stage, and of how many probes of an observation
// that is independent.
type anyway struct{ share, independent float64 }

// anyway returns what known faults let expect of an observation.
func (f *finder) anyway(p *prediction, o *ladder.Observation) anyway {
	// Requests over connections that stay open meet the same backend again and again.
	const differ = 12
	a := anyway{min(certain, f.background+p.failing(o)), differ}
	if p.stays(o) {
		a.independent = 1
	}
	return a
}

// suspects returns what the agents that were short of CPU themselves lose of what is asked of them, as faults.
func (f *finder) suspects() []Fault {
	type counts struct{ sent, lost [buckets]float64 }
	var all []Fault
	seen := map[string]*counts{}
	for i := range f.in.Observations {
		o := &f.in.Observations[i]
		if !f.in.Suspect[o.To] || f.in.Suspect[o.From] || throughService(o.Rung) {
			continue
		}
		switch o.Rung {
		case ladder.PodToPod, ladder.HostToPod:
			c := seen[o.To]
			if c == nil {
				c = &counts{}
				seen[o.To] = c
			}
			b := bucketOf(o)
			c.sent[b] += float64(o.Sent)
			c.lost[b] += float64(o.Failed())
		}
	}
	for _, node := range slices.Sorted(maps.Keys(seen)) {
		fault := Fault{Component: Component{Part: Agent, Node: node}}
		for b, sent := range seen[node].sent {
			fault.by[b] = min(certain, seen[node].lost[b]/max(sent, 1))
		}
		fault.Severity = slices.Max(fault.by[:])
		all = append(all, fault)
	}
	return all
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
