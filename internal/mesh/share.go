package mesh

import (
	"slices"

	"kdoctor.io/kdoctor/internal/topology"
)

// Limits bound the load of a round, in requests a second. 0 is no limit; below 0 nothing is left.
type Limits struct {
	// PerAgent is for each agent, Total for all agents together.
	PerAgent, Total int
	// Others and OthersTotal are what other rounds send at the same time from each of the same agents, and from all
	// agents together. They are already taken into account in what is above.
	Others, OthersTotal int
	// Cap and CapTotal are the limits of the installation, Users and UsersTotal name the tasks that send what others
	// send.
	Cap, CapTotal     int
	Users, UsersTotal string
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

// Least are the same rates with a single request to each target, the least that can be planned.
func (a Ask) Least() (perAgent, total int) {
	a.Load = a.Load.lowest()
	return a.Rates()
}

// Within are the same rates as far as the limits let them be, and 0 where they let none.
func (a Ask) Within(limits Limits) (perAgent, total int) {
	if a.Running {
		return a.Rates()
	}
	_, told := within(a, limits)
	return told.Sends, told.TotalSends
}

// Claim is the part of a limit that a round has which has begun.
type Claim struct {
	// Asked is what it asked for, Given what it was given: nothing as long as it waits.
	Asked, Given int
	// Open tells that neither is known yet, because the round is still being planned: it is taken to ask for all.
	Open bool
}

// Share is how much of the limit a round may use that asks for so much, and can be planned with no less than least,
// while the others have their claims. It is its part by max-min fairness, in which nobody gets more than it asks for
// and what one does not ask for is shared equally by those who want more; or what the others do not ask for, or least,
// where that is more. It is never more than is left of what the others were given, so that all together stay within the
// limit, and below 0 where nothing is left. A limit of 0 is none, and so is the share of it.
func Share(limit, asked, least int, others []Claim) int {
	if limit <= 0 {
		return 0
	}
	wanted := []int{asked}
	left, unasked := limit, limit
	for _, o := range others {
		if o.Open {
			o = Claim{Asked: all}
		}
		wanted = append(wanted, o.Asked)
		left -= o.Given
		unasked = max(unasked-o.Asked, 0)
	}
	slices.Sort(wanted)
	if share := min(max(fair(limit, asked, wanted), unasked, least), left); share > 0 {
		return share
	}
	return -1
}

// Count is how many agents are ready, and how many targets the one with the most has of the kinds and families that are
// wanted.
func Count(snapshot topology.Snapshot, want Want) (agents, most int) {
	planner := newPlanner(snapshot, want)
	for _, agent := range snapshot.Agents {
		if agent.Ready() {
			agents, most = agents+1, max(most, len(planner.of(agent).targets))
		}
	}
	return agents, most
}
