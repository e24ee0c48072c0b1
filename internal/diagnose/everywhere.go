package diagnose

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

const (
	// nearlyAll is the share of a rung's paths that must be slower than before for the rung to be slow everywhere.
	nearlyAll = 0.9
	// mostCompared is the share of a rung's paths that must be comparable with past rounds.
	mostCompared = 0.5
	// allNodes is the place of what is slow everywhere.
	allNodes = "all nodes"
)

// everywhere reports whether the finding is of paths that are slower than before between all nodes.
func everywhere(f Finding) bool { return f.Cause == delayed && f.Where == allNodes }

// onRung is the paths of one rung and family, and how they compare with past rounds.
type onRung struct {
	rung   ladder.Rung
	family topology.Family
	// paths is how many there are, compared how many can be compared, slower how many are slower than before.
	paths, compared, slower int
	// now are the times, before and limit the usual time and the limit of one class of them, by rounds past rounds.
	now           []time.Duration
	before, limit time.Duration
	rounds        int
}

// slow reports whether the rung is slow everywhere.
func (r onRung) slow() bool {
	return r.compared > 1 && float64(r.compared) >= mostCompared*float64(r.paths) &&
		float64(r.slower) >= nearlyAll*float64(r.compared)
}

// comparedRungs compares the rungs between nodes with past rounds, in a fixed order.
func (l locator) comparedRungs(c clock, suspect map[string]bool) []onRung {
	var all []onRung
	for i := range l.seen {
		o := &l.seen[i]
		if !betweenNodes(o.Rung) || o.Answered == 0 || suspect[o.From] || suspect[o.To] {
			continue
		}
		at := slices.IndexFunc(all, func(r onRung) bool { return r.rung == o.Rung && r.family == o.Family })
		if at < 0 {
			at = len(all)
			all = append(all, onRung{rung: o.Rung, family: o.Family})
		}
		r := &all[at]
		r.paths++
		if !c.compared(o) {
			continue
		}
		r.compared++
		if !c.slowerThanBefore(o) {
			continue
		}
		r.slower++
		if b := c.past[classOf(o)]; r.limit == 0 || r.limit == b.slow() {
			r.now = append(r.now, timeOf(o))
			r.before, r.limit, r.rounds = b.median, b.slow(), b.rounds
		}
	}
	slices.SortFunc(all, func(a, b onRung) int { return strings.Compare(a.name(), b.name()) })
	return all
}

func (r onRung) name() string { return fmt.Sprintf("%s, %s", RungTitle(r.rung), r.family) }

// slowEverywhere returns a finding if nearly all paths between nodes have become slow. Which node is the reason, if it
// is one, cannot be told then: all paths lead to a node that may be it.
func (l locator) slowEverywhere(c clock, suspect map[string]bool) []Finding {
	var slow []onRung
	is, known := map[ladder.Rung]bool{}, map[ladder.Rung]bool{}
	for _, r := range l.comparedRungs(c, suspect) {
		known[r.rung] = known[r.rung] || r.compared > 1
		if r.slow() {
			is[r.rung] = true
			slow = append(slow, r)
		}
	}
	parts := slowParts(is, known)
	if len(parts) == 0 {
		return nil
	}
	row, confidence := partOf(parts[0].Part), Medium
	if len(is) > 1 {
		confidence = High
	}
	paths, slower := 0, 0
	var evidence []string
	for _, r := range slow {
		paths, slower = paths+r.compared, slower+r.slower
		evidence = append(evidence, fmt.Sprintf("%s: %d of %d paths are slower, such as %v, where %v was usual in %d "+
			"past rounds and more than %v is slow", r.name(), r.slower, r.compared, short(median(r.now)), short(r.before),
			r.rounds, short(r.limit)))
	}
	return []Finding{{Reason: row.reason, Component: Component(names(parts)), Where: allNodes, Cause: delayed,
		Probability: 0.9, Confidence: confidence,
		Message: fmt.Sprintf("%s of %s: slow, %d of %d paths between nodes take far longer than in past rounds; look at "+
			"what all nodes share: switches and links, their load, and encryption or filters that are new", names(parts),
			allNodes, slower, paths),
		Evidence: evidence, Falsify: "the machines of the nodes are short of CPU"}}
}

// slowParts returns the components that make the rungs slow, the likeliest first; none if no rung shows them.
func slowParts(slow, known map[ladder.Rung]bool) []infer.Component {
	network, overlay := infer.Component{Part: infer.NodeNetwork}, infer.Component{Part: infer.Overlay}
	switch {
	case slow[ladder.HostToHost]:
		return []infer.Component{network}
	case !slow[ladder.PodToPod]:
		return nil
	case known[ladder.HostToHost], known[ladder.PodToHost] && !slow[ladder.PodToHost]:
		return []infer.Component{overlay}
	}
	return []infer.Component{network, overlay}
}
