package diagnose

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
)

const (
	// leastLeft is the share of probes between nodes that must be left when what faults touch is taken away.
	leastLeft = 0.1
	// naturalLoss is the most that a network may lose by nature. What loses more is a fault, at however many nodes.
	naturalLoss = 0.02
	// hardLoss is the severity above which a fault is never a network's nature. It leaves room for chance: of few
	// probes a larger share may be lost.
	hardLoss = 0.2
	// fewestNodes is the number of nodes from which on a loss at all of them is told from a loss between two.
	fewestNodes = 3
)

// blamed is a fault with the rungs on which it makes probes fail or late.
type blamed struct {
	infer.Fault
	rungs map[ladder.Rung]bool
}

// blame returns the faults that a search found in the observations.
func blame(faults []infer.Fault, seen []ladder.Observation) []blamed {
	all := make([]blamed, 0, len(faults))
	for _, f := range faults {
		b := blamed{f, map[ladder.Rung]bool{}}
		for _, i := range f.Observations() {
			b.rungs[seen[i].Rung] = true
		}
		all = append(all, b)
	}
	return all
}

// usual returns what each kind of paths was like in the round, for later rounds of the task to compare with. Paths that
// a fault touches are left out, so what is broken in every round never becomes usual. lost are the faults that lose
// probes, late those that delay them.
//
// One thing is usual although it looks like faults: a small loss, up to naturalLoss, at so many nodes that hardly a
// path is without. A search that expects less must claim one node after the other; nothing would ever be learned.
func (l locator) usual(lost, late []blamed, suspect map[string]bool) []report.Usual {
	own := slices.DeleteFunc(slices.Clone(l.seen), func(o ladder.Observation) bool {
		return suspect[o.From] || suspect[o.To]
	})
	left := slices.DeleteFunc(slices.Clone(own), func(o ladder.Observation) bool {
		touches := func(f blamed) bool { return l.touches(f, &o) }
		return slices.ContainsFunc(lost, touches) || slices.ContainsFunc(late, touches)
	})
	if float64(sentBetween(left)) < leastLeft*float64(sentBetween(own)) {
		left = nil
		if len(late) == 0 && natural(lost, own) {
			left = own
		}
	}
	return rowsOf(left)
}

// natural reports whether the faults may be what a lossy network is like.
func natural(faults []blamed, seen []ladder.Observation) bool {
	nodes := map[string]bool{}
	for i := range seen {
		nodes[seen[i].From] = true
	}
	sent, lost := uint64(0), uint64(0)
	for i := range seen {
		if o := &seen[i]; betweenNodes(o.Rung) {
			sent, lost = sent+o.Sent, lost+o.Failed()
		}
	}
	return len(nodes) >= fewestNodes && float64(lost) <= naturalLoss*float64(sent) &&
		!slices.ContainsFunc(faults, func(f blamed) bool { return f.Severity > hardLoss })
}

// touches reports whether the fault, or a component that looks like it, is on the observation's way.
func (l locator) touches(f blamed, o *ladder.Observation) bool {
	ends := func(node string) bool { return o.From == node || o.To == node || o.At == node }
	return slices.ContainsFunc(append([]infer.Component{f.Component}, f.Group...), func(c infer.Component) bool {
		switch {
		case c.Part == infer.ZonePair || c.Part == infer.ZonePodPair:
			from, to := l.cluster.Zones[o.From], l.cluster.Zones[o.To]
			return from == c.Node && to == c.Peer || from == c.Peer && to == c.Node
		case c.Peer != "":
			return ends(c.Node) && ends(c.Peer)
		case c.Node != "":
			return ends(c.Node)
		}
		// It is no node's: it is on all paths of the rungs where it is seen.
		return f.rungs[o.Rung]
	})
}

// betweenNodes reports whether the rung's paths lead from one known node to another, over the cluster's own network.
func betweenNodes(r ladder.Rung) bool {
	switch r {
	case ladder.PodToPod, ladder.HostToHost, ladder.HostToPod, ladder.PodToHost:
		return true
	}
	return false
}

// sentBetween is how many probes and requests were sent between nodes.
func sentBetween(seen []ladder.Observation) uint64 {
	var n uint64
	for i := range seen {
		if betweenNodes(seen[i].Rung) {
			n += seen[i].Sent
		}
	}
	return n
}

// rowsOf sums the observations up by class, in a fixed order.
func rowsOf(seen []ladder.Observation) []report.Usual {
	rows, times := map[class]*report.Usual{}, map[class][]time.Duration{}
	for i := range seen {
		o := &seen[i]
		c := classOf(o)
		if rows[c] == nil {
			rows[c] = &report.Usual{Rung: o.Rung, Family: o.Family, Method: o.Method, Large: o.Large,
				Counted: o.Counted}
		}
		rows[c].Paths++
		rows[c].Sent, rows[c].Lost = rows[c].Sent+o.Sent, rows[c].Lost+o.Failed()
		if o.Answered > 0 {
			times[c] = append(times[c], timeOf(o))
		}
	}
	all := make([]report.Usual, 0, len(rows))
	for c, row := range rows {
		row.Median, row.Spread = spread(times[c])
		all = append(all, *row)
	}
	slices.SortFunc(all, func(a, b report.Usual) int {
		return cmp.Or(cmp.Compare(a.Rung, b.Rung), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Method, b.Method),
			strings.Compare(sizeAndCount(a), sizeAndCount(b)))
	})
	return all[:min(len(all), report.MaxUsual)]
}

func sizeAndCount(u report.Usual) string {
	text := []byte("00")
	if u.Large {
		text[0] = '1'
	}
	if u.Counted {
		text[1] = '1'
	}
	return string(text)
}

// spread returns the median, and the median of the distances from it; zeros for no values.
func spread(values []time.Duration) (middle, distance time.Duration) {
	if len(values) == 0 {
		return 0, 0
	}
	middle = median(values)
	distances := make([]time.Duration, len(values))
	for i, v := range values {
		distances[i] = (v - middle).Abs()
	}
	return middle, median(distances)
}

// median returns the lower median of at least one value.
func median(values []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)-1)/2]
}
