package churn

import (
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

const (
	// maxInFlight is how long before a change a request may have started that failed because of the change.
	maxInFlight = time.Second
	// awayAfterRestart is how long after its restart a backend counts as away: the cluster's times are rounded down to
	// seconds, and the agent must listen again.
	awayAfterRestart = 5 * time.Second
	// awayAfterDeletion is how long after its deletion a backend counts as away: whatever routes to pods drops a
	// deleted pod within seconds.
	awayAfterDeletion = 11 * time.Second
	// tolerance is how long after a change requests may still fail, and an agent fall silent, because of the change:
	// pods get 15 s to end. Load balancers run their own health checks, and a backend that is down counts as away for
	// this long.
	tolerance = 30 * time.Second
	// silentAfterRestart is how long after a restart nobody needs to answer at the pod's own addresses.
	silentAfterRestart = 10 * time.Second
	// maxStartDoubt is the largest uncertainty of an agent's start at which a change gets the benefit of the doubt: an
	// agent that starts late is asked every 2 s, and every half a second near its end.
	maxStartDoubt = 2500 * time.Millisecond
	// forever is later than any moment of a round, and far from where a Duration ends.
	forever = time.Duration(1 << 60)
)

// Excuse returns the round with all failures that its Churn explains marked as excused, and with the excuses. silent
// has, by pod, since when an agent without a report did not answer; a pod missing from the map counts as silent from
// the start.
func Excuse(round report.Round, silent map[string]time.Time) report.Round {
	if len(round.Churn) == 0 {
		return round
	}
	e := newExcuser(round)
	round.Missing = slices.Clone(round.Missing)
	for i, m := range round.Missing {
		round.Missing[i] = e.excuseMissing(m, silent[m.Pod])
	}
	round.Agents = slices.Clone(round.Agents)
	for i, a := range round.Agents {
		round.Agents[i] = e.excuseAgent(a)
	}
	return round
}

// excuser has the changes of a round and what is known to judge their effects.
type excuser struct {
	// changes are the changes of each pod, sorted by time.
	changes map[string][]report.Change
	// nodeChanges are, by node, the changes of agents whose node left the cluster, sorted by time.
	nodeChanges map[string][]report.Change
	// throttled are the agents that their CPU quota stopped.
	throttled map[string]bool
	// lastReached is, by pod, until when other agents at least reached the pod at its own addresses.
	lastReached map[string]time.Time
	// backendSets has who may answer whom.
	backendSets report.BackendSets
	// budget is the round's request budget, expected is what was expected of each agent.
	budget   report.RequestBudget
	expected map[string]report.Expected
	// zero is the moment from which all other moments are counted.
	zero time.Time
	// changedSets has the backend sets that were looked at, also those without a change.
	changedSets map[setKey]*backendSet
}

func newExcuser(round report.Round) *excuser {
	e := &excuser{changes: map[string][]report.Change{}, nodeChanges: map[string][]report.Change{},
		lastReached: lastReached(round.Agents), backendSets: round.BackendSets(), budget: round.Budget,
		expected: make(map[string]report.Expected, len(round.Expected)), changedSets: map[setKey]*backendSet{},
		throttled: map[string]bool{}}
	for _, a := range round.Agents {
		e.throttled[a.Pod] = isThrottled(a.Observer)
	}
	for _, x := range round.Expected {
		e.expected[x.Pod] = x
	}
	changes := slices.Clone(round.Churn)
	slices.SortFunc(changes, byTime)
	e.zero = changes[0].WindowStart
	for _, c := range changes {
		e.changes[c.Pod] = append(e.changes[c.Pod], c)
		if c.NodeLeft {
			e.nodeChanges[c.Node] = append(e.nodeChanges[c.Node], c)
		}
	}
	return e
}

// excuseMissing marks an agent without a report whose silence a change explains. The agent fell silent between the last
// moment at which it is known to have run and the first at which it did not answer.
func (e *excuser) excuseMissing(m report.Missing, silent time.Time) report.Missing {
	running := silent
	if !m.LastAnswered.IsZero() && m.LastAnswered.Before(silent) {
		running = m.LastAnswered
	}
	if c := e.stopChange(m.Pod, running, silent); c != nil && !e.reachedLater(*c, silent) {
		m.Excused, m.Change, m.Reason = true, c, phrases.ChangeDuringRound(*c)
	}
	return m
}

// reachedLater reports whether others still reached the pod long after it had fallen silent. The pod was not gone then:
// its deletion, whose exact time is unknown, came later.
func (e *excuser) reachedLater(c report.Change, silent time.Time) bool {
	return c.Kind != report.Restarted && c.WindowStart.Before(c.WindowEnd) &&
		e.lastReached[c.Pod].After(silent.Add(tolerance))
}

// lastReached returns until when, at least, each pod answered at its own addresses: the time in which as many requests
// came due as were answered.
func lastReached(agents []report.AgentReport) map[string]time.Time {
	last := map[string]time.Time{}
	for _, a := range agents {
		for _, p := range a.Paths {
			if p.Target.MayAnswer() != target.OnePod || p.OK == 0 || p.Scheduled == 0 {
				continue
			}
			earliest, _ := controllerTimes(a, p.Started)
			took := float64(p.Ended.Sub(p.Started)) * float64(p.OK-1) / float64(p.Scheduled)
			last[p.Target.Pod] = latest(last[p.Target.Pod], earliest.Add(time.Duration(took)))
		}
	}
	return last
}

// excuseAgent marks what the changes explain in an agent's report.
func (e *excuser) excuseAgent(a report.AgentReport) report.AgentReport {
	if !a.Finished {
		earliest, latest := controllerTimes(a, a.Ended)
		if c := e.stopChange(a.Pod, earliest, latest); c != nil {
			a.StoppedBy, a.StoppedWhy = c, phrases.ChangeDuringRound(*c)
		}
	}
	counted, persistent := e.rates(a.Pod)
	a.Paths = slices.Clone(a.Paths)
	for i, p := range a.Paths {
		streams := []stream{e.stream(a, p, p, counted)}
		if p.Persistent != nil {
			streams = append(streams, e.stream(a, p, *p.Persistent, persistent))
		}
		a.Paths[i] = e.excusePath(a, p, streams)
	}
	return a
}

// rates returns how many requests of each stream of a path were to come due in a nanosecond; 0 if unknown.
func (e *excuser) rates(pod string) (counted, persistent float64) {
	if e.budget.Granted <= 0 {
		return 0, 0
	}
	counted = float64(e.budget.Granted) / float64(max(e.budget.Every, 1)) / float64(time.Second)
	if x, ok := e.expected[pod]; ok && x.Requests > 0 {
		persistent = counted * float64(x.Persistent) / float64(x.Requests)
	}
	return counted, persistent
}

// stopChange returns the change that explains why the agent stopped between the two moments, the latest of several; nil
// if there is none.
func (e *excuser) stopChange(pod string, earliest, latest time.Time) *report.Change {
	for _, c := range slices.Backward(e.changes[pod]) {
		if !latest.Before(c.WindowStart.Add(-maxInFlight)) &&
			(notBack(c) || !earliest.After(windowEnd(c).Add(tolerance))) {
			return &c
		}
	}
	return nil
}

// notBack reports whether the change is a restart that is not over yet.
func notBack(c report.Change) bool { return c.Kind == report.Restarted && c.WindowEnd.IsZero() }

// windowEnd is when the change was over. A restart that is still under way counts from when it began.
func windowEnd(c report.Change) time.Time { return latest(c.WindowStart, c.WindowEnd) }

// controllerTimes returns the two moments of the controller's clock between which a moment of the agent's clock lies.
// Only differences of the agent's clock are used, unless the controller does not know when the agent started.
func controllerTimes(a report.AgentReport, at time.Time) (earliest, latest time.Time) {
	if a.Earliest.IsZero() || a.Latest.IsZero() {
		return at, at
	}
	return a.Earliest.Add(at.Sub(a.Started)), a.Latest.Add(at.Sub(a.Started))
}

// excusePath marks what the changes explain on one path, on both of its streams. If a failure on one stream proves that
// changes are not the cause, this holds for the other stream too.
func (e *excuser) excusePath(a report.AgentReport, p report.Path, streams []stream) report.Path {
	if !slices.ContainsFunc(streams, func(s stream) bool { return len(s.spans) > 0 }) {
		return p
	}
	var excused bool
	switch p.Target.MayAnswer() {
	case target.OnePod:
		excused = e.excuseDuring(e.podAbsences(p.Target.Pod), streams)
	case target.Backends:
		// If the node that has the address is gone, it does not matter which backends the address leads to.
		gone := e.excuseDuring(e.nodeAbsences(p.Target.AtNode), streams)
		excused = e.excuseBackends(a, p.Target, streams) || gone
	}
	if !excused {
		return p
	}
	marked := streams[0].markedPath()
	if p.Persistent != nil {
		persistent := streams[1].markedPath()
		marked.Persistent = &persistent
	}
	return marked
}
