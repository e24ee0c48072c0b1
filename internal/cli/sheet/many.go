package sheet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	// mostBlamed is how many rows one path has at most for what did not pass between many agents and their targets.
	mostBlamed = 10
	// mostNotes is how many different notes about agents are shown of many agents.
	mostNotes = 5
)

// pair is one target that did not pass, seen from one source.
type pair struct {
	from string
	one
}

// fold is one path of many sources.
type fold struct {
	group
	nodes int
	pairs []pair
}

// foldedRows shows each path once for all sources, and what did not pass by what it has in common.
func foldedRows(all []source, o Options) []line {
	var rows []line
	before := ""
	for _, f := range folds(all) {
		if o.Failed && len(f.pairs) == 0 {
			continue
		}
		row := groupLine(f.group)
		if node := count(f.nodes, "node"); node != before {
			row.cells[colNode], before = node, node
		}
		rows = append(rows, row)
		if !o.Failed {
			rows = append(rows, noted(loss(f.figures))...)
			rows = append(rows, noted(excused(f.figures))...)
		}
		rows = append(rows, blame(f, "--node NODE shows what one node measured")...)
	}
	return rows
}

func folds(all []source) []fold {
	byPath := map[path]*fold{}
	for _, s := range all {
		for _, g := range s.groups {
			f := byPath[g.path]
			if f == nil {
				f = &fold{group: group{path: g.path}}
				byPath[g.path] = f
			}
			f.nodes++
			f.add(g.figures)
			for _, t := range g.targets {
				if t.outcome().fails() {
					f.pairs = append(f.pairs, pair{from: cmp.Or(s.node, s.pod), one: t})
				}
			}
		}
	}
	sorted := make([]fold, 0, len(byPath))
	for _, f := range byPath {
		sorted = append(sorted, *f)
	}
	slices.SortFunc(sorted, func(a, b fold) int { return comparePaths(a.path, b.path) })
	return sorted
}

// blame covers the pairs with few rows: again and again the source or the target that most of those left have in
// common. What has nothing to do with each other is not put together: a failure, the want of data and the agent's own
// limit are told apart. hint says where the pairs are for which there is no row.
func blame(f fold, hint string) []line {
	if len(f.pairs) == 0 {
		return nil
	}
	outcomes := map[outcome][]pair{}
	for _, p := range f.pairs {
		outcomes[p.outcome()] = append(outcomes[p.outcome()], p)
	}
	if len(outcomes) == 1 && len(f.pairs) == f.judged() {
		// The path's own row tells the figures.
		return noted([]string{reasons(f.pairs)})
	}
	var rows []line
	for _, as := range slices.Backward(slices.Sorted(maps.Keys(outcomes))) {
		left := outcomes[as]
		for range mostBlamed {
			if len(left) == 0 {
				break
			}
			label, covered := widest(left)
			rows = append(rows, coverRow(label, covered(true)), line{note: reasons(covered(true))})
			left = covered(false)
		}
		if len(left) > 0 {
			rows = append(rows, coverRow(fmt.Sprintf("→ %d more: %s", len(left), hint), left))
		}
	}
	return rows
}

func coverRow(label string, pairs []pair) line {
	var sum figures
	for _, p := range pairs {
		sum.add(p.figures)
	}
	row := figuresLine(sum)
	row.label = label
	return row
}

// widest finds the source or the target that most pairs have in common; the function returns the pairs that do, or
// those that do not.
func widest(pairs []pair) (label string, covered func(bool) []pair) {
	type end struct {
		from bool
		name string
	}
	ends := map[end]int{}
	for _, p := range pairs {
		ends[end{true, p.from}]++
		ends[end{false, name(p.one)}]++
	}
	// Of as many, targets come first: what is asked is broken more often than who asks.
	rank := func(e end) int {
		if e.from {
			return 1
		}
		return 0
	}
	best := slices.MinFunc(slices.Collect(maps.Keys(ends)), func(a, b end) int {
		return cmp.Or(cmp.Compare(ends[b], ends[a]), cmp.Compare(rank(a), rank(b)), strings.Compare(a.name, b.name))
	})
	has := func(p pair) bool {
		return (best.from && p.from == best.name) || (!best.from && name(p.one) == best.name)
	}
	covered = func(want bool) []pair {
		return slices.DeleteFunc(slices.Clone(pairs), func(p pair) bool { return has(p) != want })
	}
	switch of := covered(true); {
	case len(of) == 1:
		label = of[0].from + " → " + name(of[0].one)
	case best.from:
		label = best.name + " → " + count(len(of), "target")
	default:
		label = "→ " + best.name + ", from " + count(len(of), "node")
	}
	return label, covered
}

// reasons is the most frequent reason of the pairs. A prefix says whether all or several of them have it.
func reasons(pairs []pair) string {
	times := map[string]int{}
	for _, p := range pairs {
		times[p.reason]++
	}
	most := slices.MinFunc(slices.Collect(maps.Keys(times)),
		func(a, b string) int { return cmp.Or(cmp.Compare(times[b], times[a]), strings.Compare(a, b)) })
	switch {
	case len(times) > 1:
		return "most often: " + most
	case len(pairs) > 1:
		return "each: " + most
	}
	return most
}

// foldedNotes prints each distinct note about agents once, with the agents it applies to.
func foldedNotes(all []source, o Options) []line {
	type about struct {
		outcome
		text string
	}
	nodes := map[about][]string{}
	for _, s := range all {
		if notes := agentNotes(s, o); len(notes) > 0 {
			key := about{s.outcome(), strings.Join(notes, "; ")}
			nodes[key] = append(nodes[key], cmp.Or(s.node, s.pod))
		}
	}
	order := slices.SortedFunc(maps.Keys(nodes), func(a, b about) int {
		return cmp.Or(cmp.Compare(b.outcome, a.outcome), cmp.Compare(len(nodes[b]), len(nodes[a])),
			strings.Compare(nodes[a][0], nodes[b][0]))
	})
	var rows []line
	for i, key := range order {
		if i == mostNotes {
			rows = append(rows, line{note: "and notes about further agents: --wide shows all"})
			break
		}
		where := nodes[key]
		row := line{cells: [columns]string{colNode: where[0], colPath: "(the agent)", colResult: key.String()},
			outcome: key.outcome}
		if len(where) > 1 {
			row.cells[colNode], row.cells[colPath] = count(len(where), "node"), "(the agents)"
			rows = append(rows, row, line{note: several(where) + ": " + key.text})
			continue
		}
		rows = append(rows, row, line{note: key.text})
	}
	return rows
}
