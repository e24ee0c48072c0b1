// Package churn separates faults of the network from the effects of changes: agents that were deleted, drained or
// restarted while a round ran.
//
// Watch compares snapshots and finds the changes. Excuse marks the failures and the missing reports that the changes
// explain. Whatever no change explains stays a fault: a node that dies, a pod that is not ready and was not touched,
// and failures that began before the change.
package churn

import (
	"cmp"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

const (
	// answersWhileStopping is how long, at most, an agent that ends may still answer the controller after it has begun
	// to turn away requests.
	answersWhileStopping = 2 * time.Second
	// maxUnnoticed is how long, at most, a change may have happened before it was noticed. If nobody looked for longer,
	// such as while the controller was away, earlier failures are not put down to the change, which may have come long
	// after them.
	maxUnnoticed = 30 * time.Second
	// maxNodeUnnoticed is maxUnnoticed for a node that stops: the cluster itself waits 40 to 50 s before it considers a
	// node as stopped.
	maxNodeUnnoticed = 60 * time.Second
	// clockPrecision is how much Kubernetes' timestamps are rounded down, and how far clocks may be apart.
	clockPrecision = time.Second
)

// Watch follows the agents of a round from snapshot to snapshot. A Watch is not safe for concurrent use.
type Watch struct {
	// histories are in the order of the plans.
	histories []*history
	// cordoned are the nodes that were cordoned when they were first seen, and have stayed cordoned since. cordoned is
	// nil before the first snapshot.
	cordoned map[string]bool
	// seenPods are the pods in the snapshots so far, nil before the first snapshot.
	seenPods map[string]bool
}

// history is what a Watch has seen of one agent.
type history struct {
	// agent is the agent when it was last seen running, at runningAt.
	agent     topology.Agent
	runningAt time.Time
	// watchedSince is when the watch began. nodeInUseAt is when the agent's node was last seen and not about to leave
	// the cluster.
	watchedSince, nodeInUseAt time.Time
	// nodeSeen reports that a snapshot has shown the node. nodeRemoving reports that the last snapshot showed the node
	// about to be removed. nodeLeaving reports the same, or that the node was cordoned during the watch.
	nodeSeen, nodeRemoving, nodeLeaving bool
	// nodeStoppedAt is when the node was first seen stopped though it was not to leave; zero if it runs. Everything
	// that happens to the pod after that follows from the stop.
	nodeStoppedAt time.Time
	// gone reports that the pod or the node is gone.
	gone    bool
	changes []change
}

// change is a report.Change whose window is not worked out yet.
type change struct {
	report.Change
	// earliest is the earliest moment at which the change may have happened. noticed is when a snapshot first showed
	// it.
	earliest, noticed time.Time
	// backAt is when the agent was first seen to run again after a restart.
	backAt time.Time
	// clusterTime is when the change happened, by a clock in the cluster. clusterTime is zero if unknown, or if it does
	// not fit what was seen. clockWrong reports that the node's clock gave a time that does not fit: no other time of
	// this clock is believed.
	clusterTime time.Time
	clockWrong  bool
	// witness is the pod whose answers show until when the agent was there: the agent itself, or another agent on its
	// node.
	witness string
}

// nodeState is the node of an agent as a snapshot shows it.
type nodeState struct {
	topology.Node
	// removed reports that the cluster no longer has the node. leaving reports that the node is to leave the cluster,
	// or was cordoned during the watch: a leaving node that stops was drained. A removed node was leaving if the
	// snapshot before showed that.
	removed, leaving bool
}

// NewWatch follows the agents as they were at the given time. What the first snapshot shows of their nodes counts as
// true since then.
func NewWatch(agents []topology.Agent, at time.Time) *Watch {
	w := &Watch{}
	for _, a := range agents {
		w.histories = append(w.histories, &history{agent: a, runningAt: at, watchedSince: at, nodeInUseAt: at})
	}
	return w
}

// Observe takes note of what a snapshot shows. Snapshots must come in the order in which they were taken.
func (w *Watch) Observe(s topology.Snapshot) {
	states := w.nodeStates(s)
	pods := make(map[string]topology.Agent, len(s.Agents))
	for _, a := range slices.Concat(s.Leaving, s.Agents) {
		pods[a.Pod] = a
	}
	for _, h := range w.histories {
		now, found := pods[h.agent.Pod]
		at, ok := states[h.agent.Node]
		// A list without any node proves nothing. A node that is missing proves nothing either, unless it was seen
		// before.
		if !ok && h.nodeSeen && len(s.Nodes) > 0 {
			at = nodeState{removed: true, leaving: h.nodeLeaving}
		}
		h.nodeSeen, h.nodeLeaving, h.nodeRemoving = h.nodeSeen || ok, at.leaving, at.Removing != ""
		h.observe(now, found, at, s.Taken)
		if !at.leaving {
			h.nodeInUseAt = s.Taken
		}
	}
	w.observeReplacements(s.Agents)
}

// observeReplacements finds new pods on the nodes of agents that are gone. A node that gets a new pod is not being
// drained, even if it is cordoned: the agent was only deleted.
func (w *Watch) observeReplacements(agents []topology.Agent) {
	first := w.seenPods == nil
	if first {
		w.seenPods = map[string]bool{}
	}
	filled := map[string]bool{}
	for _, a := range agents {
		if !first && !w.seenPods[a.Pod] && a.Deleted.IsZero() {
			filled[a.Node] = true
		}
		w.seenPods[a.Pod] = true
	}
	for _, h := range w.histories {
		if !h.gone || !filled[h.agent.Node] {
			continue
		}
		if c := &h.changes[len(h.changes)-1]; c.Kind == report.Drained && !c.NodeLeft {
			c.Kind = report.Deleted
		}
	}
}

// ObserveSilence takes note of agents that do not answer any more, and since when. A silent agent on a node that is
// about to be removed went with the node: the cluster needs most of a minute to notice, and a round may be over by
// then.
//
// An agent that fell silent before its node was to be removed has another reason for that. Its pod counts as gone only
// if another agent on the node shows that the node is gone.
func (w *Watch) ObserveSilence(since map[string]time.Time) {
	left := map[string]change{}
	for _, h := range w.histories {
		at := since[h.agent.Pod]
		h.checkClock(at)
		if h.mayHaveLeftWithNode(at) && !at.Before(h.nodeInUseAt) {
			// Services and proxies led to the agent's pod until the last snapshot, at least.
			c := h.newChange(report.Drained, time.Time{}, latest(at, h.runningAt))
			c.earliest, c.NodeLeft = latest(h.watchedSince, at.Add(-maxUnnoticed)), true
			h.end(c)
			// The node was there as long as any agent on it answered.
			if last, ok := left[h.agent.Node]; !ok || last.noticed.Before(c.noticed) {
				left[h.agent.Node] = c
			}
		}
	}
	for _, h := range w.histories {
		if c, ok := left[h.agent.Node]; ok && h.mayHaveLeftWithNode(since[h.agent.Pod]) {
			c.Pod = h.agent.Pod
			h.end(c)
		}
	}
}

// mayHaveLeftWithNode reports whether an agent that is silent since then may have gone with its node.
func (h *history) mayHaveLeftWithNode(silent time.Time) bool {
	return !silent.IsZero() && h.nodeRemoving && !h.gone && h.nodeStoppedAt.IsZero()
}

// checkClock distrusts the cluster's times of a restart if the agent fell silent before them, but after it was last
// seen running: the clock of the agent's node is then wrong by less than the time between two snapshots.
func (h *history) checkClock(silent time.Time) {
	for i := range h.changes {
		c := &h.changes[i]
		if silent.IsZero() || c.Kind != report.Restarted || !c.clusterTime.After(silent.Add(clockPrecision)) ||
			silent.Before(c.earliest) {
			continue
		}
		c.distrustClock()
	}
}

// distrustClock drops the times of a restart that the node's clock gave.
func (c *change) distrustClock() {
	c.clusterTime, c.clockWrong = time.Time{}, true
	if !c.WindowEnd.IsZero() {
		c.WindowEnd = c.backAt
	}
}

// nodeStates returns the nodes by name. A node that has already stopped when it is first seen may have been cordoned
// just before.
func (w *Watch) nodeStates(s topology.Snapshot) map[string]nodeState {
	first := w.cordoned == nil
	if first {
		w.cordoned = map[string]bool{}
	}
	states := make(map[string]nodeState, len(s.Nodes))
	for _, n := range s.Nodes {
		switch {
		case !n.Cordoned:
			delete(w.cordoned, n.Name)
		case first && !n.NotReady:
			w.cordoned[n.Name] = true
		}
		states[n.Name] = nodeState{Node: n, leaving: n.Removing != "" || (n.Cordoned && !w.cordoned[n.Name])}
	}
	return states
}

// observe compares the agent with its new state. The node is checked first: pods may be deleted because their node
// stopped.
func (h *history) observe(now topology.Agent, found bool, node nodeState, taken time.Time) {
	same := found && now.UID == h.agent.UID
	left := node.removed || (node.NotReady && node.leaving && h.nodeStoppedAt.IsZero())
	switch {
	case h.gone && left:
		// The pod was deleted because its node was to go.
		h.changes[len(h.changes)-1].Kind, h.changes[len(h.changes)-1].NodeLeft = report.Drained, true
	case h.gone:
	case left:
		h.endWithNode(node, taken)
	case node.NotReady:
		if h.nodeStoppedAt.IsZero() {
			h.nodeStoppedAt = taken
		}
	case !h.nodeStoppedAt.IsZero():
		// The node runs again. A pod that was neither replaced nor deleted meanwhile goes on.
		if same && now.Deleted.IsZero() {
			h.nodeStoppedAt, h.agent, h.runningAt = time.Time{}, now, taken
		}
	case !same:
		h.end(h.newChange(deletionKind(node.Node), time.Time{}, taken))
	case !now.Deleted.IsZero():
		h.end(h.newChange(deletionKind(node.Node), now.Deleted, taken))
	default:
		h.observeRestart(now, taken)
	}
}

// endWithNode ends the history of an agent whose node left the cluster, or stopped when it was about to leave.
func (h *history) endWithNode(node nodeState, taken time.Time) {
	if !h.nodeStoppedAt.IsZero() {
		taken = h.nodeStoppedAt
	}
	c := h.newChange(report.Drained, time.Time{}, taken)
	c.earliest, c.NodeLeft = latest(h.watchedSince, taken.Add(-maxNodeUnnoticed)), true
	if node.leaving && h.nodeStoppedAt.IsZero() {
		// The node was in use until then. A node that stopped before it was to leave had stopped long before a snapshot
		// showed it.
		c.earliest = latest(c.earliest, h.nodeInUseAt)
	}
	h.end(c)
}

func deletionKind(node topology.Node) report.ChangeKind {
	if node.Cordoned || node.Removing != "" {
		return report.Drained
	}
	return report.Deleted
}

func (h *history) end(c change) {
	h.gone = true
	h.changes = append(h.changes, c)
}

// newChange returns a change of the pod since it was last seen. clusterTime is believed only if it fits what was seen,
// because clocks may be wrong.
func (h *history) newChange(kind report.ChangeKind, clusterTime, noticed time.Time) change {
	c := change{Change: report.Change{Pod: h.agent.Pod, Node: h.agent.Node, Kind: kind}, noticed: noticed,
		witness: h.agent.Pod}
	c.earliest = latest(h.runningAt, noticed.Add(-maxUnnoticed))
	if fits := clusterTime.After(h.runningAt.Add(-clockPrecision)) &&
		clusterTime.Before(noticed.Add(clockPrecision)); fits {
		c.clusterTime = clusterTime
	} else {
		c.clockWrong = !clusterTime.IsZero()
	}
	return c
}

// observeRestart looks for the begin and the end of a restart. Times of Kubernetes are only compared with each other,
// because they come from another clock. After several restarts since the agent was last seen, the cluster knows only
// when the last one ended its container, which says nothing about when the first restart began.
func (h *history) observeRestart(now topology.Agent, taken time.Time) {
	n := len(h.changes)
	down := n > 0 && h.changes[n-1].WindowEnd.IsZero()
	if !down && (now.Restarts != h.agent.Restarts || !now.Ended.Equal(h.agent.Ended)) {
		c := h.newChange(report.Restarted, now.Ended, taken)
		if now.Restarts > h.agent.Restarts+1 {
			c.clusterTime = time.Time{}
		}
		c.Detail = now.EndReason
		h.changes = append(h.changes, c)
		n, down = n+1, true
	}
	if down && !now.Started.IsZero() {
		h.changes[n-1].WindowEnd, h.changes[n-1].backAt = taken, taken
		if at := now.Started; !h.changes[n-1].clockWrong && at.After(h.runningAt.Add(-clockPrecision)) &&
			at.Before(taken) {
			h.changes[n-1].WindowEnd = at
		}
	}
	h.agent, h.runningAt = now, taken
}

// Changes returns all changes, sorted by time. answered has, by pod, when the controller last asked an agent that then
// answered: the agent was alive until about then.
func (w *Watch) Changes(answered map[string]time.Time) []report.Change {
	var all []report.Change
	for _, h := range w.histories {
		for _, c := range h.changes {
			all = append(all, c.withWindow(answered[c.witness]))
		}
	}
	slices.SortStableFunc(all, func(a, b report.Change) int {
		return cmp.Or(a.WindowStart.Compare(b.WindowStart), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Pod, b.Pod))
	})
	return all
}

// withWindow returns the change with its window.
func (c change) withWindow(answered time.Time) report.Change {
	alive := answered.Add(-answersWhileStopping)
	if c.Kind == report.Restarted && !c.clusterTime.IsZero() && alive.After(c.clusterTime.Add(clockPrecision)) &&
		alive.Before(c.noticed) {
		// An agent that restarted does not know the round any more, and this agent answered for the round after the
		// time of its restart.
		c.distrustClock()
	}
	c.WindowStart = c.clusterTime
	if c.clusterTime.IsZero() {
		c.WindowStart = c.earliest
		if alive.After(c.WindowStart) && alive.Before(c.noticed) {
			c.WindowStart = alive
		}
	}
	switch {
	case c.Kind == report.Restarted && c.WindowEnd.IsZero():
	case c.Kind == report.Restarted:
		c.WindowEnd = latest(c.WindowStart, c.WindowEnd)
	case c.clusterTime.IsZero():
		c.WindowEnd = c.noticed
	default:
		c.WindowEnd = c.clusterTime
	}
	return c.Change
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
