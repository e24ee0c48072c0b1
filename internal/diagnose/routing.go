package diagnose

import (
	"maps"
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/topology"
)

// routing is where a Service leads requests that it ought to lead to all of its pods alike. A Service that is known to
// prefer some pods, by its spec or because of a proxy, has no routing.
type routing struct {
	kind routingKind
	set  *backendSet
	// pathKinds and families are the kinds of paths and the families for which the routing holds.
	pathKinds []pathKind
	families  []topology.Family
	// ownFamily is the family for which the routing holds, if other families are led elsewhere; else empty.
	ownFamily topology.Family
	// pods are the pods that answered, sorted. selectors are the places whose selection misses the other pods, sorted:
	// nodes of agents, or targets. selectors is empty if all places do so.
	pods, selectors []string
	// agents are the agents that asked, sorted; answered and lost are as in view.
	agents         []string
	answered, lost uint64
	// counts are the answers of each of pods.
	counts []uint64
	// byTarget reports that each target leads to the pods of one node, and not each agent.
	byTarget bool
}

type routingKind int

const (
	// toLocal leads each node to its own pods only.
	toLocal routingKind = iota
	// toOne leads all agents to the same pod, toFew to less than half of the pods.
	toOne
	toFew
	// fromSome leads some selectors to less than half of the pods.
	fromSome
)

// findRoutings returns the routings of all path kinds that lead to fewer pods than they ought to. Equal routings are
// merged.
func (f facts) findRoutings() []routing {
	// Sorted by name, path kinds on which the clients' own nodes select come before node ports, whose judgement depends
	// on them.
	all := pools(f.cells, byPathKind)
	comparisons := 0
	for _, p := range all {
		for _, q := range append(p.splitByFamily(), p) {
			// Two comparisons for each node to itself, one for all agents, and one for each selector.
			comparisons += 3 + len(q.bySelector())
		}
	}
	var found []routing
	for _, p := range all {
		for _, c := range f.routingsIn(p, found, comparisons) {
			if i := slices.IndexFunc(found, c.same); i >= 0 {
				found[i].merge(c)
				continue
			}
			found = append(found, c)
		}
	}
	return found
}

// splitByFamily returns one pool for each of the pool's families, because each family is led by rules of its own. It is
// empty if the pool has one family.
func (p *pool) splitByFamily() []*pool {
	if len(p.families) < 2 {
		return nil
	}
	return pools(p.cells, byFamily)
}

// routingsIn returns the routing of the pool, or the routings of its families if they differ from it.
func (f facts) routingsIn(p *pool, before []routing, comparisons int) []routing {
	common, ok := f.routingOf(p, before, comparisons)
	var routings []routing
	seen := false
	for _, family := range p.splitByFamily() {
		c, led := f.routingOf(family, before, comparisons)
		switch {
		case !led:
		case ok && c.same(common):
			seen = true
		default:
			c.ownFamily = family.families[0]
			routings = append(routings, c)
		}
	}
	if ok && (seen || len(routings) == 0) {
		routings = append(routings, common)
	}
	return routings
}

// same reports whether both routings lead to the same pods, so that one finding can cover them.
func (c routing) same(o routing) bool {
	return o.kind == c.kind && o.set.key == c.set.key && o.ownFamily == c.ownFamily &&
		slices.Equal(o.pods, c.pods) && slices.Equal(o.selectors, c.selectors)
}

// names names the path kinds, and the family if it is one of several, for people.
func (c routing) names() string {
	if c.ownFamily != "" {
		return pathKindNames(c.pathKinds) + " over " + string(c.ownFamily)
	}
	return pathKindNames(c.pathKinds)
}

func (c *routing) merge(o routing) {
	c.pathKinds = append(slices.Clone(c.pathKinds), o.pathKinds...)
	for _, family := range o.families {
		if !slices.Contains(c.families, family) {
			c.families = append(slices.Clone(c.families), family)
		}
	}
	c.answered, c.lost = c.answered+o.answered, c.lost+o.lost
	for i, n := range o.counts {
		c.counts[i] += n
	}
	c.agents = sorted(slices.Concat(c.agents, o.agents))
}

func (f facts) routingOf(p *pool, before []routing, comparisons int) (routing, bool) {
	total := p.total()
	c := routing{set: p.set, pathKinds: p.pathKinds, families: p.families, agents: slices.Sorted(maps.Keys(p.agents)),
		answered: total.n, lost: total.lost}
	c.pods, c.counts = answeringPods(p.set, total)
	if local, byTarget := f.staysOnNode(p, before, comparisons); local {
		c.kind, c.byTarget = toLocal, byTarget
		return c, true
	}
	if total.leadsToFew(comparisons) {
		if c.kind = toFew; len(c.pods) == 1 {
			c.kind = toOne
		}
		// Requests that are dealt in turn, from the same first pod everywhere, meet few pods without a fault.
		return c, !p.pattern.dealtInTurn()
	}
	few := &podCounts{answers: make([]uint64, len(p.set.pods))}
	selecting := p.bySelector()
	for _, place := range slices.Sorted(maps.Keys(selecting)) {
		if t := selecting[place]; t.leadsToFew(comparisons) {
			c.selectors = append(c.selectors, place)
			few.add(t)
		}
	}
	if len(c.selectors) == 0 {
		return c, false
	}
	c.kind, c.answered, c.lost = fromSome, few.n, few.lost
	c.pods, c.counts = answeringPods(p.set, few)
	if p.pathKinds[0].clientSelects() {
		c.agents = c.selectors
		c.selectors = f.nodesOf(c.selectors)
	}
	return c, true
}

// total adds up what all agents saw.
func (p *pool) total() *podCounts {
	total := &podCounts{answers: make([]uint64, len(p.set.pods))}
	for _, agent := range slices.Sorted(maps.Keys(p.agents)) {
		total.add(p.agents[agent])
	}
	return total
}

// bySelector returns what was seen by selector: by agent if the agents' nodes select the backends, else by target.
func (p *pool) bySelector() map[string]*podCounts {
	if p.pathKinds[0].clientSelects() {
		return p.agents
	}
	targets := map[string]*podCounts{}
	for _, c := range p.cells {
		maps.Copy(targets, c.targets)
	}
	return targets
}

// answeringPods returns the pods that answered, and how often.
func answeringPods(set *backendSet, t *podCounts) (pods []string, counts []uint64) {
	for i, n := range t.answers {
		if n > 0 {
			pods, counts = append(pods, set.pods[i]), append(counts, n)
		}
	}
	return pods, counts
}

// leadsToFew reports whether less than half of the pods answered, and neither chance nor lost requests explain that.
func (t *podCounts) leadsToFew(comparisons int) bool {
	k := len(t.answers)
	h := k - t.silentPods()
	return 2*h < k && unlikely(logChoose(k, h)+t.logWithin(h), comparisons)
}

// logWithin returns the logarithm of an upper bound of the probability that as many connections as were answered, of
// the answered and the lost ones, are led to a given h of the pods.
func (t *podCounts) logWithin(h int) float64 {
	all := float64(t.n + t.lost)
	return logTail(all, float64(t.n)/all, float64(h)/float64(len(t.answers)))
}

// staysOnNode reports whether agents on several nodes met the pods of their own node only, or several targets each led
// to the pods of one node only.
//
// If targets select the backends and deal requests in turn, agents that ask at the same pace meet the same pod on a
// target every time, and it may be their own. So each target counts as one selection, unless the agents' own nodes do
// the same for another kind of path.
func (f facts) staysOnNode(p *pool, before []routing, comparisons int) (local, byTarget bool) {
	agents := func(agent string, _ *podCounts) string { return f.nodes[agent] }
	log := f.logStaysOnNode(p, p.agents, agents, 0)
	if p.pathKinds[0].clientSelects() {
		return unlikely(log, comparisons), false
	}
	targets := p.bySelector()
	also := slices.ContainsFunc(before, func(c routing) bool { return c.kind == toLocal && c.set.key == p.set.key })
	if !also {
		log = max(log, -float64(len(targets))*math.Log(float64(len(p.set.pods))))
	}
	// Which node has a target's address is unknown. It is taken to be the node of the first pod that answers there; any
	// of the nodes might have been taken.
	first := func(_ string, t *podCounts) string {
		return f.nodes[p.set.pods[slices.IndexFunc(t.answers, func(n uint64) bool { return n > 0 })]]
	}
	if unlikely(log, comparisons) {
		return true, false
	}
	return unlikely(f.logStaysOnNode(p, targets, first, math.Log(float64(len(p.set.pods)))), comparisons), true
}

// logStaysOnNode returns the logarithm of an upper bound of the probability that all places, of at least two nodes,
// each lead to the pods of one node only by chance; 0 if the places do not lead so. free is the logarithm of how many
// nodes each place might belong to.
func (f facts) logStaysOnNode(p *pool, places map[string]*podCounts, nodeOf func(string, *podCounts) string,
	free float64) float64 {
	var nodes []string
	var log float64
	for _, place := range slices.Sorted(maps.Keys(places)) {
		t := places[place]
		if t.n == 0 {
			continue
		}
		node, here := nodeOf(place, t), 0
		for i, pod := range p.set.pods {
			switch {
			case f.nodes[pod] == node:
				here++
			case t.answers[i] > 0:
				return 0
			}
		}
		nodes = append(nodes, node)
		log += min(0, t.logWithin(here)+free)
	}
	if len(sorted(nodes)) < 2 {
		return 0
	}
	return log
}

// knownLocal reports whether the view is of a Service that leads each node to its own pods.
func (f facts) knownLocal(v view) bool {
	return slices.ContainsFunc(f.routings, func(c routing) bool {
		return c.kind == toLocal && c.set.key == v.set.key && slices.Contains(c.pathKinds, pathKindOf(v.target)) &&
			slices.Contains(c.families, v.target.Family)
	})
}
