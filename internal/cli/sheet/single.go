package sheet

import (
	"fmt"
	"io"
	"slices"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// Single shows single paths of a report that omits them, page by page: Begin once, Page for each, then End.
type Single struct {
	w      io.Writer
	report systemv1beta1.KdoctorReport
	o      Options
	rows   singles
	shown  int
	seen   evidence
	summed []systemv1beta1.SummedPaths
}

// NewSingle returns what shows the paths that the options choose.
func NewSingle(w io.Writer, r systemv1beta1.KdoctorReport, o Options) *Single {
	if o.Wide {
		o.Width = 0
	}
	return &Single{w: w, report: r, o: o}
}

// Begin writes how the round ended, and which agents of those that are shown did not report.
func (s *Single) Begin() error {
	var text page
	text.section(header(s.report, surveySummary(s.report), s.o))
	silent, _ := apart(s.missing())
	text.section(listed("Agents that did not report", failed, first(silent, mostSilent, s.o), s.o))
	return s.write(text.String())
}

// missing are the agents without a report on the nodes that are shown; none where only some paths are shown.
func (s *Single) missing() []systemv1beta1.NotReported {
	if s.o.some() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.report.Spec.NotReported),
		func(n systemv1beta1.NotReported) bool { return s.o.Node != "" && n.NodeName != s.o.Node })
}

// Page writes paths as they come.
func (s *Single) Page(list systemv1beta1.KdoctorPathList) error {
	s.summed = append(s.summed, list.Summed...)
	for _, p := range list.Items {
		s.take(p)
	}
	s.shown += len(list.Items)
	var text page
	text.lines(s.rows.take(s.o))
	return s.write(text.String())
}

// take takes in one path.
func (s *Single) take(p systemv1beta1.KdoctorPath) {
	t := oneOf(p.Spec.Detail)
	s.seen.total.add(t.figures)
	switch {
	case t.outcome().fault():
		s.seen.faults = append(s.seen.faults, t.reason)
	case t.outcome() == toolLimited && !slices.Contains(s.seen.limited, p.Spec.NodeName):
		s.seen.limited = append(s.seen.limited, p.Spec.NodeName)
	}
	var more []string
	for _, l := range wide(t, s.o) {
		more = append(more, l.note)
	}
	s.rows.add(p.Spec.NodeName, t, more...)
}

// Shown reports whether there was anything to show.
func (s *Single) Shown() bool { return s.shown > 0 || len(s.summed) > 0 }

// End writes the totals, and what to look at next.
func (s *Single) End() error {
	var text page
	if s.shown > 0 {
		text.lines([]string{""})
	}
	text.section(s.sums())
	listed, all := s.report.Spec.Summary.PathsListed, int64(0)
	for _, p := range s.report.Spec.Summary.Paths {
		all += p.Paths
	}
	if listed < all && len(s.summed) == 0 {
		text.section(wrap(fmt.Sprintf("%d of the round's %s are known by their sums alone, and are not in this list.",
			all-listed, count(all, "path")), s.o.Width, 0))
	}
	text.section(findings(s.report.Spec, s.o))
	text.section(diagnosed(s.report.Spec.Diagnosis, s.o))
	switch {
	case s.o.Failed && s.o.Node == "" && !s.o.some():
		text.lines(closing(s.report, surveySummary(s.report), s.missing(), s.o))
	case s.o.Failed:
		text.lines(s.failedOnly())
	default:
		s.seen.hidden = hidden(s.report, s.seen.total)
		text.lines(closing(s.report, s.seen, s.missing(), s.o))
	}
	return s.write(text.String())
}

// failedOnly closes a list of what did not pass: what passed beside it is not known here.
func (s *Single) failedOnly() []string {
	if s.shown == 0 {
		return wrap("None of these paths is among those that did not pass.", s.o.Width, 0)
	}
	return wrap(fmt.Sprintf("%s did not pass (%s).", count(s.shown, "path"), s.seen.total.others()), s.o.Width, 0)
}

// sums shows the paths of which only sums are known, by kind and family, and takes them into the totals.
func (s *Single) sums() []string {
	byPath := map[path]*group{}
	for _, p := range s.summed {
		way := path{kind: target.Kind(p.TargetKind), family: topology.Family(p.IPFamily)}
		if byPath[way] == nil {
			byPath[way] = &group{path: way}
		}
		f := figuresOfSummary(p.PathSummary)
		byPath[way].add(f)
		s.seen.total.add(f)
		if f.targetsUnknown > 0 {
			s.seen.faults = append(s.seen.faults, "see the paths that did not pass")
		}
	}
	var groups []group
	for _, g := range byPath {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b group) int { return comparePaths(a.path, b.path) })
	var rows []line
	for _, g := range groups {
		row := groupLine(g)
		if len(rows) == 0 {
			row.cells[colNode] = s.o.Node
		}
		rows = append(rows, row)
		rows = append(rows, noted(loss(g.figures))...)
	}
	if len(rows) == 0 {
		return nil
	}
	return append([]string{"The other paths, of which only sums are known"}, tableOf(rows, s.o)...)
}

func (s *Single) write(text string) error {
	_, err := io.WriteString(s.w, text)
	return err
}
