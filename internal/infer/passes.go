package infer

import "kdoctor.io/kdoctor/internal/ladder"

// Most observations have no failure. What such a one proves depends on its kind and on the nodes at its ends alone, so
// they are counted by node and by kind, and given to the components in the end. A large cluster has a hundred times as
// many observations as nodes.

// atNode is what passed from a node and to it, by the number of the kind of observation.
type atNode struct {
	asked, answered []uint64
	// pairs says that there are components kept between this node and another one.
	pairs bool
}

// place notes that a component of a node, or between two, is kept.
func (e *evidence) place(c Component) {
	at := e.places[c.Node]
	if at == nil {
		at = &atNode{}
		e.places[c.Node] = at
	}
	at.pairs = at.pairs || c.Peer != ""
}

// follow looks the path of an observation up.
func (e *evidence) follow(o *ladder.Observation, zones map[string]string) {
	if o.From == e.last.from && o.To == e.last.to {
		return
	}
	l := lastPath{from: o.From, to: o.To}
	if l.asker = e.last.asker; o.From != e.last.from {
		l.asker = e.places[o.From]
	}
	if o.To != "" {
		l.answerer = e.places[o.To]
	}
	if l.asker != nil && l.asker.pairs || l.answerer != nil && l.answerer.pairs {
		l.between = e.index.at(place{min(o.From, o.To), max(o.From, o.To)})
	}
	if len(e.zonePairs) > 0 && o.To != "" {
		l.zones = zonesOf(o, zones)
		l.joined = e.zonePairs[l.zones]
	}
	e.last = l
}

// shape is the parts that all probes of a kind cross: at the asker's node, at the other one, and between the two.
type shape struct{ asker, answerer, between []Part }

// shapeClass is what the shape depends on, and the class of traffic. own says that both ends are at one node.
type shapeClass struct {
	rung      ladder.Rung
	bucket    bucket
	icmp, own bool
}

// shapes are the kinds of observations that were seen, by number.
type shapes struct {
	numbers map[shapeClass]int
	classes []shapeClass
	all     []shape
}

func newShapes() shapes { return shapes{numbers: map[shapeClass]int{}} }

// plain reports whether the observation can be counted by its nodes and its kind.
func (e *evidence) plain(o *ladder.Observation) bool {
	if o.At != "" || o.Failed() > 0 || e.wide[o.Rung] {
		return false
	}
	switch o.Rung {
	case ladder.Self, ladder.HostToOwnPod, ladder.PodToOwnHost, ladder.HostToHost, ladder.PodToPod, ladder.HostToPod,
		ladder.PodToHost, ladder.SecondInterface:
		return true
	}
	return false
}

// kind returns the number of the observation's kind.
func (s *shapes) kind(o *ladder.Observation) int {
	class := shapeClass{o.Rung, bucketOf(o), o.Method == ladder.ICMP, o.To == o.From}
	n, ok := s.numbers[class]
	if !ok {
		n = len(s.all)
		s.numbers[class] = n
		s.classes = append(s.classes, class)
		s.all = append(s.all, shapeOf(o))
	}
	return n
}

// shapeOf returns the shape of an observation without failures.
func shapeOf(o *ladder.Observation) (s shape) {
	for _, c := range crossed(o, nil, nil) {
		switch {
		case c.maybe || c.Node == "":
		case c.Peer != "":
			s.between = append(s.between, c.Part)
		case c.Node == o.From:
			s.asker = append(s.asker, c.Part)
		default:
			s.answerer = append(s.answerer, c.Part)
		}
	}
	return s
}

// addPlain counts a plain observation. It is called after follow.
func (e *evidence) addPlain(o *ladder.Observation, between map[zoneClass]float64) {
	e.addZonePasses(o, between)
	l := &e.last
	if l.asker == nil && l.answerer == nil {
		return
	}
	n := e.shapes.kind(o)
	if l.asker != nil {
		l.asker.asked = count(l.asker.asked, n, o.Answered)
	}
	if l.answerer != nil && l.answerer != l.asker {
		l.answerer.answered = count(l.answerer.answered, n, o.Answered)
	}
	if l.between != nil {
		for _, part := range e.shapes.all[n].between {
			e.pass(l.between, part, bucketOf(o), o.Answered)
		}
	}
}

// count adds to the count of a number.
func count(counts []uint64, n int, passed uint64) []uint64 {
	for len(counts) <= n {
		counts = append(counts, 0)
	}
	counts[n] += passed
	return counts
}

// pass counts what passed through a part at a place.
func (e *evidence) pass(at *atPlace, part Part, b bucket, passed uint64) {
	if i, ok := at.find(part); ok && e.kept[i] {
		e.passed[i][b] += float64(passed)
	}
}

// closePlaces gives what was counted by node to the components of the nodes.
func (e *evidence) closePlaces() {
	for node, at := range e.places {
		components := e.index.at(place{node: node})
		if components == nil {
			continue
		}
		for n, passed := range at.asked {
			for _, part := range e.shapes.all[n].asker {
				e.pass(components, part, e.shapes.classes[n].bucket, passed)
			}
		}
		for n, passed := range at.answered {
			for _, part := range e.shapes.all[n].answerer {
				e.pass(components, part, e.shapes.classes[n].bucket, passed)
			}
		}
	}
}

// zonesOf returns the zones of the ends of an observation, in the order in which a pair of zones has them.
func zonesOf(o *ladder.Observation, zones map[string]string) [2]string {
	a, b := zones[o.From], zones[o.To]
	return [2]string{min(a, b), max(a, b)}
}

// zoneClass is what counts of an observation for pairs of zones alone.
type zoneClass struct {
	rung   ladder.Rung
	zones  [2]string
	bucket bucket
}

// addZonePasses adds what passed between two zones, for an observation that concerns nothing else, to the sums. It is
// called after follow.
func (e *evidence) addZonePasses(o *ladder.Observation, sums map[zoneClass]float64) {
	if e.last.joined && o.Answered > 0 {
		sums[zoneClass{o.Rung, e.last.zones, bucketOf(o)}] += float64(o.Answered)
	}
}

// closeZones counts the sums of what passed between zones.
func (e *evidence) closeZones(sums map[zoneClass]float64) {
	for class, passed := range sums {
		for _, part := range zoneParts(class.rung) {
			of := Component{Part: part, Node: class.zones[0], Peer: class.zones[1]}
			if i, ok := e.index.find(&of); ok && e.kept[i] {
				e.passed[i][class.bucket] += passed
			}
		}
	}
}
