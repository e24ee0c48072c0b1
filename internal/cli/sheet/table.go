package sheet

import (
	"cmp"
	"strings"

	"kdoctor.io/kdoctor/internal/target"
)

// What is shown of many but in the wide form. Whoever reads a report looks for what is broken, and the one broken node
// of two hundred is at an end of four hundred paths.
const (
	// manySources is the number of agents above which each path is shown once for all of them.
	manySources = 10
	// manyTargets is the number of targets of one path above which those that passed are shown in one row beside those
	// that failed, and the number of rows of such that failed.
	manyTargets = 10
)

// table shows what the sources measured.
func table(all []source, o Options) []string {
	var rows []line
	if len(all) > manySources && !o.Wide {
		rows = append(foldedRows(all, o), foldedNotes(all, o)...)
	} else {
		for _, s := range all {
			rows = append(rows, sourceRows(s, o)...)
		}
	}
	return tableOf(rows, o)
}

// tableOf lays out rows under their headings.
func tableOf(rows []line, o Options) []string {
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
		lines = append(append(lines, ""), wrap(boundNote, o.Width, 0)...)
	}
	return lines
}

// boundNote explains percentiles of several targets.
const boundNote = "≤ marks the highest figure among a row's targets; over all of them together it is no higher."

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
		rows = append(rows, line{cells: [columns]string{colPath: "(the agent)", colResult: s.outcome().String()},
			outcome: s.outcome()})
	}
	for _, note := range notes {
		rows = append(rows, line{note: note})
	}
	if len(rows) > 0 {
		rows[0].cells[colNode] = s.node
	}
	return rows
}

// groupRows shows one path of one source: one row when all of it passed, one more per target that is void, and when
// something failed one more per target, with the reasons.
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
	if reason := g.oneReason(); reason != "" && !o.Wide {
		return append(rows, line{note: "each: " + reason})
	}
	return append(rows, targetRows(g, o)...)
}

// oneReason is the reason why none of the targets could be judged, where all have the same: then it is about the agent,
// and no target is worth a row of its own. It is empty otherwise.
func (g group) oneReason() string {
	first := g.targets[0]
	for _, t := range g.targets {
		if t.outcome() != first.outcome() || t.reason != first.reason {
			return ""
		}
	}
	if o := first.outcome(); o != toolLimited && o != noData && o != void {
		return ""
	}
	return first.reason
}

// targetRows shows what failed in a path, what is void while that is few, and beside a failure what passed.
func targetRows(g group, o Options) []line {
	var rows []line
	var rest, more figures
	failing := 0
	for _, t := range g.targets {
		fails, whole := t.outcome().fails(), len(g.targets) <= manyTargets
		if fails {
			failing++
		}
		switch {
		case fails && failing > manyTargets && !o.Wide:
			more.add(t.figures)
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
	if more.targets > 0 {
		row := figuresLine(more)
		row.label = "→ " + count(more.targets, "more target") + " that did not pass: --wide shows all"
		rows = append(rows, row)
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
	row.cells[colPath], row.cells[colFamily] = g.title(), cmp.Or(string(g.family), "-")
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
