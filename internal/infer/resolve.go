package infer

import (
	"maps"
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// wholeService is the severity from which on it is the DNS Service that fails, and not one of its servers.
const wholeService = 0.9

// endpoints returns a fault for each backend of a Service that answered nobody although it should have had its turn
// often, and for which requests failed. before are the faults of the first stage: what they silence needs no other
// reason.
func (f *finder) endpoints(before []Fault) []Fault {
	const silenced, turns = 0.5, 8
	var all []Fault
	p := newPrediction(slices.Concat(before, f.suspects), f.in.Zones)
	for _, service := range f.names() {
		a := f.answers(service)
		each := float64(a.answers) / float64(max(1, len(a.family)))
		// By chance a backend's silence is as likely as e to the power of minus the expected answers.
		stands := each - priceOf(f.candidates)
		if each < turns || stands <= 0 || len(a.family) < 2 || float64(a.failed) < each/2 {
			continue
		}
		by := f.answeredBy(service)
		for _, node := range slices.Sorted(maps.Keys(a.family)) {
			like := ladder.Observation{Rung: ladder.ClusterIP, Family: a.family[node], Method: ladder.HTTP}
			if by[node] > 0 || p.path(ladder.PodToPod, &like, "", node) >= silenced {
				continue
			}
			fault := Fault{Component: Component{Part: Endpoint, Node: node, Service: service},
				Severity: 1 / float64(len(a.family)), Explained: uint64(min(each, float64(a.failed))),
				Crossed: a.answers + a.failed, Stands: stands, Behind: math.Inf(1),
				Confidence: 1 - math.Exp(-(stands+1)/temperature), observations: a.observations}
			for b := range fault.by {
				fault.by[b] = certain
			}
			all = append(all, fault)
		}
	}
	return all
}

// names are the Services whose requests failed, sorted.
func (f *finder) names() []string {
	names := map[string]bool{}
	for _, i := range f.failed[services] {
		o := &f.in.Observations[i]
		if len(o.Backends) > 0 && o.Rung != ladder.DNSService {
			names[o.Service] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// answers is what came through a Service.
type answers struct {
	// answers is how many there were, failed is how many requests failed.
	answers, failed uint64
	// family has for each backend a family by which it may be asked.
	family map[string]topology.Family
	// observations are the indexes of those with failures.
	observations []int
}

// answers returns what came through a Service. What an Ingress asks without the Service's address is left out.
func (f *finder) answers(service string) answers {
	a := answers{family: map[string]topology.Family{}}
	sets := map[setClass]bool{}
	for _, i := range f.of[services] {
		o := &f.in.Observations[i]
		if o.Service != service {
			continue
		}
		if a.failed += o.Failed(); o.Failed() > 0 {
			a.observations = append(a.observations, i)
		}
		for _, n := range o.Peers {
			a.answers += n
		}
		if len(o.Backends) == 0 {
			continue
		}
		// Most observations have the same backends, of which there may be thousands.
		set := setClass{o.Service, o.Family, len(o.Backends), o.Backends[0], o.Backends[len(o.Backends)-1]}
		if sets[set] {
			continue
		}
		sets[set] = true
		for _, node := range o.Backends {
			a.family[node] = o.Family
		}
	}
	return a
}

// answeredBy returns how many answers came through a Service from the pods on each node.
func (f *finder) answeredBy(service string) map[string]uint64 {
	by := map[string]uint64{}
	for _, i := range f.of[services] {
		o := &f.in.Observations[i]
		if o.Service != service {
			continue
		}
		for peer, n := range o.Peers {
			node, ok := f.in.Pods[peer]
			if !ok {
				node = peer
			}
			by[node] += n
		}
	}
	return by
}

// dnsServer returns the fault of one DNS server, if queries to that server alone failed and its loss explains what the
// DNS Service loses better; else the fault of the DNS Service.
func (f *finder) dnsServer(of Fault) Fault {
	type counts struct{ sent, lost float64 }
	direct := map[Component]*counts{}
	var through counts
	for i := range f.in.Observations {
		o := &f.in.Observations[i]
		switch o.Rung {
		case ladder.DNSService:
			through.sent, through.lost = through.sent+float64(o.Sent), through.lost+float64(o.Failed())
		case ladder.DNSPod:
			c := Component{Part: DNSServer, Node: o.To, Service: o.Service}
			if direct[c] == nil {
				direct[c] = &counts{}
			}
			direct[c].sent, direct[c].lost = direct[c].sent+float64(o.Sent), direct[c].lost+float64(o.Failed())
		}
	}
	var lossy []Component
	for c, n := range direct {
		if n.lost > 0 {
			lossy = append(lossy, c)
		}
	}
	if of.Severity >= wholeService || len(lossy) != 1 || len(direct) < 2 {
		return of
	}
	n, servers := direct[lossy[0]], float64(len(direct))
	// The server loses a share of all that it is asked, its part of what is asked of the Service included.
	q := (n.lost + through.lost) / (n.sent + through.sent/servers)
	if q >= 1 {
		return of
	}
	server := logLikelihood(n.lost, n.sent, q) + logLikelihood(through.lost, through.sent, q/servers)
	service := logLikelihood(n.lost, n.sent, f.background) +
		logLikelihood(through.lost, through.sent, through.lost/through.sent)
	if server <= service {
		return of
	}
	of.Group, of.RunnerUp, of.Behind, of.near = nil, of.Component, server-service, nil
	of.Component, of.Severity = lossy[0], q
	return of
}

// logLikelihood of so many losses among so many probes, in nats, without what does not depend on the share.
func logLikelihood(lost, sent, share float64) float64 {
	return lost*math.Log(share) + (sent-lost)*math.Log1p(-share)
}
