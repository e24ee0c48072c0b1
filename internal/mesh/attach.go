package mesh

import (
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// Attach gives every path of the agent's report the plan's own target. A report names targets by their IDs alone: the
// agent does not know all that the judgement needs.
//
// Attach removes a path of a target that the plan does not have. An agent may run an older plan of the round, when the
// controller lost that plan and made another one from a cluster that has changed. Nothing passes for that: a target of
// the plan without a path counts as not measured.
func (p Plan) Attach(r *report.AgentReport) {
	index := targetIndex{targets: p.Targets}
	known := r.Paths[:0]
	for i, path := range r.Paths {
		t, ok := index.target(i, path.Target.ID)
		if !ok {
			continue
		}
		path.Target = t
		if path.Persistent != nil {
			path.Persistent.Target = t
		}
		known = append(known, path)
	}
	clear(r.Paths[len(known):])
	r.Paths = known
}

// targetIndex finds targets by their IDs.
type targetIndex struct {
	targets []target.Target
	// places has the places of all targets; it is nil until a path stands at another place than its target.
	places map[string]int
}

// target returns the target with the ID. Agents report in the order of their plan, so the target is mostly the one at
// the path's own place.
func (x *targetIndex) target(place int, id string) (target.Target, bool) {
	if place < len(x.targets) && x.targets[place].ID == id {
		return x.targets[place], true
	}
	if x.places == nil {
		x.places = make(map[string]int, len(x.targets))
		for i, t := range x.targets {
			x.places[t.ID] = i
		}
	}
	i, ok := x.places[id]
	if !ok {
		return target.Target{}, false
	}
	return x.targets[i], true
}
