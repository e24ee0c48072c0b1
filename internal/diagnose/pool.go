package diagnose

import (
	"cmp"
	"maps"
	"slices"

	"kdoctor.io/kdoctor/internal/topology"
)

// cell adds up the views of one backend set over one path kind and family. Views in which a known reason makes the
// selection uneven are left out.
type cell struct {
	set      *backendSet
	pathKind pathKind
	family   topology.Family
	// agents has what each agent saw. targets has what was seen on each target, whoever asked.
	agents, targets map[string]*podCounts
	pattern         pattern
}

// podCounts is how often each pod of a set answered.
type podCounts struct {
	// answers has the answers by the index of the pod in the set.
	answers []uint64
	// n is the sum of answers. lost is how many attempts failed that may have been led to a pod.
	n, lost uint64
	// distinct is how many different pods the agent met in each view, added up. expectedDistinct is what chance leads
	// to on average.
	distinct, expectedDistinct float64
	// turns is the largest number of requests that the agent's own node led to pods for one address.
	turns uint64
	// failed reports that some view had failures that no change excuses.
	failed bool
}

func (t *podCounts) add(o *podCounts) {
	for i, n := range o.answers {
		t.answers[i] += n
	}
	t.n, t.lost, t.failed = t.n+o.n, t.lost+o.lost, t.failed || o.failed
	t.distinct, t.expectedDistinct, t.turns = t.distinct+o.distinct, t.expectedDistinct+o.expectedDistinct,
		max(t.turns, o.turns)
}

// silentPods returns how many of the pods gave no answer.
func (t *podCounts) silentPods() int {
	n := 0
	for _, count := range t.answers {
		if count == 0 {
			n++
		}
	}
	return n
}

// pattern counts how often connections whose backends one place selected came to the same pod again, and how often they
// would by chance.
type pattern struct{ repeats, expectedRepeats float64 }

// dealtInTurn reports whether requests may have been dealt in turn, as IPVS does. Then no request comes to a pod again
// before all others had theirs. All places may begin with the same pod, so that few requests to each meet the same few
// pods everywhere.
func (p pattern) dealtInTurn() bool { return p.repeats < dealtBelow*p.expectedRepeats }

// dealtBelow is the part of the expected repeats below which requests may have been dealt in turn.
const dealtBelow = 0.25

func (p *pattern) add(answers []uint64, n uint64) {
	p.repeats += float64(n) - float64(len(answers)-zeros(answers))
	p.expectedRepeats += float64(n) - expectedDistinct(n, len(answers))
}

func zeros(counts []uint64) int { return (&podCounts{answers: counts}).silentPods() }

func cellsOf(views []view) []*cell {
	type key struct {
		set    string
		kind   pathKind
		family topology.Family
	}
	byKey := map[key]*cell{}
	var cells []*cell
	answers := map[string]bool{}
	for _, v := range views {
		answers[v.target.ID] = answers[v.target.ID] || v.answered > 0
	}
	for _, v := range views {
		// Requests lost on a target that answers nobody are no pod's turn.
		if v.uneven() || !answers[v.target.ID] {
			continue
		}
		k := key{v.set.key, pathKindOf(v.target), v.target.Family}
		c := byKey[k]
		if c == nil {
			c = &cell{set: v.set, pathKind: k.kind, family: k.family, agents: map[string]*podCounts{},
				targets: map[string]*podCounts{}}
			byKey[k], cells = c, append(cells, c)
		}
		c.add(v)
	}
	for _, c := range cells {
		if c.pathKind.clientSelects() {
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(c.targets)) {
			c.pattern.add(c.targets[id].answers, c.targets[id].n)
		}
	}
	slices.SortFunc(cells, func(a, b *cell) int {
		return cmp.Or(cmp.Compare(a.set.key, b.set.key), comparePathKinds(a.pathKind, b.pathKind),
			cmp.Compare(a.family, b.family))
	})
	return cells
}

func comparePathKinds(a, b pathKind) int { return cmp.Compare(a.String(), b.String()) }

func (c *cell) add(v view) {
	t := &podCounts{answers: make([]uint64, len(c.set.pods)), n: v.answered, lost: v.lost, failed: !v.clean}
	for pod, n := range v.peers {
		if i, ok := c.set.index[pod]; ok {
			t.answers[i] = n
		}
	}
	t.distinct, t.expectedDistinct = float64(len(t.answers)-t.silentPods()),
		expectedDistinct(v.answered, len(t.answers))
	if c.pathKind.clientSelects() {
		t.turns = t.n
		c.pattern.add(t.answers, t.n)
	}
	addTo(c.agents, v.agent, t)
	addTo(c.targets, v.target.ID, t)
}

func addTo(all map[string]*podCounts, name string, t *podCounts) {
	if all[name] == nil {
		all[name] = &podCounts{answers: make([]uint64, len(t.answers))}
	}
	all[name].add(t)
}

// pool adds up several cells of one backend set.
type pool struct {
	set       *backendSet
	cells     []*cell
	pathKinds []pathKind
	families  []topology.Family
	agents    map[string]*podCounts
	pattern   pattern
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
			p = &pool{set: c.set, agents: map[string]*podCounts{}}
			byKey[at], all = p, append(all, p)
		}
		p.add(c)
	}
	return all
}

func (p *pool) add(c *cell) {
	p.cells = append(p.cells, c)
	if !slices.Contains(p.pathKinds, c.pathKind) {
		p.pathKinds = append(p.pathKinds, c.pathKind)
	}
	if !slices.Contains(p.families, c.family) {
		p.families = append(p.families, c.family)
	}
	for agent, t := range c.agents {
		addTo(p.agents, agent, t)
	}
	p.pattern.repeats += c.pattern.repeats
	p.pattern.expectedRepeats += c.pattern.expectedRepeats
}

func byNothing(*cell) string    { return "" }
func byFamily(c *cell) string   { return string(c.family) }
func byPathKind(c *cell) string { return c.pathKind.String() }
func byBoth(c *cell) string     { return c.pathKind.String() + "/" + string(c.family) }

// allPools returns the pools from all cells of a set together down to single cells, each once, the wider ones first.
func allPools(cells []*cell) []*pool {
	var all []*pool
	same := func(p *pool) func(*pool) bool {
		return func(o *pool) bool { return slices.Equal(o.cells, p.cells) }
	}
	for _, key := range []func(*cell) string{byNothing, byFamily, byPathKind, byBoth} {
		for _, p := range pools(cells, key) {
			if !slices.ContainsFunc(all, same(p)) {
				all = append(all, p)
			}
		}
	}
	return all
}

// names names the path kinds, for people.
func (p *pool) names() string { return pathKindNames(p.pathKinds) }

// targets returns the IDs of all targets of the pool, sorted.
func (p *pool) targets() []string {
	var ids []string
	for _, c := range p.cells {
		ids = slices.AppendSeq(ids, maps.Keys(c.targets))
	}
	return sorted(ids)
}
