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

// group is a kind and family by which paths are counted.
type group struct {
	kind   target.Kind
	family topology.Family
}

// coverageReasons returns why too little was judged for the round to pass; none if enough was judged. No agent may be
// worse than void.
func coverageReasons(round report.Round, agents []JudgedAgent) []Reason {
	judged := map[string]bool{}
	for _, a := range agents {
		if a.Result == Pass {
			judged[a.Pod] = true
		}
	}
	if len(judged) == 0 {
		return []Reason{withChanges(Reason{Code: NothingLeft}, round.Churn)}
	}
	var reasons []Reason
	if n, of := uint64(len(judged)), uint64(len(expectedPods(round))); !reachesFloor(n, of) {
		reasons = append(reasons, withChanges(Reason{Code: FewAgents, Count: n, Of: of}, round.Churn))
	}
	planned, passed := coverage(round, agents)
	for _, g := range slices.SortedFunc(maps.Keys(planned), compareGroups) {
		if !reachesFloor(passed[g], planned[g]) {
			few := Reason{Code: FewPaths, Kind: g.kind, Family: g.family, Count: passed[g], Of: planned[g]}
			reasons = append(reasons, withChanges(few, round.Churn))
		}
	}
	return reasons
}

// nobodyReported returns the reason of a round without a report, with the changes if they explain that.
func nobodyReported(round report.Round) Reason {
	if len(round.Missing) == 0 {
		return Reason{Code: NobodyReported}
	}
	return withChanges(Reason{Code: NobodyReported}, round.Churn)
}

// expectedPods returns the agents that were expected, or reported, or are missing.
func expectedPods(round report.Round) map[string]struct{} {
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

// coverage counts the planned paths and the passed paths, by kind and family.
func coverage(round report.Round, agents []JudgedAgent) (planned, passed map[group]uint64) {
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
		g := groups.groupOf(k.target)
		planned[g]++
		if pass {
			passed[g]++
		}
	}
	addSums(round, agents, planned, passed)
	for g, n := range planned {
		planned[g] = countWithLeftOut(g, n, plans, leftOut)
	}
	return planned, passed
}

// addSums counts the paths that are added up. Agents without a report are taken to have as many as the others.
func addSums(round report.Round, agents []JudgedAgent, planned, passed map[group]uint64) {
	judged := make(map[string]Result, len(agents))
	for _, a := range agents {
		judged[a.Pod] = a.Result
	}
	inSums, reports, plans := map[group]uint64{}, uint64(0), uint64(0)
	for _, e := range round.Expected {
		if e.Paths > 0 {
			plans++
		}
	}
	for _, a := range round.Agents {
		reports++
		for _, sum := range a.Sums {
			g := group{sum.Total.Target.Kind, sum.Total.Target.Family}
			inSums[g] += sum.Paths
			if judged[a.Pod] == Pass {
				passed[g] += sum.Paths - min(sum.Paths, sum.NotPassed)
			}
		}
	}
	for g, n := range inSums {
		planned[g] += n * max(plans, reports) / reports
	}
}

// countWithLeftOut returns how many paths the group would have if the agents that were left out had plans. These agents
// would have as many paths as the others; between pods, the others would also have paths to them.
func countWithLeftOut(g group, paths, plans, leftOut uint64) uint64 {
	if plans == 0 {
		return paths
	}
	all := plans + leftOut
	if g.kind.Traits().Direct {
		return paths * all * all / (plans * plans)
	}
	return paths * all / plans
}

// groups finds the group of a target, whoever measured it.
type groups struct {
	measured map[string]group
	// prefixes are the beginnings of the IDs of measured targets. A beginning gives the kind and family of targets that
	// nobody measured; see target.Target.
	prefixes map[string]group
}

func newGroups(round report.Round) groups {
	g := groups{measured: map[string]group{}, prefixes: map[string]group{}}
	for _, a := range round.Agents {
		for _, p := range a.Paths {
			of := group{p.Target.Kind, p.Target.Family}
			g.measured[p.Target.ID] = of
			before, _, named := strings.Cut(p.Target.ID, "_")
			if known, ok := g.prefixes[before]; named && (!ok || compareGroups(of, known) < 0) {
				g.prefixes[before] = of
			}
		}
	}
	return g
}

// groupOf returns the group of the target.
func (g groups) groupOf(id string) group {
	if known, ok := g.measured[id]; ok {
		return known
	}
	before, _, _ := strings.Cut(id, "_")
	return g.prefixes[before]
}

func compareGroups(a, b group) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.family, b.family))
}
