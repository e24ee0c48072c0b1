package round

import (
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/topology"
)

// Budget shares what agents may send between rounds that run at the same time.
type Budget interface {
	// Enter tells that the round begins on agents of the workload, before it is known how much it asks for.
	Enter(key schedule.Key, of topology.Workload)
	// Take tells how much of what it asks for the round may send. Rounds that take later leave it that.
	Take(key schedule.Key, ask mesh.Ask) mesh.Limits
	// Leave tells that the round is over.
	Leave(key schedule.Key)
}

// unlimited is the budget where there is none.
type unlimited struct{}

func (unlimited) Enter(schedule.Key, topology.Workload) {}

func (unlimited) Take(schedule.Key, mesh.Ask) mesh.Limits { return mesh.Limits{} }

func (unlimited) Leave(schedule.Key) {}

// underWay tells the budget of a round whose plan is known already.
func (c *Conductor) underWay(key schedule.Key, m mesh.Mesh) {
	if len(m.Plans) == 0 {
		return
	}
	ask := m.Ask(m.Plans[0].Load)
	ask.Running = true
	c.Budget.Take(key, ask)
}
