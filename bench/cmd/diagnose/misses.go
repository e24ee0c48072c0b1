package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/bench/internal/diagnose/score"
	"kdoctor.io/kdoctor/bench/internal/diagnose/table"
	"kdoctor.io/kdoctor/internal/infer"
)

// misses prints what went wrong in trials.
type misses struct{ out io.Writer }

// add prints a trial of which something was missed or named falsely.
func (m *misses) add(seed uint64, trial *round.Trial, reports []infer.Fault, o score.Outcome) {
	if len(o.False) == 0 && !slices.Contains(o.Hit, false) {
		return
	}
	fmt.Fprintf(m.out, "seed %d\n", seed)
	for i, f := range trial.Faults {
		said := "found "
		if !o.Hit[i] {
			said = "MISSED"
		}
		fmt.Fprintf(m.out, "  %s %s: %s %s of severity %.3f, which alone lost %d probes worth %.0f nats\n", said,
			f.Truth.Kind, name(f.Truth.Accept[0]), aspect(f.Truth.Aspect), f.Truth.Severity, trial.Lost[i],
			trial.Evidence[i])
	}
	for rank, f := range reports {
		fmt.Fprintf(m.out, "  report %d: %s %s, severity %.3f, confidence %.2f, explains %d of %d, %.0f nats; next %s "+
			"%.1f behind", rank, name(f.Component), aspect(f.Aspect), f.Severity, f.Confidence, f.Explained, f.Crossed,
			f.Stands, name(f.RunnerUp), f.Behind)
		for _, g := range f.Group {
			fmt.Fprintf(m.out, "; or %s", name(g))
		}
		fmt.Fprintln(m.out)
	}
}

// sum prints how often each kind was missed, and which parts were named falsely.
func (m *misses) sum(s table.Score) {
	kinds := slices.Collect(maps.Keys(s.Kinds))
	slices.SortFunc(kinds, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Kinds[b].Missed, s.Kinds[a].Missed), cmp.Compare(a, b))
	})
	fmt.Fprintln(m.out, "\nmissed, by kind of fault:")
	for _, k := range kinds {
		fmt.Fprintf(m.out, "  %3d of %3d  %s\n", s.Kinds[k].Missed, s.Kinds[k].Injected, k)
	}
	parts := slices.Collect(maps.Keys(s.Wrong))
	slices.SortFunc(parts, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Wrong[b], s.Wrong[a]), cmp.Compare(a, b))
	})
	fmt.Fprintln(m.out, "named falsely, by part:")
	for _, p := range parts {
		fmt.Fprintf(m.out, "  %3d  %s\n", s.Wrong[p], p)
	}
	fmt.Fprintln(m.out)
}

// name writes a component.
func name(c infer.Component) string {
	text := string(c.Part)
	for _, part := range []string{c.Node, c.Peer, c.Service} {
		if part != "" {
			text += " " + part
		}
	}
	return text
}

// aspect writes an aspect in brackets.
func aspect(a infer.Aspect) string {
	text := a.Family + " " + a.Method
	if a.Large {
		text += " large"
	}
	return fmt.Sprintf("[%s]", text)
}
