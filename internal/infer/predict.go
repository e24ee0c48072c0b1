package infer

import (
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// prediction says how likely probes through Services fail because of faults that are known.
type prediction struct {
	faults map[Component][]Fault
	zones  map[string]string
	// nodes are the nodes of faults; wide says that there are faults that are at no node.
	nodes map[string]bool
	wide  bool
	// failed is the share of probes of proxied rungs that failed, by all askers together.
	failed map[ladder.Rung]float64
	// proxies has what was computed for proxies.
	proxies map[proxyClass]float64
	buffer  []crossing
	// zoneMeans has what was computed for the nodes of zones.
	zoneMeans map[zoneClass]float64
}

func newPrediction(faults []Fault, zones map[string]string) *prediction {
	p := &prediction{faults: map[Component][]Fault{}, zones: zones, nodes: map[string]bool{},
		failed: map[ladder.Rung]float64{}, proxies: map[proxyClass]float64{},
		zoneMeans: map[zoneClass]float64{}}
	for _, f := range faults {
		p.add(f.Component, f)
		// The data cannot tell these apart, so each is expected to do what the fault does.
		for _, other := range f.Group {
			p.add(other, f)
		}
	}
	return p
}

// add notes a fault of a component.
func (p *prediction) add(c Component, f Fault) {
	p.faults[c] = append(p.faults[c], f)
	switch {
	case c.Part == ZonePair || c.Part == ZonePodPair:
		p.wide = true
	case c.Node != "":
		p.nodes[c.Node] = true
		if c.Peer != "" {
			p.nodes[c.Peer] = true
		}
	}
}

// observe learns what share of the probes through proxies failed.
func (p *prediction) observe(observations []ladder.Observation) {
	sent := map[ladder.Rung]uint64{}
	lost := map[ladder.Rung]uint64{}
	for i := range observations {
		if o := &observations[i]; proxied(o.Rung) {
			sent[o.Rung] += o.Sent
			lost[o.Rung] += o.Failed()
		}
	}
	for rung, n := range sent {
		p.failed[rung] = float64(lost[rung]) / float64(max(n, 1))
	}
}

// margin is how much more often than its share a backend that fails may be met in a few probes.
const margin = 1.5

// failing returns the probability that a probe through the Service fails because of known faults.
func (p *prediction) failing(o *ladder.Observation) float64 {
	switch o.Rung {
	case ladder.LoadBalancer, ladder.Ingress:
		// The way out of the pod and its node, and what the proxy meets in the cluster.
		return either(p.path(ladder.PodToHost, o, o.From, ""), min(p.behindProxy(o), margin*p.failed[o.Rung]))
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
func (p *prediction) backends(o *ladder.Observation, rung ladder.Rung, from string) float64 {
	if len(o.Backends) == 0 || len(p.faults) == 0 {
		return 0
	}
	if p.nodes[from] {
		return min(1, margin*p.mean(o, rung, from, sample(o.Backends, mostSampled)))
	}
	if p.wide {
		// Whatever is broken between zones is the same for all nodes of a zone.
		class := zoneClass{o.Rung, rung, o.Family, bucketOf(o.Family, o.Method, o.Large), p.zones[from],
			len(o.Backends)}
		mean, ok := p.zoneMeans[class]
		if !ok {
			mean = p.mean(o, rung, from, sample(o.Backends, mostSampled))
			p.zoneMeans[class] = mean
		}
		return min(1, margin*mean)
	}
	// From here only backends at which something is broken can fail.
	var sum float64
	for node := range p.nodes {
		if among(o.Backends, node) {
			sum += p.backend(o, rung, from, node)
		}
	}
	return min(1, margin*sum/float64(len(o.Backends)))
}

// among reports whether the node is one of the backends', which are sorted where they are many.
func among(backends []string, node string) bool {
	const few = 64
	if len(backends) <= few {
		return slices.Contains(backends, node)
	}
	_, is := slices.BinarySearch(backends, node)
	return is
}

// mean is the mean probability that the way to one of the backends fails.
func (p *prediction) mean(o *ladder.Observation, rung ladder.Rung, from string, backends []string) float64 {
	var sum float64
	for _, backend := range backends {
		sum += p.backend(o, rung, from, backend)
	}
	return sum / float64(len(backends))
}

// backend returns the probability that the way to one backend fails.
func (p *prediction) backend(o *ladder.Observation, rung ladder.Rung, from, to string) float64 {
	if rung == ladder.HostToPod && to == from {
		rung = ladder.HostToOwnPod
	}
	return p.path(rung, o, from, to)
}

// mostSampled is how many of many nodes are looked at.
const mostSampled = 40

// sample returns at most n of the names, spread over all of them.
func sample(names []string, n int) []string {
	if len(names) <= n {
		return names
	}
	some := make([]string, 0, n)
	for i := range n {
		some = append(some, names[i*len(names)/n])
	}
	return some
}

// proxyMargin is how much more often than its share a proxy may meet what fails: it may stay with a backend, and tries
// others in its stead.
const proxyMargin = 3

// zoneClass is what the mean over all backends depends on, for a node at which nothing is broken.
type zoneClass struct {
	of, rung ladder.Rung
	family   topology.Family
	bucket   bucket
	zone     string
	backends int
}

// proxyClass is what the prediction behind a proxy depends on.
type proxyClass struct {
	rung     ladder.Rung
	bucket   bucket
	backends int
}

// behindProxy returns the probability that what a load balancer or an Ingress meets fails: the node port of any node
// and the way from there to any backend.
func (p *prediction) behindProxy(o *ladder.Observation) float64 {
	if len(o.Backends) == 0 || len(p.faults) == 0 {
		return 0
	}
	class := proxyClass{o.Rung, bucketOf(o.Family, o.Method, o.Large), len(o.Backends)}
	if known, ok := p.proxies[class]; ok {
		return known
	}
	if o.Rung == ladder.Ingress {
		// An Ingress controller chooses the family of its own connections.
		anyFamily := *o
		anyFamily.Family = ""
		o = &anyFamily
	}
	share := min(1, proxyMargin*p.meanOfPairs(o))
	for c, faults := range p.faults {
		if c.Part == Service || c.Part == Endpoint {
			for _, f := range faults {
				share = either(share, min(1, margin*f.Severity))
			}
		}
	}
	p.proxies[class] = share
	return share
}

// meanOfPairs is the mean probability that a connection fails that any node leads to any backend: exact for nodes at
// which something is broken, and by a sample for the others.
func (p *prediction) meanOfPairs(o *ladder.Observation) float64 {
	all := float64(len(o.Backends))
	partners := sample(o.Backends, mostSampled)
	pair := func(node, backend string) float64 {
		here := p.at(o, node, NodePort, KubeProxy, NodeNetwork, inbound, Forwarding)
		return either(here, p.backend(o, ladder.HostToPod, node, backend))
	}
	var broken, sum float64
	for node := range p.nodes {
		if !among(o.Backends, node) {
			continue
		}
		broken++
		for _, partner := range partners {
			sum += (pair(node, partner) + pair(partner, node)) / float64(len(partners)) / all
		}
	}
	if !p.wide {
		return min(1, sum)
	}
	var rest float64
	for _, node := range partners {
		for _, backend := range partners {
			rest += pair(node, backend)
		}
	}
	return min(1, sum+(1-broken/all)*rest/float64(len(partners)*len(partners)))
}

// at returns the severity of the faults of parts of a node for traffic of the observation's class.
func (p *prediction) at(o *ladder.Observation, node string, parts ...Part) float64 {
	pass := 1.0
	for _, part := range parts {
		for _, f := range p.faults[Component{Part: part, Node: node}] {
			if affects(f.Aspect, o) {
				pass *= 1 - f.severityFor(o)
			}
		}
	}
	return 1 - pass
}

// severityFor returns the fault's severity for traffic of the observation's class.
func (f *Fault) severityFor(o *ladder.Observation) float64 {
	if o.Family == "" {
		return slices.Max(f.by[:])
	}
	return f.by[bucketOf(o.Family, o.Method, o.Large)]
}

// affects reports whether a fault of the aspect may affect the observation's traffic. Traffic of a family that is not
// known may be of any.
func affects(a Aspect, o *ladder.Observation) bool {
	if o.Family == "" {
		a.Family = ""
	}
	return aspectMask(a).has(bucketOf(o.Family, o.Method, o.Large))
}

func (p *prediction) crossed(o *ladder.Observation) []crossing {
	p.buffer = crossed(o, p.zones, p.buffer)
	return p.buffer
}

// path returns the probability that a probe between two places fails.
func (p *prediction) path(rung ladder.Rung, o *ladder.Observation, from, to string) float64 {
	like := ladder.Observation{Rung: rung, From: from, To: to, Family: o.Family, Method: o.Method, Large: o.Large}
	if o.Rung == ladder.DNSService && rung == ladder.PodToPod {
		like.Rung = ladder.DNSPod
	}
	pass := 1.0
	seen := map[Component]bool{}
	for _, c := range p.crossed(&like) {
		if seen[c.Component] {
			continue
		}
		seen[c.Component] = true
		for _, f := range p.faults[c.Component] {
			if affects(f.Aspect, &like) {
				pass *= 1 - f.severityFor(&like)
			}
		}
	}
	if o.Rung == ladder.DNSService {
		pass = math.Min(pass, 1-p.dnsServers(o, to))
	}
	return 1 - pass
}

// dnsServers returns the severity of the worst fault of a DNS server on the node.
func (p *prediction) dnsServers(_ *ladder.Observation, node string) float64 {
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
