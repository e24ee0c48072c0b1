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
	slowFactor = 3
	slowMargin = 10 * time.Millisecond
	// usualFactor and usualMargin are how much longer a path may take and still be one that is not slow. What lies
	// between is not decided: on a busy machine even the fast paths take so long that a delay hardly stands out.
	usualFactor = 2
	usualMargin = 5 * time.Millisecond
	// fastShare is the share of paths of one kind that are taken to be fast. With three nodes, two of six paths do not
	// touch a given node, and one of these two may be late by chance.
	fastShare = 0.1
	// slowDNS is what the answer for a name of the cluster may take at most, however fast or slow other servers are: a
	// server has it in its memory.
	slowDNS = 150 * time.Millisecond
	// slowSeverity is the least share of slow paths, of those that are decided, through a component that is claimed: a
	// busy moment slows down some.
	slowSeverity = 0.6
	// lateByChance is the share of paths that are taken to be late without a fault. It is far more than the share of
	// probes that are lost by chance: a busy machine is late now and then.
	lateByChance = 0.02
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

// limits is what paths of one class take: fast is the time of the fast ones. A path that takes longer than slow is
// slow, a path that takes no longer than usual is not.
type limits struct{ fast, usual, slow time.Duration }

// timeOf is how long the path takes: of counted requests the median, of a few probes the mean without the slowest one,
// so that one late packet makes no path slow.
func timeOf(o *ladder.Observation) time.Duration {
	if o.Counted || o.Answered < 2 || o.Max < o.Mean {
		return o.Mean
	}
	n := time.Duration(o.Answered) // #nosec G115 -- a round has few probes of a path
	return (o.Mean*n - o.Max) / (n - 1)
}

// limitsOf returns the limits of each class, by the fastest paths of the class in this round.
func limitsOf(seen []ladder.Observation) map[class]limits {
	times := map[class][]time.Duration{}
	for i := range seen {
		if o := &seen[i]; o.Answered > 0 && comparableRung(o.Rung) {
			times[classOf(o)] = append(times[classOf(o)], timeOf(o))
		}
	}
	all := map[class]limits{}
	for c, of := range times {
		slices.Sort(of)
		fast := of[int(fastShare*float64(len(of)))]
		all[c] = limits{fast: fast, usual: fast*usualFactor + usualMargin, slow: fast*slowFactor + slowMargin}
		if c.method == ladder.DNS {
			all[c] = limits{fast: fast, usual: min(all[c].usual, slowDNS), slow: slowDNS}
		}
	}
	return all
}

// slowed returns the observations of the pods' and hosts' paths with slow in place of failed: an observation that took
// far longer than the fastest paths of the same kind in this round has failed, and one that took about as long has
// passed. Those in between are left out: they prove nothing.
func slowed(seen []ladder.Observation) []ladder.Observation {
	of := limitsOf(seen)
	var result []ladder.Observation
	for i := range seen {
		o := seen[i]
		limit, ok := of[classOf(&o)]
		took := timeOf(&o)
		if !ok || o.Answered == 0 || took > limit.usual && took <= limit.slow {
			continue
		}
		// Packets of one path are slow together: they count once. But nothing on the way makes a DNS server so slow.
		count := uint64(1)
		if o.Method == ladder.DNS {
			count = o.Answered
		}
		o.Counts = ladder.Counts{Sent: count, Answered: count, Mean: took}
		if took > limit.slow {
			o.Answered, o.Failures = 0, map[ladder.Failure]uint64{ladder.NoAnswer: count}
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

// delays reports whether the component can make packets late. A filter cannot; and what makes the agents' own processes
// slow is a lack of CPU, which says nothing about the cluster.
func delays(c infer.Component) bool {
	switch c.Part {
	case infer.Agent, infer.HostAgent, infer.ProbePort, infer.PolicyIn, infer.PolicyOut, infer.PolicyPair:
		return false
	}
	return true
}

// narrow reports whether the aspect is one corner of the traffic alone, such as full-size packets over IPv6. Chance
// picks corners; what delays packets does not.
func narrow(a infer.Aspect) bool {
	set := 0
	for _, is := range []bool{a.Family != "", a.Method != "", a.Large} {
		if is {
			set++
		}
	}
	return set > 1
}

// slow returns the faults that make paths slow without failing them.
func (l locator) slow(suspect map[string]bool) []Finding {
	late := slowed(l.seen)
	faults := infer.Find(infer.Input{Zones: l.cluster.Zones, Suspect: suspect, Observations: late,
		Background: lateByChance})
	var found []Finding
	for _, f := range faults {
		broken := slices.ContainsFunc(l.faults, func(other infer.Fault) bool {
			return other.Component.Node == f.Component.Node || other.Component.Peer == f.Component.Node
		})
		all := append([]infer.Component{f.Component}, f.Group...)
		if f.Severity < slowSeverity || broken || confidenceOf(f) == Low || narrow(f.Aspect) ||
			!slices.ContainsFunc(all, delays) {
			continue
		}
		worst := slowest(late, f.Observations())
		row := partOf(f.Component.Part)
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
