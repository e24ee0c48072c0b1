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
	// delayed is the cause of all faults that make paths slow.
	delayed = "Delay"
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

// clock says of paths whether they are slow.
//
// A path is slow if it takes longer than 3 x what the fastest paths of its class take in this round + 10 ms; or, where
// at least five past rounds of the task are known, longer than their median + max(10 ms, 8 x spread). In either case it
// takes longer than 3 x that median, if it is known: on a busy machine the fastest paths of a round are so by chance.
// The second test says nothing about agents that take far longer than usual to answer themselves: it is their machine
// that is slow then.
type clock struct {
	now  map[class]limits
	past map[class]baseline
	// busy are the nodes of agents that are slow themselves; all says that they all are.
	busy map[string]bool
	all  bool
}

func clockOf(seen []ladder.Observation, past Past) clock {
	c := clock{now: limitsOf(seen), past: past.times()}
	for of, limit := range c.now {
		limit.slow = max(limit.slow, pastFactor*c.past[of].median)
		c.now[of] = limit
	}
	c.busy, c.all = busyAgents(seen, c.past)
	return c
}

// compared reports whether the path can be compared with past rounds.
func (c clock) compared(o *ladder.Observation) bool {
	_, known := c.past[classOf(o)]
	return known && o.Answered > 0 && o.Rung != ladder.Self && comparableRung(o.Rung) && !c.all && !c.busy[o.From] &&
		!c.busy[o.To]
}

// slowerThanBefore reports whether the path takes far longer than such paths took in past rounds.
func (c clock) slowerThanBefore(o *ladder.Observation) bool {
	return c.compared(o) && timeOf(o) > c.past[classOf(o)].slow()
}

// way is a path, whatever it was asked by.
type way struct {
	rung     ladder.Rung
	from, to string
	family   topology.Family
}

// quick are the ways on which counted requests, which are many, were as fast as on the fast ones. A few probes that
// were late there were late by chance.
func (c clock) quick(seen []ladder.Observation) map[way]bool {
	quick := map[way]bool{}
	for i := range seen {
		o := &seen[i]
		limit, ok := c.now[classOf(o)]
		if ok && o.Counted && o.Answered > 0 && timeOf(o) <= limit.usual && !c.slowerThanBefore(o) {
			quick[way{o.Rung, o.From, o.To, o.Family}] = true
		}
	}
	return quick
}

// slowed returns the observations of the pods' and hosts' paths with slow in place of failed: one that is slow has
// failed, and one that takes about as long as the fast ones has passed. Those in between are left out: they prove
// nothing. past says whether to compare with past rounds too.
func (c clock) slowed(seen []ladder.Observation, past bool) []ladder.Observation {
	var result []ladder.Observation
	quick := c.quick(seen)
	for i := range seen {
		o := seen[i]
		limit, ok := c.now[classOf(&o)]
		took, before := timeOf(&o), c.slowerThanBefore(&o)
		slow := took > limit.slow || before && past
		if !ok || o.Answered == 0 || !slow && (before || took > limit.usual) ||
			slow && quick[way{o.Rung, o.From, o.To, o.Family}] {
			continue
		}
		// Packets of one path are slow together: they count once. But chance alone makes no DNS server so slow.
		count := uint64(1)
		if o.Method == ladder.DNS && took > limit.slow {
			count = o.Answered
		}
		o.Counts = ladder.Counts{Sent: count, Answered: count, Mean: took}
		if slow {
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

// slow returns the faults that make paths slow without failing them, and what to say of them.
func (l locator) slow(suspect map[string]bool, past Past) ([]blamed, []Finding) {
	c := clockOf(l.seen, past)
	found := l.slowEverywhere(c, suspect)
	// Where all paths are slower than before, past rounds do not tell one node from another.
	late := c.slowed(l.seen, len(found) == 0)
	faults := infer.Find(infer.Input{Zones: l.cluster.Zones, Suspect: suspect, Observations: late,
		Background: lateByChance})
	faults = slices.DeleteFunc(faults, func(f infer.Fault) bool { return !l.claims(f) })
	for _, f := range faults {
		found = append(found, l.slowFinding(c, f, slowest(late, f.Observations())))
	}
	return blame(faults, late), found
}

// claims reports whether a fault of slow paths is worth a finding.
func (l locator) claims(f infer.Fault) bool {
	broken := slices.ContainsFunc(l.faults, func(other infer.Fault) bool {
		at := f.Component.Node
		return at != "" && (other.Component.Node == at || other.Component.Peer == at)
	})
	all := append([]infer.Component{f.Component}, f.Group...)
	return f.Severity >= slowSeverity && !broken && confidenceOf(f) != Low && !narrow(f.Aspect) &&
		slices.ContainsFunc(all, delays)
}

// slowFinding says a fault of slow paths to people. worst is the slowest of them.
func (l locator) slowFinding(c clock, f infer.Fault, worst ladder.Observation) Finding {
	row := partOf(f.Component.Part)
	all := append([]infer.Component{f.Component}, f.Group...)
	than := fmt.Sprintf("the fast ones of their kind in this round take %v", short(c.now[classOf(&worst)].fast))
	if b, ok := c.past[classOf(&worst)]; ok {
		than += fmt.Sprintf(", and such paths took %v in %d past rounds", short(b.median), b.rounds)
	}
	return Finding{Reason: row.reason, Component: Component(names(all)), Where: l.where(f.Component),
		Nodes: nodesAt(f.Component), Probability: rounded(f.Confidence), Confidence: confidenceOf(f),
		Cause: delayed,
		Message: fmt.Sprintf("%s of %s: slow, %d of %d paths across it take far longer than others of their kind, or "+
			"than in past rounds; look at %s", names(all), l.where(f.Component), f.Explained, f.Crossed, row.look),
		Evidence: []string{fmt.Sprintf("%s from %s to %s takes %v; %s", RungTitle(worst.Rung), worst.From, worst.To,
			short(worst.Mean), than)},
		RunnerUp: runnerUp(f), Falsify: "the agents on the node are short of CPU"}
}

// short is a time for people.
func short(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
