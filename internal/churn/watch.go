// Package churn tells what was done to the agents of a round while it ran from what broke.
//
// Watch compares snapshots and finds the agents that were deleted, drained or restarted. Void marks what these changes explain:
// failures that say nothing about the network, and reports that cannot exist. Whatever a change does not explain stays a fault:
// a node that dies, a pod that is not ready and was not touched, and failures that began before the change.
package churn

import (
	"cmp"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

const (
	// stopping is how long an agent that ends may still answer the controller after it has begun to turn away requests, at most.
	stopping = 2 * time.Second
	// uncertain is how long before it was noticed a change may have happened, at most. Where nobody looked for longer than that,
	// such as while the controller was away, failures from before are not put down to the change: it may have come long after them.
	uncertain = 30 * time.Second
	// second is how much Kubernetes' timestamps are rounded down, and how far clocks may be apart.
	second = time.Second
)

// Watch follows the agents of a round from snapshot to snapshot. It is not safe for concurrent use.
type Watch struct {
	// lives are in the order of the plans.
	lives []*life
}

// life is one agent.
type life struct {
	// agent is as it was seen last, well is when.
	agent topology.Agent
	well  time.Time
	// final tells that what comes later is of no concern any more: the pod is gone, or its node broke, and all else follows from that.
	final   bool
	changes []change
}

// change is a report.Change before its time is known as well as it can be.
type change struct {
	report.Change
	// well is when the agent was last seen as it had been, noticed when it was first seen otherwise.
	well, noticed time.Time
	// hint is when it happened, by a clock in the cluster; zero where nothing tells.
	hint time.Time
}

// NewWatch follows the agents as they were at the given time.
func NewWatch(agents []topology.Agent, at time.Time) *Watch {
	w := &Watch{}
	for _, a := range agents {
		w.lives = append(w.lives, &life{agent: a, well: at})
	}
	return w
}

// See takes note of what a snapshot shows. Snapshots must be shown in the order in which they were taken.
func (w *Watch) See(s topology.Snapshot) {
	nodes := make(map[string]topology.Node, len(s.Nodes))
	for _, n := range s.Nodes {
		nodes[n.Name] = n
	}
	pods := make(map[string]topology.Agent, len(s.Agents))
	for _, a := range slices.Concat(s.Leaving, s.Agents) {
		pods[a.Pod] = a
	}
	for _, l := range w.lives {
		if !l.final {
			now, found := pods[l.agent.Pod]
			l.see(now, found, nodes[l.agent.Node], s.Taken)
		}
	}
}

// see compares the agent with what it is now. That a node broke comes first: its pods may be deleted for that very reason.
// A node that was taken out of use and then stops is one that was drained.
func (l *life) see(now topology.Agent, found bool, node topology.Node, taken time.Time) {
	switch {
	case node.NotReady && !node.Cordoned:
		l.final = true
	case node.NotReady:
		l.end(report.Drained, time.Time{}, taken)
	case !found || now.UID != l.agent.UID:
		l.end(deletion(node), time.Time{}, taken)
	case !now.Deleted.IsZero():
		l.end(deletion(node), now.Deleted, taken)
	default:
		l.lives(now, taken)
	}
}

func deletion(node topology.Node) report.Happening {
	if node.Cordoned {
		return report.Drained
	}
	return report.Deleted
}

func (l *life) end(what report.Happening, hint, noticed time.Time) {
	l.final = true
	l.changes = append(l.changes, l.change(what, hint, noticed))
}

func (l *life) change(what report.Happening, hint, noticed time.Time) change {
	return change{Change: report.Change{Pod: l.agent.Pod, Node: l.agent.Node, What: what}, well: l.well, noticed: noticed, hint: hint}
}

// lives looks for a restart, and for the end of one. Times of Kubernetes are compared with each other alone: they are of another clock.
func (l *life) lives(now topology.Agent, taken time.Time) {
	n := len(l.changes)
	down := n > 0 && l.changes[n-1].To.IsZero()
	if !down && (now.Restarts != l.agent.Restarts || !now.Ended.Equal(l.agent.Ended)) {
		c := l.change(report.Restarted, now.Ended, taken)
		c.Detail = now.EndReason
		l.changes = append(l.changes, c)
		n, down = n+1, true
	}
	if down && !now.Started.IsZero() {
		l.changes[n-1].To = taken
		if at := now.Started; at.After(l.well) && at.Before(taken) {
			l.changes[n-1].To = at
		}
	}
	l.agent, l.well = now, taken
}

// Changes is all that happened, sorted by time. answered tells, by pod, when the controller last asked an agent that then
// answered: until about then it was alive.
func (w *Watch) Changes(answered map[string]time.Time) []report.Change {
	var all []report.Change
	for _, l := range w.lives {
		for _, c := range l.changes {
			all = append(all, c.at(answered[l.agent.Pod]))
		}
	}
	slices.SortStableFunc(all, func(a, b report.Change) int {
		return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod))
	})
	return all
}

// at fills in the time of the change. What the cluster tells is believed where it fits what was seen, for clocks may be wrong.
func (c change) at(answered time.Time) report.Change {
	if !c.hint.IsZero() && c.hint.After(c.well.Add(-second)) && c.hint.Before(c.noticed.Add(second)) {
		c.From = c.hint
		if c.What != report.Restarted {
			c.To = c.hint
		}
		return c.Change
	}
	c.From = latest(c.well, c.noticed.Add(-uncertain))
	if alive := answered.Add(-stopping); alive.After(c.From) && alive.Before(c.noticed) {
		c.From = alive
	}
	if c.What != report.Restarted {
		c.To = c.noticed
	}
	return c.Change
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
