// Package digest shortens the report of an agent that probed more paths than can be reported one by one. The paths that
// did not pass, the worst of the others, and some chosen at random stay as they are; the rest is added up by groups.
//
// Nothing gets lost by it: every path that did not pass is at least named, and the sums and the listed paths together
// have the counts of all paths.
package digest

import (
	"cmp"
	"slices"

	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// How many rows are for paths that passed, where there are enough rows for both.
const (
	worstRows  = 2
	randomRows = 1
	// fewRows is the number of rows below which a single one is for the worst path that passed.
	fewRows = 8
)

// Digest is a shortened report.
type Digest struct {
	// Paths are reported one by one, in the order of the plan's targets.
	Paths []report.Path
	Sums  []report.Sum
	// NotListed are the paths in Sums that did not pass, ascending.
	NotListed []report.NotListed
}

// Of returns the digest of the paths of the plan's targets, in their order. A plan without a detail leaves all paths as
// they are.
func Of(plan mesh.Plan, paths []report.Path) Digest {
	if plan.Detail.Groups == nil || len(paths) != len(plan.Targets) {
		return Digest{Paths: paths}
	}
	results := judge(plan, paths)
	listed := choose(plan, paths, results)
	var d Digest
	sums, named := map[uint32]*report.Sum{}, namedPods(plan)
	for i := range paths {
		if listed[i] {
			d.Paths = append(d.Paths, paths[i])
			continue
		}
		group := plan.Detail.Groups[i]
		sum := sums[group]
		if sum == nil {
			sum = &report.Sum{Group: group}
			sums[group] = sum
		}
		sum.Paths++
		if results[i] != verdict.Pass {
			sum.NotPassed++
			d.NotListed = append(d.NotListed,
				report.NotListed{Index: uint32(i), Class: classOf(results[i])}) // #nosec G115 -- bounded by MaxTargets
		}
		if paths[i].Target.MayAnswer() == target.OnePod {
			sum.Total.Add(&paths[i], nobody)
		} else {
			sum.Total.Add(&paths[i], named)
		}
	}
	for _, sum := range sums {
		d.Sums = append(d.Sums, *sum)
	}
	slices.SortFunc(d.Sums, func(a, b report.Sum) int { return cmp.Compare(a.Group, b.Group) })
	return d
}

// namedPods returns which pods the plan's agent names in its sums.
func namedPods(plan mesh.Plan) func(pod string) bool {
	own := mesh.PodClass(plan.Agent.Pod, plan.Detail.Pods)
	return func(pod string) bool { return mesh.PodClass(pod, plan.Detail.Pods) == own }
}

// nobody is for paths that only the pod of their target answers.
func nobody(string) bool { return false }

// judge judges each path by itself.
func judge(plan mesh.Plan, paths []report.Path) []verdict.Result {
	persistent, _ := plan.Load.Persistent()
	alone := verdict.Alone{
		Expect:      verdict.Expect{SuccessRate: plan.Detail.SuccessRate, MeanDelay: plan.Detail.MeanDelay},
		Expected:    report.Expected{Requests: plan.Load.Requests(), Persistent: persistent},
		AnswerBytes: plan.Answer.Bytes}
	return alone.Results(paths)
}

// classOf returns the class of a result other than a pass.
func classOf(r verdict.Result) report.Class {
	switch r {
	case verdict.NoData, verdict.Void:
		return report.NotMeasured
	case verdict.ToolLimited:
		return report.Doubtful
	default:
		return report.Failed
	}
}

// choose returns which paths are reported one by one.
func choose(plan mesh.Plan, paths []report.Path, results []verdict.Result) []bool {
	listed := make([]bool, len(paths))
	worst, random := worstRows, randomRows
	if plan.Detail.Rows < fewRows {
		worst, random = min(1, plan.Detail.Rows), 0
	}
	var bad, good []ranked
	// Agents list different paths, so that together they show as much as possible.
	salt := fnv64(fnvStart, plan.Agent.Pod+"/"+plan.Key.String())
	for i := range paths {
		switch {
		case i < plan.Detail.Listed:
			listed[i] = true
		case results[i] != verdict.Pass:
			bad = append(bad, ranked{fnv64(salt, paths[i].Target.ID), i})
		case random > 0:
			good = append(good, ranked{fnv64(salt, paths[i].Target.ID), i})
		}
	}
	list := func(chosen []ranked) int {
		for _, c := range chosen {
			listed[c.index] = true
		}
		return len(chosen)
	}
	left := plan.Detail.Rows - list(first(bad, plan.Detail.Rows-worst-random))
	random = list(first(good, min(random, left)))
	list(longest(paths, min(worst, left-random), func(i int) bool { return !listed[i] && results[i] == verdict.Pass }))
	return listed
}

// ranked is a path by its index, and its rank: the least comes first.
type ranked struct {
	rank  uint64
	index int
}

func (r ranked) compare(o ranked) int {
	return cmp.Or(cmp.Compare(r.rank, o.rank), cmp.Compare(r.index, o.index))
}

// first returns the first n in their order, all if there are fewer.
func first(of []ranked, n int) []ranked {
	if n <= 0 {
		return nil
	}
	if n == 1 && len(of) > 0 {
		return []ranked{slices.MinFunc(of, ranked.compare)}
	}
	slices.SortFunc(of, ranked.compare)
	return of[:min(len(of), n)]
}

// longest returns the n paths with the longest delays of those that are asked for.
func longest(paths []report.Path, n int, asked func(i int) bool) []ranked {
	var found []ranked
	for i := range paths {
		if n <= 0 || !asked(i) {
			continue
		}
		// No quantile is above the maximum: most paths need no look at their histogram.
		least := len(found) == n
		if latency := &paths[i].Latency; least && ^uint64(latency.Max()) >= found[n-1].rank { // #nosec G115 -- not negative
			continue
		}
		r := ranked{^uint64(paths[i].Latency.Quantile(0.99)), i} // #nosec G115 -- not negative
		at, _ := slices.BinarySearchFunc(found, r, ranked.compare)
		if found = slices.Insert(found, at, r); len(found) > n {
			found = found[:n]
		}
	}
	return found
}

// FNV-1a of 64 bits (Fowler, Noll and Vo), without the allocation of hash/fnv.
const (
	fnvStart = 14695981039346656037
	fnvPrime = 1099511628211
)

// fnv64 returns the hash of a text that follows what the hash so far is of.
func fnv64(hash uint64, text string) uint64 {
	for i := range len(text) {
		hash = (hash ^ uint64(text[i])) * fnvPrime
	}
	return hash
}
