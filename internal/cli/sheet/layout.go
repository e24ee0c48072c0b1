package sheet

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// The columns of the table, by index.
const (
	colNode = iota
	colPath
	colFamily
	colTargets
	colRequests
	colMean
	colP50
	colP99
	colMax
	colResult
	columns
)

// line is one line of the table: cells, or a note that spans it.
type line struct {
	cells [columns]string
	// label, in a line about one target, spans the columns from PATH to TARGETS.
	label string
	// note stands under the line before; the rest is empty then.
	note string
	// outcome colours the result.
	outcome outcome
}

func headings() [columns]string {
	return [columns]string{"NODE", "PATH", "FAMILY", "TARGETS", "REQUESTS", "MEAN ms", "P50", "P99", "MAX", "RESULT"}
}

// layout is the columns' widths in runes; a column of width 0 is left out.
type layout struct {
	widths [columns]int
	gap    int
	// stacked gives the node a line of its own above its rows.
	stacked bool
	// total is what lines are fitted and wrapped to; 0 means that nothing is.
	total int
}

// fit finds widths for the lines. When they do not fit, the median goes first, then the wide gaps, then labels get
// lines of their own, then nodes do. Names are never cut: those of a cloud's nodes differ anywhere, and people copy
// them.
func fit(lines []line, total int) layout {
	natural := layout{gap: 2, total: total}
	for _, row := range append([]line{{cells: headings()}}, lines...) {
		for i, cell := range row.cells {
			natural.widths[i] = max(natural.widths[i], utf8.RuneCountInString(cell))
		}
	}
	if total == 0 {
		return natural.widened(lines)
	}
	noMedian := natural
	noMedian.widths[colP50] = 0
	narrow := noMedian
	narrow.gap = 1
	steps := []layout{natural, noMedian, narrow}
	for _, l := range steps {
		if wide := l.widened(lines); wide.width() <= total {
			return wide
		}
	}
	for _, l := range steps {
		if l.width() <= total {
			return l
		}
	}
	narrow.stacked, narrow.widths[colNode] = true, 1
	return narrow
}

// widened makes room for all labels.
func (l layout) widened(lines []line) layout {
	for _, row := range lines {
		l.widths[colPath] += max(0, utf8.RuneCountInString(row.label)-l.span())
	}
	return l
}

func (l layout) width() int {
	sum := -l.gap
	for _, w := range l.widths {
		if w > 0 {
			sum += w + l.gap
		}
	}
	return sum
}

// span is the width of a label.
func (l layout) span() int {
	return l.widths[colPath] + l.widths[colFamily] + l.widths[colTargets] + 2*l.gap
}

// indent is where the column PATH begins.
func (l layout) indent() int { return l.widths[colNode] + l.gap }

// render writes the line as text without a line end.
func (l layout) render(row line, color bool) string {
	if row.note != "" {
		return strings.Join(wrap(row.note, l.total, l.indent()+2), "\n")
	}
	above := ""
	if l.stacked && row.cells[colNode] != "" {
		above = row.cells[colNode] + "\n"
		row.cells[colNode] = ""
	}
	if utf8.RuneCountInString(row.label) > l.span() {
		above += strings.Join(wrap(row.label, l.total, l.indent()), "\n") + "\n"
		row.label = " "
	}
	return above + l.renderCells(row, color)
}

func (l layout) renderCells(row line, color bool) string {
	var parts []string
	for i, cell := range row.cells {
		w := l.widths[i]
		switch {
		case w == 0:
		case row.label != "" && i == colPath:
			parts = append(parts, pad(row.label, l.span()))
		case row.label != "" && (i == colFamily || i == colTargets):
		case i <= colFamily:
			parts = append(parts, pad(cell, w))
		case i == colResult:
			parts = append(parts, paint(cell, row.outcome, color))
		default:
			parts = append(parts, strings.Repeat(" ", max(0, w-utf8.RuneCountInString(cell)))+cell)
		}
	}
	return strings.TrimRight(strings.Join(parts, strings.Repeat(" ", l.gap)), " ")
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// wrap breaks the text at spaces to the width, every line indented. Width 0 does not break. Words are never broken:
// they may be copied.
func wrap(text string, width, indent int) []string {
	margin := strings.Repeat(" ", indent)
	room := width - indent
	if width == 0 || room < 20 {
		return []string{margin + text}
	}
	var lines []string
	current := ""
	for _, word := range strings.Fields(text) {
		if current != "" && utf8.RuneCountInString(current)+1+utf8.RuneCountInString(word) > room {
			lines = append(lines, margin+current)
			current = ""
		}
		if current != "" {
			current += " "
		}
		current += word
	}
	return slices.Concat(lines, []string{margin + current})
}
