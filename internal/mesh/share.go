package mesh

import (
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/topology"
)

// Limits bound the load of a round, in requests a second; 0 is no limit.
type Limits struct {
	// PerAgent is for each agent, Total for all agents together.
	PerAgent, Total int
	// Others and OthersTotal are what other rounds send at the same time from each of the same agents, and from all agents together.
	// They are already taken into account in what is above.
	Others, OthersTotal int
}

// Ask is the load that a round asks for.
type Ask struct {
	Load Load
	// Most is how many targets the agent with the most of them has, All how many all agents have together.
	Most, All int
	// Running tells that the load is under way as it is: it counts, and nothing can lower it any more.
	Running bool
}

// Ask is what the mesh asks for with the load.
func (m *Mesh) Ask(load Load) Ask {
	a := Ask{Load: load}
	for _, p := range m.Plans {
		a.Most = max(a.Most, len(p.Targets))
		a.All += len(p.Targets)
	}
	return a
}

// Rates are the requests a second of the agent with the most targets and of all agents together, as asked for.
func (a Ask) Rates() (perAgent, total int) { return a.Load.Sends(a.Most), a.Load.Sends(a.All) }

// Within are the same rates as far as the limits let them be.
func (a Ask) Within(limits Limits) (perAgent, total int) {
	if !a.Running {
		a.Load, _ = within(a, limits)
	}
	return a.Rates()
}

// Claim is the part of a limit that a round has which is under way.
type Claim struct {
	// Asked is what it asked for, Given what it was given.
	Asked, Given int
	// Open tells that neither is known yet, because the round is still being planned: it is taken to ask for all.
	Open bool
}

// Share is how much of the limit a round may use that asks for so much while the others have their claims: its part by max-min fairness,
// in which nobody gets more than it asks for and what one leaves is shared equally by those who want more, or what the others have left,
// whichever is more. The others keep what they were given. It is at least 1; a limit of 0 is none, and so is the share of it.
func Share(limit, asked int, others []Claim) int {
	if limit <= 0 {
		return 0
	}
	wanted := []int{asked}
	left := limit
	for _, o := range others {
		if o.Open {
			o = Claim{Asked: math.MaxInt, Given: limit / (len(others) + 1)}
		}
		wanted = append(wanted, o.Asked)
		left -= o.Given
	}
	return max(fair(limit, asked, wanted), left, 1)
}

// fair is what who asks for so much gets when the limit is filled like a vessel: all rise together until they have what they want.
func fair(limit, asked int, wanted []int) int {
	slices.Sort(wanted)
	for i, w := range wanted {
		level := limit / (len(wanted) - i)
		if w >= level {
			return min(asked, level)
		}
		limit -= w
	}
	return asked
}

// Count is how many agents are ready, and how many targets the one with the most has of the kinds and families that are wanted.
func Count(snapshot topology.Snapshot, want Want) (agents, most int) {
	for _, agent := range snapshot.Agents {
		if agent.Ready() {
			targets, _ := targetsOf(snapshot, agent, want)
			agents, most = agents+1, max(most, len(targets))
		}
	}
	return agents, most
}
