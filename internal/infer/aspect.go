package infer

import (
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

// bucket is a class of traffic: family, method and size. Counted requests are a class of their own: they may wait
// longer than probes, so that fewer of them fail where segments are lost and sent again.
type bucket int

const (
	families = 3 // unknown, IPv4, IPv6
	kinds    = 4 // UDP, TCP, other, counted TCP
	sizes    = 2
	buckets  = families * kinds * sizes
)

func bucketOf(o *ladder.Observation) bucket {
	f, k, s := 0, 2, 0
	switch o.Family {
	case topology.IPv4:
		f = 1
	case topology.IPv6:
		f = 2
	}
	switch o.Method {
	case ladder.UDP, ladder.DNS:
		k = 0
	case ladder.TCP, ladder.HTTP:
		k = 1
		if o.Counted {
			k = 3
		}
	}
	if o.Large {
		s = 1
	}
	return bucket((f*kinds+k)*sizes + s)
}

// counted returns the class of counted requests of the same family and size.
func counted(b bucket) bucket {
	f, s := int(b)/sizes/kinds, int(b)%sizes
	return bucket((f*kinds+3)*sizes + s)
}

// small returns the observation's class for packets that are not large.
func small(o *ladder.Observation) bucket {
	like := ladder.Observation{Family: o.Family, Method: o.Method, Counted: o.Counted}
	return bucketOf(&like)
}

// mask is a set of buckets.
type mask uint32

func (m mask) has(b bucket) bool { return m>>uint(b)&1 == 1 }

// aspectMask returns the traffic that an aspect covers.
func aspectMask(a Aspect) mask {
	var m mask
	for f, family := range []string{"", string(topology.IPv4), string(topology.IPv6)} {
		for k, method := range []string{string(ladder.UDP), string(ladder.TCP), "", string(ladder.TCP)} {
			for s := range sizes {
				if (a.Family == "" || a.Family == family) && (a.Method == "" || a.Method == method) && (!a.Large || s == 1) {
					m |= 1 << uint((f*kinds+k)*sizes+s)
				}
			}
		}
	}
	return m
}

// countedMask returns the counted requests.
func countedMask() mask {
	var m mask
	for b := range buckets {
		if b/sizes%kinds == kinds-1 {
			m |= 1 << uint(b)
		}
	}
	return m
}

// choice is an aspect with its traffic and its price in nats: the narrower a claim, the more evidence it needs.
type choice struct {
	aspect Aspect
	mask   mask
	price  float64
	// groups are the parts of the traffic that have a severity each: one, but for partial loss, of which connections
	// notice little, since lost segments are sent again, and full-size packets more.
	groups []mask
}

// uneven reports whether the choice has several severities.
func (c choice) uneven() bool { return len(c.groups) > 1 }

// fits reports whether a component can fail in this way.
func (c choice) fits(part Part) bool {
	if part == plain {
		// A tunnel over the other family is what carries the pods' traffic all the same.
		return c.aspect.Family != ""
	}
	if !c.uneven() {
		return true
	}
	switch part {
	case NodeNetwork, NodePair, ZonePair, Overlay, PodPair, ZonePodPair, PodNetwork, Forwarding, Agent, wholeAgent:
		return true
	}
	return false
}

// aspects is the table of aspects that faults may have.
func aspects() []choice {
	const narrow, apart = 2, 3
	var all []choice
	for _, a := range []Aspect{
		{},
		{Family: string(topology.IPv4)}, {Family: string(topology.IPv6)},
		{Method: string(ladder.UDP)}, {Method: string(ladder.TCP)},
		{Large: true},
		{Family: string(topology.IPv4), Large: true}, {Family: string(topology.IPv6), Large: true},
		{Family: string(topology.IPv4), Method: string(ladder.UDP)},
		{Family: string(topology.IPv4), Method: string(ladder.TCP)},
		{Family: string(topology.IPv6), Method: string(ladder.UDP)},
		{Family: string(topology.IPv6), Method: string(ladder.TCP)},
	} {
		price := 0.0
		for _, set := range []bool{a.Family != "", a.Method != "", a.Large} {
			if set {
				price += narrow
			}
		}
		m := aspectMask(a)
		all = append(all, choice{a, m, price, []mask{m}})
	}
	for _, c := range all[:3] {
		connections := c.mask & aspectMask(Aspect{Method: string(ladder.TCP)})
		requests := connections & countedMask()
		large := c.mask & aspectMask(Aspect{Large: true}) &^ connections
		all = append(all, choice{c.aspect, c.mask, c.price + apart,
			[]mask{c.mask &^ connections &^ large, large, connections &^ requests, requests}})
	}
	return all
}
