package diagnose

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// silentInPools are the pods that are silent where all views of a backend set are taken together, but for those that
// are known already; it makes them known. Each answer is a connection that was led to one of the pods by chance, so how
// many agents a pod answers none of is compared with how many it would answer none of by chance. The widest pool that
// shows a pod's silence speaks for it.
func (f facts) silentInPools(known map[string]bool) []silentPod {
	all := allPools(f.cells)
	var found []silentPod
	for _, p := range all {
		if p.pattern.dealt() {
			continue
		}
		pods := p.silent(len(all))
		s := p.sum(pods)
		if !s.explained() {
			pods = slices.DeleteFunc(pods, func(u unheard) bool { return !p.byChance(u) })
			if 2*len(pods) > len(p.set.pods) {
				// Where most are left out, the fault is not theirs.
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

// unheard is a pod that never answered some of the agents that can say something.
type unheard struct {
	pod            string
	judged, silent []string
	// turns reports that the pod gets its turns where targets select the backends.
	turns bool
}

// asking are the agents of the pool, sorted, without those that miss most pods while others do not.
func (p *pool) asking() []string {
	var all, fair []string
	for _, agent := range slices.Sorted(maps.Keys(p.agents)) {
		t := p.agents[agent]
		if t.n == 0 {
			continue
		}
		all = append(all, agent)
		if 2*t.unmet() <= len(t.met) || !enough(t.n, len(t.met), 1) {
			fair = append(fair, agent)
		}
	}
	if len(fair) > 0 {
		return fair
	}
	return all
}

// silent are the pods that are silent to more agents than chance explains, sorted.
func (p *pool) silent(comparisons int) []unheard {
	agents := p.asking()
	var found []unheard
	for i, pod := range p.set.pods {
		u := unheard{pod: pod, turns: p.hasTurns(i)}
		var got, share float64
		for _, agent := range agents {
			if agent == pod {
				continue
			}
			t := p.agents[agent]
			u.judged = append(u.judged, agent)
			if t.met[i] == 0 {
				u.silent = append(u.silent, agent)
				continue
			}
			got, share = got+float64(t.met[i]), share+float64(t.n)/float64(len(t.met))
		}
		// A pod that answers everyone seldom is not silent to some: that is for another rule.
		if got >= gross*share && unlikely(p.surprise(u), comparisons*len(p.set.pods)) {
			found = append(found, u)
		}
	}
	return found
}

// surprise is the logarithm of an upper bound of the probability that a pod like the others answers none of so many
// agents.
func (p *pool) surprise(u unheard) float64 {
	k := len(p.set.pods)
	if len(u.silent) == len(u.judged) {
		var n uint64
		for _, agent := range u.judged {
			n += p.agents[agent].n
		}
		return unmet(n, k)
	}
	var sum float64
	for _, agent := range u.judged {
		sum += math.Exp(unmet(p.agents[agent].n, k))
	}
	all := float64(len(u.judged))
	return tail(all, float64(len(u.silent))/all, sum/all)
}

// hasTurns reports whether the pod with the index answers about as often as the others where targets select the
// backends.
func (p *pool) hasTurns(i int) bool {
	var got, least float64
	for _, c := range p.cells {
		if c.way.bySource() {
			continue
		}
		for _, t := range c.targets {
			got, least = got+float64(t.met[i]), least+t.least()
		}
	}
	return least > 0 && got >= evenly*least
}

// least is how often each pod answers at least where requests are dealt in turn.
func (t *tally) least() float64 { return float64(t.n / uint64(len(t.met))) }

// evenly is how much of what chance, or dealing in turn, leads to must be there, so that it may have been that.
const evenly = 0.75

// byChance reports whether the silence would be a matter of chance, were the pod like the others. It would not be where
// targets deal requests in turn: each agent may then always meet the same few pods, if many ask at the same pace, or
// each pod once, if they ask one after the other, and some agents never meet a given one, which has its turns all the
// same. So a pod must lack turns, or the agents' own nodes must have had more requests to deal than there are pods;
// else the agents must meet about as many different pods in each view as chance has it.
func (p *pool) byChance(u unheard) bool {
	if !u.turns {
		return true
	}
	var n, seen, chance float64
	own := true
	for _, agent := range u.silent {
		t := p.agents[agent]
		n, seen, chance = n+float64(t.n), seen+t.seen, chance+t.chance
		own = own && t.turns >= uint64(len(p.set.pods))
	}
	return own || (seen >= evenly*chance && !(pattern{again: n - seen, chance: n - chance}).dealt())
}

// sums is what agents to which pods are silent made of their requests.
type sums struct {
	answered, lost uint64
	// turns is how many of the requests were those of the silent pods.
	turns  float64
	failed bool
}

func (s sums) explained() bool { return explained(s.lost, s.answered+s.lost, s.share()) }

func (s sums) share() float64 { return s.turns / float64(s.answered+s.lost) }

func (p *pool) sum(pods []unheard) sums {
	silent := map[string]int{}
	for _, u := range pods {
		for _, agent := range u.silent {
			silent[agent]++
		}
	}
	var s sums
	for _, agent := range slices.Sorted(maps.Keys(silent)) {
		t, n := p.agents[agent], silent[agent]
		s.answered, s.lost, s.failed = s.answered+t.n, s.lost+t.lost, s.failed || t.failed
		s.turns += float64(t.n+t.lost) * float64(n) / float64(len(p.set.pods))
	}
	return s
}

func (f facts) fromPool(p *pool, u unheard, s sums) silentPod {
	var n uint64
	for _, agent := range u.silent {
		n += p.agents[agent].n + p.agents[agent].lost
	}
	lines := []string{
		fmt.Sprintf("%s over %s were made from there, where about %.0f were its turn", plural(n, "request"), p.names(),
			float64(n)/float64(len(p.set.pods))),
		"from there, " + losses(s.lost, s.answered+s.lost, s.share()),
	}
	return silentPod{pod: u.pod, paths: p.names(), way: p.ways[0], families: p.families, judged: len(u.judged),
		silent:    u.silent,
		explained: s.explained(), clean: !s.failed, evidence: append(lines, f.closing(u.pod, p.targets())...)}
}
