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
	// follows is the same of what leads to pods within the cluster, which gets to know of each change.
	follows = 12 * time.Second
	// unseen is how long before it was noticed a change may have happened that nobody tells the time of, unseenNode
	// the same for a node.
	unseen     = 30 * time.Second
	unseenNode = 60 * time.Second
	// clocks is how far a clock of the cluster may be wrong and still be believed.
	clocks = time.Second
	// sigmas are the standard deviations that a share may be exceeded by, and one request more.
	sigmas = 3
)

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

// dropped reports whether so many connections that a fault ended while they were idle are more than the rate allows:
// each counts as a request that failed.
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
		w.left = w.to
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
	return r.pod == nobody && t.Scenario.Changes[i].Kind == Delete &&
		at.at-early >= t.window(i).until(t.world.balances(r))
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
	if most := t.most(p.r, attempts, relevant, early, late); most < expected {
		expected, variance = most, variance*most/expected
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
