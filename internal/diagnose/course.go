package diagnose

import (
	"maps"
	"math"
	"slices"

	"kdoctor.io/kdoctor/internal/topology"
)

// course is where a Service leads requests that it ought to lead to all of its pods alike. There is none where its
// spec, or what stands between, is known to prefer some pods.
type course struct {
	kind courseKind
	set  *backendSet
	// ways are the kinds of paths for which this holds, families those over which.
	ways     []way
	families []topology.Family
	// apart is the one family for which this holds where another one is led otherwise; empty elsewhere.
	apart topology.Family
	// pods are those that answered, sorted, places where the selection is made that misses the others, sorted: nodes of
	// agents, or targets. Places are empty where it is made so everywhere.
	pods, places []string
	// agents are those that asked, sorted; answered and lost are as in look.
	agents         []string
	answered, lost uint64
	// counts are the answers of each of pods.
	counts []uint64
	// byTarget reports that each target, and not each agent, leads to the pods of one node.
	byTarget bool
}

type courseKind int

const (
	// toLocal leads each node to its own pods alone.
	toLocal courseKind = iota
	// toOne leads everybody to the same pod, toFew to less than half of the pods.
	toOne
	toFew
	// fromSome leads some places to less than half of the pods.
	fromSome
)

// courses are those of all ways that lead to less than they ought to, each beside the others that do the same.
func (f facts) courses() []course {
	// By their names, ways on which the clients' own nodes select come before node ports, which look at what those do.
	all := pools(f.cells, byWay)
	comparisons := 0
	for _, p := range all {
		for _, q := range append(p.apart(), p) {
			// Two for each node to itself, one for everybody, and each selecting place by itself.
			comparisons += 3 + len(q.selecting())
		}
	}
	var found []course
	for _, p := range all {
		for _, c := range f.coursesIn(p, found, comparisons) {
			if i := slices.IndexFunc(found, c.same); i >= 0 {
				found[i].merge(c)
				continue
			}
			found = append(found, c)
		}
	}
	return found
}

// apart are the pool's families by themselves, for each is led by rules of its own. There are none where the pool has
// one family.
func (p *pool) apart() []*pool {
	if len(p.families) < 2 {
		return nil
	}
	return pools(p.cells, byFamily)
}

// coursesIn are the course of the pool, or those of its families where they go other ways.
func (f facts) coursesIn(p *pool, before []course, comparisons int) []course {
	whole, ok := f.course(p, before, comparisons)
	var courses []course
	seen := false
	for _, family := range p.apart() {
		c, led := f.course(family, before, comparisons)
		switch {
		case !led:
		case ok && c.same(whole):
			seen = true
		default:
			c.apart = family.families[0]
			courses = append(courses, c)
		}
	}
	if ok && (seen || len(courses) == 0) {
		courses = append(courses, whole)
	}
	return courses
}

// same reports whether both lead to the same, so that they are told of together.
func (c course) same(o course) bool {
	return o.kind == c.kind && o.set.key == c.set.key && o.apart == c.apart &&
		slices.Equal(o.pods, c.pods) && slices.Equal(o.places, c.places)
}

// names are the ways, and the family where it is one of several, for people.
func (c course) names() string {
	if c.apart != "" {
		return names(c.ways) + " over " + string(c.apart)
	}
	return names(c.ways)
}

func (c *course) merge(o course) {
	c.ways = append(slices.Clone(c.ways), o.ways...)
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

func (f facts) course(p *pool, before []course, comparisons int) (course, bool) {
	total := p.total()
	c := course{set: p.set, ways: p.ways, families: p.families, agents: slices.Sorted(maps.Keys(p.agents)),
		answered: total.n, lost: total.lost}
	c.pods, c.counts = heard(p.set, total)
	if local, byTarget := f.eachToItself(p, before, comparisons); local {
		c.kind, c.byTarget = toLocal, byTarget
		return c, true
	}
	if total.few(comparisons) {
		if c.kind = toFew; len(c.pods) == 1 {
			c.kind = toOne
		}
		// Requests that are dealt in turn, from the same first pod everywhere, meet few pods by chance.
		return c, !p.pattern.dealt()
	}
	met := &tally{met: make([]uint64, len(p.set.pods))}
	selecting := p.selecting()
	for _, place := range slices.Sorted(maps.Keys(selecting)) {
		if t := selecting[place]; t.few(comparisons) {
			c.places = append(c.places, place)
			met.add(t)
		}
	}
	if len(c.places) == 0 {
		return c, false
	}
	c.kind, c.answered, c.lost = fromSome, met.n, met.lost
	c.pods, c.counts = heard(p.set, met)
	if p.ways[0].bySource() {
		c.agents = c.places
		c.places = f.nodesOf(c.places)
	}
	return c, true
}

// total is what all agents saw together.
func (p *pool) total() *tally {
	total := &tally{met: make([]uint64, len(p.set.pods))}
	for _, agent := range slices.Sorted(maps.Keys(p.agents)) {
		total.add(p.agents[agent])
	}
	return total
}

// selecting are the places that select backends: agents, for the node of each does it, or targets.
func (p *pool) selecting() map[string]*tally {
	if p.ways[0].bySource() {
		return p.agents
	}
	targets := map[string]*tally{}
	for _, c := range p.cells {
		maps.Copy(targets, c.targets)
	}
	return targets
}

// heard are the pods that answered, and how often.
func heard(set *backendSet, t *tally) (pods []string, counts []uint64) {
	for i, n := range t.met {
		if n > 0 {
			pods, counts = append(pods, set.pods[i]), append(counts, n)
		}
	}
	return pods, counts
}

// few reports whether less than half of the pods answered, which neither chance nor lost requests explain.
func (t *tally) few(comparisons int) bool {
	k := len(t.met)
	h := k - t.unmet()
	return 2*h < k && unlikely(choose(k, h)+t.within(h), comparisons)
}

// within is the logarithm of an upper bound of the probability that as many of the connections as were answered, of
// those and the lost ones, are led to a given h of the pods.
func (t *tally) within(h int) float64 {
	all := float64(t.n + t.lost)
	return tail(all, float64(t.n)/all, float64(h)/float64(len(t.met)))
}

// eachToItself reports whether agents on several nodes met the pods of their own node alone, or several targets led to
// those of one node alone each.
//
// Where targets select the backends and deal requests in turn, agents that ask at the same pace meet the same pod on a
// target again and again, which may be their own. So each target counts there as one selection, unless the agents' own
// nodes do the same by another way.
func (f facts) eachToItself(p *pool, before []course, comparisons int) (local, byTarget bool) {
	agents := func(agent string, _ *tally) string { return f.nodes[agent] }
	log := f.local(p, p.agents, agents, 0)
	if p.ways[0].bySource() {
		return unlikely(log, comparisons), false
	}
	targets := p.selecting()
	also := slices.ContainsFunc(before, func(c course) bool { return c.kind == toLocal && c.set.key == p.set.key })
	if !also {
		log = max(log, -float64(len(targets))*math.Log(float64(len(p.set.pods))))
	}
	// Which node has a target's address is not known: it is that of the first pod that answers there, so any of them
	// might have been it.
	first := func(_ string, t *tally) string {
		return f.nodes[p.set.pods[slices.IndexFunc(t.met, func(n uint64) bool { return n > 0 })]]
	}
	if unlikely(log, comparisons) {
		return true, false
	}
	return unlikely(f.local(p, targets, first, math.Log(float64(len(p.set.pods)))), comparisons), true
}

// local is the logarithm of an upper bound of the probability that all places, of two nodes at least, lead to the pods
// of one node alone each, as they do, by chance; 0 where they do not. Free is the logarithm of how many nodes each
// place's might have been.
func (f facts) local(p *pool, places map[string]*tally, nodeOf func(string, *tally) string, free float64) float64 {
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
			case t.met[i] > 0:
				return 0
			}
		}
		nodes = append(nodes, node)
		log += min(0, t.within(here)+free)
	}
	if len(sorted(nodes)) < 2 {
		return 0
	}
	return log
}

// isLocal reports whether the view is one of a Service that leads each node to itself.
func (f facts) isLocal(l look) bool {
	return slices.ContainsFunc(f.led, func(c course) bool {
		return c.kind == toLocal && c.set.key == l.set.key && slices.Contains(c.ways, wayOf(l.target)) &&
			slices.Contains(c.families, l.target.Family)
	})
}
