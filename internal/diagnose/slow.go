package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/topology"
)

const (
	// slowFactor and slowMargin are how much longer than the fast paths of the same kind a path must take to be slow.
	slowFactor = 5
	slowMargin = 10 * time.Millisecond
	// fastShare is the share of paths of one kind that are taken to be fast: with three nodes, one pair of three does
	// not touch a given node.
	fastShare = 0.2
	// slowDNS is what the answer for a name of the cluster may take at most, however fast or slow other servers are: a
	// server has it in its memory.
	slowDNS = 150 * time.Millisecond
	// slowSeverity is the least share of slow paths through a component that is claimed: a busy moment slows down some.
	slowSeverity = 0.6
)

// class is the paths whose times can be compared.
type class struct {
	rung    ladder.Rung
	family  topology.Family
	method  ladder.Method
	large   bool
	counted bool
}

func classOf(o *ladder.Observation) class {
	return class{o.Rung, o.Family, o.Method, o.Large, o.Counted}
}

// slowed returns the observations of the pods' and hosts' paths with slow in place of failed: an observation whose mean
// is far above that of the fastest paths of the same kind in this round has failed, and all others have passed.
func slowed(seen []ladder.Observation) []ladder.Observation {
	times := map[class][]time.Duration{}
	for i := range seen {
		if o := &seen[i]; o.Answered > 0 && comparableRung(o.Rung) {
			times[classOf(o)] = append(times[classOf(o)], o.Mean)
		}
	}
	limits := map[class]time.Duration{}
	for c, all := range times {
		slices.Sort(all)
		limits[c] = all[int(fastShare*float64(len(all)))]*slowFactor + slowMargin
		if c.method == ladder.DNS {
			limits[c] = slowDNS
		}
	}
	var result []ladder.Observation
	for i := range seen {
		o := seen[i]
		limit, ok := limits[classOf(&o)]
		if !ok || o.Answered == 0 {
			continue
		}
		// Packets of one path are slow together: they count once.
		o.Counts = ladder.Counts{Sent: 1, Answered: 1, Mean: o.Mean}
		if o.Mean > limit {
			o.Answered, o.Failures = 0, map[ladder.Failure]uint64{ladder.NoAnswer: 1}
		}
		result = append(result, o)
	}
	return result
}

// comparableRung reports whether the times of the rung's paths can be compared: each leads between two known places.
func comparableRung(r ladder.Rung) bool {
	switch r {
	case ladder.PodToPod, ladder.HostToHost, ladder.HostToPod, ladder.PodToHost, ladder.HostToOwnPod, ladder.Self,
		ladder.SecondInterface, ladder.DNSPod, ladder.DNSService:
		return true
	}
	return false
}

// slowest returns the path of the component that takes longest, for people.
func slowest(seen []ladder.Observation, of []int) ladder.Observation {
	all := make([]ladder.Observation, 0, len(of))
	for _, i := range of {
		all = append(all, seen[i])
	}
	return slices.MaxFunc(all, func(a, b ladder.Observation) int { return cmp.Compare(a.Mean, b.Mean) })
}

// slow returns the faults that make paths slow without failing them.
func (l locator) slow(suspect map[string]bool) []Finding {
	late := slowed(l.seen)
	faults := infer.Find(infer.Input{Zones: l.cluster.Zones, Suspect: suspect, Observations: late})
	var found []Finding
	for _, f := range faults {
		broken := slices.ContainsFunc(l.faults, func(other infer.Fault) bool {
			return other.Component.Node == f.Component.Node || other.Component.Peer == f.Component.Node
		})
		if f.Severity < slowSeverity || broken {
			continue
		}
		worst := slowest(late, f.Observations())
		row := partOf(f.Component.Part)
		all := append([]infer.Component{f.Component}, f.Group...)
		found = append(found, Finding{Reason: row.reason, Component: Component(names(all)), Where: l.where(f.Component),
			Nodes: nodesAt(f.Component), Probability: rounded(f.Confidence), Confidence: confidenceOf(f),
			Cause: "Delay",
			Message: fmt.Sprintf("%s of %s: slow, %d of %d paths across it take far longer than the fast ones of their "+
				"kind; look at %s", names(all), l.where(f.Component), f.Explained, f.Crossed, row.look),
			Evidence: []string{fmt.Sprintf("%s from %s to %s takes %v", RungTitle(worst.Rung), worst.From, worst.To,
				worst.Mean)},
			RunnerUp: runnerUp(f), Falsify: "the agents on the node are short of CPU"})
	}
	return found
}
