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
	// maxInFlight is how long before a change a request may have started that fails because of it. It also covers the
	// API's times, which are rounded down to whole seconds.
	maxInFlight = 2 * time.Second
	// maxRouteLag is how long after a deletion requests may still be led to the pod, maxRestartLag how long after a
	// restart the agent may still be away.
	maxRouteLag   = 30 * time.Second
	maxRestartLag = 10 * time.Second
	// maxClusterLag is maxRouteLag for routes within the cluster, which learn of each change.
	maxClusterLag = 12 * time.Second
	// maxUnnoticed is how long before it was noticed a change without a known time may have happened, maxNodeUnnoticed
	// the same for a node.
	maxUnnoticed     = 30 * time.Second
	maxNodeUnnoticed = 60 * time.Second
	// maxClockError is how far a clock of the cluster may be wrong and still be believed.
	maxClockError = time.Second
	// deviations is how many standard deviations, and one request more, a share may be exceeded by.
	deviations = 3
)

// lossAccount is what happened to one stream, and how much of it changes could have caused.
type lossAccount struct {
	// made counts requests that were sent, failed those that failed, and faults those that failed because of a fault.
	made, failed, faults int
	// changes counts requests that failed because of a change, limits those that failed because of an agent's limit.
	changes, limits int
	// inside counts failures that happened in the windows of changes and in ways that changes cause. outside counts
	// failures that a change caused beyond its own windows.
	inside, outside int
	// bound is how many requests changes may have cost while they had an effect, by share and margin.
	bound float64
	// slow counts successful requests that a fault made slow.
	slow int
	sum  time.Duration
}

// excused returns how many failures changes explain at most.
func (a lossAccount) excused() int { return min(a.inside, int(a.bound)) }

// exceedsRate reports whether a fault cost more than the rate allows, whatever changes explain.
func (a lossAccount) exceedsRate(rate float64) bool {
	left := a.made - a.excused()
	lost := min(a.failed-a.excused(), a.faults)
	return lost > 0 && float64(left-lost) < rate*float64(left)-1e-6
}

// idleExceedsRate reports whether a fault ended more idle connections than the rate allows. Each of them counts as a
// failed request.
func (a lossAccount) idleExceedsRate(idle int, rate float64) bool {
	left := a.made - a.excused() + max(idle, 0)
	return idle > 0 && float64(a.made-a.failed) < rate*float64(left)-1e-6
}

// absences returns when pods were truly away while requests may have been led to them.
func (t *Truth) absences() []window {
	var all []window
	for i, c := range t.Scenario.Changes {
		if c.Kind == Cordon {
			continue
		}
		w := window{pod: c.Node, change: i,
			period: period{c.At - time.Second, c.At + max(c.Stops, c.Follows) + maxRestartLag}}
		if c.Kind == Restart {
			w.to = c.At + c.Stops + c.Back + time.Second
		}
		w.leadsUntil = w.to
		for p := range t.Scenario.Nodes {
			if p == c.Node || (c.Kind == Remove && t.world.pods[p].node == c.Node) {
				w.pod = p
				all = append(all, w)
			}
		}
	}
	return all
}

// failsTooLate reports whether a request failed for a deleted pod after the time by which no route leads to the pod any
// more and it should be replaced.
func (t *Truth) failsTooLate(r route, at *attempt, early time.Duration) bool {
	i := int(at.cause.Index)
	return r.pod == nobody && t.Scenario.Changes[i].Kind == Delete &&
		at.at-early >= t.window(i).until(t.world.balanced(r))
}

// exceedsShare reports whether changes caused more failures between any two of them than the share of the pods that
// were away, within three standard deviations and one request: then chance caused the rest.
func (t *Truth) exceedsShare(a AgentTruth, p PathTruth, attempts []attempt) bool {
	if p.r.pod != nobody {
		return false
	}
	windows := t.absences()
	r, early, late := p.r, t.Scenario.Starts[a.Number].At-a.Earliest, a.Latest-t.Scenario.Starts[a.Number].At
	var may []int
	may, r.mayStick = t.world.routedPods(r)
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
			if last >= first && float64(sums[last].failed-before.failed) > share+deviations*math.Sqrt(variance)+1 {
				return true
			}
		}
	}
	return false
}

// accountFor adds a stream up.
func (t *Truth) accountFor(a AgentTruth, p PathTruth, attempts []attempt, windows []window) lossAccount {
	var sum lossAccount
	start := t.Scenario.Starts[a.Number]
	early, late := start.At-a.Earliest, a.Latest-start.At
	if len(attempts) > 1 && slices.ContainsFunc(attempts, func(x attempt) bool { return x.reused }) {
		// A request over an existing connection may fail for what happened since the request before.
		early += attempts[1].at - attempts[0].at
	}
	relevant := slices.DeleteFunc(slices.Clone(windows), func(w window) bool { return !t.mayAffect(p.r, w) })
	var expected, variance float64
	for i := range attempts {
		at := &attempts[i]
		if at.missed || at.outcome == probe.NotSent {
			continue
		}
		sum.made++
		share := t.share(p.r, p.r.answerers, relevant, at.at-early, at.at+late)
		if len(p.r.possible) > len(p.r.answerers) {
			share = max(share, t.share(p.r, p.r.possible, relevant, at.at-early, at.at+late))
		}
		if len(p.r.byPolicy) > 0 {
			share = max(share, t.share(p.r, p.r.byPolicy, relevant, at.at-early, at.at+late))
		}
		expected += share
		variance += share * (1 - share)
		sum.add(at, share, p.r)
		if at.outcome != probe.OK && at.cause.Culprit == ByChange && share > 0 && t.failsTooLate(p.r, at, early) {
			sum.outside++
		}
	}
	if most := t.most(p.r, attempts, relevant, early, late); most < expected {
		expected, variance = most, variance*most/expected
	}
	sum.bound = expected + deviations*math.Sqrt(variance)
	if expected > 0 {
		sum.bound++
	}
	return sum
}

// add counts one request that was sent.
func (a *lossAccount) add(at *attempt, share float64, r route) {
	if at.outcome == probe.OK {
		a.sum += time.Duration(at.latency) * time.Microsecond
		if at.cause.Culprit == ByFault {
			a.slow++
		}
		return
	}
	a.failed++
	if share > 0 && mayBeChange(at, r) {
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

// mayBeChange reports whether a request can end in this way because a pod is away.
func mayBeChange(a *attempt, r route) bool {
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

// mayAffect reports whether the change can cost requests on the route.
func (t *Truth) mayAffect(r route, w window) bool {
	if t.takesPort(r, w) {
		return true
	}
	return slices.Contains(r.possible, w.pod)
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
