package sheet

import (
	"cmp"
	"maps"
	"slices"
)

// Matrix is the worst result of single paths of one kind and family, by the node that asked and what was asked: a node,
// or the address of a Service.
type Matrix struct {
	To   []string
	Rows []MatrixRow
	// Result is the worst of all, Passed how many of Judged targets passed.
	Result         Result
	Passed, Judged int
	// MoreFrom and MoreTo are how many rows and columns are left out: those with the fewest paths that did not pass.
	MoreFrom, MoreTo int
}

// MatrixRow is what one node asked.
type MatrixRow struct {
	From  string
	Cells []MatrixCell
}

// MatrixCell is what came of asking. Requests are those that succeeded of those that count; the cell is empty where
// nothing was asked.
type MatrixCell struct {
	Result   Result
	Requests string
}

// mostInMatrix is how many rows and columns a matrix has at most.
const mostInMatrix = 24

// matrixOf reads the single paths of a kind and family. It is empty where there are none.
func matrixOf(of path, all []source) Matrix {
	cells := map[[2]string]figures{}
	from, to := map[string]int{}, map[string]int{}
	var sum figures
	for _, s := range all {
		for _, g := range s.groups {
			if g.path != of {
				continue
			}
			sum.add(g.figures)
			for _, t := range g.targets {
				asked, asker := cmp.Or(t.node, t.pod, t.address), cmp.Or(s.node, s.pod)
				f := cells[[2]string{asker, asked}]
				f.add(t.figures)
				cells[[2]string{asker, asked}] = f
				from[asker] += t.notPassed()
				to[asked] += t.notPassed()
			}
		}
	}
	m := Matrix{Result: sum.outcome().result(), Passed: sum.targetsOK, Judged: sum.judged()}
	rows, more := worstNames(from)
	m.MoreFrom = more
	m.To, m.MoreTo = worstNames(to)
	for _, asker := range rows {
		row := MatrixRow{From: asker}
		for _, asked := range m.To {
			var cell MatrixCell
			if f, ok := cells[[2]string{asker, asked}]; ok {
				cell = MatrixCell{f.outcome().result(), ratio(f.ok, f.sent)}
			}
			row.Cells = append(row.Cells, cell)
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}

// worstNames are the names with the most that did not pass, in the order of names; more is how many are left out.
func worstNames(notPassed map[string]int) (names []string, more int) {
	names = slices.SortedFunc(maps.Keys(notPassed), func(a, b string) int {
		return cmp.Or(cmp.Compare(notPassed[b], notPassed[a]), cmp.Compare(a, b))
	})
	if more = len(names) - mostInMatrix; more > 0 {
		names = names[:mostInMatrix]
	}
	slices.Sort(names)
	return names, max(0, more)
}
