package table

import (
	"fmt"
	"strconv"
	"strings"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
)

// Goal is a goal and what a row made of it.
type Goal struct {
	What  string
	Row   int
	Value string
	Bound string
	Met   bool
}

// bounds are what precision and recall have to be.
type bounds struct {
	name              string
	precision, recall float64
}

// boundsOf returns the bounds for the faults of a row.
func boundsOf(s Spec) bounds {
	switch {
	case s.Severity == round.Gray:
		return bounds{"gray faults", 0.97, 0.93}
	case s.Faults == 1:
		return bounds{"one hard fault", 0.99, 0.99}
	default:
		return bounds{fmt.Sprintf("%d hard faults", s.Faults), 0.98, 0.96}
	}
}

// Sizes for which a search's time has a goal, and the seconds.
const (
	mustWork, mustWorkSeconds = 5_000, 1.0
	largest, largestSeconds   = 100_000, 10.0
)

// Judge holds results against the goals.
func Judge(results []Result) []Goal {
	var goals []Goal
	for i, r := range results {
		if r.Done == 0 {
			none := fmt.Sprintf("none within %.0f s", r.GaveUp)
			goals = append(goals, Goal{"a trial ends in time", i, none, "one", false})
			continue
		}
		if len(r.Scores) == 0 || r.Scores[0].Method != Product {
			continue
		}
		ours := r.Scores[0]
		if r.Spec.Plain() && r.Spec.Faults > 0 {
			b := boundsOf(r.Spec)
			goals = append(goals,
				atLeast("precision, "+b.name, i, ours.Precision(), b.precision),
				atLeast("recall, "+b.name, i, ours.Recall(), b.recall))
		}
		if len(r.Scores) > 1 && r.Spec.Faults > 0 {
			goals = append(goals, ahead(i, ours, r.Scores[1:]))
		}
		switch r.Spec.Nodes {
		case mustWork:
			goals = append(goals, atMost("seconds of a search, mean", i, max(ours.Mean, r.GaveUp), mustWorkSeconds))
		case largest:
			goals = append(goals, atMost("seconds of a search, worst", i, max(ours.Worst, r.GaveUp), largestSeconds))
		}
	}
	return goals
}

func atLeast(what string, row int, value, bound float64) Goal {
	return Goal{what, row, fmt.Sprintf("%.3f", value), fmt.Sprintf(">= %.2f", bound), value >= bound}
}

func atMost(what string, row int, value, bound float64) Goal {
	return Goal{what, row, fmt.Sprintf("%.2f", value), fmt.Sprintf("<= %.0f", bound), value <= bound}
}

// ahead is whether the product's F1 is above that of every baseline, or both are perfect.
func ahead(row int, ours Score, others []Score) Goal {
	best := others[0]
	for _, o := range others {
		if o.F1() > best.F1() {
			best = o
		}
	}
	return Goal{"F1 ahead of every baseline", row, fmt.Sprintf("%.3f", ours.F1()),
		fmt.Sprintf("> %.3f of %s", best.F1(), best.Method), ours.F1() > best.F1() || ours.F1() == 1}
}

// Head and Lines are the table of scores.
func Head() []string {
	return strings.Split("row|nodes|faults|generator|disturbed by|trials|method|P|R|F1|first|group|aspect|"+
		"calib. error|false|mean s|worst s|peak GB", "|")
}

// Lines returns the lines of a row, one for each method.
func (r *Result) Lines(row int) [][]string {
	var lines [][]string
	for i := range r.Scores {
		s := &r.Scores[i]
		spec := r.Spec
		line := []string{strconv.Itoa(row), strconv.Itoa(spec.Nodes), faults(spec), spec.Generator, spec.Disturbed(),
			r.trials()}
		if i > 0 {
			line = []string{"", "", "", "", "", ""}
		}
		line = append(line, s.Method)
		line = append(line, figures(s, spec.Faults > 0)...)
		line = append(line, strconv.Itoa(s.False), fmt.Sprintf("%.3f", s.Mean), fmt.Sprintf("%.3f", s.Worst))
		if i == 0 {
			line = append(line, fmt.Sprintf("%.2f", float64(r.Peak)/1e9))
		}
		lines = append(lines, line)
	}
	return lines
}

// trials says how many trials there were, and of how many if it took too long.
func (r *Result) trials() string {
	if r.Done == r.Spec.Trials {
		return strconv.Itoa(r.Done)
	}
	return fmt.Sprintf("%d of %d", r.Done, r.Spec.Trials)
}

func faults(s Spec) string {
	if s.Faults == 0 {
		return "none"
	}
	return fmt.Sprintf("%d %s", s.Faults, s.Severity)
}

// figures are the scores of a method, or dashes where nothing was broken.
func figures(s *Score, broken bool) []string {
	if !broken {
		return strings.Split(strings.Repeat("- ", 6)+"-", " ")
	}
	aspect := "-"
	if s.Aspects > 0 {
		aspect = fmt.Sprintf("%.3f", s.AspectRight())
	}
	return []string{fmt.Sprintf("%.3f", s.Precision()), fmt.Sprintf("%.3f", s.Recall()), fmt.Sprintf("%.3f", s.F1()),
		fmt.Sprintf("%.3f", s.FirstHit()), fmt.Sprintf("%.2f", s.GroupSize()), aspect,
		fmt.Sprintf("%.3f", s.CalibrationError())}
}

// GoalsHead and Line are the table of goals.
func GoalsHead() []string { return strings.Split("goal|row|reached|bound|verdict", "|") }

// Line returns the line of a goal.
func (g Goal) Line() []string {
	verdict := "met"
	if !g.Met {
		verdict = "NOT met"
	}
	return []string{g.What, strconv.Itoa(g.Row), g.Value, g.Bound, verdict}
}
