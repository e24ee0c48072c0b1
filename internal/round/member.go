package round

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/store"
	"kdoctor.io/kdoctor/internal/topology"
)

// result is what came of one agent's part.
type result struct {
	report report.Agent
	// have reports whether there is a report, whole or in part.
	have bool
	// gone is true where asking again is of no use.
	gone bool
	// lost is why there is no report, as one clause.
	lost string
	// answered is when the agent was last asked that then answered, or when the round was planned, for it was ready
	// then. silent is when it was first asked in vain after that; zero for never.
	answered, silent time.Time
}

// crew is all agents with a plan in one round.
type crew struct {
	config  Config
	members []*member
	// slots bounds the calls under way.
	slots chan struct{}
	// softEnd is when following ends, so that the last asking is over by the deadline.
	softEnd time.Time
	// unknown is what it means that an agent does not have the round.
	unknown string
}

// member is one agent in one round.
type member struct {
	crew *crew
	plan mesh.Plan
	// began is when the agent's load began, as far as is known.
	began time.Time
	// earliest and latest are moments between which the agent started: when the start was first sent, or the round
	// planned where another process did that, and when it was acknowledged; latest is zero until that is known.
	earliest, latest time.Time
	// running is when the agent was last asked that then was not done yet; zero for never.
	running time.Time
	// answered and silent are those of the result.
	answered, silent time.Time
	result           result
}

func newCrew(config Config, plan store.Plan) *crew {
	c := &crew{config: config, slots: make(chan struct{}, config.Parallel),
		unknown: "the agent restarted during the round"}
	c.softEnd = plan.Deadline.Add(-min(reserve, plan.Deadline.Sub(plan.Started)/10))
	for _, p := range plan.Mesh.Plans {
		c.members = append(c.members,
			&member{crew: c, plan: p, began: plan.Started, answered: plan.Started, earliest: plan.Started})
	}
	return c
}

// each runs do for all members at the same time and waits for all.
func (c *crew) each(do func(*member)) {
	var all sync.WaitGroup
	for _, m := range c.members {
		all.Go(func() { do(m) })
	}
	all.Wait()
}

// collect follows all agents to their ends and returns what came of each, in the order of the plans. The last asking is
// for all at once, after the last request of anyone, so that the counts of served requests are whole. With it comes
// what happened to the agents meanwhile. seen is the snapshot that the plan was made for; nil for a round that is taken
// up again.
func (c *Conductor) collect(ctx context.Context, plan store.Plan, of topology.Workload,
	seen *topology.Snapshot) ([]result, []report.Change) {
	all := newCrew(c.Config, plan)
	members, resumed := c.watch(plan, of, seen), seen == nil
	if time.Now().Before(all.softEnd) {
		following, cancel := context.WithDeadline(ctx, all.softEnd)
		members.begin(following)
		all.each(func(m *member) { m.follow(following, resumed) })
		members.end()
		cancel()
	} else {
		all.unknown = "the controller was down until after the deadline, and the agent no longer has its report"
	}
	// A round that is handed over must go on at the agents: nothing may be asked or stopped any more.
	if ctx.Err() != nil {
		return nil, nil
	}
	within := collectWithin
	if left := time.Until(plan.Deadline); left > 0 {
		within = min(within, left)
	}
	last, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	all.each(func(m *member) { m.last(last) })
	results := make([]result, 0, len(all.members))
	answered, silent := make(map[string]time.Time, len(all.members)), map[string]time.Time{}
	for _, m := range all.members {
		r := m.result
		r.answered, r.silent = m.answered, m.silent
		results = append(results, r)
		answered[m.plan.Agent.Pod] = m.answered
		if !m.silent.IsZero() {
			silent[m.plan.Agent.Pod] = m.silent
		}
	}
	return results, members.changes(ctx, plan.Deadline, answered, silent)
}

// follow starts the agent, unless it is under way, and asks for its report until it is done, lost or given up.
func (m *member) follow(ctx context.Context, resumed bool) {
	if !m.start(ctx, resumed) {
		return
	}
	load := m.plan.Load
	// Of a round that was taken up long after its load nobody has asked for the reports yet.
	giveUp := later(m.began.Add(load.Duration+load.Timeout), time.Now()).Add(giveUpAfter)
	for sleep(ctx, m.untilNextPoll()) {
		err := m.fetch(ctx)
		switch {
		case err == nil && !m.result.report.Ended.IsZero():
			return
		case err == nil:
			giveUp = later(giveUp, time.Now().Add(giveUpAfter))
		case m.result.gone || time.Now().After(giveUp):
			return
		}
	}
}

// untilNextPoll is short once the load ought to be over.
func (m *member) untilNextPoll() time.Duration {
	left := time.Until(m.began.Add(m.plan.Load.Duration + settle))
	if left <= 0 {
		return pollEvery
	}
	return min(left, max(heartbeat, time.Duration(len(m.crew.members))*heartbeatEach))
}

// start reports whether the agent has the round. A round taken up again is started only where the agent does not have
// it and there is time left for all of it: its start may have been what the earlier process did not get to.
func (m *member) start(ctx context.Context, resumed bool) bool {
	if resumed {
		if err := m.fetch(ctx); !m.result.gone {
			return err != nil || m.result.report.Ended.IsZero()
		}
		if load := m.plan.Load; time.Until(m.crew.softEnd) < load.Duration+load.Timeout {
			m.result.lost = "the agent does not have the round, and there was no time left to start it"
			return false
		}
		m.result = result{}
	}
	var err error
	m.earliest = time.Now()
	for until := m.earliest.Add(startWithin); ; {
		m.began = time.Now()
		if err = m.startOnce(ctx); err == nil {
			m.latest, m.answered = time.Now(), m.began
			return true
		}
		if time.Now().Add(startAgain).After(until) || !sleep(ctx, startAgain) {
			break
		}
	}
	m.silent = m.earliest
	m.result = result{gone: true, lost: "the round could not be started: " + clause(err)}
	// The agent may have begun although its answer did not arrive: what it sends now would count for nobody.
	within, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	m.stop(within)
	return false
}

func (m *member) startOnce(ctx context.Context) error {
	plan := m.plan
	return m.call(ctx, func(ctx context.Context) error {
		plan.Limit = time.Until(m.crew.softEnd)
		return m.crew.config.Agents.Start(ctx, plan.Agent, plan)
	})
}

// fetch asks once and keeps the answer. An agent that does not have the round has restarted, and what it measured is
// gone.
func (m *member) fetch(ctx context.Context) error {
	var got report.Agent
	asked := time.Now()
	err := m.call(ctx, func(ctx context.Context) (err error) {
		got, err = m.crew.config.Agents.Fetch(ctx, m.plan.Agent, m.plan.Key)
		return err
	})
	switch {
	case err != nil:
	case got.Pod != m.plan.Agent.Pod:
		err = fmt.Errorf("agent %s answered in its place", got.Pod)
	default:
		err = m.plan.Attach(&got)
	}
	switch {
	case err == nil:
		m.answered, m.silent = asked, time.Time{}
	case m.silent.IsZero():
		m.silent = asked
	}
	switch {
	case err == nil:
		if got.Ended.IsZero() {
			m.running = asked
		} else {
			m.earliest, m.latest = started(m.earliest, m.latest, m.running, time.Now(), got.Ended.Sub(got.Started))
		}
		got.Earliest, got.Latest = m.earliest, m.latest
		m.result = result{report: got, have: true}
	case errors.Is(err, m.crew.config.Unknown):
		// A report that is whole stays whole, whatever the agent forgot later.
		if !m.result.report.Ended.IsZero() {
			return err
		}
		m.result = result{gone: true, lost: m.crew.unknown}
	case m.result.lost == "" || ctx.Err() == nil:
		m.result.lost = "no answer: " + clause(err)
	}
	return err
}

// started narrows between which moments an agent started. It was still running at one moment, zero where nobody saw it,
// and done at another one, and ran for so long by its own clock. A moment that nobody knows is zero.
func started(earliest, latest, running, done time.Time, ran time.Duration) (time.Time, time.Time) {
	if !running.IsZero() {
		earliest = later(earliest, running.Add(-ran))
	}
	if done = done.Add(-ran); latest.IsZero() || done.Before(latest) {
		latest = done
	}
	return earliest, latest
}

// last asks once more, and stops an agent that is still at it when the round is over. What an agent said earlier counts
// without a last answer only where it was the whole: else nobody knows what came after.
func (m *member) last(ctx context.Context) {
	if m.result.gone {
		return
	}
	switch err := m.fetch(ctx); {
	case !m.result.have || !m.result.report.Ended.IsZero():
	case err != nil:
		m.result.have = false
	default:
		m.result.report.Finished = false
		m.stop(ctx)
	}
}

// stop asks the agent to end the round. There is nobody to tell of a failure: the limit in the agent's plan ends it
// then.
func (m *member) stop(ctx context.Context) {
	_ = m.call(ctx, func(ctx context.Context) error {
		return m.crew.config.Agents.Stop(ctx, m.plan.Agent, m.plan.Key)
	})
}

// call makes one call to the agent when there is a free slot; the time for the call counts from then.
func (m *member) call(ctx context.Context, do func(context.Context) error) error {
	select {
	case m.crew.slots <- struct{}{}:
		defer func() { <-m.crew.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return do(within)
}

// clause cuts an error to one line of a length that fits a status.
func clause(err error) string {
	const longest = 300
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
