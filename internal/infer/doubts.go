package infer

import (
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
)

// doubt is a question with two answers. chance bounds how likely the wrong answer is given.
type doubt struct {
	chance float64
	// by are the probes that tell the answers apart.
	by []effect
}

// effect is by which factor a chance is lowered: of is a probe, or a doubt.
type effect struct {
	of          int
	coefficient float64
}

const (
	// telling is the largest coefficient of a probe that counts as telling anything.
	telling = 0.98
	// These are weights by which doubts are held against each other; a doubt between two candidates that are alike has
	// 0.5. passingFault and passingFailure are for doubts whether a fault, or a failure that no fault explains, was a
	// moment that is over. unheardPods is for all doubts about pods, or about DNS servers, together.
	passingFault, passingFailure, unheardPods = 1.0, 0.3, 4.0
	// enough is how many times as many requests to a Service may fail as the faults that were found let expect.
	enough = 5
)

// suspect is a candidate of a fault, with what it does to probes.
type suspect struct {
	candidate
	fault   int
	predict *prediction
	nodes   []string
	// fails is how likely a probe fails because of the candidate; unknown says that nobody knows whether it may.
	fails   float64
	unknown bool
}

// suspects returns the candidates of all faults, in the order of the faults.
func (a *choosing) suspects() (all []suspect, at map[Component][]int) {
	at = map[Component][]int{}
	for f := range a.faults {
		for _, c := range a.faults[f].candidates() {
			at[c.Component] = append(at[c.Component], len(all))
			fault := Fault{Component: c.Component, Severity: slices.Max(c.by[:]), by: c.by}
			all = append(all, suspect{candidate: c, fault: f, nodes: c.at(),
				predict: newPrediction([]Fault{fault}, a.in.Zones)})
		}
	}
	return all, at
}

// leadsTo reports whether what the candidate does to a backend matters to requests through a Service.
func (s *suspect) leadsTo(o *ladder.Observation) bool {
	return len(s.nodes) == 0 || slices.Contains(s.nodes, o.From) || slices.Contains(s.nodes, o.At)
}

// whichComponent adds a doubt for each two candidates of a fault that people would take for different components.
func (a *choosing) whichComponent() {
	all, at := a.suspects()
	pairs := a.pairs(all)
	var buffer []crossing
	for i := range a.possible {
		o := a.possible[i].Of
		touched := false
		for k := range all {
			all[k].fails, all[k].unknown = 0, false
			if throughService(o.Rung) && all[k].leadsTo(o) {
				all[k].fails = all[k].predict.failing(o)
				touched = touched || all[k].fails > 0
			}
		}
		buffer = crossed(o, a.in.Zones, buffer)
		for _, c := range buffer {
			for _, k := range at[c.Component] {
				own := Fault{by: all[k].by}
				all[k].fails = either(all[k].fails, own.severityFor(o))
				all[k].unknown = all[k].unknown || c.maybe
				touched = true
			}
		}
		if touched {
			a.tell(i, all, pairs)
		}
	}
}

// between is a doubt between two suspects.
type betweenTwo struct{ first, second, doubt int }

// pairs adds the doubts between candidates, without probes.
func (a *choosing) pairs(all []suspect) []betweenTwo {
	var pairs []betweenTwo
	for first := 0; first < len(all); {
		after := first
		for after < len(all) && all[after].fault == all[first].fault {
			after++
		}
		share := shares(a.faults[all[first].fault].candidates())
		for i := first; i < after; i++ {
			for k := i + 1; k < after; k++ {
				if known(all[i].Component) == known(all[k].Component) {
					continue
				}
				pairs = append(pairs, betweenTwo{i, k, len(a.doubts)})
				a.doubts = append(a.doubts, doubt{chance: math.Sqrt(share[i-first] * share[k-first])})
			}
		}
		first = after
	}
	return pairs
}

// tell notes which doubts a probe tells about.
func (a *choosing) tell(probe int, all []suspect, pairs []betweenTwo) {
	// What another fault makes fail tells nothing. The first candidate of each fault stands for it.
	others := make([]float64, len(a.faults))
	for k := range all {
		if f := all[k].fault; k == 0 || all[k-1].fault != f {
			others[f] = all[k].fails
		}
	}
	for _, p := range pairs {
		one, other := &all[p.first], &all[p.second]
		if one.unknown || other.unknown || one.fails == other.fails {
			continue
		}
		anyway := leastBackground
		for f, q := range others {
			if f != one.fault {
				anyway = either(anyway, q)
			}
		}
		c := coefficient(either(anyway, one.fails), either(anyway, other.fails), a.most.Times)
		if c <= telling {
			a.doubts[p.doubt].by = append(a.doubts[p.doubt].by, effect{probe, c})
		}
	}
}

// whetherLasting adds a doubt for each fault that was seen for a moment alone, and for each failure without a fault.
// Only the same probe again tells about it.
func (a *choosing) whetherLasting() {
	const none = -1
	doubtOf := map[int]int{}
	for f := range a.faults {
		fault := &a.faults[f]
		lasts := fault.lasts(a.in)
		for _, n := range fault.observations {
			if _, ok := doubtOf[n]; !lasts {
				doubtOf[n] = len(a.doubts)
			} else if !ok {
				doubtOf[n] = none
			}
		}
		if !lasts {
			a.doubts = append(a.doubts, doubt{chance: passingFault})
		}
	}
	expected := newPrediction(a.faults, a.in.Zones)
	for i, p := range a.possible {
		if !p.failed(a.in) {
			continue
		}
		o := &a.in.Observations[p.Seen]
		d, explained := doubtOf[p.Seen]
		if !explained && expected.explains(o) {
			continue
		}
		if !explained {
			d = len(a.doubts)
			a.doubts = append(a.doubts, doubt{chance: passingFailure})
		}
		if d == none {
			continue
		}
		share := float64(o.Failed()) / float64(o.Sent)
		a.doubts[d].by = append(a.doubts[d].by, effect{i, coefficient(share, leastBackground, a.most.Times)})
	}
}

// whichPod adds a doubt for each pod behind a Service that may be why requests failed.
func (a *choosing) whichPod() {
	_, pods := Unheard(a.in, a.faults, len(a.in.Observations))
	a.oneOf(pods, func(o *ladder.Observation) string {
		if o.Rung == ladder.PodToPod && o.Method == ladder.HTTP {
			return o.To
		}
		return ""
	})
}

// whichServer adds a doubt for each DNS server that nobody asked, if a part of the queries to the DNS Service failed.
func (a *choosing) whichServer() {
	asked := map[string]bool{}
	var sent, failed uint64
	for i := range a.in.Observations {
		switch o := &a.in.Observations[i]; o.Rung {
		case ladder.DNSService:
			sent, failed = sent+o.Sent, failed+o.Failed()
		case ladder.DNSPod:
			asked[o.Service] = true
		}
	}
	if failed == 0 || float64(failed) >= wholeService*float64(sent) {
		return
	}
	of := func(o *ladder.Observation) string {
		if o.Rung == ladder.DNSPod && !asked[o.Service] {
			return o.Service
		}
		return ""
	}
	var servers []string
	for _, p := range a.possible {
		if server := of(p.Of); server != "" && !slices.Contains(servers, server) {
			servers = append(servers, server)
		}
	}
	a.oneOf(servers, of)
}

// oneOf adds a doubt for each of several things that may be broken. of returns which one a probe asks; empty if it asks
// no one.
func (a *choosing) oneOf(several []string, of func(*ladder.Observation) string) {
	if len(several) == 0 {
		return
	}
	doubtOf := make(map[string]int, len(several))
	for _, one := range several {
		doubtOf[one] = len(a.doubts)
		a.doubts = append(a.doubts, doubt{chance: min(0.5, unheardPods/float64(len(several)))})
	}
	for i, p := range a.possible {
		if d, ok := doubtOf[of(p.Of)]; ok {
			a.doubts[d].by = append(a.doubts[d].by, effect{i, coefficient(certain, leastBackground, a.most.Times)})
		}
	}
}
