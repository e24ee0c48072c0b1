package diagnose

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
)

// A network may lose a part of all packets, whatever the nodes. A search that expects less must name one node after the
// other, and which ones is chance. So what one loss of all paths between nodes explains is held against what the small
// faults explain that were found: if it is more, as much is expected of all paths, and the search begins again.

// searches is how often a search is made at most.
const searches = 4

// search returns the faults, and the share of probes that the network between nodes loses whatever the node, at least
// what is expected by past rounds.
func (l locator) search(suspect map[string]bool, expected float64) (faults []infer.Fault, background float64) {
	background = expected
	between := l.betweenNodes(suspect)
	nodes := len(askersOf(between))
	for n := 1; ; n++ {
		faults = infer.Find(infer.Input{Zones: l.cluster.Zones, Pods: l.cluster.Nodes, Suspect: suspect,
			Observations: l.seen, Background: background})
		if n == searches || nodes < fewestNodes {
			return faults, background
		}
		hard, small := split(faults)
		lost := lossesOf(l.untouched(hard, between))
		if !lost.explainMore(small, max(background, leastBackground), nodes) {
			return faults, background
		}
		background = lost.all.share()
	}
}

// split tells faults that lose much from those that lose little.
func split(faults []infer.Fault) (hard, small []infer.Fault) {
	for _, f := range faults {
		if f.Severity > hardLoss {
			hard = append(hard, f)
		} else {
			small = append(small, f)
		}
	}
	return hard, small
}

// betweenNodes returns what was seen between nodes of agents that were no reason themselves.
func (l locator) betweenNodes(suspect map[string]bool) []ladder.Observation {
	return slices.DeleteFunc(slices.Clone(l.seen), func(o ladder.Observation) bool {
		return !betweenNodes(o.Rung) || o.From == o.To || suspect[o.From] || suspect[o.To]
	})
}

// untouched returns the observations that no fault is on the way of.
func (l locator) untouched(faults []infer.Fault, seen []ladder.Observation) []ladder.Observation {
	blamed := blame(faults, l.seen)
	return slices.DeleteFunc(slices.Clone(seen), func(o ladder.Observation) bool {
		for _, f := range blamed {
			if l.touches(f, &o) {
				return true
			}
		}
		return false
	})
}

func askersOf(seen []ladder.Observation) map[string]bool {
	all := map[string]bool{}
	for i := range seen {
		all[seen[i].From] = true
	}
	return all
}

// rungLoss is what was sent on a rung, and lost.
type rungLoss struct {
	rung       ladder.Rung
	sent, lost uint64
}

func (r rungLoss) share() float64 { return float64(r.lost) / float64(max(1, r.sent)) }

// losses is what was lost between nodes: of all, on each rung, and of each class of traffic. Connections notice less
// than datagrams, because lost segments are sent again.
type losses struct {
	all     rungLoss
	rungs   []rungLoss
	classes map[traffic]*rungLoss
	// paths is how many pairs of nodes there are, lossy how many of them lost something. uneven is the statistic of the
	// likelihood-ratio test (G-test) that all pairs lose the same share.
	paths, lossy int
	uneven       float64
}

// traffic is a class of probes that notice the same loss alike.
type traffic struct{ connection, counted bool }

func lossesOf(between []ladder.Observation) losses {
	l := losses{classes: map[traffic]*rungLoss{}}
	rungs, paths := map[ladder.Rung]*rungLoss{}, map[[2]string]*rungLoss{}
	for i := range between {
		o := &between[i]
		path := [2]string{min(o.From, o.To), max(o.From, o.To)}
		class := traffic{o.Method == ladder.TCP || o.Method == ladder.HTTP, o.Counted}
		for _, sum := range []*rungLoss{&l.all, sumOf(rungs, o.Rung), sumOf(paths, path), sumOf(l.classes, class)} {
			sum.sent, sum.lost = sum.sent+o.Sent, sum.lost+o.Failed()
		}
	}
	l.paths = len(paths)
	for _, p := range paths {
		if p.lost > 0 {
			l.lossy++
		}
		if l.all.lost > 0 {
			l.uneven += 2 * float64(p.sent) * shareDivergence(p.share(), l.all.share())
		}
	}
	for rung, r := range rungs {
		l.rungs = append(l.rungs, rungLoss{rung, r.sent, r.lost})
	}
	slices.SortFunc(l.rungs, func(a, b rungLoss) int { return cmp.Compare(RungTitle(a.rung), RungTitle(b.rung)) })
	return l
}

// sumOf returns the sum with the key.
func sumOf[K comparable](sums map[K]*rungLoss, key K) *rungLoss {
	if sums[key] == nil {
		sums[key] = &rungLoss{}
	}
	return sums[key]
}

// shareDivergence is divergence where the first share may be 0.
func shareDivergence(a, b float64) float64 {
	if a == 0 {
		return -math.Log1p(-b)
	}
	return divergence(a, b)
}

// alike reports whether the pairs of nodes may all lose the same share. The statistic of the test has as many degrees
// of freedom as there are pairs but one, and twice as much variance.
func (l losses) alike() bool {
	const deviations = 4
	free := float64(max(1, l.paths-1))
	return l.uneven < free+deviations*math.Sqrt(2*free)
}

// explainMore reports whether one loss of all paths is likely, and makes what was seen clearly likelier than the faults
// do, against a background.
func (l losses) explainMore(faults []infer.Fault, background float64, nodes int) bool {
	const clearly = 3 // nats
	share := l.all.share()
	if share <= background || share > hardLoss || !l.alike() {
		return false
	}
	gain := -infer.Price(nodes)
	for _, c := range l.classes {
		if c.share() > background {
			gain += float64(c.sent) * divergence(c.share(), background)
		}
	}
	for _, f := range faults {
		gain -= f.Stands
	}
	return gain > clearly
}

// lostEverywhere returns the finding that the network between all nodes loses a share of the packets, where that is
// more than was expected and than chance explains. tooMuch says that no network is like that by nature.
func (l locator) lostEverywhere(suspect map[string]bool, background, expected float64) (all []Finding, tooMuch bool) {
	between := l.betweenNodes(suspect)
	lost, nodes := lossesOf(between), len(askersOf(between))
	if background <= expected || lost.all.share() < infer.SmallestLoss(lost.all.sent, nodes) {
		return nil, false
	}
	parts := lost.parts(nodes)
	row := partOf(parts[0].Part)
	var evidence []string
	for _, r := range lost.rungs {
		evidence = append(evidence, fmt.Sprintf("%s: %d of %d answered", RungTitle(r.rung), r.sent-r.lost, r.sent))
	}
	evidence = append(evidence, fmt.Sprintf("%d of %d pairs of nodes lost something", lost.lossy, lost.paths))
	return []Finding{{Reason: row.reason, Component: Component(names(parts)), Where: allNodes, Cause: "PacketLoss",
		Probability: 0.9, Confidence: High,
		Message: fmt.Sprintf("%s of %s: packets are lost, %.3g%% of the probes and requests between nodes failed, %d of "+
			"%d, between all nodes alike; look at what all nodes share: switches and links, their load, and limits of "+
			"rates and of tracked connections", names(parts), allNodes, 100*lost.all.share(), lost.all.lost, lost.all.sent),
		Evidence: evidence, Falsify: "most pairs of nodes lose nothing in another round"}}, background > naturalLoss
}

// parts returns the components that lose the packets, the likeliest first: host to host crosses the nodes' network
// alone.
func (l losses) parts(nodes int) []infer.Component {
	const clearly = 0.3
	network, overlay := infer.Component{Part: infer.NodeNetwork}, infer.Component{Part: infer.Overlay}
	usual := l.all.share()
	for _, r := range l.rungs {
		switch {
		case r.rung != ladder.HostToHost:
		case r.share() >= clearly*usual:
			return []infer.Component{network}
		case infer.SmallestLoss(r.sent, nodes) <= usual:
			return []infer.Component{overlay}
		}
	}
	return []infer.Component{network, overlay}
}
