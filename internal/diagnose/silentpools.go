package diagnose

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// silentInPools returns the pods that are silent if all views of a backend set are taken together. Pods in known are
// left out; the returned pods are added to known. Each answer is a connection that was led to one of the pods by
// chance. So the number of agents that a pod never answers is compared with the number that it would never answer by
// chance. The widest pool that shows a pod's silence gives its figures.
func (f facts) silentInPools(known map[string]bool) []silentPod {
	all := allPools(f.cells)
	var found []silentPod
	for _, p := range all {
		if p.pattern.dealtInTurn() {
			continue
		}
		pods := p.silent(len(all))
		s := p.sum(pods)
		if !s.explained() {
			pods = slices.DeleteFunc(pods, func(u silentInPool) bool { return !p.notDealt(u) })
			if 2*len(pods) > len(p.set.pods) {
				// If most pods are left out, the fault is not theirs.
				continue
			}
		}
		for _, pod := range pods {
			if !known[pod.pod] {
				known[pod.pod] = true
				found = append(found, f.fromPool(p, pod, s))
			}
		}
	}
	return found
}

// silentInPool is a pod that never answered some of the agents that can judge it.
type silentInPool struct {
	pod                string
	judgedBy, silentTo []string
	// getsTurns reports that the pod gets its turns where targets select the backends.
	getsTurns bool
}

// fairAgents returns the agents of the pool, sorted, without the agents that miss most pods while others do not.
func (p *pool) fairAgents() []string {
	var all, fair []string
	for _, agent := range slices.Sorted(maps.Keys(p.agents)) {
		t := p.agents[agent]
		if t.n == 0 {
			continue
		}
		all = append(all, agent)
		if 2*t.silentPods() <= len(t.answers) || !enoughAnswers(t.n, len(t.answers), 1) {
			fair = append(fair, agent)
		}
	}
	if len(fair) > 0 {
		return fair
	}
	return all
}

// silent returns the pods that are silent to more agents than chance explains, sorted.
func (p *pool) silent(comparisons int) []silentInPool {
	agents := p.fairAgents()
	var found []silentInPool
	for i, pod := range p.set.pods {
		u := silentInPool{pod: pod, getsTurns: p.getsTurns(i)}
		var got, share float64
		for _, agent := range agents {
			if agent == pod {
				continue
			}
			t := p.agents[agent]
			u.judgedBy = append(u.judgedBy, agent)
			if t.answers[i] == 0 {
				u.silentTo = append(u.silentTo, agent)
				continue
			}
			got, share = got+float64(t.answers[i]), share+float64(t.n)/float64(len(t.answers))
		}
		// A pod that seldom answers any agent is not silent to some: another rule finds it.
		if got >= grossPart*share && unlikely(p.logChance(u), comparisons*len(p.set.pods)) {
			found = append(found, u)
		}
	}
	return found
}

// logChance returns the logarithm of an upper bound of the probability that a pod like the others answers none of the
// agents in u.silentTo.
func (p *pool) logChance(u silentInPool) float64 {
	k := len(p.set.pods)
	if len(u.silentTo) == len(u.judgedBy) {
		var n uint64
		for _, agent := range u.judgedBy {
			n += p.agents[agent].n
		}
		return logMissed(n, k)
	}
	var sum float64
	for _, agent := range u.judgedBy {
		sum += math.Exp(logMissed(p.agents[agent].n, k))
	}
	all := float64(len(u.judgedBy))
	return logTail(all, float64(len(u.silentTo))/all, sum/all)
}

// getsTurns reports whether the pod with the index answers about as often as the others where targets select the
// backends.
func (p *pool) getsTurns(i int) bool {
	var got, least float64
	for _, c := range p.cells {
		if c.pathKind.clientSelects() {
			continue
		}
		for _, t := range c.targets {
			got, least = got+float64(t.answers[i]), least+t.leastTurns()
		}
	}
	return least > 0 && got >= fairPart*least
}

// leastTurns returns how often each pod answers at least if requests are dealt in turn.
func (t *podCounts) leastTurns() float64 { return float64(t.n / uint64(len(t.answers))) }

// fairPart is the part of the expected answers above which chance, or dealing in turn, may have led to them.
const fairPart = 0.75

// notDealt reports whether the silence cannot come from dealing in turn. If targets deal requests in turn, some agents
// may never meet a given pod although it gets its turns: each agent may always meet the same few pods, if many ask at
// the same pace, or each pod once, if they ask one after the other. So one of three things must hold. The pod lacks
// turns; or the agents' own nodes had at least as many requests to deal as there are pods; or the agents meet about as
// many different pods in each view as chance leads to.
func (p *pool) notDealt(u silentInPool) bool {
	if !u.getsTurns {
		return true
	}
	var n, seen, chance float64
	own := true
	for _, agent := range u.silentTo {
		t := p.agents[agent]
		n, seen, chance = n+float64(t.n), seen+t.distinct, chance+t.expectedDistinct
		own = own && t.turns >= uint64(len(p.set.pods))
	}
	return own || (seen >= fairPart*chance && !(pattern{repeats: n - seen, expectedRepeats: n - chance}).dealtInTurn())
}

// silentSums adds up the requests of agents to which pods are silent.
type silentSums struct {
	answered, lost uint64
	// turns is how many of the requests were the silent pods' turns.
	turns  float64
	failed bool
}

func (s silentSums) explained() bool { return explained(s.lost, s.answered+s.lost, s.share()) }

func (s silentSums) share() float64 { return s.turns / float64(s.answered+s.lost) }

func (p *pool) sum(pods []silentInPool) silentSums {
	silent := map[string]int{}
	for _, u := range pods {
		for _, agent := range u.silentTo {
			silent[agent]++
		}
	}
	var s silentSums
	for _, agent := range slices.Sorted(maps.Keys(silent)) {
		t, n := p.agents[agent], silent[agent]
		s.answered, s.lost, s.failed = s.answered+t.n, s.lost+t.lost, s.failed || t.failed
		s.turns += float64(t.n+t.lost) * float64(n) / float64(len(p.set.pods))
	}
	return s
}

func (f facts) fromPool(p *pool, u silentInPool, s silentSums) silentPod {
	var n uint64
	for _, agent := range u.silentTo {
		n += p.agents[agent].n + p.agents[agent].lost
	}
	lines := []string{
		fmt.Sprintf("%s over %s were made from there, where about %.0f were its turn", plural(n, "request"), p.names(),
			float64(n)/float64(len(p.set.pods))),
		"from there, " + lossClause(s.lost, s.answered+s.lost, s.share()),
	}
	return silentPod{pod: u.pod, paths: p.names(), pathKind: p.pathKinds[0], families: p.families,
		judgedBy:  len(u.judgedBy),
		silentTo:  u.silentTo,
		explained: s.explained(), clean: !s.failed, evidence: append(lines, f.closingEvidence(u.pod, p.targets())...)}
}
