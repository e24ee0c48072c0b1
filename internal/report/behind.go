package report

// Behind tells, by agent and target, which pods ought to answer on targets that stand for several of them.
type Behind struct {
	// sets holds what holds for all agents under the empty name.
	sets map[behindKey]Backends
}

type behindKey struct{ agent, target string }

// Behind returns who ought to answer in the round.
func (r Round) Behind() Behind {
	b := Behind{sets: map[behindKey]Backends{}}
	for _, group := range r.Backends {
		for _, id := range group.Targets {
			if len(group.Sources) == 0 {
				b.sets[behindKey{"", id}] = group
			}
			for _, agent := range group.Sources {
				b.sets[behindKey{agent, id}] = group
			}
		}
	}
	return b
}

// Pods returns the pods that ought to answer the agent on the target, sorted, and whether anything is known of them:
// of a target that is one agent's own, nothing is.
func (b Behind) Pods(agent, target string) (pods []string, known bool) {
	set, known := b.Set(agent, target)
	return set.Pods, known
}

// Set returns all that is known of who may answer the agent on the target, and whether anything is.
func (b Behind) Set(agent, target string) (set Backends, known bool) {
	if set, known = b.sets[behindKey{agent, target}]; known {
		return set, true
	}
	set, known = b.sets[behindKey{"", target}]
	return set, known
}
