package infer

import (
	"maps"
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

const (
	// wholeService is the severity from which on it is the Service that fails, and not some of its endpoints.
	wholeService = 0.9
	// turns is how many answers for each backend are enough to expect one from all of them.
	turns = 8
)

// resolve looks behind faults of Services of which only a part of the connections fails: the entries of some backends
// among the Service's endpoints may be stale, or one of the DNS servers may lose what it is asked. before are the
// faults of the first stage.
func (f *finder) resolve(before, found []Fault) []Fault {
	var all []Fault
	for _, fault := range found {
		switch {
		case fault.Severity >= wholeService:
			all = append(all, fault)
		case fault.Component.Part == Service:
			all = append(all, f.endpoints(before, fault)...)
		case fault.Component.Part == DNSService:
			all = append(all, f.dnsServer(fault))
		default:
			all = append(all, fault)
		}
	}
	return all
}

// endpoints returns a fault for each backend that answered nobody, if these are as many as the share of failures says;
// else the fault of the Service itself.
func (f *finder) endpoints(before []Fault, of Fault) []Fault {
	// dead is how likely the way to a backend fails, so that its silence needs no other reason.
	const dead, tolerance = 0.5, 2.0
	answered, answers, expected := f.answers(of.Component.Service)
	if answers < turns*uint64(len(expected)) {
		return []Fault{of}
	}
	p := newPrediction(slices.Concat(before, f.suspects()), f.in.Zones)
	var silent []string
	for _, node := range slices.Sorted(maps.Keys(expected)) {
		like := ladder.Observation{Rung: ladder.ClusterIP, Family: expected[node], Method: ladder.HTTP}
		if answered[node] == 0 && p.path(ladder.PodToPod, &like, "", node) < dead {
			silent = append(silent, node)
		}
	}
	share := of.Severity * float64(len(expected))
	if n := float64(len(silent)); n == 0 || n > tolerance*share+1 || share > tolerance*n+1 {
		return []Fault{of}
	}
	all := make([]Fault, 0, len(silent))
	for _, node := range silent {
		one := of
		one.Component = Component{Part: Endpoint, Node: node, Service: of.Component.Service}
		one.Severity /= float64(len(silent))
		one.Explained /= uint64(len(silent))
		for b := range one.by {
			one.by[b] /= float64(len(silent))
		}
		all = append(all, one)
	}
	return all
}

// answers returns how many answers came through the Service from the pods on each node, and from all, and the family by
// which each of its backends may be asked. What an Ingress asks without the Service's address is left out.
func (f *finder) answers(service string) (by map[string]uint64, all uint64,
	expected map[string]topology.Family) {
	by, expected = map[string]uint64{}, map[string]topology.Family{}
	for i := range f.in.Observations {
		o := &f.in.Observations[i]
		if o.Service != service || !throughService(o.Rung) || proxied(o.Rung) {
			continue
		}
		for peer, n := range o.Peers {
			node, ok := f.in.Pods[peer]
			if !ok {
				node = peer
			}
			by[node] += n
			all += n
		}
		for _, node := range o.Backends {
			expected[node] = o.Family
		}
	}
	return by, all, expected
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
	if len(lossy) != 1 || len(direct) < 2 {
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
	of.Group, of.RunnerUp, of.Behind = nil, of.Component, server-service
	of.Component, of.Severity = lossy[0], q
	return of
}

// logLikelihood of so many losses among so many probes, in nats, without what does not depend on the share.
func logLikelihood(lost, sent, share float64) float64 {
	return lost*math.Log(share) + (sent-lost)*math.Log1p(-share)
}
