package oracle

import (
	"math"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
)

// What the product's documents (docs/adr/0006-churn.md) allow a change to explain.
const (
	// before is how long before a change requests may have started that fail for it, and by how much the API's whole seconds are early.
	before = 2 * time.Second
	// after is how long after a change what leads to a pod may take to follow, and a pod that is back may take until all is well.
	after = 30 * time.Second
	// unseen is how long before it was noticed a change may have happened that nobody tells the time of.
	unseen = 30 * time.Second
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

// windows are those of all changes, as anybody must see them who knows what the API tells and the looks showed.
func (t *Truth) windows() []window {
	var all []window
	for i, c := range t.Scenario.Changes {
		if c.Kind == Cordon {
			continue
		}
		w := window{pod: c.Node, change: i, period: period{c.At - before, c.At + after}}
		stop := c.At + c.Stops
		told := c.Told
		if c.Kind == Restart {
			clock := t.Scenario.Starts[c.Node].Clock
			told = clock.Abs() <= clocks
			w.from = stop - before
			w.to = stop + c.Back + after
		}
		if !told {
			seen := t.noticed(i)
			w.from = min(w.from, max(lastBefore(t.looks, c.At), seen-unseen)-before)
			w.to = max(w.to, seen+after)
		}
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

// noticed is the first look that shows the change.
func (t *Truth) noticed(i int) time.Duration {
	c := t.Scenario.Changes[i]
	at := c.At + c.Stops
	switch {
	case c.Kind == Remove:
		at = c.At + c.Follows
	case c.Told && c.Kind != Restart:
		at = c.At
	}
	for _, look := range t.looks {
		if look >= at {
			return look
		}
	}
	return t.Length
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
	// inside counts failures in the windows of changes and of kinds that changes cause, and outside those that a change caused
	// beyond its own windows.
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

// lucky reports whether changes cost more than any bound with three standard deviations would allow: chance did it.
func (a account) lucky() bool { return a.changes > int(a.bound) || a.outside > 0 }

// reckon adds a stream up.
func (t *Truth) reckon(a AgentTruth, p PathTruth, attempts []attempt, windows []window) account {
	var sum account
	start := t.Scenario.Starts[a.Number]
	early, late := start.At-start.Asked, start.Known-start.At
	relevant := slices.DeleteFunc(slices.Clone(windows), func(w window) bool { return !t.concerns(p.r, w) })
	var expected, variance float64
	for i := range attempts {
		at := &attempts[i]
		if at.missed || at.outcome == probe.NotSent {
			continue
		}
		sum.made++
		share := t.share(p.r, relevant, at.at-early, at.at+late)
		expected += share
		variance += share * (1 - share)
		sum.add(at, share, p.r)
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
	return slices.Contains(r.may, w.pod)
}

// share is which part of the requests started between the two moments changes may have cost.
func (t *Truth) share(r route, windows []window, earliest, latest time.Duration) float64 {
	away := 0
	for i, w := range windows {
		if latest < w.from || (w.to != forever && earliest >= w.to && !r.single()) || (r.single() && earliest >= t.endFor(w)) {
			continue
		}
		if r.pinned || t.takesPort(r, w) {
			return 1
		}
		if !slices.ContainsFunc(windows[:i], func(o window) bool { return o.pod == w.pod && o.has(latest) }) {
			away++
		}
	}
	return min(1, float64(away)/float64(max(len(r.may), 1)))
}

// takesPort reports whether the change takes away the node whose port is asked.
func (t *Truth) takesPort(r route, w window) bool {
	return r.kind == target.NodePort && t.Scenario.Changes[w.change].Kind == Remove && r.node == t.Scenario.Changes[w.change].Node
}

// single reports whether one pod alone may answer.
func (r route) single() bool { return r.pod != nobody }

// endFor is when the change's window ends for the pod's own address: a restarted pod is there again, another one never.
func (t *Truth) endFor(w window) time.Duration {
	if t.Scenario.Changes[w.change].Kind == Restart {
		return w.to
	}
	return forever
}
