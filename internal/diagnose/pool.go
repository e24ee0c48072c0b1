package diagnose

import (
	"cmp"
	"maps"
	"slices"

	"kdoctor.io/kdoctor/internal/topology"
)

// cell adds up the views of one backend set over one way and family. Only views in which all pods are selected alike,
// as far as is known, are in it.
type cell struct {
	set    *backendSet
	way    way
	family topology.Family
	// agents are what each agent saw, targets what was seen on each target, whoever asked.
	agents, targets map[string]*tally
	pattern         pattern
}

// tally is how often each pod of a set answered.
type tally struct {
	// met is by the place of the pod in the set.
	met []uint64
	// n is the sum of met; lost is how many attempts failed that may have been led to a pod.
	n, lost uint64
	// seen is how many different pods the agent met in each view, added up; chance is what that would be on average.
	seen, chance float64
	// turns is the most requests that the agent's own node led to pods for one address.
	turns uint64
	// failed reports that some view had failures that no change excuses.
	failed bool
}

func (t *tally) add(o *tally) {
	for i, n := range o.met {
		t.met[i] += n
	}
	t.n, t.lost, t.failed = t.n+o.n, t.lost+o.lost, t.failed || o.failed
	t.seen, t.chance, t.turns = t.seen+o.seen, t.chance+o.chance, max(t.turns, o.turns)
}

// unmet is how many of the pods gave no answer.
func (t *tally) unmet() int {
	n := 0
	for _, count := range t.met {
		if count == 0 {
			n++
		}
	}
	return n
}

// pattern is how often connections that one place selected the backends of came to a pod again, and how often they
// would by chance.
type pattern struct{ again, chance float64 }

// dealt reports whether requests may have been dealt in turn, as IPVS does: then none comes to a pod again before all
// others had theirs, all places may begin with the same pod, and few requests to each meet the same few pods
// everywhere.
func (p pattern) dealt() bool { return p.again < rarely*p.chance }

// rarely is how much of the repetitions that chance has must be there, so that requests are not dealt in turn.
const rarely = 0.25

func (p *pattern) add(met []uint64, n uint64) {
	p.again += float64(n) - float64(len(met)-zeros(met))
	p.chance += float64(n) - distinct(n, len(met))
}

func zeros(counts []uint64) int { return (&tally{met: counts}).unmet() }

func cellsOf(views []look) []*cell {
	type key struct {
		set    string
		way    way
		family topology.Family
	}
	byKey := map[key]*cell{}
	var cells []*cell
	answers := map[string]bool{}
	for _, l := range views {
		answers[l.target.ID] = answers[l.target.ID] || l.answered > 0
	}
	for _, l := range views {
		// What is lost on a target that answers nobody is no pod's turn.
		if l.uneven() || !answers[l.target.ID] {
			continue
		}
		k := key{l.set.key, wayOf(l.target), l.target.Family}
		c := byKey[k]
		if c == nil {
			c = &cell{set: l.set, way: k.way, family: k.family, agents: map[string]*tally{},
				targets: map[string]*tally{}}
			byKey[k], cells = c, append(cells, c)
		}
		c.add(l)
	}
	for _, c := range cells {
		if c.way.bySource() {
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(c.targets)) {
			c.pattern.add(c.targets[id].met, c.targets[id].n)
		}
	}
	slices.SortFunc(cells, func(a, b *cell) int {
		return cmp.Or(cmp.Compare(a.set.key, b.set.key), compareWays(a.way, b.way), cmp.Compare(a.family, b.family))
	})
	return cells
}

func compareWays(a, b way) int { return cmp.Compare(a.String(), b.String()) }

func (c *cell) add(l look) {
	t := &tally{met: make([]uint64, len(c.set.pods)), n: l.answered, lost: l.lost, failed: !l.clean}
	for pod, n := range l.peers {
		if i, ok := c.set.index[pod]; ok {
			t.met[i] = n
		}
	}
	t.seen, t.chance = float64(len(t.met)-t.unmet()), distinct(l.answered, len(t.met))
	if c.way.bySource() {
		t.turns = t.n
		c.pattern.add(t.met, t.n)
	}
	sum(c.agents, l.agent, t)
	sum(c.targets, l.target.ID, t)
}

func sum(all map[string]*tally, name string, t *tally) {
	if all[name] == nil {
		all[name] = &tally{met: make([]uint64, len(t.met))}
	}
	all[name].add(t)
}

// pool is what several cells of one backend set say together.
type pool struct {
	set      *backendSet
	cells    []*cell
	ways     []way
	families []topology.Family
	agents   map[string]*tally
	pattern  pattern
}

// pools adds up the cells of each set that have the same key, in the order of the cells.
func pools(cells []*cell, key func(*cell) string) []*pool {
	type place struct{ set, key string }
	byKey := map[place]*pool{}
	var all []*pool
	for _, c := range cells {
		at := place{c.set.key, key(c)}
		p := byKey[at]
		if p == nil {
			p = &pool{set: c.set, agents: map[string]*tally{}}
			byKey[at], all = p, append(all, p)
		}
		p.add(c)
	}
	return all
}

func (p *pool) add(c *cell) {
	p.cells = append(p.cells, c)
	if !slices.Contains(p.ways, c.way) {
		p.ways = append(p.ways, c.way)
	}
	if !slices.Contains(p.families, c.family) {
		p.families = append(p.families, c.family)
	}
	for agent, t := range c.agents {
		sum(p.agents, agent, t)
	}
	p.pattern.again += c.pattern.again
	p.pattern.chance += c.pattern.chance
}

func together(*cell) string   { return "" }
func byFamily(c *cell) string { return string(c.family) }
func byWay(c *cell) string    { return c.way.String() }
func byBoth(c *cell) string   { return c.way.String() + "/" + string(c.family) }

// allPools are the pools from all cells of a set together down to single cells, each once, the wider ones first.
func allPools(cells []*cell) []*pool {
	var all []*pool
	same := func(p *pool) func(*pool) bool {
		return func(o *pool) bool { return slices.Equal(o.cells, p.cells) }
	}
	for _, key := range []func(*cell) string{together, byFamily, byWay, byBoth} {
		for _, p := range pools(cells, key) {
			if !slices.ContainsFunc(all, same(p)) {
				all = append(all, p)
			}
		}
	}
	return all
}

// names are the ways, for people.
func (p *pool) names() string { return names(p.ways) }

// targets are the IDs of all targets of the pool, sorted.
func (p *pool) targets() []string {
	var ids []string
	for _, c := range p.cells {
		ids = slices.AppendSeq(ids, maps.Keys(c.targets))
	}
	return sorted(ids)
}
