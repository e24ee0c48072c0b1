package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
)

// expectWithin is how long rounds that another process began have to be taken up before others begin all the same.
const expectWithin = 10 * time.Second

// mostUsers is how many tasks are named that leave too little to another.
const mostUsers = 3

// Budget shares what agents may send between the rounds that run at the same time. Each agent has a budget of its own,
// which only rounds on the same agents share; that of the whole cluster is shared by all. A round that is under way
// keeps what it was given. One that begins beside it gets no more than what is left, so that all together stay within
// the limits, and waits where that is too little for it.
type Budget struct {
	limits mesh.Limits

	mu     sync.Mutex
	rounds map[schedule.Key]*holder
	// expected are rounds under way that nobody has taken up yet: what they send is not known.
	expected map[schedule.Key]bool
	// more is closed when there may be more to take than before.
	more chan struct{}
}

// holder is a round with its part of the budget.
type holder struct {
	task report.Task
	// agents names the workload of its agents.
	agents string
	// agent is its claim on each of its agents, total that on the whole cluster.
	agent, total mesh.Claim
}

// NewBudget returns a budget of the limits, in requests a second; 0 is no limit.
func NewBudget(perAgent, total int) *Budget {
	return &Budget{limits: mesh.Limits{PerAgent: perAgent, Total: total}, rounds: map[schedule.Key]*holder{},
		expected: map[schedule.Key]bool{}, more: make(chan struct{})}
}

// Expect tells of rounds that another process began and this one is about to take up. Others wait for them, for
// expectWithin at most.
func (b *Budget) Expect(keys []schedule.Key) {
	if len(keys) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, key := range keys {
		b.expected[key] = true
	}
	time.AfterFunc(expectWithin, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		clear(b.expected)
		b.releaseSurplus()
	})
}

// await waits until all rounds that were expected are taken up, unless this is one of them.
func (b *Budget) await(ctx context.Context, key schedule.Key) {
	for {
		b.mu.Lock()
		waiting, more := len(b.expected) > 0 && !b.expected[key], b.more
		b.mu.Unlock()
		if !waiting {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-more:
		}
	}
}

// Register counts a round that begins: rounds that are planned meanwhile leave it a fair part.
func (b *Budget) Register(key schedule.Key, task report.Task, of topology.Workload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rounds[key] = &holder{task: task, agents: of.Kind + "/" + of.Name, agent: mesh.Claim{Open: true},
		total: mesh.Claim{Open: true}}
}

// Acquire gives a round that has entered its part of the budget. Where others leave less than its lowest rate needs, it
// waits for them until the context ends; the limits are then such that no rate fits. A round that could not begin even
// alone is told so at once.
func (b *Budget) Acquire(ctx context.Context, key schedule.Key, ask mesh.Ask) mesh.Limits {
	if !ask.Running {
		b.await(ctx, key)
	}
	for {
		limits, more := b.acquire(key, ask)
		if more == nil || ctx.Err() != nil {
			return limits
		}
		select {
		case <-ctx.Done():
		case <-more:
		}
	}
}

// acquire gives what there is now. It returns what to wait for where that is too little and will not always be.
func (b *Budget) acquire(key schedule.Key, ask mesh.Ask) (mesh.Limits, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	round := b.rounds[key]
	if round == nil {
		return b.limits, nil
	}
	limits := b.share(key, round, ask)
	agent, total := ask.Rates()
	givenAgent, givenTotal := ask.Within(limits)
	if givenAgent < round.agent.Given || givenTotal < round.total.Given || b.expected[key] {
		delete(b.expected, key)
		b.releaseSurplus()
	}
	round.agent, round.total = mesh.Claim{Asked: agent, Given: givenAgent}, mesh.Claim{Asked: total, Given: givenTotal}
	if givenTotal > 0 || total <= 0 {
		return limits, nil
	}
	leastAgent, leastTotal := ask.Least()
	if b.limits.PerAgent > 0 && leastAgent > b.limits.PerAgent || b.limits.Total > 0 && leastTotal > b.limits.Total {
		return limits, nil
	}
	return limits, b.more
}

// share is the round's part of both limits beside the claims of the others.
func (b *Budget) share(key schedule.Key, round *holder, ask mesh.Ask) mesh.Limits {
	limits := mesh.Limits{Cap: b.limits.PerAgent, CapTotal: b.limits.Total}
	var same, all []mesh.Claim
	var users, usersTotal []string
	for other, s := range b.rounds {
		if other == key {
			continue
		}
		name := s.task.Kind + " " + s.task.Name
		all = append(all, s.total)
		limits.OthersTotal += s.total.Given
		if s.total.Given > 0 {
			usersTotal = append(usersTotal, name)
		}
		if s.agents != round.agents {
			continue
		}
		same = append(same, s.agent)
		limits.Others += s.agent.Given
		if s.agent.Given > 0 {
			users = append(users, name)
		}
	}
	limits.Users, limits.UsersTotal = named(users), named(usersTotal)
	agent, total := ask.Rates()
	leastAgent, leastTotal := ask.Least()
	limits.PerAgent = mesh.Share(b.limits.PerAgent, agent, leastAgent, same)
	limits.Total = mesh.Share(b.limits.Total, total, leastTotal, all)
	return limits
}

// named lists tasks, sorted, the first few by name.
func named(tasks []string) string {
	slices.Sort(tasks)
	tasks = slices.Compact(tasks)
	if more := len(tasks) - mostUsers; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(tasks[:mostUsers], ", "), more)
	}
	return strings.Join(tasks, ", ")
}

// Release gives the round's part back.
func (b *Budget) Release(key schedule.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.rounds, key)
	delete(b.expected, key)
	b.releaseSurplus()
}

// releaseSurplus has those who wait look again. The caller holds the lock.
func (b *Budget) releaseSurplus() {
	close(b.more)
	b.more = make(chan struct{})
}
