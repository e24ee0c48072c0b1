package infer

import (
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
)

const (
	// open is how many nats behind the best a component may be and still be worth a probe: its probability is 2 % then.
	open = 4 * temperature
	// mostNear bounds the candidates of one fault.
	mostNear = 8
)

// candidate is a component that may be the cause of a fault's failures.
type candidate struct {
	Component
	// by is the share that it loses by class of traffic, behind how many nats it is behind the best.
	by     [buckets]float64
	behind float64
}

// consider adds a component to those that may be the cause.
func (f *Fault) consider(c candidate) {
	if c.behind > open || len(f.near) == mostNear {
		return
	}
	f.near = append(f.near, c)
}

// candidates returns what may be the cause, the best first.
func (f *Fault) candidates() []candidate {
	if f.near != nil {
		return f.near
	}
	all := []candidate{{Component: f.Component, by: f.by}}
	for _, c := range f.Group[:min(len(f.Group), mostNear-2)] {
		all = append(all, candidate{Component: c, by: f.by})
	}
	if f.RunnerUp.Part != "" && f.Behind <= open {
		all = append(all, candidate{f.RunnerUp, f.by, f.Behind})
	}
	return all
}

// shares returns the probabilities of candidates, which sum up to 1.
func shares(all []candidate) []float64 {
	p, sum := make([]float64, len(all)), 0.0
	for i, c := range all {
		p[i] = math.Exp(-c.behind / temperature)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// at returns the nodes of a component.
func (c Component) at() []string {
	if c.Part == ZonePair || c.Part == ZonePodPair || c.Node == "" {
		return nil
	}
	if c.Peer == "" {
		return []string{c.Node}
	}
	return []string{c.Node, c.Peer}
}

// Places returns the nodes that may be where the faults are, each once and at most a number of them: first one of each
// fault, then the next one of each. Of a fault of what leads to Services they are also nodes where requests failed.
func Places(in Input, faults []Fault, most int) []string {
	var all []string
	lists := make([][]string, len(faults))
	for i := range faults {
		lists[i] = faults[i].places(in)
	}
	for rank := 0; len(all) < most; rank++ {
		left := false
		for _, list := range lists {
			if rank >= len(list) {
				continue
			}
			left = true
			if !slices.Contains(all, list[rank]) && len(all) < most {
				all = append(all, list[rank])
			}
		}
		if !left {
			return all
		}
	}
	return all
}

// places returns the nodes that may be where the fault is.
func (f *Fault) places(in Input) []string {
	const askers = 2
	var all []string
	add := func(node string) {
		if node != "" && !slices.Contains(all, node) {
			all = append(all, node)
		}
	}
	for _, c := range f.candidates() {
		for _, node := range c.at() {
			add(node)
		}
	}
	most := len(all) + askers
	for _, i := range f.observations {
		if o := &in.Observations[i]; throughService(o.Rung) && len(all) < most {
			add(o.From)
		}
	}
	return all
}

// lasts reports whether the fault's failures are of more than a moment.
func (f *Fault) lasts(in Input) bool {
	return slices.ContainsFunc(f.observations, func(i int) bool {
		return in.Observations[i].Counted || in.Observations[i].FailedPasses > 1
	})
}

// Unheard returns the nodes of pods behind Services that may be why requests through the Services failed: they
// answered nobody, and nobody asked them at their own addresses. askers are the nodes where such requests failed
// without another reason. Each list has at most a number of nodes.
func Unheard(in Input, faults []Fault, most int) (askers, pods []string) {
	explained := explainedBy(faults, func(f *Fault) bool {
		return f.Component.Part != Service && f.Component.Part != KubeProxy || f.Severity >= wholeService
	})
	expected := newPrediction(faults, in.Zones)
	heard, behind := map[string]bool{}, []string{}
	sets := map[setClass]bool{}
	failed := map[string]bool{}
	for i := range in.Observations {
		o := &in.Observations[i]
		switch o.Rung {
		case ladder.PodToPod, ladder.HostToPod:
			heard[o.To] = true
		case ladder.ClusterIP, ladder.HostClusterIP, ladder.NodePort:
			for peer := range o.Peers {
				node, ok := in.Pods[peer]
				if !ok {
					node = peer
				}
				heard[node] = true
			}
			if o.Failed() == 0 || explained[i] || len(o.Backends) == 0 || expected.explains(o) {
				continue
			}
			if !failed[o.From] && len(askers) < most {
				failed[o.From] = true
				askers = append(askers, o.From)
			}
			set := setClass{o.Service, o.Family, len(o.Backends), o.Backends[0], o.Backends[len(o.Backends)-1]}
			if !sets[set] {
				sets[set] = true
				behind = append(behind, o.Backends...)
			}
		}
	}
	for _, node := range behind {
		if !heard[node] && len(pods) < most {
			heard[node] = true
			pods = append(pods, node)
		}
	}
	if len(pods) == 0 {
		return nil, nil
	}
	return askers, pods
}

// explains reports whether the known faults let expect about as many failures through a Service as there were.
func (p *prediction) explains(o *ladder.Observation) bool {
	return throughService(o.Rung) && enough*p.failing(o)*float64(o.Sent) >= float64(o.Failed())
}

// explainedBy returns the indexes of the observations that faults of a kind explain.
func explainedBy(faults []Fault, kind func(*Fault) bool) map[int]bool {
	all := map[int]bool{}
	for i := range faults {
		if !kind(&faults[i]) {
			continue
		}
		for _, n := range faults[i].observations {
			all[n] = true
		}
	}
	return all
}
