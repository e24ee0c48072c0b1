package oracle

import (
	"math/rand/v2"
	"time"

	"kdoctor.io/kdoctor/internal/limits"
	"kdoctor.io/kdoctor/internal/load"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
)

// Truth is what happened in a round, with the cause of each request's ending.
type Truth struct {
	Scenario Scenario
	Agents   []AgentTruth
	// Length is when the last agent's load was over.
	Length time.Duration

	world         *world
	mesh          mesh.Mesh
	snapshotTimes []time.Duration
}

// AgentTruth is what happened to one agent that was given a plan.
type AgentTruth struct {
	// Number is the number of the agent's node.
	Number int
	// Stopped is when the agent stopped before its load was over, Cause is why; Stopped is forever if the agent did not
	// stop.
	Stopped time.Duration
	Cause   Cause
	// Reports reports whether the agent's report reached the controller. If not, LostBecause is the fault or the change
	// that kept the report away.
	Reports     bool
	LostBecause Cause
	// SilentSince is when the agent was first asked in vain, LastAnswered when it was last asked that then answered.
	SilentSince, LastAnswered time.Duration
	// Earliest and Latest are the moments between which, as the controller knows, the agent began.
	Earliest, Latest time.Duration
	Paths            []PathTruth
}

// PathTruth is what happened on one target of an agent.
type PathTruth struct {
	Target              target.Target
	Counted, Persistent stream
	// HasPersistent reports that there is a persistent stream.
	HasPersistent bool
	r             route
}

// heartbeat is how often an agent is asked while its load lasts, snapshotEvery how often a snapshot of the cluster is
// taken.
const (
	heartbeat     = 2 * time.Second
	snapshotEvery = 10 * time.Second
)

// Simulate runs the scenario.
func Simulate(s Scenario) *Truth {
	w := newWorld(&s)
	planned := w.snapshot(0)
	t := &Truth{Scenario: s, world: w}
	t.mesh = mesh.New(schedule.Key{UID: "oracle", Round: 1}, report.TaskRef{Kind: "NetReach", Name: "oracle"}, planned,
		mesh.Want{Kinds: s.Kinds, Families: s.Families, Load: s.Load, Limit: time.Hour})
	limits.Grant(&t.mesh, s.Load, limits.Share{})
	seeds := rand.New(rand.NewPCG(s.Seed, s.Number^0x5bd1e995)) // #nosec G404 -- rounds must be repeatable
	for _, plan := range t.mesh.Plans {
		a := t.agent(plan, seeds)
		t.Agents = append(t.Agents, a)
		t.Length = max(t.Length, s.Starts[a.Number].At+s.Load.Duration)
	}
	t.Length += s.Load.Timeout + time.Second
	for at := snapshotEvery; at < t.Length; at += snapshotEvery {
		t.snapshotTimes = append(t.snapshotTimes, at)
	}
	t.snapshotTimes = append(t.snapshotTimes, t.Length)
	t.fetchReports()
	for i := range t.Agents {
		t.boundStart(&t.Agents[i])
	}
	return t
}

// numberOf returns the number in the name of a pod that the plan has.
func (w *world) numberOf(pod string) int {
	for i := range w.pods {
		if w.pods[i].name == pod {
			return i
		}
	}
	return nobody
}

// agent carries out one plan.
func (t *Truth) agent(plan mesh.Plan, seeds *rand.Rand) AgentTruth {
	w := t.world
	a := AgentTruth{Number: w.numberOf(plan.Agent.Pod)}
	start := w.s.Starts[a.Number]
	a.Stopped, a.Cause = w.endOf(a.Number)
	for i, l := range w.s.Limits {
		if l.Node == a.Number && l.Stopped && l.To < a.Stopped {
			a.Stopped, a.Cause = l.To, Cause{ByAsker, int16(i)} // #nosec G115 -- a scenario has few limits
		}
	}
	if a.Stopped >= start.At+plan.Load.Duration+plan.Load.Timeout {
		a.Stopped, a.Cause = forever, Cause{}
	}
	pace, persistent := load.PaceOf(plan.Load), load.PersistentPaceOf(plan.Load)
	for _, to := range plan.Targets {
		p := PathTruth{Target: to, r: w.routeOf(a.Number, to)}
		made := path{w: w, r: p.r, stuckTo: nobody, timeout: plan.Load.Timeout,
			random: rand.New(rand.NewPCG(seeds.Uint64(), seeds.Uint64()))} // #nosec G404 -- rounds must be repeatable
		phase := pace.Phase(plan.Agent.Pod, to.ID)
		due := dueTimes(plan.Load.Requests(), start.At+phase, a.Stopped, pace.Offset)
		if plan.Load.Connection == mesh.KeepAlive {
			p.Counted = made.persistentConnection(due)
		} else {
			p.Counted = made.newConnections(due)
		}
		if persistent.Requests > 0 {
			p.HasPersistent = true
			made.persistent = true
			from := start.At + persistent.Phase(plan.Agent.Pod, to.ID)
			p.Persistent = made.persistentConnection(dueTimes(persistent.Requests, from, a.Stopped, persistent.Offset))
		}
		a.Paths = append(a.Paths, p)
	}
	return a
}

// dueTimes returns the moments at which requests are due until the agent stops.
func dueTimes(n uint64, from, until time.Duration, offset func(uint64) time.Duration) []time.Duration {
	all := make([]time.Duration, 0, n)
	for i := range n {
		if at := from + offset(i); at < until {
			all = append(all, at)
		}
	}
	return all
}

// fetchReports finds out which reports reach the controller.
func (t *Truth) fetchReports() {
	for i := range t.Agents {
		a := &t.Agents[i]
		start, end := t.Scenario.Starts[a.Number],
			t.Scenario.Starts[a.Number].At+t.Scenario.Load.Duration+t.Scenario.Load.Timeout
		dies, why := t.world.endOf(a.Number)
		a.Reports, a.SilentSince = true, forever
		a.LastAnswered = t.Length
		switch {
		case dies >= t.Length:
		case dies >= end:
			// The agent's report was complete by then, and nobody asked again until everyone was asked for the last
			// time.
			a.LastAnswered, a.SilentSince = end, t.Length
		case why.Culprit == ByChange && t.Scenario.Changes[why.Index].ReportFetched:
			// The last question came between the end of the agent's load and the agent's own end.
			a.LastAnswered, a.SilentSince = dies, t.Length
		default:
			a.Reports, a.LostBecause = false, why
			a.SilentSince = nextBeat(start.Known, dies)
			a.LastAnswered = max(start.Known, a.SilentSince-heartbeat)
		}
		for number, f := range t.Scenario.Faults {
			if f.Kind == LostReport && f.Node == a.Number && f.From < min(a.SilentSince, dies) && f.To >= t.Length {
				a.Reports, a.LostBecause = false,
					Cause{ByFault, int16(number)} // #nosec G115 -- a scenario has few faults
				a.SilentSince = nextBeat(start.Known, f.From)
				a.LastAnswered = max(start.Known, a.SilentSince-heartbeat)
			}
		}
	}
}

// The conductor asks every heartbeat, once more when the load ought to be over, and then often.
const (
	afterLoad = 200 * time.Millisecond
	atTheEnd  = 500 * time.Millisecond
)

// boundStart finds out how well the controller knows when the agent began: by its own start, and by when it was seen
// running and done.
func (t *Truth) boundStart(a *AgentTruth) {
	start := t.Scenario.Starts[a.Number]
	a.Earliest, a.Latest = start.Asked, start.Known
	if !a.Reports {
		return
	}
	done := min(a.lastEnd(start.At), a.Stopped)
	ran, due := done-start.At, start.At+t.Scenario.Load.Duration+afterLoad
	for at := start.Known; ; {
		if at >= done {
			a.Latest = min(a.Latest, at-ran)
			return
		}
		a.Earliest = max(a.Earliest, at-ran)
		switch left := due - at; {
		case a.Stopped != forever && at+heartbeat > done:
			// The agent says so itself before it goes.
			at = done + time.Millisecond
		case left > 0:
			at += min(left, heartbeat)
		default:
			at += atTheEnd
		}
	}
}

// nextBeat returns the first heartbeat at or after the moment.
func nextBeat(from, t time.Duration) time.Duration {
	if t <= from {
		return from
	}
	return from + (t-from+heartbeat-1)/heartbeat*heartbeat
}
