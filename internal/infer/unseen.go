package infer

import (
	"cmp"
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
)

const (
	// slight is the severity up to which a loss on the way to a Service may as well be a loss of one node's network.
	slight = 0.2
	// shown is how likely the probes past Services show a loss that counts as excluded if they do not.
	shown = 0.95
)

// unseen returns the fault that a slight loss of requests to a Service is, where the probes past Services are too few
// to show the same loss of one node's network. The network of a node loses what the node asks, and, of what others ask,
// as much as is led to the node; the Service, or a kube-proxy, is then one explanation among others.
func (f *finder) unseen(of Fault) Fault {
	if of.Component.Part != Service && of.Component.Part != KubeProxy || of.Severity > slight ||
		f.answeredOtherwise(of) {
		return of
	}
	asked := f.asked(of.Component.Service)
	type candidate struct {
		Component
		likelihood float64
	}
	var all []candidate
	for node := range asked {
		if math.Pow(1-of.Severity, f.passedAt(node)) > 1-shown {
			all = append(all, candidate{Component{Part: NodeNetwork, Node: node}, asked.lossy(node)})
		}
	}
	if len(all) == 0 {
		return of
	}
	all = append(all, candidate{of.Component, asked.alike(of.Component.Node)})
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.likelihood, a.likelihood), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Part, b.Part))
	})
	of.Component, of.Group, of.RunnerUp, of.Behind = all[0].Component, nil, Component{}, math.Inf(1)
	of.near = nil
	others := 0.0
	for _, c := range all[1:] {
		behind := all[0].likelihood - c.likelihood
		switch {
		case behind < alike:
			of.Group = append(of.Group, c.Component)
			continue
		case of.RunnerUp.Part == "":
			of.RunnerUp, of.Behind = c.Component, behind
		}
		others += math.Exp(-behind / temperature)
	}
	of.Confidence = min(of.Confidence, 1/(1+others))
	return of
}

// answeredOtherwise reports whether some of the failures were answers, which no loss of packets gives.
func (f *finder) answeredOtherwise(of Fault) bool {
	return slices.ContainsFunc(of.observations, func(i int) bool {
		for how, n := range f.in.Observations[i].Failures {
			if n > 0 && how != ladder.NoAnswer && how != ladder.NoReply {
				return true
			}
		}
		return false
	})
}

// requests are what the pods and the host network of each node asked of a Service's address.
type requests map[string]*struct{ sent, lost, backends float64 }

// asked returns the requests to the Service; empty is any.
func (f *finder) asked(service string) requests {
	all := requests{}
	for _, i := range f.of[services] {
		o := &f.in.Observations[i]
		if o.Rung != ladder.ClusterIP && o.Rung != ladder.HostClusterIP || service != "" && o.Service != service {
			continue
		}
		r := all[o.From]
		if r == nil {
			r = &struct{ sent, lost, backends float64 }{}
			all[o.From] = r
		}
		r.sent, r.lost = r.sent+float64(o.Sent), r.lost+float64(o.Failed())
		r.backends = max(r.backends, float64(len(o.Backends)), 1)
	}
	return all
}

// lossy returns the logarithm of the likelihood, but for a constant, that the network of the node loses the same share
// of all that crosses it.
func (r requests) lossy(node string) float64 {
	return r.likelihood(func(from string) float64 {
		if from == node {
			return 1
		}
		return 1 / r[from].backends
	})
}

// alike returns the logarithm of the likelihood, but for the same constant, that requests from the node, or from all
// nodes if it is empty, are lost alike.
func (r requests) alike(node string) float64 {
	return r.likelihood(func(from string) float64 {
		if node == "" || from == node {
			return 1
		}
		return leastBackground
	})
}

// likelihood is that of losses in proportion to the weights, by Poisson's distribution with the total that was lost.
func (r requests) likelihood(weight func(from string) float64) float64 {
	var lost, weighed float64
	for from, n := range r {
		lost += n.lost
		weighed += n.sent * weight(from)
	}
	if lost == 0 || weighed == 0 {
		return 0
	}
	sum := 0.0
	for from, n := range r {
		sum += n.lost * math.Log(lost/weighed*weight(from))
	}
	return sum
}

// passedAt is how many probes past Services crossed the network of the node and were answered.
func (f *finder) passedAt(node string) float64 {
	var n uint64
	for _, i := range f.of[direct] {
		o := &f.in.Observations[i]
		if o.To != "" && o.To != o.From && (o.From == node || o.To == node) && o.Rung != ladder.SecondInterface {
			n += o.Answered
		}
	}
	return float64(n)
}
