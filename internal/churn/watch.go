// Package churn tells what was done to the agents of a round while it ran from what broke.
//
// Watch compares snapshots and finds the agents that were deleted, drained or restarted. Void marks what these
// changes explain: failures that say nothing about the network, and reports that cannot exist. Whatever a change does
// not explain stays a fault: a node that dies, a pod that is not ready and was not touched, and failures that began
// before the change.
package churn

import (
	"cmp"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

const (
	// stopping is how long an agent that ends may still answer the controller after it has begun to turn away
	// requests, at most.
	stopping = 2 * time.Second
	// uncertain is how long before it was noticed a change may have happened, at most. Where nobody looked for longer
	// than that, such as while the controller was away, failures from before are not put down to the change: it may
	// have come long after them.
	uncertain = 30 * time.Second
	// unseen is the same for a node that stops: the cluster itself waits for 40 to 50 s until it counts on it no more.
	unseen = 60 * time.Second
	// second is how much Kubernetes' timestamps are rounded down, and how far clocks may be apart.
	second = time.Second
)

// Watch follows the agents of a round from snapshot to snapshot. It is not safe for concurrent use.
type Watch struct {
	// lives are in the order of the plans.
	lives []*life
	// cordoned are the nodes that were cordoned when they were first seen, and have been ever since. nil before the
	// first snapshot.
	cordoned map[string]bool
	// pods are those that snapshots showed, nil before the first.
	pods map[string]bool
}

// life is one agent.
type life struct {
	// agent is as it was seen last, well is when.
	agent topology.Agent
	well  time.Time
	// began is when the watch began, used is when the agent's node was last seen and not about to leave the cluster.
	began, used time.Time
	// placed reports that a snapshot showed the node, removing that the last one showed it about to be removed, and
	// leaving the same or that the node was cordoned while the watch was on.
	placed, removing, leaving bool
	// stopped is when the node was first seen to have stopped though it was to stay; zero for one that runs. All that
	// happens to the pod from then on follows from that.
	stopped time.Time
	// over reports that the pod or the node is gone.
	over    bool
	changes []change
}

// change is a report.Change before its time is known as well as it can be.
type change struct {
	report.Change
	// earliest is when it may have happened at the earliest, noticed when the agent was first seen otherwise.
	earliest, noticed time.Time
	// up is when the agent was first seen to run again after a restart.
	up time.Time
	// hint is when it happened, by a clock in the cluster; zero where nothing tells, or where it does not fit what
	// was seen. wrong reports that the node's clock told a time that does not fit: nothing that it tells is believed.
	hint  time.Time
	wrong bool
	// told is the pod whose answers tell until when the agent was there at least: itself, or another one on its node.
	told string
}

// place is the node of an agent as a snapshot shows it.
type place struct {
	topology.Node
	// removed reports that the cluster no longer has the node. leaving reports that the node is to leave the cluster,
	// or was cordoned while the watch was on: one that stops then was drained. One that is removed was to leave if the
	// snapshot before showed that.
	removed, leaving bool
}

// NewWatch follows the agents as they were at the given time. What the first snapshot shows of their nodes was so
// before.
func NewWatch(agents []topology.Agent, at time.Time) *Watch {
	w := &Watch{}
	for _, a := range agents {
		w.lives = append(w.lives, &life{agent: a, well: at, began: at, used: at})
	}
	return w
}

// See takes note of what a snapshot shows. Snapshots must be shown in the order in which they were taken.
func (w *Watch) See(s topology.Snapshot) {
	places := w.places(s)
	pods := make(map[string]topology.Agent, len(s.Agents))
	for _, a := range slices.Concat(s.Leaving, s.Agents) {
		pods[a.Pod] = a
	}
	for _, l := range w.lives {
		now, found := pods[l.agent.Pod]
		at, ok := places[l.agent.Node]
		// A list without any node says nothing, nor does that a node is not there which never was.
		if !ok && l.placed && len(s.Nodes) > 0 {
			at = place{removed: true, leaving: l.leaving}
		}
		l.placed, l.leaving, l.removing = l.placed || ok, at.leaving, at.Removing != ""
		l.see(now, found, at, s.Taken)
		if !at.leaving {
			l.used = s.Taken
		}
	}
	w.replaced(s.Agents)
}

// replaced takes note of pods that are new on the nodes of agents which are gone: such a node is not emptied, though
// it is cordoned.
func (w *Watch) replaced(agents []topology.Agent) {
	first := w.pods == nil
	if first {
		w.pods = map[string]bool{}
	}
	filled := map[string]bool{}
	for _, a := range agents {
		if !first && !w.pods[a.Pod] && a.Deleted.IsZero() {
			filled[a.Node] = true
		}
		w.pods[a.Pod] = true
	}
	for _, l := range w.lives {
		if !l.over || !filled[l.agent.Node] {
			continue
		}
		if c := &l.changes[len(l.changes)-1]; c.Kind == report.Drained && !c.NodeLeft {
			c.Kind = report.Deleted
		}
	}
}

// Silent takes note of agents that do not answer any more, and since when. One on a node that is about to be removed
// went with the node: the cluster needs the better part of a minute to notice that, and a round may be over by then.
//
// One that fell silent while its node was still to stay did so for another reason, and its pod is gone only where
// another agent on the node shows that.
func (w *Watch) Silent(since map[string]time.Time) {
	left := map[string]change{}
	for _, l := range w.lives {
		at := since[l.agent.Pod]
		l.doubtClock(at)
		if l.leftWith(at) && !at.Before(l.used) {
			// What leads to the agent's pod led to it until the last snapshot, at least.
			c := l.change(report.Drained, time.Time{}, latest(at, l.well))
			c.earliest, c.NodeLeft = latest(l.began, at.Add(-uncertain)), true
			l.end(c)
			// The node was there as long as any agent on it answered.
			if last, ok := left[l.agent.Node]; !ok || last.noticed.Before(c.noticed) {
				left[l.agent.Node] = c
			}
		}
	}
	for _, l := range w.lives {
		if c, ok := left[l.agent.Node]; ok && l.leftWith(since[l.agent.Pod]) {
			c.Pod = l.agent.Pod
			l.end(c)
		}
	}
}

// leftWith reports whether the agent, which is silent since then, may have gone with its node.
func (l *life) leftWith(silent time.Time) bool {
	return !silent.IsZero() && l.removing && !l.over && l.stopped.IsZero()
}

// doubtClock leaves the cluster's times of a restart aside where the agent fell silent before, though after it was
// last seen well: the clock of its node is wrong by less than the time between two snapshots.
func (l *life) doubtClock(silent time.Time) {
	for i := range l.changes {
		c := &l.changes[i]
		if silent.IsZero() || c.Kind != report.Restarted || !c.hint.After(silent.Add(second)) ||
			silent.Before(c.earliest) {
			continue
		}
		c.doubtClock()
	}
}

// doubtClock leaves the times aside that the node's clock told of a restart.
func (c *change) doubtClock() {
	c.hint, c.wrong = time.Time{}, true
	if !c.WindowEnd.IsZero() {
		c.WindowEnd = c.up
	}
}

// places returns the nodes by name. A node that has stopped already when it is first seen may have been cordoned just
// before.
func (w *Watch) places(s topology.Snapshot) map[string]place {
	first := w.cordoned == nil
	if first {
		w.cordoned = map[string]bool{}
	}
	places := make(map[string]place, len(s.Nodes))
	for _, n := range s.Nodes {
		switch {
		case !n.Cordoned:
			delete(w.cordoned, n.Name)
		case first && !n.NotReady:
			w.cordoned[n.Name] = true
		}
		places[n.Name] = place{Node: n, leaving: n.Removing != "" || (n.Cordoned && !w.cordoned[n.Name])}
	}
	return places
}

// see compares the agent with what it is now. The node comes first: its pods may be deleted because it stopped.
func (l *life) see(now topology.Agent, found bool, at place, taken time.Time) {
	same := found && now.UID == l.agent.UID
	left := at.removed || (at.NotReady && at.leaving && l.stopped.IsZero())
	switch {
	case l.over && left:
		// The pod was deleted because its node was to go.
		l.changes[len(l.changes)-1].Kind, l.changes[len(l.changes)-1].NodeLeft = report.Drained, true
	case l.over:
	case left:
		l.drained(at, taken)
	case at.NotReady:
		if l.stopped.IsZero() {
			l.stopped = taken
		}
	case !l.stopped.IsZero():
		// The node runs again. A pod that was neither replaced nor deleted meanwhile goes on.
		if same && now.Deleted.IsZero() {
			l.stopped, l.agent, l.well = time.Time{}, now, taken
		}
	case !same:
		l.end(l.change(deletion(at.Node), time.Time{}, taken))
	case !now.Deleted.IsZero():
		l.end(l.change(deletion(at.Node), now.Deleted, taken))
	default:
		l.lives(now, taken)
	}
}

// drained ends the life of an agent whose node left the cluster, or stopped when it was about to.
func (l *life) drained(at place, taken time.Time) {
	if !l.stopped.IsZero() {
		taken = l.stopped
	}
	c := l.change(report.Drained, time.Time{}, taken)
	c.earliest, c.NodeLeft = latest(l.began, taken.Add(-unseen)), true
	if at.leaving && l.stopped.IsZero() {
		// It was in use until then. One that stopped before it was to leave had done so long before a snapshot showed
		// it.
		c.earliest = latest(c.earliest, l.used)
	}
	l.end(c)
}

func deletion(node topology.Node) report.ChangeKind {
	if node.Cordoned || node.Removing != "" {
		return report.Drained
	}
	return report.Deleted
}

func (l *life) end(c change) {
	l.over = true
	l.changes = append(l.changes, c)
}

// change returns a change of the pod since it was last seen. What the cluster tells is believed where it fits what
// was seen, for clocks may be wrong.
func (l *life) change(what report.ChangeKind, hint, noticed time.Time) change {
	c := change{Change: report.Change{Pod: l.agent.Pod, Node: l.agent.Node, Kind: what}, noticed: noticed,
		told: l.agent.Pod}
	c.earliest = latest(l.well, noticed.Add(-uncertain))
	if fits := hint.After(l.well.Add(-second)) && hint.Before(noticed.Add(second)); fits {
		c.hint = hint
	} else {
		c.wrong = !hint.IsZero()
	}
	return c
}

// lives looks for a restart, and for the end of one. Times of Kubernetes are compared with each other alone: they are
// of another clock. Of several restarts since the agent was last seen the cluster tells the end of the last alone, so
// that is no hint when the first began.
func (l *life) lives(now topology.Agent, taken time.Time) {
	n := len(l.changes)
	down := n > 0 && l.changes[n-1].WindowEnd.IsZero()
	if !down && (now.Restarts != l.agent.Restarts || !now.Ended.Equal(l.agent.Ended)) {
		c := l.change(report.Restarted, now.Ended, taken)
		if now.Restarts > l.agent.Restarts+1 {
			c.hint = time.Time{}
		}
		c.Detail = now.EndReason
		l.changes = append(l.changes, c)
		n, down = n+1, true
	}
	if down && !now.Started.IsZero() {
		l.changes[n-1].WindowEnd, l.changes[n-1].up = taken, taken
		if at := now.Started; !l.changes[n-1].wrong && at.After(l.well.Add(-second)) && at.Before(taken) {
			l.changes[n-1].WindowEnd = at
		}
	}
	l.agent, l.well = now, taken
}

// Changes is all that happened, sorted by time. answered tells, by pod, when the controller last asked an agent that
// then answered: until about then it was alive.
func (w *Watch) Changes(answered map[string]time.Time) []report.Change {
	var all []report.Change
	for _, l := range w.lives {
		for _, c := range l.changes {
			all = append(all, c.at(answered[c.told]))
		}
	}
	slices.SortStableFunc(all, func(a, b report.Change) int {
		return cmp.Or(a.WindowStart.Compare(b.WindowStart), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod))
	})
	return all
}

// at fills in the time of the change.
func (c change) at(answered time.Time) report.Change {
	alive := answered.Add(-stopping)
	if c.Kind == report.Restarted && !c.hint.IsZero() && alive.After(c.hint.Add(second)) && alive.Before(c.noticed) {
		// An agent that restarted does not know the round any more, and this one answered for it.
		c.doubtClock()
	}
	c.WindowStart = c.hint
	if c.hint.IsZero() {
		c.WindowStart = c.earliest
		if alive.After(c.WindowStart) && alive.Before(c.noticed) {
			c.WindowStart = alive
		}
	}
	switch {
	case c.Kind == report.Restarted && c.WindowEnd.IsZero():
	case c.Kind == report.Restarted:
		c.WindowEnd = latest(c.WindowStart, c.WindowEnd)
	case c.hint.IsZero():
		c.WindowEnd = c.noticed
	default:
		c.WindowEnd = c.hint
	}
	return c.Change
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
