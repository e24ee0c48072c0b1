package controller

import (
	"sync"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
)

// Budget shares what agents may send between the rounds that run at the same time. Each agent has a budget of its own, which only rounds
// on the same agents share; that of the whole cluster is shared by all. A round that is under way keeps what it was given, and one that
// begins beside it gets its fair part all the same: for a while they may send more than the limit together, by no more than that part.
type Budget struct {
	limits mesh.Limits

	mu     sync.Mutex
	rounds map[schedule.Key]*spender
}

// spender is a round with its part of the budget.
type spender struct {
	// agents names the workload of its agents.
	agents string
	// agent is its claim on each of its agents, total that on the whole cluster.
	agent, total mesh.Claim
}

// NewBudget returns a budget of the limits, in requests a second.
func NewBudget(perAgent, total int) *Budget {
	return &Budget{limits: mesh.Limits{PerAgent: perAgent, Total: total}, rounds: map[schedule.Key]*spender{}}
}

// Enter counts a round that begins: rounds that are planned meanwhile leave it a fair part.
func (b *Budget) Enter(key schedule.Key, of topology.Workload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rounds[key] = &spender{agents: of.Kind + "/" + of.Name, agent: mesh.Claim{Open: true}, total: mesh.Claim{Open: true}}
}

// Take gives a round that has entered its part of the budget.
func (b *Budget) Take(key schedule.Key, ask mesh.Ask) mesh.Limits {
	b.mu.Lock()
	defer b.mu.Unlock()
	round := b.rounds[key]
	if round == nil {
		return b.limits
	}
	var same, all []mesh.Claim
	var limits mesh.Limits
	for other, s := range b.rounds {
		if other == key {
			continue
		}
		all = append(all, s.total)
		limits.OthersTotal += s.total.Given
		if s.agents == round.agents {
			same = append(same, s.agent)
			limits.Others += s.agent.Given
		}
	}
	agent, total := ask.Rates()
	limits.PerAgent, limits.Total = mesh.Share(b.limits.PerAgent, agent, same), mesh.Share(b.limits.Total, total, all)
	givenAgent, givenTotal := ask.Within(limits)
	round.agent, round.total = mesh.Claim{Asked: agent, Given: givenAgent}, mesh.Claim{Asked: total, Given: givenTotal}
	return limits
}

// Leave gives the round's part back.
func (b *Budget) Leave(key schedule.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.rounds, key)
}
