package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/limits"
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
	// caps has the caps of the installation, as the share of a round that is alone.
	caps limits.Share

	mu     sync.Mutex
	rounds map[schedule.Key]*holder
	// expected are rounds under way that nobody has taken up yet: what they send is not known.
	expected map[schedule.Key]bool
	// more is closed when there may be more to take than before.
	more chan struct{}
}

// holder is a round with its part of the budget.
type holder struct {
	task report.TaskRef
	// agents names the workload of its agents.
	agents string
	// agent is the round's claim on each of its agents, total its claim on the whole cluster.
	agent, total limits.Claim
}

// NewBudget returns a budget of the limits, in requests a second; 0 is no limit.
func NewBudget(perAgent, total int) *Budget {
	return &Budget{caps: limits.Share{PerAgent: perAgent, Total: total}, rounds: map[schedule.Key]*holder{},
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
		b.wakeWaiters()
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
func (b *Budget) Register(key schedule.Key, task report.TaskRef, of topology.Workload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rounds[key] = &holder{task: task, agents: of.Kind + "/" + of.Name, agent: limits.Claim{Open: true},
		total: limits.Claim{Open: true}}
}

// Acquire returns the share of a round that has registered, for its demand. Where other rounds leave less than its
// lowest rate needs, Acquire waits for them until the context ends; no rate fits the share then. A round that could not
// begin even alone gets such a share at once.
func (b *Budget) Acquire(ctx context.Context, key schedule.Key, demand limits.Demand) limits.Share {
	if !demand.Running {
		b.await(ctx, key)
	}
	for {
		share, more := b.acquire(key, demand)
		if more == nil || ctx.Err() != nil {
			return share
		}
		select {
		case <-ctx.Done():
		case <-more:
		}
	}
}

// acquire returns the share that there is now. Where the share is too little and will not always be, acquire also
// returns what to wait for.
func (b *Budget) acquire(key schedule.Key, demand limits.Demand) (limits.Share, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	round := b.rounds[key]
	if round == nil {
		return b.caps, nil
	}
	share := b.share(key, round, demand)
	agent, total := demand.Rates()
	grantedAgent, grantedTotal := demand.GrantedRates(share)
	if grantedAgent < round.agent.Granted || grantedTotal < round.total.Granted || b.expected[key] {
		delete(b.expected, key)
		b.wakeWaiters()
	}
	round.agent = limits.Claim{Demand: agent, Granted: grantedAgent}
	round.total = limits.Claim{Demand: total, Granted: grantedTotal}
	if grantedTotal > 0 || total <= 0 {
		return share, nil
	}
	lowestAgent, lowestTotal := demand.LowestRates()
	if b.caps.PerAgent > 0 && lowestAgent > b.caps.PerAgent || b.caps.Total > 0 && lowestTotal > b.caps.Total {
		return share, nil
	}
	return share, b.more
}

// share returns the round's part of both caps beside the claims of the others.
func (b *Budget) share(key schedule.Key, round *holder, demand limits.Demand) limits.Share {
	share := limits.Share{Cap: b.caps.PerAgent, CapTotal: b.caps.Total}
	var same, all []limits.Claim
	var users, usersTotal []string
	for other, s := range b.rounds {
		if other == key {
			continue
		}
		name := s.task.Kind + " " + s.task.Name
		all = append(all, s.total)
		share.OthersTotal += s.total.Granted
		if s.total.Granted > 0 {
			usersTotal = append(usersTotal, name)
		}
		if s.agents != round.agents {
			continue
		}
		same = append(same, s.agent)
		share.Others += s.agent.Granted
		if s.agent.Granted > 0 {
			users = append(users, name)
		}
	}
	share.Users, share.UsersTotal = named(users), named(usersTotal)
	agent, total := demand.Rates()
	lowestAgent, lowestTotal := demand.LowestRates()
	share.PerAgent = limits.FairShare(b.caps.PerAgent, agent, lowestAgent, same)
	share.Total = limits.FairShare(b.caps.Total, total, lowestTotal, all)
	return share
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
	b.wakeWaiters()
}

// wakeWaiters has the rounds that wait look again. The caller holds the lock.
func (b *Budget) wakeWaiters() {
	close(b.more)
	b.more = make(chan struct{})
}
