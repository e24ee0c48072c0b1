package infer

import (
	"cmp"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// prediction says how likely probes through Services fail because of faults that are known.
type prediction struct {
	known []Fault
	// faults has the indexes of the known faults that a component may have.
	faults map[Component][]int
	zones  map[string]string
	// nodes are the nodes of faults; wide says that there are faults that are at no node.
	nodes map[string]bool
	wide  bool
	// apart says that node ports work although the Service's address does not.
	apart bool
	// proxied is what is known of the probes through load balancers and Ingresses.
	proxied map[ladder.Rung]*behindRung
	// proxies and means have what was computed before, sets the backends of Services by zone.
	proxies map[proxyClass]float64
	means   map[meanClass]float64
	sets    map[setClass]backendSet
	buffer  []crossing
	hit     []int
}

func newPrediction(faults []Fault, zones map[string]string) *prediction {
	p := &prediction{known: faults, faults: map[Component][]int{}, zones: zones, nodes: map[string]bool{},
		proxied: map[ladder.Rung]*behindRung{}, proxies: map[proxyClass]float64{}, means: map[meanClass]float64{},
		sets: map[setClass]backendSet{}}
	for i, f := range faults {
		p.add(f.Component, i)
		// The data cannot tell these apart, so each is expected to do what the fault does.
		for _, other := range f.Group {
			p.add(other, i)
		}
	}
	return p
}

// add notes that a fault may be that of a component.
func (p *prediction) add(c Component, fault int) {
	p.faults[c] = append(p.faults[c], fault)
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

// margin is how much more often than its share a backend that fails may be met.
const margin = 1.15

// failing returns the probability that a probe through the Service fails because of known faults.
func (p *prediction) failing(o *ladder.Observation) float64 {
	if len(p.known) == 0 {
		return 0
	}
	switch o.Rung {
	case ladder.LoadBalancer, ladder.Ingress:
		// The way out of the pod and its node, and what the proxy meets in the cluster.
		return either(p.path(ladder.PodToHost, o, o.From, ""), min(p.behindProxy(o), margin*p.others(o)))
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

// setClass tells sets of backends apart.
type setClass struct {
	service     string
	family      topology.Family
	size        int
	first, last string
}

// backendSet is the backends of a Service: those at whose nodes something is broken one by one, the others by zone.
type backendSet struct {
	broken []string
	zones  []zoneShare
}

type zoneShare struct {
	zone, node string
	count      int
}

// meanClass is what the mean over all backends depends on: for a node at which nothing is broken, its zone. asker is
// who asks a node port, where something is broken there.
type meanClass struct {
	asker    string
	set      setClass
	of, rung ladder.Rung
	bucket   bucket
	from     string
	broken   bool
}

// backends returns the probability that the way from a place to a backend fails: the mean over all backends, with a
// margin.
func (p *prediction) backends(o *ladder.Observation, rung ladder.Rung, from string) float64 {
	if len(o.Backends) == 0 {
		return 0
	}
	set := setClass{o.Service, o.Family, len(o.Backends), o.Backends[0], o.Backends[len(o.Backends)-1]}
	class := meanClass{set: set, of: o.Rung, rung: rung, bucket: bucketOf(o), from: from, broken: p.nodes[from]}
	if o.Rung == ladder.NodePort && p.nodes[o.From] {
		class.asker = o.From
	}
	if !class.broken {
		class.from = p.zones[from]
	}
	mean, ok := p.means[class]
	if !ok {
		mean = p.mean(o, rung, from, p.set(set, o.Backends))
		p.means[class] = mean
	}
	return min(1, margin*mean)
}

// set sorts backends by what is broken and by zone.
func (p *prediction) set(class setClass, backends []string) backendSet {
	if set, ok := p.sets[class]; ok {
		return set
	}
	var set backendSet
	index := map[string]int{}
	for _, node := range backends {
		if p.nodes[node] {
			set.broken = append(set.broken, node)
			continue
		}
		zone := p.zones[node]
		i, ok := index[zone]
		if !ok {
			i = len(set.zones)
			index[zone] = i
			set.zones = append(set.zones, zoneShare{zone: zone, node: node})
		}
		set.zones[i].count++
	}
	p.sets[class] = set
	return set
}

// mean is the mean probability that the way to one of the backends fails.
func (p *prediction) mean(o *ladder.Observation, rung ladder.Rung, from string, set backendSet) float64 {
	var sum, all float64
	for _, node := range set.broken {
		sum += p.backend(o, rung, from, node)
		all++
	}
	for _, z := range set.zones {
		if z.node != from || z.count > 1 {
			sum += float64(z.count) * p.backend(o, rung, from, z.node)
		}
		all += float64(z.count)
	}
	return sum / max(all, 1)
}

// backend returns the probability that the way to one backend fails.
func (p *prediction) backend(o *ladder.Observation, rung ladder.Rung, from, to string) float64 {
	if rung == ladder.HostToPod && to == from {
		rung = ladder.HostToOwnPod
	}
	return p.path(rung, o, from, to)
}

// at returns the severity of the faults of parts of a node for traffic of the observation's class.
func (p *prediction) at(o *ladder.Observation, node string, parts ...Part) float64 {
	p.hit = p.hit[:0]
	for _, part := range parts {
		p.meets(Component{Part: part, Node: node})
	}
	return p.together(o)
}

// meets notes the known faults of a component.
func (p *prediction) meets(c Component) {
	for _, i := range p.faults[c] {
		if !slices.Contains(p.hit, i) {
			p.hit = append(p.hit, i)
		}
	}
}

// together is how likely one of the faults that were met loses a probe like the observation's.
func (p *prediction) together(o *ladder.Observation) float64 {
	pass := 1.0
	for _, i := range p.hit {
		pass *= 1 - p.known[i].severityFor(o)
	}
	return 1 - pass
}

// severityFor returns the fault's severity for traffic of the observation's class. Traffic of a family that is not
// known may be of any.
func (f *Fault) severityFor(o *ladder.Observation) float64 {
	like := *o
	if o.Family == "" {
		like.Family = topology.IPv4
		severity := f.severityFor(&like)
		like.Family = topology.IPv6
		return max(severity, f.severityFor(&like))
	}
	severity := f.by[bucketOf(o)]
	if like.Counted = true; !o.Counted {
		// Probes fail at least as often as counted requests, which wait longer.
		severity = max(severity, f.by[bucketOf(&like)])
	}
	return severity
}

// path returns the probability that a probe between two places fails.
func (p *prediction) path(rung ladder.Rung, o *ladder.Observation, from, to string) float64 {
	like := ladder.Observation{Rung: rung, From: from, To: to, Family: o.Family, Method: o.Method, Large: o.Large,
		Counted: o.Counted}
	if o.Rung == ladder.DNSService && rung == ladder.PodToPod {
		like.Rung = ladder.DNSPod
	}
	p.hit = p.hit[:0]
	p.buffer = crossed(&like, p.zones, p.buffer)
	for i := range p.buffer {
		p.meets(p.buffer[i].Component)
	}
	switch {
	case o.Rung == ladder.DNSService:
		p.servers(to)
	case throughService(o.Rung) && to != "" && (rung == ladder.PodToPod || rung == ladder.HostToPod ||
		rung == ladder.HostToOwnPod):
		p.meets(Component{Part: Endpoint, Node: to, Service: o.Service})
		if rung == ladder.HostToOwnPod {
			p.entering(o, to)
		}
	}
	return p.together(&like)
}

// servers notes the known faults of the DNS servers on a node.
func (p *prediction) servers(node string) {
	for i := range p.known {
		c := p.known[i].Component
		if c.Part == DNSServer && c.Node == node && !slices.Contains(p.hit, i) {
			p.hit = append(p.hit, i)
		}
	}
}

// proxyMargin is how much more often than its share a proxy may meet what fails: it tries others in its stead.
const proxyMargin = 1.2

// behindRung is what is known of the probes through load balancers, or Ingresses.
type behindRung struct {
	sent, lost uint64
	// alone is how many askers were answered several times, by one backend alone, several how many by more.
	alone, several int
}

// observe learns what became of the probes through proxies.
func (p *prediction) observe(observations []ladder.Observation, of []int) {
	const times = 3
	for _, i := range of {
		o := &observations[i]
		b := p.proxied[o.Rung]
		if b == nil {
			b = &behindRung{}
			p.proxied[o.Rung] = b
		}
		b.sent += o.Sent
		b.lost += o.Failed()
		switch {
		case o.Answered < times || len(o.Backends) < 2:
		case len(o.Peers) == 1:
			b.alone++
		case len(o.Peers) > 1:
			b.several++
		}
	}
}

// others is the share of the probes of other askers that failed through proxies of the same kind.
func (p *prediction) others(o *ladder.Observation) float64 {
	b := p.proxied[o.Rung]
	if b == nil || b.sent <= o.Sent {
		return 1
	}
	return float64(b.lost-o.Failed()+1) / float64(b.sent-o.Sent+1)
}

// stays reports whether what the observation's probes lead to stays with one backend for one asker, so that all of them
// meet the same one.
func (p *prediction) stays(o *ladder.Observation) bool {
	b := p.proxied[o.Rung]
	return b != nil && b.alone > b.several
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
	if len(o.Backends) == 0 {
		return 0
	}
	class := proxyClass{o.Rung, bucketOf(o), len(o.Backends)}
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
	for i := range p.known {
		// Where node ports do without the Service's address, so do proxies.
		if part := p.known[i].Component.Part; part == Endpoint || part == Service && !p.apart {
			share = either(share, min(1, margin*p.known[i].Severity))
		}
	}
	p.proxies[class] = share
	return share
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

// meanOfPairs is the mean probability that a connection fails that any node leads to any backend: exact for nodes at
// which something is broken, and by a sample for the others.
func (p *prediction) meanOfPairs(o *ladder.Observation) float64 {
	all := float64(len(o.Backends))
	partners := sample(o.Backends, mostSampled)
	pair := func(node, backend string) float64 {
		here := p.at(o, node, NodePort, entrance, KubeProxy, NodeNetwork, inbound, stranger, plain, Forwarding)
		return either(here, p.backend(o, ladder.HostToPod, node, backend))
	}
	set := p.set(setClass{o.Service, cmp.Or(o.Family, "any"), len(o.Backends), o.Backends[0],
		o.Backends[len(o.Backends)-1]}, o.Backends)
	var sum float64
	for _, node := range set.broken {
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
	return min(1, sum+(1-float64(len(set.broken))/all)*rest/float64(len(partners)*len(partners)))
}
