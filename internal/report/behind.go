package report

// BackendSets tells, by agent and target, which pods ought to answer on targets that stand for several of them.
type BackendSets struct {
	// sets holds what holds for all agents under the empty name.
	sets map[backendSetKey]BackendSet
}

type backendSetKey struct{ agent, target string }

// BackendSets returns who ought to answer in the round.
func (r Round) BackendSets() BackendSets {
	b := BackendSets{sets: map[backendSetKey]BackendSet{}}
	for _, group := range r.Backends {
		for _, id := range group.Targets {
			if len(group.Askers) == 0 {
				b.sets[backendSetKey{"", id}] = group
			}
			for _, agent := range group.Askers {
				b.sets[backendSetKey{agent, id}] = group
			}
		}
	}
	return b
}

// Pods returns the pods that ought to answer the agent on the target, sorted, and whether anything is known of them:
// of a target that is one agent's own, nothing is.
func (b BackendSets) Pods(agent, target string) (pods []string, known bool) {
	set, known := b.Of(agent, target)
	return set.Pods, known
}

// Of returns all that is known of who may answer the agent on the target, and whether anything is.
func (b BackendSets) Of(agent, target string) (set BackendSet, known bool) {
	if set, known = b.sets[backendSetKey{agent, target}]; known {
		return set, true
	}
	set, known = b.sets[backendSetKey{"", target}]
	return set, known
}
