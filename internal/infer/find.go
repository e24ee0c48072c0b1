package infer

import (
	"math"

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
	found := append(first, second...)
	return append(found, f.stage(func(o *ladder.Observation) bool { return proxied(o.Rung) }, found)...)
}

// proxied reports whether something that is no part of the cluster's nodes leads the requests to node ports or pods.
func proxied(r ladder.Rung) bool { return r == ladder.LoadBalancer || r == ladder.Ingress }

// severalNodes returns the zones of the nodes that share their zone with another one. What is wrong between the only node
// of a zone and another zone is as well the node's.
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
	e := newEvidence()
	predict := newPrediction(before, f.in.Zones)
	for i := range f.in.Observations {
		o := &f.in.Observations[i]
		if o.Sent > o.Answered && of(o) && !f.suspect(o) {
			expected := f.background
			if len(before) > 0 {
				expected = min(certain, expected+predict.failing(o))
			}
			e.addFailures(i, o, crossed(o, f.in.Zones), expected)
		}
	}
	if len(e.failures) == 0 {
		return nil
	}
	for i := range f.in.Observations {
		if o := &f.in.Observations[i]; of(o) && !f.suspect(o) {
			e.addPasses(o, crossed(o, f.in.Zones))
		}
	}
	return newSearch(e, f.background, f.candidates()).run()
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

// prediction says how likely probes through Services fail because of faults that are known.
type prediction struct {
	faults map[Component][]Fault
	zones  map[string]string
}

func newPrediction(faults []Fault, zones map[string]string) prediction {
	p := prediction{faults: map[Component][]Fault{}, zones: zones}
	for _, f := range faults {
		p.faults[f.Component] = append(p.faults[f.Component], f)
		// The data cannot tell these apart, so each is expected to do what the fault does.
		for _, other := range f.Group {
			p.faults[other] = append(p.faults[other], f)
		}
	}
	return p
}

// margin is how much more often than its share a backend that fails may be met in a few probes.
const margin = 1.5

// failing returns the probability that a probe through the Service fails because of known faults.
func (p prediction) failing(o *ladder.Observation) float64 {
	switch o.Rung {
	case ladder.LoadBalancer, ladder.Ingress:
		// The way out of the pod and its node, and what the proxy meets in the cluster.
		return either(p.path(ladder.PodToHost, o, o.From, ""), p.behindProxy(o))
	case ladder.APIServer:
		return p.path(ladder.PodToHost, o, o.From, "")
	case ladder.NodePort:
		if o.At != "" && o.At != o.From {
			there := either(p.path(ladder.PodToHost, o, o.From, o.At), p.at(o, o.At, Forwarding))
			return either(there, p.backends(o, ladder.HostToPod, o.At))
		}
	case ladder.HostClusterIP:
		return p.backends(o, ladder.HostToPod, o.From)
	case ladder.DNSService:
		if len(o.Backends) == 0 {
			return p.path(ladder.PodToHost, o, o.From, "")
		}
	}
	return p.backends(o, ladder.PodToPod, o.From)
}

// backends returns the probability that the way from a place to a backend fails: the mean over all backends, with a
// margin.
func (p prediction) backends(o *ladder.Observation, rung ladder.Rung, from string) float64 {
	if len(o.Backends) == 0 {
		return 0
	}
	var sum float64
	for _, backend := range o.Backends {
		if rung == ladder.HostToPod && backend == from {
			sum += p.path(ladder.HostToOwnPod, o, from, from)
			continue
		}
		sum += p.path(rung, o, from, backend)
	}
	return min(1, margin*sum/float64(len(o.Backends)))
}

// mostPairs bounds the backends whose pairs with all nodes are looked at one by one.
const mostPairs = 30

// behindProxy returns the probability that what a load balancer or an Ingress meets fails: the node port of any node
// and the way from there to any backend, or the pods themselves.
func (p prediction) behindProxy(o *ladder.Observation) float64 {
	if len(o.Backends) == 0 || len(p.faults) == 0 {
		return 0
	}
	// Of many nodes, those on which nothing is known to be broken are alike.
	nodes := o.Backends[:min(len(o.Backends), mostPairs)]
	if o.Rung == ladder.Ingress {
		// An Ingress controller chooses the family of its own connections.
		anyFamily := *o
		anyFamily.Family = ""
		o = &anyFamily
	}
	var sum float64
	for _, node := range nodes {
		here := p.at(o, node, NodePort, KubeProxy, NodeNetwork, Forwarding)
		for _, backend := range nodes {
			rung := ladder.HostToPod
			if backend == node {
				rung = ladder.HostToOwnPod
			}
			sum += either(here, p.path(rung, o, node, backend))
		}
	}
	share := sum / float64(len(nodes)*len(nodes))
	var services float64
	for c, faults := range p.faults {
		if c.Part == Service {
			for _, f := range faults {
				services = max(services, f.Severity)
			}
		}
	}
	return either(services, min(1, margin*share))
}

// at returns the severity of the faults of parts of a node for traffic of the observation's class.
func (p prediction) at(o *ladder.Observation, node string, parts ...Part) float64 {
	pass := 1.0
	for _, part := range parts {
		for _, f := range p.faults[Component{Part: part, Node: node}] {
			if affects(f.Aspect, o) {
				pass *= 1 - f.Severity
			}
		}
	}
	return 1 - pass
}

// affects reports whether a fault of the aspect may affect the observation's traffic. Traffic of a family that is not
// known may be of any.
func affects(a Aspect, o *ladder.Observation) bool {
	if o.Family == "" {
		a.Family = ""
	}
	return aspectMask(a).has(bucketOf(o.Family, o.Method, o.Large))
}

// path returns the probability that a probe between two places fails.
func (p prediction) path(rung ladder.Rung, o *ladder.Observation, from, to string) float64 {
	like := ladder.Observation{Rung: rung, From: from, To: to, Family: o.Family, Method: o.Method, Large: o.Large}
	if o.Rung == ladder.DNSService && rung == ladder.PodToPod {
		like.Rung = ladder.DNSPod
	}
	pass := 1.0
	seen := map[Component]bool{}
	for _, c := range crossed(&like, p.zones) {
		if seen[c.Component] {
			continue
		}
		seen[c.Component] = true
		for _, f := range p.faults[c.Component] {
			if affects(f.Aspect, &like) {
				pass *= 1 - f.Severity
			}
		}
	}
	if o.Rung == ladder.DNSService {
		pass = math.Min(pass, 1-p.dnsServers(o, to))
	}
	return 1 - pass
}

// dnsServers returns the severity of the worst fault of a DNS server on the node.
func (p prediction) dnsServers(_ *ladder.Observation, node string) float64 {
	worst := 0.0
	for c, faults := range p.faults {
		if c.Part == DNSServer && c.Node == node {
			for _, f := range faults {
				worst = max(worst, f.Severity)
			}
		}
	}
	return worst
}
