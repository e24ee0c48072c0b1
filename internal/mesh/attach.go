package mesh

import (
	"fmt"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// Attach gives every path of the agent's report the plan's own target. A report names targets by their IDs alone: the
// agent does not know all that the judgement needs. Attach returns an error, and the report must not be used, when the
// plan has no target of an ID.
func (p Plan) Attach(r *report.Agent) error {
	index := targetIndex{targets: p.Targets}
	for i := range r.Paths {
		path := &r.Paths[i]
		t, ok := index.target(i, path.Target.ID)
		if !ok {
			return fmt.Errorf("path %d: the plan has no target %q", i, path.Target.ID)
		}
		path.Target = t
		if path.Persistent != nil {
			path.Persistent.Target = t
		}
	}
	return nil
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
