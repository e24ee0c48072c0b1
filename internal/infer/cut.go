package infer

import (
	"math"

	"kdoctor.io/kdoctor/internal/ladder"
)

// cut is traffic between zones that is lost in bulk: at nodes at which little else fails it need not be held against
// components of the nodes, and there are as many as such nodes.
type cut struct {
	zones   map[string]string
	classes map[zoneClass]bool
	// others are the nodes at which more fails, enough to claim a fault there.
	others map[string]bool
}

// cut returns what is lost in bulk between zones; nil if nothing is. A cluster in which it saves no time is left alone.
func (f *finder) cut(of stage) *cut {
	const many = 50_000
	if of != direct || len(f.failed[of]) < many {
		return nil
	}
	c := &cut{zones: f.in.Zones, classes: f.lostInBulk(), others: map[string]bool{}}
	if len(c.classes) == 0 {
		return nil
	}
	most, price := map[string]float64{}, priceOf(f.candidates)
	for _, i := range f.failed[of] {
		o := &f.in.Observations[i]
		if f.suspect(o) || c.of(o) {
			continue
		}
		for _, node := range []string{o.From, o.To} {
			most[node] -= float64(o.Failed()) * math.Log(f.background)
			if most[node] > price {
				c.others[node] = true
			}
		}
	}
	return c
}

// lostInBulk returns the traffic between zones that is lost for the most part, by a sample.
func (f *finder) lostInBulk() map[zoneClass]bool {
	const enough, most = 30, 0.5
	type counts struct{ seen, sent, lost float64 }
	all := map[zoneClass]*counts{}
	for k, step := 0, uint32(1); k < len(f.of[direct]); k += 1 + int(step>>27) {
		// The steps differ, because nodes follow each other with the same observations. They are 16 on average.
		step = step*1664525 + 1013904223
		o := &f.in.Observations[f.of[direct][k]]
		if o.To == "" || o.To == o.From || len(zoneParts(o.Rung)) == 0 {
			continue
		}
		class := zoneClass{o.Rung, zonesOf(o, f.in.Zones), bucketOf(o)}
		if class.zones[0] == class.zones[1] || class.zones[0] == "" {
			continue
		}
		n := all[class]
		if n == nil {
			n = &counts{}
			all[class] = n
		}
		n.seen, n.sent, n.lost = n.seen+1, n.sent+float64(o.Sent), n.lost+float64(o.Failed())
	}
	lost := map[zoneClass]bool{}
	for class, n := range all {
		if n.seen >= enough && n.lost >= most*n.sent {
			lost[class] = true
		}
	}
	return lost
}

// of reports whether the observation is of traffic that is lost in bulk, and failed as such traffic does.
func (c *cut) of(o *ladder.Observation) bool {
	return len(o.Failures) == 1 && o.Failures[ladder.NoAnswer] > 0 && o.To != "" &&
		c.classes[zoneClass{o.Rung, zonesOf(o, c.zones), bucketOf(o)}]
}

// has reports whether the observation need not be held against components of nodes.
func (c *cut) has(o *ladder.Observation) bool {
	return c != nil && c.of(o) && !c.others[o.From] && !c.others[o.To]
}
