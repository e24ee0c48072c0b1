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
	find := finder{targets: p.Targets}
	for i := range r.Paths {
		path := &r.Paths[i]
		t, ok := find.target(i, path.Target.ID)
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

// finder finds targets by their IDs.
type finder struct {
	targets []target.Target
	// index has the places of all targets; it is nil until a path stands at another place than its target.
	index map[string]int
}

// target returns the target with the ID. Agents report in the order of their plan, so the target is mostly the one at
// the path's own place.
func (f *finder) target(place int, id string) (target.Target, bool) {
	if place < len(f.targets) && f.targets[place].ID == id {
		return f.targets[place], true
	}
	if f.index == nil {
		f.index = make(map[string]int, len(f.targets))
		for i, t := range f.targets {
			f.index[t.ID] = i
		}
	}
	i, ok := f.index[id]
	if !ok {
		return target.Target{}, false
	}
	return f.targets[i], true
}
