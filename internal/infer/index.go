package infer

// index finds the number of a component. Most components are at one place, a node or the way between two, and belong to
// no Service. Observations of one agent follow each other, and so do those of one path, so that such a component is
// mostly at one of the places that were looked up last. One map of all components would have a million keys in a large
// cluster, each of them far from the last one in memory.
type index struct {
	places map[place]*atPlace
	// others are the components of a Service, or of the whole cluster.
	others map[Component]int
	// last are the places that were looked up last, and next is which of them gives way. A place without any component
	// has nil.
	last [6]struct {
		place
		of *atPlace
		ok bool
	}
	next int
}

// place is a node, or two nodes or zones.
type place struct{ node, peer string }

// atPlace has the numbers of the components of one place.
type atPlace []struct {
	part   Part
	number int
}

func newIndex() index { return index{places: map[place]*atPlace{}, others: map[Component]int{}} }

// simple reports whether the component is at a place, and of no Service.
func simple(c *Component) bool { return c.Node != "" && c.Service == "" }

// at returns the place's components, nil if it has none.
func (x *index) at(p place) *atPlace {
	for i := range x.last {
		if l := &x.last[i]; l.ok && l.place == p {
			return l.of
		}
	}
	l := &x.last[x.next]
	x.next = (x.next + 1) % len(x.last)
	l.place, l.of, l.ok = p, x.places[p], true
	return l.of
}

// find returns the number of the component; ok is false if it has none.
func (x *index) find(c *Component) (number int, ok bool) {
	if !simple(c) {
		number, ok = x.others[*c]
		return number, ok
	}
	of := x.at(place{c.Node, c.Peer})
	if of == nil {
		return 0, false
	}
	return of.find(c.Part)
}

// find returns the number of the part's component; ok is false if it has none.
func (a *atPlace) find(part Part) (number int, ok bool) {
	for i := range *a {
		if one := &(*a)[i]; one.part == part {
			return one.number, true
		}
	}
	return 0, false
}

// add gives a component that has none a number.
func (x *index) add(c *Component, number int) {
	if !simple(c) {
		x.others[*c] = number
		return
	}
	p := place{c.Node, c.Peer}
	of := x.at(p)
	if of == nil {
		of = &atPlace{}
		x.places[p] = of
		for i := range x.last {
			if l := &x.last[i]; l.ok && l.place == p {
				l.of = of
			}
		}
	}
	*of = append(*of, struct {
		part   Part
		number int
	}{c.Part, number})
}
