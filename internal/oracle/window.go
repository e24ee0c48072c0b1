package oracle

import (
	"math"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
)

// window is a time in which a change may be why requests fail that are led to the pod.
type window struct {
	period
	pod, change int
	// left is until when what leads to several pods may still lead to the changed one; a load balancer may until the
	// end.
	left time.Duration
	// longest is how long the pod was away at most while something led to it, somewhere within the window, and
	// longestBalanced the same behind a load balancer; 0 where it was away all the time.
	longest, longestBalanced time.Duration
}

// until is when nothing may lead to the pod any more, where others may answer as well.
func (w window) until(balanced bool) time.Duration {
	if balanced {
		return w.to
	}
	return w.left
}

// balances reports whether a load balancer outside the cluster chooses the pods, which looks for itself who is there.
func (w *world) balances(r route) bool { return r.kind == target.LoadBalancer && w.proxied(r) }

// windows are those of all changes, as anybody must see them who knows what the API tells and the looks showed. A
// change that no look showed explains nothing.
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

// window is when requests may fail because of the change.
func (t *Truth) window(i int) window {
	c := t.Scenario.Changes[i]
	seen := t.noticed(i)
	// If nobody tells the time, it was after the last look at which all was well.
	early, late := max(lastBefore(t.looks, seen), seen-unseen)-before, seen+after
	stop := c.At + c.Stops
	w := window{pod: c.Node, change: i}
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
		} else {
			// It went at one moment between the two looks.
			w.longest, w.longestBalanced = before+follows, before+after
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
	w.period, w.left = period{early, late}, late
	if c.Kind != Restart {
		w.left = late - after + follows
	}
	return w
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

// most is how many of the requests changes may have cost at most, if each pod whose deletion nobody tells the time of
// was away no longer than what leads to pods takes to follow: the sum over the changes, each at the moment at which it
// may have cost most. It is infinite where that is not all: nobody may be left, or others may answer than those known.
func (t *Truth) most(r route, attempts []attempt, windows []window, early, late time.Duration) float64 {
	if len(r.may) <= len(windows) || len(r.known) > len(r.may) || len(r.policy) > 0 {
		return math.Inf(1)
	}
	part, balanced := 1/float64(len(r.may)), t.world.balances(r)
	if r.pinned {
		part = 1
	}
	var total float64
	for _, w := range windows {
		if t.takesPort(r, w) {
			return math.Inf(1)
		}
		longest := w.longest
		if balanced {
			longest = w.longestBalanced
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

// densest is how many of the moments, which are sorted, lie at most within so long a time, give or take what is not
// known of each; all where the time is 0.
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

// share is which part of the requests started between the two moments changes may have cost, if these pods may answer.
func (t *Truth) share(r route, of []int, windows []window, earliest, latest time.Duration) float64 {
	var away, gone pods
	balanced := t.world.balances(r)
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
		case earliest < w.until(balanced) && r.pinned:
			return 1
		case earliest < w.until(balanced):
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
