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
func Find(in Input) []Fault { return newFinder(in).find() }

func (f *finder) find() []Fault {
	found := f.withoutHidden(f.relabel(f.stage(direct, nil)))
	found = append(found, f.endpoints(found)...)
	through := f.stage(services, found)
	for i := range through {
		if through[i].Component.Part == DNSService {
			through[i] = f.dnsServer(through[i])
		}
		through[i] = f.unseen(through[i])
	}
	found = append(found, through...)
	found = append(found, f.stage(proxies, found)...)
	for i := range found {
		found[i] = f.carried(f.lone(bySize(asReported(found[i]))))
	}
	return found
}

// proxied reports whether something that is no part of the cluster's nodes leads the requests to node ports or pods.
func proxied(r ladder.Rung) bool { return r == ladder.LoadBalancer || r == ladder.Ingress }

// severalNodes returns the zones of the nodes that share their zone with another one that was seen: asking, or asked,
// since a zone that is cut off from the controller does not ask. What is wrong between the only node of a zone and
// another zone is as well the node's.
func severalNodes(all map[string]string, seen map[string]bool) map[string]string {
	count := map[string]int{}
	for node := range seen {
		count[all[node]]++
	}
	zones := make(map[string]string, len(all))
	for node, zone := range all {
		if count[zone] > 1 {
			zones[node] = zone
		}
	}
	return zones
}

// loneNodes returns, by zone, the only node that was seen of the zone; zones with several are left out.
func loneNodes(all map[string]string, seen map[string]bool) map[string]string {
	alone, several := map[string]string{}, map[string]bool{}
	for node := range seen {
		zone := all[node]
		if alone[zone] != "" || zone == "" {
			several[zone] = true
		}
		alone[zone] = node
	}
	maps.DeleteFunc(alone, func(zone, _ string) bool { return several[zone] })
	return alone
}

type finder struct {
	in         Input
	background float64
	// of has the indexes of the observations of each stage, failed of those with failures.
	of, failed [stages][]int
	// suspects are the agents that were short of CPU themselves, with what they lose of what is asked of them.
	suspects []Fault
	// labels are the zones of all nodes, alone has the node of each zone of one node.
	labels, alone map[string]string
	// apart says that node ports work although the addresses of Services do not.
	apart bool
	// effort is how many failures the searches looked at.
	effort int
	// candidates is how many components of nodes there may be; claims about pairs have a price of their own.
	candidates int
}

// stage is a part of the search.
type stage int

const (
	direct stage = iota
	services
	proxies
	stages
)

func newFinder(in Input) *finder {
	f := &finder{in: in, background: max(in.Background, leastBackground)}
	f.of[direct] = make([]int, 0, len(in.Observations))
	last, asking, seen := "", map[string]bool{}, map[string]bool{}
	for i := range in.Observations {
		o, of := &in.Observations[i], direct
		if o.From != last {
			last = o.From
			asking[last], seen[last] = true, true
		}
		if o.To != "" && !seen[o.To] {
			seen[o.To] = true
		}
		if o.Answered+o.Failed() == 0 {
			continue
		}
		switch {
		case proxied(o.Rung):
			of = proxies
		case throughService(o.Rung):
			of = services
		}
		f.of[of] = append(f.of[of], i)
		if o.Failed() > 0 {
			f.failed[of] = append(f.failed[of], i)
		}
	}
	f.labels, f.alone = in.Zones, loneNodes(in.Zones, seen)
	f.in.Zones = severalNodes(in.Zones, seen)
	f.candidates = candidatesOf(len(asking))
	if len(in.Suspect) > 0 {
		f.suspects = f.short()
	}
	f.apart = len(f.failed[services]) > 0 && f.nodePortsApart()
	return f
}

// stage searches among the observations of one stage. before are the faults of the stages before.
func (f *finder) stage(of stage, before []Fault) []Fault {
	if len(f.failed[of]) == 0 {
		return nil
	}
	const usual = 12 // components of an observation that are of no other one
	e := newEvidence(f.background, len(f.failed[of]), min(f.candidates, usual*len(f.failed[of])))
	cut := f.cut(of)
	var buffer []crossing
	predict, sure := newPrediction(slices.Concat(before, f.suspects), f.in.Zones), newPrediction(before, f.in.Zones)
	predict.apart, sure.apart = f.apart, f.apart
	if of == proxies {
		predict.observe(f.in.Observations, f.of[of])
	}
	for _, i := range f.failed[of] {
		o := &f.in.Observations[i]
		if f.suspect(o) {
			continue
		}
		expected := anyway{share: f.background}
		switch {
		case of == services && causedOnTheWay(o):
			expected = f.anyway(sure, o)
		case of != direct:
			expected = f.anyway(predict, o)
		}
		if buffer = f.crossed(o, buffer); cut.has(o) {
			buffer = slices.DeleteFunc(buffer, func(c crossing) bool { return !betweenZones(c.Part) })
		}
		e.addFailures(i, o, buffer, expected)
	}
	if len(e.failures) == 0 {
		return nil
	}
	search := newSearch(e, f.background, f.candidates)
	e.keep(search.price)
	between := map[zoneClass]float64{}
	for _, i := range f.of[of] {
		o := &f.in.Observations[i]
		if f.suspect(o) {
			continue
		}
		e.follow(o, f.in.Zones)
		switch {
		case e.plain(o):
			e.addPlain(o, between)
		case e.concerns(o) || o.Failed() > 0:
			buffer = f.crossed(o, buffer)
			e.addPasses(i, o, buffer)
		default:
			e.addZonePasses(o, between)
		}
	}
	e.closePlaces()
	e.closeZones(between)
	found := search.run(before)
	f.effort += search.effort
	return found
}

// crossed returns what an observation crosses.
func (f *finder) crossed(o *ladder.Observation, buffer []crossing) []crossing {
	all := crossed(o, f.in.Zones, buffer)
	if f.apart && o.Rung == ladder.NodePort {
		all = slices.DeleteFunc(all, func(c crossing) bool { return c.Part == Service })
	}
	return all
}

// nodePortsApart reports whether node ports work although the addresses of Services do not: with some ways of
// translation they share everything, with others nothing.
func (f *finder) nodePortsApart() bool {
	var sent, lost [2]float64
	for _, i := range f.of[services] {
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

// short returns what the agents that were short of CPU themselves lose of what is asked of them, as faults.
func (f *finder) short() []Fault {
	// enough is from how many requests on it is known how many of them such an agent answers. Where fewer were sent
	// beside the counted ones, these say it: the load is no lighter then.
	const enough = 10
	type counts struct{ sent, lost [buckets]float64 }
	var all []Fault
	seen := map[string]*counts{}
	for _, i := range f.of[direct] {
		o := &f.in.Observations[i]
		if !f.in.Suspect[o.To] || f.in.Suspect[o.From] {
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
	requests := aspectMask(Aspect{Method: string(ladder.TCP)})
	for _, node := range slices.Sorted(maps.Keys(f.in.Suspect)) {
		fault, its := Fault{Component: Component{Part: Agent, Node: node}}, seen[node]
		if its == nil {
			its = &counts{}
		}
		for b := range its.sent {
			like := b
			if requests.has(bucket(b)) && its.sent[b] < enough {
				like = int(counted(bucket(b)))
			}
			fault.by[b] = min(certain, its.lost[like]/max(its.sent[like], 1))
			if requests.has(bucket(b)) && its.sent[like] < enough {
				// Datagrams are answered by little work, and say nothing of requests.
				fault.by[b] = certain
			}
		}
		fault.Severity = slices.Max(fault.by[:])
		all = append(all, fault)
	}
	return all
}

// suspect reports whether an agent at one of the ends was itself the reason for failures.
func (f *finder) suspect(o *ladder.Observation) bool {
	return len(f.in.Suspect) > 0 && (f.in.Suspect[o.From] || o.To != "" && f.in.Suspect[o.To])
}

// causedOnTheWay reports whether all failures are of kinds that what is on the way causes, and never a process that
// answers late.
func causedOnTheWay(o *ladder.Observation) bool {
	n := o.Failures[ladder.Unreachable] + o.Failures[ladder.NotPermitted] + o.Failures[ladder.TooLarge]
	return n > 0 && n == o.Failed()
}

// candidatesOf is how many components there may be on the nodes.
func candidatesOf(nodes int) int {
	const parts = 14
	return nodes * parts
}

// Price is by how many nats a fault must make the observations likelier to be claimed, in a cluster of the number of
// nodes.
func Price(nodes int) float64 { return priceOf(candidatesOf(nodes)) }

// SmallestLoss returns the smallest share of probes, 0 to 1, that a fault must lose so that a round with this many
// probes through it is expected to show it, in a cluster of the number of nodes; 1 if even the loss of all probes shows
// nothing. It solves n D(q || p0) = the price of a claim, where D is the Kullback-Leibler divergence between losses of
// the shares q and p0.
func SmallestLoss(probes uint64, nodes int) float64 {
	price := Price(nodes)
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
