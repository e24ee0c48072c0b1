package infer

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
)

// Label is a zone label that does not fit how the paths of its node behave where something between zones is broken.
type Label struct {
	Node string `json:"Node"`
	// Says is the zone of the label, empty if the node has none.
	Says string `json:"Says,omitempty"`
	// Behaves is the zone whose paths fail as those of the node do; empty if no zone at fault does.
	Behaves string `json:"Behaves,omitempty"`
}

// relabel returns the faults of the first stage again, found with the zones that the nodes' paths show in place of
// wrong labels. A node that fails towards one zone, just as another zone does, is no broken node. The labels are noted
// with the faults between zones that show them.
func (f *finder) relabel(found []Fault) []Fault {
	const times = 2
	says, changed := f.in.Zones, false
	for range times {
		zones := f.shownZones(found)
		if zones == nil {
			break
		}
		before := f.in.Zones
		f.in.Zones = zones
		again := f.stage(direct, nil)
		if len(again) > len(found) {
			f.in.Zones = before
			break
		}
		found, changed = again, true
	}
	for i := range found {
		if changed {
			found[i].Labels = wrongLabels(&found[i].Component, says, f.in.Zones)
		}
	}
	return found
}

// wrongLabels returns the labels that concern a pair of zones and differ from what is shown, by node.
func wrongLabels(of *Component, says, shows map[string]string) []Label {
	if !betweenZones(of.Part) {
		return nil
	}
	var all []Label
	for node, zone := range shows {
		l := Label{node, says[node], zone}
		if l.Says != l.Behaves && (of.joins(l.Says) || of.joins(l.Behaves)) {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b Label) int { return cmp.Compare(a.Node, b.Node) })
	return all
}

// betweenZones reports whether the part is between two zones.
func betweenZones(p Part) bool { return p == ZonePair || p == ZonePodPair }

// joins reports whether the component, a pair, has an end in the zone.
func (c *Component) joins(zone string) bool { return zone != "" && (c.Node == zone || c.Peer == zone) }

// shownZones returns the zones of all nodes with those labels replaced that do not fit the faults between zones; nil if
// all fit. The zones of a node's partners count in what its own paths show, so it looks again after each change.
func (f *finder) shownZones(found []Fault) map[string]string {
	const rounds = 4
	r := newRelabelling(f, found)
	if len(r.pairs) == 0 {
		return nil
	}
	r.gather()
	for range rounds {
		if !r.settle() {
			break
		}
	}
	if !r.moved {
		return nil
	}
	return r.zones
}

// relabelling looks for wrong labels.
type relabelling struct {
	*finder
	zones map[string]string
	// pairs are the faults between zones, ends the zones that they join.
	pairs map[[2]string][]*Fault
	ends  []string
	// ways are the paths of nodes whose label may be wrong. Paths between two such nodes prove nothing until one of the
	// two is settled: a zone is found that its other paths fit. moved says that this was another zone than its label's.
	ways    map[string][]way
	settled map[string]bool
	moved   bool
}

// way is what one observation says of a node's paths to another.
type way struct {
	peer           string
	rung           ladder.Rung
	bucket         bucket
	passed, failed float64
}

func newRelabelling(f *finder, found []Fault) *relabelling {
	r := &relabelling{finder: f, zones: maps.Clone(f.in.Zones), pairs: map[[2]string][]*Fault{},
		ways: map[string][]way{}, settled: map[string]bool{}}
	strongest := 0.0
	for i := range found {
		if betweenZones(found[i].Component.Part) {
			strongest = max(strongest, found[i].Severity)
		}
	}
	for i := range found {
		c := &found[i].Component
		if !betweenZones(c.Part) || found[i].Severity < strongest/2 {
			// Several wrong labels of one kind look like a weaker fault between two other zones.
			continue
		}
		zones := [2]string{c.Node, c.Peer}
		r.pairs[zones] = append(r.pairs[zones], &found[i])
		r.ends = append(r.ends, c.Node, c.Peer)
	}
	slices.Sort(r.ends)
	r.ends = slices.Compact(r.ends)
	return r
}

// gather collects the paths of the nodes whose label may be wrong: more than a few of their failures are none that the
// faults between zones explain, or they have none although their zone ought to.
func (r *relabelling) gather() {
	const few = 4 // one in four
	counts := r.failures()
	for node, n := range counts {
		if n.others > n.explained/few {
			r.ways[node] = nil
		}
	}
	for node, zone := range r.zones {
		if counts[node] == nil && slices.Contains(r.ends, zone) {
			r.ways[node] = nil
		}
	}
	last := ends{}
	for _, i := range r.of[direct] {
		o := &r.in.Observations[i]
		if o.From != last.from || o.To != last.to {
			// Observations of one path follow each other.
			_, from := r.ways[o.From]
			_, to := r.ways[o.To]
			last = ends{o.From, o.To, from, to}
		}
		if !last.isFrom && !last.isTo || o.To == "" || o.To == o.From || r.suspect(o) || len(zoneParts(o.Rung)) == 0 {
			continue
		}
		w := way{o.To, o.Rung, bucketOf(o), float64(o.Answered), float64(o.Failed())}
		if last.isFrom {
			r.ways[o.From] = append(r.ways[o.From], w)
		}
		if w.peer = o.From; last.isTo {
			r.ways[o.To] = append(r.ways[o.To], w)
		}
	}
}

// ends are the two ends of a path, and whether they are among the nodes that are looked for.
type ends struct {
	from, to     string
	isFrom, isTo bool
}

// causes counts a node's observations with failures that faults between zones explain, and the others.
type causes struct{ explained, others int }

// failures counts, by node, the observations with failures.
func (r *relabelling) failures() map[string]*causes {
	explained := make([]bool, len(r.in.Observations))
	for _, faults := range r.pairs {
		for _, f := range faults {
			for _, i := range f.observations {
				explained[i] = true
			}
		}
	}
	all := map[string]*causes{}
	for _, i := range r.failed[direct] {
		o := &r.in.Observations[i]
		if o.To == "" || o.To == o.From || r.suspect(o) || len(zoneParts(o.Rung)) == 0 {
			continue
		}
		for _, node := range []string{o.From, o.To} {
			c := all[node]
			if c == nil {
				c = &causes{}
				all[node] = c
			}
			if explained[i] {
				c.explained++
			} else {
				c.others++
			}
		}
	}
	return all
}

// settle gives each node the zone that its paths show, if they show one, and reports whether that changed anything. An
// empty zone stands for all that are not at fault.
func (r *relabelling) settle() (changed bool) {
	price := priceOf(r.candidates)
	shown := map[string]string{}
	for node, ways := range r.ways {
		now, fits := r.fit(ways, r.zones[node])
		if fits {
			shown[node] = r.zones[node]
		}
		best := now + price
		for _, zone := range append([]string{""}, r.ends...) {
			if nats, fits := r.fit(ways, zone); fits && nats > best {
				best, shown[node] = nats, zone
			}
		}
	}
	for node, zone := range shown {
		r.moved = r.moved || zone != r.zones[node]
		changed = changed || zone != r.zones[node] || !r.settled[node]
		r.zones[node], r.settled[node] = zone, true
	}
	return changed
}

// fit returns how likely, in nats, a node's paths behave as they do if the node is in the zone, and whether the faults
// between zones explain nearly all that failed and most of what ought to fail does.
func (r *relabelling) fit(ways []way, zone string) (nats float64, fits bool) {
	const unexplained, met = 0.25, 0.5
	var all, explained, due float64
	for i := range ways {
		w := &ways[i]
		if _, doubtful := r.ways[w.peer]; doubtful && !r.settled[w.peer] {
			continue
		}
		q := r.severity(w, zone)
		p := either(r.background, q)
		nats += w.failed*math.Log(p) + w.passed*math.Log1p(-p)
		share := w.failed / (w.failed + w.passed)
		all += share
		if q > 0 {
			due += q
			explained += share
		}
	}
	return nats, nats < 0 && all-explained <= unexplained*all && explained >= met*due
}

// severity is the share of a path's probes that the faults between zones lose if its node is in the zone.
func (r *relabelling) severity(w *way, zone string) float64 {
	other := r.zones[w.peer]
	pass := 1.0
	for _, f := range r.pairs[[2]string{min(zone, other), max(zone, other)}] {
		if slices.Contains(zoneParts(w.rung), f.Component.Part) {
			pass *= 1 - f.by[w.bucket]
		}
	}
	return 1 - pass
}

// zoneParts are the parts between zones that probes of a rung between two nodes are sure to cross.
func zoneParts(r ladder.Rung) []Part {
	switch r {
	case ladder.PodToPod, ladder.HostToPod, ladder.DNSPod:
		return []Part{ZonePair, ZonePodPair}
	case ladder.HostToHost, ladder.PodToHost:
		// What a pod gets back from a host may come through the pod network; its passing proves nothing.
		return []Part{ZonePair}
	}
	return nil
}
