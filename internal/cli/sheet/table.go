package sheet

import (
	"cmp"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/target"
)

const (
	// manySources is the number of agents above which what passed is shown once for all of them.
	manySources = 10
	// manyTargets is the number of targets of one path above which those that passed are shown in one row beside those that failed.
	manyTargets = 10
)

// table shows what the sources measured.
func table(all []source, o Options) []string {
	var rows []line
	if len(all) > manySources && !o.Wide {
		rows = append(foldedRows(all, o), failingRows(all, o)...)
	} else {
		for _, s := range all {
			rows = append(rows, sourceRows(s, o)...)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	l := fit(rows, o.Width)
	heads := headings()
	if l.stacked {
		heads[colNode] = ""
	}
	lines := []string{l.renderCells(line{cells: heads}, false)}
	bound := false
	for _, row := range rows {
		bound = bound || strings.HasPrefix(row.cells[colP99], "≤")
		lines = append(lines, l.render(row, o.Color))
	}
	if bound {
		lines = append(append(lines, ""), wrap("≤ marks the highest figure among a row's targets; over all of them together it is no higher.", o.Width, 0)...)
	}
	return lines
}

// sourceRows shows everything that one source measured, its node in the first row only.
func sourceRows(s source, o Options) []line {
	var rows []line
	for _, g := range s.groups {
		if !o.Failed || g.outcome().fails() {
			rows = append(rows, groupRows(g, o)...)
		}
	}
	notes := agentNotes(s, o)
	if len(notes) > 0 {
		rows = append(rows, line{cells: [columns]string{colPath: "(the agent)", colResult: s.outcome().String()}, outcome: s.outcome()})
	}
	for _, note := range notes {
		rows = append(rows, line{note: note})
	}
	if len(rows) > 0 {
		rows[0].cells[colNode] = s.node
	}
	return rows
}

// failingRows shows only what failed, or what is to be known about an agent.
func failingRows(all []source, o Options) []line {
	o.Failed = true
	var rows []line
	for _, s := range all {
		rows = append(rows, sourceRows(s, o)...)
	}
	return rows
}

// foldedRows shows each path once for all sources on which it did not fail.
func foldedRows(all []source, o Options) []line {
	if o.Failed {
		return nil
	}
	type fold struct {
		group
		nodes int
	}
	byPath := map[path]*fold{}
	for _, s := range all {
		for _, g := range s.groups {
			if g.outcome().fails() {
				continue
			}
			f := byPath[g.path]
			if f == nil {
				f = &fold{group: group{path: g.path}}
				byPath[g.path] = f
			}
			f.nodes++
			f.add(g.figures)
		}
	}
	var folds []fold
	for _, f := range byPath {
		folds = append(folds, *f)
	}
	slices.SortFunc(folds, func(a, b fold) int { return comparePaths(a.path, b.path) })
	var rows []line
	before := ""
	for _, f := range folds {
		row := groupLine(f.group)
		if node := count(f.nodes, "node"); node != before {
			row.cells[colNode], before = node, node
		}
		rows = append(rows, row)
		rows = append(rows, noted(loss(f.figures))...)
		rows = append(rows, noted(excused(f.figures))...)
	}
	return rows
}

// groupRows shows one path of one source: one row when all of it passed, one more per target that is void, and when something failed
// one more per target, with the reasons.
func groupRows(g group, o Options) []line {
	rows := []line{groupLine(g)}
	if !o.Wide {
		rows = append(rows, noted(append(loss(g.figures), excused(g.unlisted())...))...)
	}
	if len(g.targets) == 1 && !o.Wide {
		if reason := g.targets[0].reason; reason != "" {
			rows = append(rows, line{note: "→ " + name(g.targets[0]) + ": " + reason})
		}
		return rows
	}
	return append(rows, targetRows(g, o)...)
}

// targetRows shows what failed in a path, what is void while that is few, and beside a failure what passed.
func targetRows(g group, o Options) []line {
	var rows []line
	var rest figures
	for _, t := range g.targets {
		fails, whole := t.outcome().fails(), len(g.targets) <= manyTargets
		switch {
		case fails || (o.Wide && !o.Failed):
			rows = append(rows, targetLine(t))
			if t.reason != "" {
				rows = append(rows, line{note: t.reason})
			}
			rows = append(rows, wide(t, o)...)
		case o.Failed:
		case whole && (g.outcome().fails() || t.outcome() == void):
			// What is void has its reason in the header.
			rows = append(rows, targetLine(t))
		case g.outcome().fails():
			rest.add(t.figures)
		}
	}
	if rest.targets > 0 {
		row := figuresLine(rest)
		row.label = "→ " + count(rest.targets, "other target")
		rows = append(rows, row)
	}
	return rows
}

// unlisted are the figures of the path without those of the targets that are shown as void.
func (g group) unlisted() figures {
	if len(g.targets) > manyTargets {
		return g.figures
	}
	var f figures
	for _, t := range g.targets {
		if t.outcome() != void {
			f.add(t.figures)
		}
	}
	return f
}

func groupLine(g group) line {
	row := figuresLine(g.figures)
	row.cells[colPath], row.cells[colFamily] = title(g.kind), cmp.Or(string(g.family), "-")
	row.cells[colTargets] = ratio(g.targetsOK, g.judged())
	return row
}

func targetLine(t one) line {
	row := figuresLine(t.figures)
	row.label = "→ " + name(t)
	return row
}

func figuresLine(f figures) line {
	latencies := f.latencies()
	return line{outcome: f.outcome(), cells: [columns]string{
		colRequests: ratio(f.ok, f.sent),
		colMean:     latencies[0], colP50: latencies[1], colP99: latencies[2], colMax: latencies[3],
		colResult: f.outcome().String(),
	}}
}

// name says what a target is: the node and the pod for a pod's address, else the address.
func name(t one) string {
	if t.pod == "" {
		return t.address
	}
	text := t.pod
	if t.node != "" {
		text = t.node + " " + t.pod
	}
	if t.kind == target.SecondInterface {
		text += " " + t.address
	}
	return text
}
