package churn

import (
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/phrases"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

const (
	// slack is how long before a change a request may have started that failed because of it.
	slack = time.Second
	// settle is how long after its restart a backend counts as away: the cluster's times are rounded down to seconds,
	// and the agent must listen again.
	settle = 5 * time.Second
	// follow is how long after its deletion a backend counts as away: what leads to pods leaves it out within seconds.
	follow = 11 * time.Second
	// grace is how long after a change requests may still fail because of it, and an agent fall silent: pods get 15 s
	// to end. Load balancers look for themselves who is there, and backends that are down count as away for so long.
	grace = 30 * time.Second
	// listen is how long after a restart nobody needs to answer at the pod's own addresses.
	listen = 10 * time.Second
	// doubt is how far apart the moments may be at which an agent may have started, for a change to have the benefit
	// of the doubt: an agent that starts late is asked every 2 s, and every half a second at its end.
	doubt = 2500 * time.Millisecond
	// forever is later than any moment of a round, and far from where a Duration ends.
	forever = time.Duration(1 << 60)
)

// Void returns the round with all that its Churn explains marked as void, and with the excuses. silent holds, by pod,
// since when an agent without a report did not answer; a pod missing from the map counts as silent from the start.
func Void(round report.Round, silent map[string]time.Time) report.Round {
	if len(round.Churn) == 0 {
		return round
	}
	e := newExcuser(round)
	round.Missing = slices.Clone(round.Missing)
	for i, m := range round.Missing {
		round.Missing[i] = e.missing(m, silent[m.Pod])
	}
	round.Agents = slices.Clone(round.Agents)
	for i, a := range round.Agents {
		round.Agents[i] = e.agent(a)
	}
	return round
}

// excuser knows the churn of a round.
type excuser struct {
	// changes are those of each pod, sorted by time.
	changes map[string][]report.Change
	// drains are the changes of agents on each node that left the cluster, sorted by time.
	drains map[string][]report.Change
	// slow are the agents that their CPU quota stopped.
	slow map[string]bool
	// reached is until when, at least, other agents reached each pod at its own addresses.
	reached map[string]time.Time
	// behind knows who may answer whom.
	behind report.BackendSets
	// load is that of the round, expected what was expected of each agent.
	load     report.RequestBudget
	expected map[string]report.Expected
	// zero is the moment from which all others are counted.
	zero time.Time
	// sets are the backend sets that were looked at.
	sets map[setKey]*backendSet
}

func newExcuser(round report.Round) *excuser {
	e := &excuser{changes: map[string][]report.Change{}, drains: map[string][]report.Change{},
		reached: reached(round.Agents), behind: round.BackendSets(), load: round.Load,
		expected: make(map[string]report.Expected, len(round.Expected)), sets: map[setKey]*backendSet{},
		slow: map[string]bool{}}
	for _, a := range round.Agents {
		e.slow[a.Pod] = stopped(a.Observer)
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
			e.drains[c.Node] = append(e.drains[c.Node], c)
		}
	}
	return e
}

// missing marks an agent without a report that a change explains. An agent that was well until some moment and did
// not answer at a later one fell silent between the two.
func (e *excuser) missing(m report.Missing, silent time.Time) report.Missing {
	well := silent
	if !m.LastAnswered.IsZero() && m.LastAnswered.Before(silent) {
		well = m.LastAnswered
	}
	if c := e.stopped(m.Pod, well, silent); c != nil && !e.outlived(*c, silent) {
		m.Excused, m.Change, m.Reason = true, c, phrases.ChangeDuringRound(*c)
	}
	return m
}

// outlived reports whether others still reached the pod long after it had fallen silent, so that it was not gone: its
// deletion, or that of its node, of which nobody knows the time, came after that.
func (e *excuser) outlived(c report.Change, silent time.Time) bool {
	return c.Kind != report.Restarted && c.WindowStart.Before(c.WindowEnd) && e.reached[c.Pod].After(silent.Add(grace))
}

// reached returns until when, at least, each pod answered at its own addresses: as many answers as came take at least
// so long to come due.
func reached(agents []report.Agent) map[string]time.Time {
	last := map[string]time.Time{}
	for _, a := range agents {
		for _, p := range a.Paths {
			if p.Target.MayAnswer() != target.OnePod || p.OK == 0 || p.Scheduled == 0 {
				continue
			}
			earliest, _ := clock(a, p.Started)
			took := float64(p.Ended.Sub(p.Started)) * float64(p.OK-1) / float64(p.Scheduled)
			last[p.Target.Pod] = latest(last[p.Target.Pod], earliest.Add(time.Duration(took)))
		}
	}
	return last
}

// agent marks what the changes explain in an agent's report.
func (e *excuser) agent(a report.Agent) report.Agent {
	if !a.Finished {
		earliest, latest := clock(a, a.Ended)
		if c := e.stopped(a.Pod, earliest, latest); c != nil {
			a.StoppedBy, a.StoppedWhy = c, phrases.ChangeDuringRound(*c)
		}
	}
	counted, kept := e.rates(a.Pod)
	a.Paths = slices.Clone(a.Paths)
	for i, p := range a.Paths {
		streams := []stream{e.stream(a, p, p, counted)}
		if p.Persistent != nil {
			streams = append(streams, e.stream(a, p, *p.Persistent, kept))
		}
		a.Paths[i] = e.path(a, p, streams)
	}
	return a
}

// rates returns how many requests of each stream of a path were to come due in a nanosecond; 0 where nobody knows.
func (e *excuser) rates(pod string) (counted, kept float64) {
	if e.load.Granted <= 0 {
		return 0, 0
	}
	counted = float64(e.load.Granted) / float64(max(e.load.Every, 1)) / float64(time.Second)
	if x, ok := e.expected[pod]; ok && x.Requests > 0 {
		kept = counted * float64(x.Persistent) / float64(x.Requests)
	}
	return counted, kept
}

// stopped returns the change that explains that the agent stopped between the two moments, the latest of several; nil
// where none does.
func (e *excuser) stopped(pod string, earliest, latest time.Time) *report.Change {
	for _, c := range slices.Backward(e.changes[pod]) {
		if !latest.Before(c.WindowStart.Add(-slack)) && (open(c) || !earliest.After(over(c).Add(grace))) {
			return &c
		}
	}
	return nil
}

// open reports whether the change is a restart that is not over yet.
func open(c report.Change) bool { return c.Kind == report.Restarted && c.WindowEnd.IsZero() }

// over is when the change was over; a restart that is still under way counts from when it began.
func over(c report.Change) time.Time { return latest(c.WindowStart, c.WindowEnd) }

// clock returns the two moments of the controller's clock between which a moment of the agent's clock lies. Only
// differences of the agent's clock are used, unless nobody knows when it started.
func clock(a report.Agent, at time.Time) (earliest, latest time.Time) {
	if a.Earliest.IsZero() || a.Latest.IsZero() {
		return at, at
	}
	return a.Earliest.Add(at.Sub(a.Started)), a.Latest.Add(at.Sub(a.Started))
}

// path marks what the changes explain on one path, on both of its streams. The streams are one path: what disproves
// that changes are the cause on one of them disproves it on the other.
func (e *excuser) path(a report.Agent, p report.Path, streams []stream) report.Path {
	if !slices.ContainsFunc(streams, func(s stream) bool { return len(s.spans) > 0 }) {
		return p
	}
	var excused bool
	switch p.Target.MayAnswer() {
	case target.OnePod:
		excused = e.during(e.alone(p.Target.Pod), streams)
	case target.Backends:
		// Where the node that has the address is gone, it does not matter who stands behind it.
		gone := e.during(e.drained(p.Target.AtNode), streams)
		excused = e.backends(a, p.Target, streams) || gone
	}
	if !excused {
		return p
	}
	marked := streams[0].marked()
	if p.Persistent != nil {
		kept := streams[1].marked()
		marked.Persistent = &kept
	}
	return marked
}
