// Package baseline has four known ways to find faults, which the product's way is held against. All see the same
// observations, and what they cross by the same function. A Service's backend is unknown to them. What a suspect
// agent asked does not count.
package baseline

import (
	"maps"
	"math"
	"slices"

	"kdoctor.io/kdoctor/bench/internal/diagnose/paths"
	"kdoctor.io/kdoctor/bench/internal/diagnose/world"
	"kdoctor.io/kdoctor/internal/infer"
)

// matrix says which observations cross which components. A row is an observation, a column a component.
type matrix struct {
	places  []paths.Place
	columns map[paths.Place]int32
	// Columns of row r are cross[start[r]:start[r+1]].
	cross []int32
	start []int32
	// sent and failed are counts by row.
	sent, failed []float64
	// rows has the rows of each column, and print a number by which columns with the same rows know each other.
	rows  [][]int32
	print []uint64
	names names
}

// names finds indexes of names, and names of indexes.
type names struct {
	index   map[string]int
	nodes   []string
	servers []string
	homes   []int
	zones   []string
	zone    map[int]int
}

func (n *names) node(name string) int {
	if name == "" {
		return world.None
	}
	i, is := n.index[name]
	if !is {
		i = len(n.nodes)
		n.index[name] = i
		n.nodes = append(n.nodes, name)
	}
	return i
}

func (n *names) server(name string, home int) int {
	i := slices.Index(n.servers, name)
	if i < 0 {
		i = len(n.servers)
		n.servers, n.homes = append(n.servers, name), append(n.homes, home)
	}
	return i
}

// read takes the zones over.
func (n *names) read(zones map[string]string) {
	n.zone = make(map[int]int, len(zones))
	for _, name := range slices.Sorted(maps.Keys(zones)) {
		zone := zones[name]
		z := slices.Index(n.zones, zone)
		if z < 0 {
			z = len(n.zones)
			n.zones = append(n.zones, zone)
		}
		n.zone[n.node(name)] = z
	}
}

// newMatrix lists what the observations cross.
func newMatrix(in infer.Input) *matrix {
	m := &matrix{columns: map[paths.Place]int32{}, names: names{index: map[string]int{}}}
	m.names.read(in.Zones)
	crosser := paths.Crosser{Zone: func(node int) int {
		if z, is := m.names.zone[node]; is {
			return z
		}
		return world.None
	}}
	m.start = append(m.start, 0)
	for i := range in.Observations {
		o := &in.Observations[i]
		if o.Sent == 0 || in.Suspect[o.From] {
			continue
		}
		p := world.Probe{Rung: o.Rung, From: m.names.node(o.From), To: m.names.node(o.To), At: m.names.node(o.At),
			Server: world.None, Family: o.Family, Method: o.Method, Large: o.Large}
		if len(o.Backends) == 0 && o.Service != "" && o.To != "" {
			p.Server = m.names.server(o.Service, p.To)
		}
		m.row(crosser.Cross(&p, world.None, m.names.homes), float64(o.Sent), float64(o.Failed()))
	}
	m.transpose()
	return m
}

// row adds a row.
func (m *matrix) row(crossed []paths.Place, sent, failed float64) {
	for _, place := range crossed {
		column, is := m.columns[place]
		if !is {
			column = int32(len(m.places)) // #nosec G115 -- fewer than observations
			m.columns[place] = column
			m.places = append(m.places, place)
		}
		m.cross = append(m.cross, column)
	}
	m.start = append(m.start, int32(len(m.cross))) // #nosec G115 -- bounded by the simulation
	m.sent, m.failed = append(m.sent, sent), append(m.failed, failed)
}

func (m *matrix) transpose() {
	count := make([]int32, len(m.places))
	for _, c := range m.cross {
		count[c]++
	}
	m.rows, m.print = make([][]int32, len(m.places)), make([]uint64, len(m.places))
	for c, n := range count {
		m.rows[c] = make([]int32, 0, n)
	}
	for r := range m.sent {
		for _, c := range m.of(r) {
			m.rows[c] = append(m.rows[c], int32(r)) // #nosec G115 -- bounded by the simulation
			m.print[c] += mix(uint64(r))            // #nosec G115 -- an index
		}
	}
}

// of returns the columns of a row.
func (m *matrix) of(row int) []int32 { return m.cross[m.start[row]:m.start[row+1]] }

// mix spreads the bits of a number.
func mix(v uint64) uint64 {
	v = (v + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	return v ^ v>>31
}

// fault names a column as a fault, with the columns that have the very same rows as its group.
func (m *matrix) fault(column int32) infer.Fault {
	f := infer.Fault{Component: m.component(m.places[column]), Confidence: 1}
	for other, print := range m.print {
		if int32(other) != column && print == m.print[column] { // #nosec G115 -- an index
			f.Group = append(f.Group, m.component(m.places[other]))
		}
	}
	for _, r := range m.rows[column] {
		f.Crossed += uint64(m.sent[r])
		f.Explained += uint64(m.failed[r])
	}
	f.Severity = float64(f.Explained) / math.Max(1, float64(f.Crossed))
	return f
}

func (m *matrix) component(p paths.Place) infer.Component {
	c := infer.Component{Part: p.Part}
	name := func(list []string, i int) string {
		if i == world.None {
			return ""
		}
		return list[i]
	}
	switch p.Part {
	case infer.ZonePair, infer.ZonePodPair:
		c.Node, c.Peer = m.names.zones[p.A], m.names.zones[p.B]
	case infer.DNSServer:
		c.Service, c.Node = m.names.servers[p.A], m.names.nodes[m.names.homes[p.A]]
	default:
		c.Node, c.Peer = name(m.names.nodes, p.A), name(m.names.nodes, p.B)
	}
	return c
}
