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

// Truth is what happened in a round: the ledger of the simulation, from which it is known what each request met.
type Truth struct {
	Scenario Scenario
	Agents   []AgentTruth
	// Length is when the last agent's load was over.
	Length time.Duration

	world *world
	mesh  mesh.Mesh
	looks []time.Duration
}

// AgentTruth is what happened to one agent that was given a plan.
type AgentTruth struct {
	// Number is that of its node.
	Number int
	// Stopped is when it stopped before its load was over, and why; forever where it did not.
	Stopped time.Duration
	Cause   Cause
	// Reports reports whether its report reached the controller; Lost is the fault that kept it away, or the change,
	// else.
	Reports bool
	Lost    Cause
	// Silent is when it was first asked in vain, Answered when it was last asked that then answered.
	Silent, Answered time.Duration
	// Earliest and Latest are the moments between which the controller knows that it began.
	Earliest, Latest time.Duration
	Paths            []PathTruth
}

// PathTruth is what happened on one target of an agent.
type PathTruth struct {
	Target        target.Target
	Counted, Kept stream
	// HasKept reports that there is a kept stream.
	HasKept bool
	r       route
}

// heartbeat is how often an agent is asked while its load lasts, lookEvery how often the cluster is looked at.
const (
	heartbeat = 2 * time.Second
	lookEvery = 10 * time.Second
)

// Simulate runs the scenario.
func Simulate(s Scenario) *Truth {
	w := newWorld(&s)
	planned := w.snapshot(0)
	t := &Truth{Scenario: s, world: w}
	t.mesh = mesh.New(schedule.Key{UID: "oracle", Round: 1}, report.Task{Kind: "NetReach", Name: "oracle"}, planned,
		mesh.Want{Kinds: s.Kinds, Families: s.Families, Load: s.Load, Limit: time.Hour})
	limits.Grant(&t.mesh, s.Load, limits.Share{})
	seeds := rand.New(rand.NewPCG(s.Seed, s.Number^0x5bd1e995)) // #nosec G404 -- rounds must be repeatable
	for _, plan := range t.mesh.Plans {
		a := t.agent(plan, seeds)
		t.Agents = append(t.Agents, a)
		t.Length = max(t.Length, s.Starts[a.Number].At+s.Load.Duration)
	}
	t.Length += s.Load.Timeout + time.Second
	for at := lookEvery; at < t.Length; at += lookEvery {
		t.looks = append(t.looks, at)
	}
	t.looks = append(t.looks, t.Length)
	t.follow()
	for i := range t.Agents {
		t.narrow(&t.Agents[i])
	}
	return t
}

// numberOf is the number in the name of a pod that the plan has.
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
	a.Stopped, a.Cause = w.gone(a.Number)
	for i, l := range w.s.Limits {
		if l.Node == a.Number && l.Stopped && l.To < a.Stopped {
			a.Stopped, a.Cause = l.To, Cause{ByAsker, int16(i)} // #nosec G115 -- a scenario has few limits
		}
	}
	if a.Stopped >= start.At+plan.Load.Duration+plan.Load.Timeout {
		a.Stopped, a.Cause = forever, Cause{}
	}
	pace, kept := load.PaceOf(plan.Load), load.PersistentPaceOf(plan.Load)
	for _, to := range plan.Targets {
		p := PathTruth{Target: to, r: w.routeOf(a.Number, to)}
		made := path{w: w, r: p.r, stuck: nobody, timeout: plan.Load.Timeout,
			random: rand.New(rand.NewPCG(seeds.Uint64(), seeds.Uint64()))} // #nosec G404 -- rounds must be repeatable
		phase := pace.Phase(plan.Agent.Pod, to.ID)
		due := dues(plan.Load.Requests(), start.At+phase, a.Stopped, pace.Offset)
		if plan.Load.Connection == mesh.KeepAlive {
			p.Counted = made.persistent(due)
		} else {
			p.Counted = made.fresh(due)
		}
		if kept.Requests > 0 {
			p.HasKept = true
			made.kept = true
			p.Kept = made.persistent(dues(kept.Requests, start.At+kept.Phase(plan.Agent.Pod, to.ID), a.Stopped,
				kept.Offset))
		}
		a.Paths = append(a.Paths, p)
	}
	return a
}

// dues are the moments at which requests are due until the agent stops.
func dues(n uint64, from, until time.Duration, offset func(uint64) time.Duration) []time.Duration {
	all := make([]time.Duration, 0, n)
	for i := range n {
		if at := from + offset(i); at < until {
			all = append(all, at)
		}
	}
	return all
}

// follow finds out which reports reach the controller.
func (t *Truth) follow() {
	for i := range t.Agents {
		a := &t.Agents[i]
		start, end := t.Scenario.Starts[a.Number],
			t.Scenario.Starts[a.Number].At+t.Scenario.Load.Duration+t.Scenario.Load.Timeout
		dies, why := t.world.gone(a.Number)
		a.Reports, a.Silent = true, forever
		a.Answered = t.Length
		switch {
		case dies >= t.Length:
		case dies >= end:
			// Its report was whole by then, and nobody asked again until the last asking of all.
			a.Answered, a.Silent = end, t.Length
		case why.Culprit == ByChange && t.Scenario.Changes[why.Index].Partial:
			// The last asking came between the end of its load and its own.
			a.Answered, a.Silent = dies, t.Length
		default:
			a.Reports, a.Lost = false, why
			a.Silent = nextBeat(start.Known, dies)
			a.Answered = max(start.Known, a.Silent-heartbeat)
		}
		for number, f := range t.Scenario.Faults {
			if f.Kind == LostReport && f.Node == a.Number && f.From < min(a.Silent, dies) && f.To >= t.Length {
				a.Reports, a.Lost = false, Cause{ByFault, int16(number)} // #nosec G115 -- a scenario has few faults
				a.Silent = nextBeat(start.Known, f.From)
				a.Answered = max(start.Known, a.Silent-heartbeat)
			}
		}
	}
}

// The conductor asks every heartbeat, once more when the load ought to be over, and then often.
const (
	afterLoad = 200 * time.Millisecond
	atTheEnd  = 500 * time.Millisecond
)

// narrow finds out how well the controller knows when the agent began: by its own start, and by when it was seen
// running and done.
func (t *Truth) narrow(a *AgentTruth) {
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
			// It says so itself before it goes.
			at = done + time.Millisecond
		case left > 0:
			at += min(left, heartbeat)
		default:
			at += atTheEnd
		}
	}
}

// nextBeat is the first heartbeat at or after the moment.
func nextBeat(from, t time.Duration) time.Duration {
	if t <= from {
		return from
	}
	return from + (t-from+heartbeat-1)/heartbeat*heartbeat
}
