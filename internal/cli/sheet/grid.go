package sheet

import (
	"slices"
	"strings"
	"unicode/utf8"

	"kdoctor.io/kdoctor/internal/target"
)

// grid lays out rows in columns, indented by two. Where the rows are wider than the page, the wide gaps go, and then
// the first column gets a line of its own.
func grid(rows [][]string, width int) []string {
	var g columnsOf
	g.widen(rows)
	var lines []string
	for _, row := range rows {
		lines = append(lines, g.render(row, width)...)
	}
	return lines
}

// columnsOf are the widths of the columns of rows.
type columnsOf struct{ widths []int }

// widen makes room for rows; no column gets narrower.
func (c *columnsOf) widen(rows [][]string) {
	for _, row := range rows {
		for len(c.widths) < len(row) {
			c.widths = append(c.widths, 0)
		}
		for i, cell := range row {
			c.widths[i] = max(c.widths[i], utf8.RuneCountInString(cell))
		}
	}
}

func (c *columnsOf) render(row []string, width int) []string {
	all, gap := 0, 2
	for _, w := range c.widths {
		all += w
	}
	fits := func(sum int) bool { return width == 0 || 2+sum+gap*(len(c.widths)-1) <= width }
	if !fits(all) {
		gap = 1
	}
	above := []string(nil)
	start, margin := 0, "  "
	if !fits(all) {
		above = append(above, "  "+row[0])
		start, margin = 1, "    "
	}
	var cells []string
	for i := start; i < len(row); i++ {
		cells = append(cells, pad(row[i], c.widths[i]))
	}
	return append(above, margin+strings.TrimRight(strings.Join(cells, strings.Repeat(" ", gap)), " "))
}

// singles are single paths, one in a row, below the nodes that they start from.
type singles struct {
	columns columnsOf
	// from and reason are those of the row before. begun is true when the headings were written.
	from, reason string
	begun        bool
	rows         []singleRow
}

type singleRow struct {
	cells  []string
	from   string
	reason string
	outcome
	// more stands below the row in the wide form.
	more []string
}

// add adds a path. Where the reason is that of the path before, it is not said again.
func (s *singles) add(from string, t one, also ...string) {
	s.rows = append(s.rows, singleRow{from: from, reason: t.reason, outcome: t.outcome(), more: also,
		cells: singleCells(t)})
}

// singleCells are what is said of a single path: where to, by which path, requests, mean, p99, max and result.
func singleCells(t one) []string {
	l := t.latencies()
	return []string{destination(t), strings.TrimSpace(t.title() + " " + string(t.family)), ratio(t.ok, t.sent),
		l[0], l[2], l[3], t.outcome().String()}
}

// destination is the target's node where only one may answer, and its address.
func destination(t one) string {
	if t.node == "" {
		return t.address
	}
	if t.kind == target.Endpoint {
		return t.node
	}
	return t.node + " " + t.address
}

// take writes the rows that were added since, with headings above the first.
func (s *singles) take(o Options) []string {
	heads := []string{"TO", "PATH", "REQUESTS", "MEAN ms", "P99", "MAX", "RESULT"}
	all := [][]string{heads}
	for _, r := range s.rows {
		all = append(all, r.cells)
	}
	s.columns.widen(all)
	var lines []string
	if !s.begun && len(s.rows) > 0 {
		s.begun = true
		lines = append(lines, s.columns.render(heads, o.Width)...)
	}
	for _, r := range s.rows {
		if r.from != s.from {
			s.from = r.from
			lines = append(lines, "from "+r.from)
		}
		row := s.columns.render(r.cells, o.Width)
		last := len(row) - 1
		row[last] = strings.TrimSuffix(row[last], r.outcome.String()) + paint(r.outcome.String(), r.outcome, o.Color)
		lines = append(lines, row...)
		if r.reason != "" && r.reason != s.reason {
			lines = append(lines, wrap(r.reason, o.Width, 4)...)
		}
		s.reason = r.reason
		for _, text := range slices.DeleteFunc(r.more, func(t string) bool { return t == "" }) {
			lines = append(lines, wrap(text, o.Width, 4)...)
		}
	}
	s.rows = nil
	return lines
}
