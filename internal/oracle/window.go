package oracle

import (
	"math"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
)

// window is a period in which a change may be why requests to the pod fail.
type window struct {
	period
	pod, change int
	// leadsUntil is until when a Service may still lead to the changed pod if there are others. A load balancer may do
	// so until the end of the window.
	leadsUntil time.Duration
	// maxAway is how long, at most, the pod was away somewhere within the window while requests were led to it.
	// maxAwayBalanced is the same behind a load balancer. Both are 0 if the pod was away for the whole window.
	maxAway, maxAwayBalanced time.Duration
}

// until returns when requests are led to the pod no more, if others may answer too.
func (w window) until(balanced bool) time.Duration {
	if balanced {
		return w.to
	}
	return w.leadsUntil
}

// balanced reports whether a load balancer outside the cluster chooses the pods by its own health checks.
func (w *world) balanced(r route) bool { return r.kind == target.LoadBalancer && w.proxied(r) }

// windows returns the windows of all changes, for an observer who knows what the API says and the snapshots showed. A
// change that no snapshot showed explains nothing.
func (t *Truth) windows() []window {
	var all []window
	for i, c := range t.Scenario.Changes {
		if c.Kind == Cordon || !t.shown(i) {
			continue
		}
		w := t.window(i)
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

// window returns when requests may fail because of the change.
func (t *Truth) window(i int) window {
	c := t.Scenario.Changes[i]
	seen := t.noticed(i)
	// If the time is unknown, the change came after the last snapshot without it.
	early, late := max(lastBefore(t.snapshotTimes, seen), seen-maxUnnoticed)-maxInFlight, seen+maxRouteLag
	stop := c.At + c.Stops
	w := window{pod: c.Node, change: i}
	switch c.Kind {
	case Restart:
		late = stop + c.Back + maxRestartLag
		if clock := t.Scenario.Starts[c.Node].Clock; clock.Abs() <= maxClockError {
			// The kubelet gives the time, by the clock of its node.
			early = stop - maxInFlight + min(clock, 0)
		} else {
			// Without a believable time, the pod is back when a snapshot shows it.
			late = max(late, firstFrom(t.snapshotTimes, stop+c.Back)+maxRestartLag)
		}
	case Delete, Drain:
		if known := c.TimeKnown && seen < stop+deletedListed; known {
			early, late = c.At-maxInFlight, c.At+maxRouteLag
		} else {
			// The pod went at one moment between the two snapshots.
			w.maxAway, w.maxAwayBalanced = maxInFlight+maxClusterLag, maxInFlight+maxRouteLag
		}
	case Remove:
		// The cluster needs long to notice that a node stopped. A node that is known to be leaving was in use until
		// that became known.
		early = max(lastBefore(t.snapshotTimes, c.At-c.Announced), seen-maxNodeUnnoticed) - maxInFlight
		if t.Scenario.Nodes[c.Node].Removing {
			early = seen - maxNodeUnnoticed - maxInFlight
		}
	case Cordon:
	}
	w.period, w.leadsUntil = period{early, late}, late
	if c.Kind != Restart {
		w.leadsUntil = late - maxRouteLag + maxClusterLag
	}
	return w
}

// shown reports whether a snapshot showed the change. For a removal it is enough that the node was shown about to be
// removed, once its agent is silent.
func (t *Truth) shown(i int) bool {
	c := t.Scenario.Changes[i]
	if c.Kind == Remove {
		return t.Scenario.Nodes[c.Node].Removing || c.At-c.Announced <= t.Length
	}
	return t.noticed(i) < forever
}

// noticed returns the first snapshot that shows the change, or the last snapshot for a node that is about to be
// removed.
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
	for _, snapshot := range t.snapshotTimes {
		if snapshot >= at {
			return snapshot
		}
	}
	if c.Kind == Remove {
		return t.Length
	}
	return forever
}

// firstFrom returns the first snapshot at or after the moment, or the last of all.
func firstFrom(snapshots []time.Duration, t time.Duration) time.Duration {
	for _, snapshot := range snapshots {
		if snapshot >= t {
			return snapshot
		}
	}
	return snapshots[len(snapshots)-1]
}

func lastBefore(snapshots []time.Duration, t time.Duration) time.Duration {
	var last time.Duration
	for _, snapshot := range snapshots {
		if snapshot < t {
			last = snapshot
		}
	}
	return last
}

// most returns how many of the requests changes may have cost at most, if each pod with an unknown time of deletion was
// away no longer than its routes take to drop it: the sum over the changes, each at the moment at which it may have
// cost most. most is infinite if more may be lost: no pod may be left, or more pods may answer than are known.
func (t *Truth) most(r route, attempts []attempt, windows []window, early, late time.Duration) float64 {
	if len(r.answerers) <= len(windows) || len(r.possible) > len(r.answerers) || len(r.byPolicy) > 0 {
		return math.Inf(1)
	}
	part, balanced := 1/float64(len(r.answerers)), t.world.balanced(r)
	if r.mayStick {
		part = 1
	}
	var total float64
	for _, w := range windows {
		if t.takesPort(r, w) {
			return math.Inf(1)
		}
		longest := w.maxAway
		if balanced {
			longest = w.maxAwayBalanced
		}
		var within []time.Duration
		for i := range attempts {
			x := &attempts[i]
			if !x.missed && x.outcome != probe.NotSent && x.at+late >= w.from && x.at-early < w.until(balanced) {
				within = append(within, x.at)
			}
		}
		total += part * float64(densest(within, longest, early+late))
	}
	return total
}

// densest returns how many of the sorted moments lie within a period of the length longest, at most, if each moment may
// be wrong by unsure. densest returns the number of all moments if longest is 0.
func densest(moments []time.Duration, longest, unsure time.Duration) int {
	if longest == 0 {
		return len(moments)
	}
	most, first := 0, 0
	for i, at := range moments {
		for at-moments[first] > longest+unsure {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// share returns which share of the requests that started between the two moments changes may have cost, if the pods in
// of may answer.
func (t *Truth) share(r route, of []int, windows []window, earliest, latest time.Duration) float64 {
	var away, gone pods
	balanced := t.world.balanced(r)
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
		case earliest < w.until(balanced) && r.mayStick:
			return 1
		case earliest < w.until(balanced):
			away.add(w.pod)
		}
		// A deleted pod that was not replaced in time is missing.
		if forGood && (earliest < w.to || t.Scenario.Changes[w.change].Kind != Delete || r.pod != nobody) {
			gone.add(w.pod)
		}
	}
	// If no pod is left, nobody answers.
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
