package report

// BackendSets has, by agent and target, which pods ought to answer on targets with several pods behind them.
type BackendSets struct {
	// sets has the sets that hold for all agents under the empty name.
	sets map[backendSetKey]BackendSet
}

type backendSetKey struct{ agent, target string }

// BackendSets returns the backend sets of the round.
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

// Pods returns the pods that ought to answer the agent on the target, sorted. known is false for a target without a
// backend set, such as the address of one agent.
func (b BackendSets) Pods(agent, target string) (pods []string, known bool) {
	set, known := b.Of(agent, target)
	return set.Pods, known
}

// Of returns the backend set of the target for the agent. known is false for a target without one.
func (b BackendSets) Of(agent, target string) (set BackendSet, known bool) {
	if set, known = b.sets[backendSetKey{agent, target}]; known {
		return set, true
	}
	set, known = b.sets[backendSetKey{"", target}]
	return set, known
}
