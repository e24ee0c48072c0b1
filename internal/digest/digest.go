// Package digest shortens the report of an agent that probed more paths than can be reported one by one. The paths that
// did not pass, the worst of the others, and some chosen at random stay as they are; the rest is added up by groups.
//
// Nothing gets lost by it: every path that did not pass is at least named, and the sums and the listed paths together
// have the counts of all paths.
package digest

import (
	"cmp"
	"hash/fnv"
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
	sums := map[uint32]*report.Sum{}
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
		sum.Total.Add(&paths[i], func(pod string) bool {
			return paths[i].Target.MayAnswer() != target.OnePod &&
				mesh.NamesPod(plan.Agent.Pod, pod, plan.Detail.Pods)
		})
	}
	for _, sum := range sums {
		d.Sums = append(d.Sums, *sum)
	}
	slices.SortFunc(d.Sums, func(a, b report.Sum) int { return cmp.Compare(a.Group, b.Group) })
	return d
}

// judge judges each path by itself.
func judge(plan mesh.Plan, paths []report.Path) []verdict.Result {
	persistent, _ := plan.Load.Persistent()
	alone := verdict.Alone{
		Expect:      verdict.Expect{SuccessRate: plan.Detail.SuccessRate, MeanDelay: plan.Detail.MeanDelay},
		Expected:    report.Expected{Requests: plan.Load.Requests(), Persistent: persistent},
		AnswerBytes: plan.Answer.Bytes}
	results := make([]verdict.Result, len(paths))
	for i := range paths {
		results[i] = alone.Judge(paths[i]).Result
	}
	return results
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
	var bad, good []int
	for i := range paths {
		switch {
		case i < plan.Detail.Listed:
			listed[i] = true
		case results[i] != verdict.Pass:
			bad = append(bad, i)
		default:
			good = append(good, i)
		}
	}
	worst, random := worstRows, randomRows
	if plan.Detail.Rows < fewRows {
		worst, random = min(1, plan.Detail.Rows), 0
	}
	// Agents list different paths, so that together they show as much as possible.
	salt := plan.Agent.Pod + "/" + plan.Key.String()
	byChance := func(indices []int) {
		order := make(map[int]uint64, len(indices))
		for _, i := range indices {
			order[i] = hashOf(salt, paths[i].Target.ID)
		}
		slices.SortFunc(indices, func(a, b int) int { return cmp.Compare(order[a], order[b]) })
	}
	take := func(indices []int, n int) (taken int) {
		taken = min(len(indices), max(n, 0))
		for _, i := range indices[:taken] {
			listed[i] = true
		}
		return taken
	}
	byChance(bad)
	left := plan.Detail.Rows - take(bad, plan.Detail.Rows-worst-random)
	byChance(good)
	random = take(good, min(random, left))
	good = good[random:]
	longest := make(map[int]int64, len(good))
	for _, i := range good {
		longest[i] = int64(paths[i].Latency.Quantile(0.99))
	}
	slices.SortFunc(good, func(a, b int) int { return cmp.Or(cmp.Compare(longest[b], longest[a]), cmp.Compare(a, b)) })
	take(good, min(worst, left-random))
	return listed
}

// hashOf is FNV-1a of 64 bits of both texts.
func hashOf(a, b string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(a)) // never fails
	_, _ = h.Write([]byte(b))
	return h.Sum64()
}
