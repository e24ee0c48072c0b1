package oracle

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
)

// What the product's documents (docs/adr/0006-churn.md) allow a change to explain, rounded up.
const (
	// before is how long before a change requests may have started that fail for it, and by how much the API's whole
	// seconds are early.
	before = 2 * time.Second
	// after is how long after a deletion what leads to the pod may take to follow, again how long after a restart the
	// agent may.
	after = 30 * time.Second
	again = 10 * time.Second
	// unseen is how long before it was noticed a change may have happened that nobody tells the time of, unseenNode
	// the same for a node.
	unseen     = 30 * time.Second
	unseenNode = 60 * time.Second
	// clocks is how far a clock of the cluster may be wrong and still be believed.
	clocks = time.Second
	// sigmas are the standard deviations that a share may be exceeded by, and one request more.
	sigmas = 3
)

// window is a time in which a change may be why requests fail that are led to the pod.
type window struct {
	period
	pod, change int
}

// windows are those of all changes, as anybody must see them who knows what the API tells and the looks showed. A
// change that no look showed explains nothing.
func (t *Truth) windows() []window {
	var all []window
	for i, c := range t.Scenario.Changes {
		if c.Kind == Cordon || !t.shown(i) {
			continue
		}
		w := window{pod: c.Node, change: i, period: t.window(i)}
		all = append(all, w)
		if c.Kind != Remove {
			continue
		}
		for p := range t.Scenario.Nodes {
			if p != c.Node && t.world.pods[p].node == c.Node {
				w.pod = p
				all = append(all, w)
			}
		}
	}
	return all
}

// window is when requests may fail because of the change.
func (t *Truth) window(i int) period {
	c := t.Scenario.Changes[i]
	seen := t.noticed(i)
	// If nobody tells the time, it was after the last look at which all was well.
	early, late := max(lastBefore(t.looks, seen), seen-unseen)-before, seen+after
	stop := c.At + c.Stops
	switch c.Kind {
	case Restart:
		late = stop + c.Back + again
		if clock := t.Scenario.Starts[c.Node].Clock; clock.Abs() <= clocks {
			// The kubelet tells it, by the clock of its node.
			early = stop - before + min(clock, 0)
		} else {
			// Then it is back when a look shows it.
			late = max(late, firstFrom(t.looks, stop+c.Back)+again)
		}
	case Delete, Drain:
		if told := c.Told && seen < stop+settled; told {
			early, late = c.At-before, c.At+after
		}
	case Remove:
		// The cluster itself needs long to see that a node stopped. One that is known to be leaving was in use until
		// that was known.
		early = max(lastBefore(t.looks, c.At-c.Announced), seen-unseenNode) - before
		if t.Scenario.Nodes[c.Node].Removing {
			early = seen - unseenNode - before
		}
	case Cordon:
	}
	return period{early, late}
}

// shown reports whether a look showed the change. That a node is about to be removed is enough of it, once its agent
// is silent.
func (t *Truth) shown(i int) bool {
	c := t.Scenario.Changes[i]
	if c.Kind == Remove {
		return t.Scenario.Nodes[c.Node].Removing || c.At-c.Announced <= t.Length
	}
	return t.noticed(i) < forever
}

// noticed is the first look that shows the change, or the last look of all for a node that is about to be removed.
func (t *Truth) noticed(i int) time.Duration {
	c := t.Scenario.Changes[i]
	at := c.At
	switch c.Kind {
	case Remove:
		at = min(c.At+c.Follows, c.At+lease)
	case Restart:
		at = c.At + c.Stops
	case Delete, Drain, Cordon:
	}
	for _, look := range t.looks {
		if look >= at {
			return look
		}
	}
	if c.Kind == Remove {
		return t.Length
	}
	return forever
}

// firstFrom is the first look at or after the moment, or the last of all.
func firstFrom(looks []time.Duration, t time.Duration) time.Duration {
	for _, look := range looks {
		if look >= t {
			return look
		}
	}
	return looks[len(looks)-1]
}

func lastBefore(looks []time.Duration, t time.Duration) time.Duration {
	var last time.Duration
	for _, look := range looks {
		if look < t {
			last = look
		}
	}
	return last
}

// account is what happened to one stream, and what of it changes could have caused.
type account struct {
	// made counts requests that were sent, failed those of them that failed, faults those that a fault made fail.
	made, failed, faults int
	// changes counts those that a change made fail, limits those that an agent's limit did.
	changes, limits int
	// inside counts failures in the windows of changes and of kinds that changes cause, and outside those that a
	// change caused beyond its own windows.
	inside, outside int
	// bound is how many requests changes may have cost at the moments at which they held, by share and margin.
	bound float64
	// slow counts successful requests that a fault made slow.
	slow int
	sum  time.Duration
}

// excused is how many failures changes explain at most.
func (a account) excused() int { return min(a.inside, int(a.bound)) }

// broken reports whether a fault cost more than the rate allows, whatever changes explain.
func (a account) broken(rate float64) bool {
	left := a.made - a.excused()
	lost := min(a.failed-a.excused(), a.faults)
	return lost > 0 && float64(left-lost) < rate*float64(left)-1e-6
}

// dropped reports whether so many connections that a fault ended while they were idle are more than the rate allows: each
// counts as a request that failed.
func (a account) dropped(idle int, rate float64) bool {
	left := a.made - a.excused() + max(idle, 0)
	return idle > 0 && float64(a.made-a.failed) < rate*float64(left)-1e-6
}

// absences are when pods were away in truth, while something may have led to them.
func (t *Truth) absences() []window {
	var all []window
	for i, c := range t.Scenario.Changes {
		if c.Kind == Cordon {
			continue
		}
		w := window{pod: c.Node, change: i, period: period{c.At - time.Second, c.At + max(c.Stops, c.Follows) + again}}
		if c.Kind == Restart {
			w.to = c.At + c.Stops + c.Back + time.Second
		}
		for p := range t.Scenario.Nodes {
			if p == c.Node || (c.Kind == Remove && t.world.pods[p].node == c.Node) {
				w.pod = p
				all = append(all, w)
			}
		}
	}
	return all
}

// late reports whether a request failed for a deleted pod after the time within which nothing may lead to it any more,
// and it should be replaced.
func (t *Truth) late(r route, at *attempt, early time.Duration) bool {
	i := int(at.cause.Index)
	return r.pod == nobody && t.Scenario.Changes[i].Kind == Delete && at.at-early >= t.window(i).to
}

// chance reports whether between two failures that changes caused there are more of them than the share of the pods
// that were away, three standard deviations and one more: chance did it.
func (t *Truth) chance(a AgentTruth, p PathTruth, attempts []attempt) bool {
	if p.r.pod != nobody {
		return false
	}
	windows := t.absences()
	r, early, late := p.r, t.Scenario.Starts[a.Number].At-a.Earliest, a.Latest-t.Scenario.Starts[a.Number].At
	var may []int
	may, r.pinned = t.world.led(r)
	type sum struct {
		share, variance float64
		failed          int
	}
	var sums []sum
	var now sum
	var at []int
	for i := range attempts {
		x := &attempts[i]
		if x.missed || x.outcome == probe.NotSent {
			continue
		}
		share := t.share(r, may, windows, x.at-early, x.at+late)
		now.share, now.variance = now.share+share, now.variance+share*(1-share)
		if x.cause.Culprit == ByChange && x.outcome != probe.OK {
			now.failed++
			at = append(at, len(sums))
		}
		sums = append(sums, now)
	}
	for _, first := range at {
		var before sum
		if first > 0 {
			before = sums[first-1]
		}
		for _, last := range at {
			share, variance := sums[last].share-before.share, sums[last].variance-before.variance
			if last >= first && float64(sums[last].failed-before.failed) > share+sigmas*math.Sqrt(variance)+1 {
				return true
			}
		}
	}
	return false
}

// reckon adds a stream up.
func (t *Truth) reckon(a AgentTruth, p PathTruth, attempts []attempt, windows []window) account {
	var sum account
	start := t.Scenario.Starts[a.Number]
	early, late := start.At-a.Earliest, a.Latest-start.At
	if len(attempts) > 1 && slices.ContainsFunc(attempts, func(x attempt) bool { return x.reused }) {
		// A request over an old connection may fail for what happened since the one before.
		early += attempts[1].at - attempts[0].at
	}
	relevant := slices.DeleteFunc(slices.Clone(windows), func(w window) bool { return !t.concerns(p.r, w) })
	var expected, variance float64
	for i := range attempts {
		at := &attempts[i]
		if at.missed || at.outcome == probe.NotSent {
			continue
		}
		sum.made++
		share := t.share(p.r, p.r.may, relevant, at.at-early, at.at+late)
		if len(p.r.known) > len(p.r.may) {
			share = max(share, t.share(p.r, p.r.known, relevant, at.at-early, at.at+late))
		}
		if len(p.r.policy) > 0 {
			share = max(share, t.share(p.r, p.r.policy, relevant, at.at-early, at.at+late))
		}
		expected += share
		variance += share * (1 - share)
		sum.add(at, share, p.r)
		if at.outcome != probe.OK && at.cause.Culprit == ByChange && share > 0 && t.late(p.r, at, early) {
			sum.outside++
		}
	}
	sum.bound = expected + sigmas*math.Sqrt(variance)
	if expected > 0 {
		sum.bound++
	}
	return sum
}

// add counts one request that was sent.
func (a *account) add(at *attempt, share float64, r route) {
	if at.outcome == probe.OK {
		a.sum += time.Duration(at.latency) * time.Microsecond
		if at.cause.Culprit == ByFault {
			a.slow++
		}
		return
	}
	a.failed++
	if share > 0 && causable(at, r) {
		a.inside++
	}
	switch at.cause.Culprit {
	case ByFault:
		a.faults++
	case ByChange:
		a.changes++
		if share == 0 {
			a.outside++
		}
	case ByAsker, ByAnswerer:
		a.limits++
	case Nobody:
	}
}

// causable reports whether a request can end so because a pod is away.
func causable(a *attempt, r route) bool {
	switch a.outcome {
	case probe.Timeout, probe.Refused, probe.Reset, probe.Unreachable, probe.BadAnswer:
		return true
	case probe.WrongPeer:
		return r.pod != nobody
	case probe.BadStatus:
		return r.pod != nobody || (r.kind == target.Ingress && a.status >= 502)
	default:
		return false
	}
}

// concerns reports whether the change can cost requests on the route.
func (t *Truth) concerns(r route, w window) bool {
	if t.takesPort(r, w) {
		return true
	}
	return slices.Contains(r.known, w.pod)
}

// share is which part of the requests started between the two moments changes may have cost, if these pods may answer.
func (t *Truth) share(r route, of []int, windows []window, earliest, latest time.Duration) float64 {
	var away, gone pods
	if len(windows) == 0 || len(of) == 0 {
		return 0
	}
	for _, w := range windows {
		if latest < w.from || (!slices.Contains(of, w.pod) && !t.takesPort(r, w)) {
			continue
		}
		forGood := t.Scenario.Changes[w.change].Kind != Restart
		switch {
		case forGood && t.takesPort(r, w):
			return 1
		case earliest < w.to && r.pinned:
			return 1
		case earliest < w.to:
			away.add(w.pod)
		}
		// A deleted pod that nothing replaced within the time is missed.
		if forGood && (earliest < w.to || t.Scenario.Changes[w.change].Kind != Delete || r.pod != nobody) {
			gone.add(w.pod)
		}
	}
	// Where nobody is left, nobody answers any more.
	if gone.count() >= len(of) {
		return 1
	}
	return min(1, float64(away.count())/float64(len(of)))
}

// takesPort reports whether the change takes away the node whose port is asked.
func (t *Truth) takesPort(r route, w window) bool {
	c := t.Scenario.Changes[w.change]
	return r.kind == target.NodePort && c.Kind == Remove && r.node == c.Node
}

// pods is a set of pods, by number.
type pods [4]uint64

func (p *pods) add(i int) { p[i/64] |= 1 << (i % 64) }

func (p *pods) count() int {
	n := 0
	for _, part := range p {
		n += bits.OnesCount64(part)
	}
	return n
}
