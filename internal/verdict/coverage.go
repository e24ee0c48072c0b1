package verdict

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// group is what paths are counted by.
type group struct {
	kind   target.Kind
	family topology.Family
}

// enough returns why too little was judged for the round to pass; nothing where it was enough. Nothing of it may be
// worse than void.
func enough(round report.Round, agents []Agent) []Reason {
	judged := map[string]bool{}
	for _, a := range agents {
		if a.Result == Pass {
			judged[a.Pod] = true
		}
	}
	if len(judged) == 0 {
		return []Reason{changes(Reason{Code: NothingLeft}, round.Churn)}
	}
	var reasons []Reason
	if n, of := uint64(len(judged)), uint64(len(wanted(round))); !reaches(n, of) {
		reasons = append(reasons, changes(Reason{Code: FewAgents, Count: n, Of: of}, round.Churn))
	}
	planned, passed := coverage(round, agents)
	for _, g := range slices.SortedFunc(maps.Keys(planned), comparedTo) {
		if !reaches(passed[g], planned[g]) {
			few := Reason{Code: FewPaths, Kind: g.kind, Family: g.family, Count: passed[g], Of: planned[g]}
			reasons = append(reasons, changes(few, round.Churn))
		}
	}
	return reasons
}

// wanted are the agents that were expected, or reported, or are missing.
func wanted(round report.Round) map[string]struct{} {
	pods := map[string]struct{}{}
	for _, e := range round.Expected {
		pods[e.Pod] = struct{}{}
	}
	for _, a := range round.Agents {
		pods[a.Pod] = struct{}{}
	}
	for _, m := range round.Missing {
		pods[m.Pod] = struct{}{}
	}
	return pods
}

// coverage counts the paths that were planned, and those that passed, by kind and family.
func coverage(round report.Round, agents []Agent) (planned, passed map[group]uint64) {
	groups := newGroups(round)
	paths := map[pathKey]bool{}
	var plans, leftOut uint64
	for _, e := range round.Expected {
		for _, id := range e.Targets {
			paths[pathKey{e.Pod, id}] = false
		}
		if e.LeftOutWhy == "" {
			plans++
		} else {
			leftOut++
		}
	}
	for _, a := range agents {
		for _, p := range a.Paths {
			paths[pathKey{a.Pod, p.Target}] = p.Result == Pass
		}
	}
	planned, passed = map[group]uint64{}, map[group]uint64{}
	for k, pass := range paths {
		g := groups.of(k.target)
		planned[g]++
		if pass {
			passed[g]++
		}
	}
	for g, n := range planned {
		planned[g] = withLeftOut(g, n, plans, leftOut)
	}
	return planned, passed
}

// withLeftOut is how many paths of the group there would have been with plans for the agents that were left out: these
// would have had paths like the others, and between pods the others would have had paths to them as well.
func withLeftOut(g group, paths, plans, leftOut uint64) uint64 {
	if plans == 0 {
		return paths
	}
	all := plans + leftOut
	if g.kind.Traits().Direct {
		return paths * all * all / (plans * plans)
	}
	return paths * all / plans
}

// groups tells the group of a target, whoever measured it.
type groups struct {
	measured map[string]group
	// prefixes are what the IDs of measured targets begin with: that names the kind and family of those that nobody
	// measured; see target.Target.
	prefixes map[string]group
}

func newGroups(round report.Round) groups {
	g := groups{measured: map[string]group{}, prefixes: map[string]group{}}
	for _, a := range round.Agents {
		for _, p := range a.Paths {
			of := group{p.Target.Kind, p.Target.Family}
			g.measured[p.Target.ID] = of
			before, _, named := strings.Cut(p.Target.ID, "_")
			if known, ok := g.prefixes[before]; named && (!ok || comparedTo(of, known) < 0) {
				g.prefixes[before] = of
			}
		}
	}
	return g
}

// of is the group of the target.
func (g groups) of(id string) group {
	if known, ok := g.measured[id]; ok {
		return known
	}
	before, _, _ := strings.Cut(id, "_")
	return g.prefixes[before]
}

func comparedTo(a, b group) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.family, b.family))
}
