// Package limits keeps the load of rounds within caps. A round has a demand, made of the load that its task asks for
// and the targets that the mesh planned. Each of the two caps, for one agent and for all agents together, is shared
// fairly between the rounds that run at the same time. Grant lowers a round's load until it fits its share.
package limits

import (
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
)

// Demand is the load that a round asks for, on the targets that it has.
type Demand struct {
	Load mesh.Load
	// Most is the number of targets of the agent that has the most, All the number of targets of all agents together.
	Most, All int
	// Running reports that the load is under way as it is: it counts, and nothing can lower it any more.
	Running bool
}

// DemandOf returns the demand of a round with the mesh and the load.
func DemandOf(m mesh.Mesh, load mesh.Load) Demand {
	most, all := m.Sizes()
	return Demand{Load: load, Most: most, All: all}
}

// Rates returns the requests a second that are asked for: of the agent with the most targets, and of all agents
// together.
func (d Demand) Rates() (perAgent, total int) { return Sends(d.Load, d.Most), Sends(d.Load, d.All) }

// LowestRates returns the same two rates with a single request to each target, the least that can be planned.
func (d Demand) LowestRates() (perAgent, total int) {
	d.Load = lowest(d.Load)
	return d.Rates()
}

// GrantedRates returns the same two rates as far as the share allows them; both are 0 when the share allows no rate.
func (d Demand) GrantedRates(share Share) (perAgent, total int) {
	if d.Running {
		return d.Rates()
	}
	_, budget := d.grant(share)
	return budget.Sends, budget.TotalSends
}

// Share is what a round may send, in requests a second. The zero value has no limit.
type Share struct {
	// PerAgent is for each agent, Total for all agents together. 0 is no limit; below 0 nothing is left.
	PerAgent, Total int
	// Others and OthersTotal are what other rounds send at the same time from each of the same agents, and from all
	// agents together. PerAgent and Total are what remains beside them.
	Others, OthersTotal int
	// Cap and CapTotal are the caps of the installation.
	Cap, CapTotal int
	// Users and UsersTotal name the tasks whose rounds send Others and OthersTotal.
	Users, UsersTotal string
}

// Grant gives all plans of the mesh the load, lowered until it fits the share, and writes into the mesh what was asked
// for, what was granted, and what the granted load costs. Grant may be repeated. When even the lowest rate does not
// fit, m.Load.Withheld reports it, and the round must not run.
func Grant(m *mesh.Mesh, asked mesh.Load, share Share) {
	load, budget := DemandOf(*m, asked).grant(share)
	for _, p := range m.Plans {
		budget.AnswerBytes = p.Answer.Bytes
	}
	m.Load = budget
	m.SetLoad(load)
}

// grant lowers the load until it fits the share. When no rate fits, the load is the lowest one, and the budget says
// that nothing was granted.
func (d Demand) grant(share Share) (mesh.Load, report.RequestBudget) {
	load, fits := Highest(d.Load, d.Most, share.PerAgent)
	total, fitsTotal := Highest(d.Load, d.All, share.Total)
	budget := report.RequestBudget{Asked: d.Load.PerSecond, Limit: max(share.PerAgent, 0), Targets: d.Most,
		TotalLimit: max(share.Total, 0), TotalTargets: d.All,
		Others: share.Others, OthersTotal: share.OthersTotal, ByTotal: slower(total, load)}
	if budget.ByTotal {
		load = total
	}
	if d.Most > mesh.MaxTargets {
		budget.MostTargets = mesh.MaxTargets
		return lowest(d.Load), budget
	}
	if !fits || !fitsTotal {
		return d.refuse(share, fits, budget)
	}
	cost := FootprintOf(load, d.Most)
	budget.Granted, budget.Sends, budget.TotalSends = load.PerSecond, Sends(load, d.Most), Sends(load, d.All)
	if load.Divisor() > 1 {
		budget.Every = load.Every
	}
	budget.Connections, budget.Tracked, budget.Ports = cost.Connections, cost.Tracked, cost.Ports
	return load, budget
}

// refuse completes the budget of a demand whose lowest rate does not fit either: what the lowest rate needs, the
// cap that it meets, and the tasks that use the cap, unless the lowest rate is above the whole cap.
func (d Demand) refuse(share Share, fitsAgent bool, budget report.RequestBudget) (mesh.Load, report.RequestBudget) {
	load := lowest(d.Load)
	budget.ByTotal = fitsAgent
	budget.LowestRate, budget.Cap, budget.UsedBy = Sends(load, d.Most), share.Cap, share.Users
	if budget.ByTotal {
		budget.LowestRate, budget.Cap, budget.UsedBy = Sends(load, d.All), share.CapTotal, share.UsersTotal
	}
	if budget.LowestRate > budget.Cap {
		budget.UsedBy = ""
	}
	return load, budget
}

// mostRounds bounds in how many rounds every pair is probed.
const mostRounds = 1 << 16

// Rounds returns in how many rounds a mesh must probe its pairs so that one request to each target of a round stays
// within the installation's caps; 1 where every round may probe all pairs, or must. The result is a power of two, so
// that it changes seldom while nodes come and go.
func Rounds(m mesh.Mesh, load mesh.Load, pairs mesh.Pairs, share Share) uint64 {
	rounds := uint64(1)
	if m.Shared == nil && !m.MayRotate() || pairs == mesh.FullPairs {
		return rounds
	}
	demand := DemandOf(m, load)
	if m.Shared != nil {
		rounds = max(m.Shared.Rotation.Rounds, 1)
	}
	for factor := uint64(1); rounds < mostRounds; rounds, factor = rounds*2, factor*2 {
		part := demand
		part.Most, part.All = partOf(demand.Most, factor), partOf(demand.All, factor)
		perAgent, total := part.LowestRates()
		if part.Most > mesh.MaxTargets {
			continue
		}
		if (share.Cap <= 0 || perAgent <= share.Cap) && (share.CapTotal <= 0 || total <= share.CapTotal) {
			break
		}
	}
	return rounds
}

// partOf returns a part of the targets, with a tenth more: classes are of about the same size, and neighbors and failed
// pairs are always probed.
func partOf(targets int, factor uint64) int {
	if factor == 1 {
		return targets
	}
	part := targets / int(factor) // #nosec G115 -- at most mostRounds
	return part + part/10 + 16
}
