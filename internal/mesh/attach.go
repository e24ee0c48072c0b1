package mesh

import (
	"errors"
	"fmt"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// Attach gives every path of the agent's report the plan's own target. A report names targets by their IDs alone: the
// agent does not know all that the judgement needs.
//
// Attach removes a path of a target that the plan does not have. An agent may run an older plan of the round, when the
// controller lost that plan and made another one from a cluster that has changed. Nothing passes for that: a target of
// the plan without a path counts as not measured.
//
// Attach returns an error for sums that do not add up to the plan's targets.
func (p Plan) Attach(r *report.AgentReport) error {
	index := targetIndex{plan: p}
	known := r.Paths[:0]
	for i, path := range r.Paths {
		t, ok := index.target(i, path.Target.ID)
		if !ok {
			continue
		}
		path.Target = *t
		if path.Persistent != nil {
			path.Persistent.Target = *t
		}
		known = append(known, path)
	}
	clear(r.Paths[len(known):])
	r.Paths = known
	return p.attachSums(r, &index)
}

// attachSums says what the sums of the report are of, and holds them against the plan: every target of the plan is
// listed or in the sum of its group, and every path that did not pass is counted.
func (p Plan) attachSums(r *report.AgentReport, index *targetIndex) error {
	if r.Ended.IsZero() && len(r.Sums) == 0 {
		// Nothing but the state was asked for.
		return nil
	}
	if p.Detail.Groups == nil {
		if len(r.Sums) > 0 || len(r.NotListed) > 0 {
			return errors.New("it has sums that the plan does not ask for")
		}
		return nil
	}
	left, notPassed := make([]uint64, len(p.Detail.Known)), make([]uint64, len(p.Detail.Known))
	for _, group := range p.Detail.Groups {
		left[group]++
	}
	listed := make(map[int]bool, len(r.Paths))
	for i, path := range r.Paths {
		if at, ok := index.place(i, path.Target.ID); ok {
			listed[at] = true
			left[p.Detail.Groups[at]]--
		}
	}
	for i, path := range r.NotListed {
		at := int(path.Index)
		if at >= p.Len() || listed[at] {
			return fmt.Errorf("path %d did not pass and is not listed, of %d targets", at, p.Len())
		}
		notPassed[p.Detail.Groups[at]]++
		r.NotListed[i].Target = p.At(at)
	}
	for i := range r.Sums {
		sum := &r.Sums[i]
		if int(sum.Group) >= len(left) || sum.Paths != left[sum.Group] || sum.NotPassed != notPassed[sum.Group] {
			return fmt.Errorf("the sum of group %d, %d paths of which %d did not pass, does not fit the plan", sum.Group,
				sum.Paths, sum.NotPassed)
		}
		left[sum.Group] = 0
		known := p.Detail.Known[sum.Group]
		sum.Zone = known.Zone
		sum.Total.Target = target.Target{Kind: known.Kind, Family: known.Family, Protocol: known.Protocol,
			Answer: known.Answer}
		if sum.Total.Persistent != nil {
			sum.Total.Persistent.Target = sum.Total.Target
		}
	}
	for group, n := range left {
		if n > 0 {
			return fmt.Errorf("%d paths of group %d are neither listed nor in a sum", n, group)
		}
	}
	return nil
}

// targetIndex finds targets by their IDs.
type targetIndex struct {
	plan Plan
	// places has the places of all targets; it is nil until a path stands at another place than its target.
	places map[string]int
}

// target returns the target with the ID. Agents that report every path do so in the order of their plan, so that the
// target is mostly the one at the path's own place.
func (x *targetIndex) target(place int, id string) (*target.Target, bool) {
	at, ok := x.place(place, id)
	if !ok {
		return nil, false
	}
	return x.plan.At(at), true
}

// place returns the place of the target with the ID.
func (x *targetIndex) place(place int, id string) (int, bool) {
	if place < x.plan.Len() && x.plan.At(place).ID == id {
		return place, true
	}
	if x.places == nil {
		x.places = make(map[string]int, x.plan.Len())
		for i := range x.plan.Len() {
			x.places[x.plan.At(i).ID] = i
		}
	}
	at, ok := x.places[id]
	return at, ok
}
