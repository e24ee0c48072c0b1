package main

import (
	"slices"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/bench/internal/diagnose/score"
	"kdoctor.io/kdoctor/bench/internal/diagnose/table"
)

func TestReliabilityAddsUpRowsByMethodAndConfidence(t *testing.T) {
	row := func(method string, bin, reports, right int, claimed float64) table.Result {
		s := table.Score{Method: method}
		s.Tally = score.Tally{}
		s.Confident[bin], s.Right[bin], s.Sum[bin] = reports, right, claimed
		return table.Result{Scores: []table.Score{s}}
	}
	var lines []string
	for _, line := range reliability([]table.Result{row("a", 9, 10, 9, 9.5), row("a", 9, 10, 10, 9.9),
		row("a", 4, 2, 1, 0.9), row("b", 0, 4, 0, 0.2)}) {
		lines = append(lines, strings.Join(line, "|"))
	}
	want := []string{"method|confidence|reports|claimed|right", "a|0.4 to 0.5|2|0.450|0.500",
		"a|0.9 to 1.0|20|0.970|0.950", "b|0.0 to 0.1|4|0.050|0.000"}
	if !slices.Equal(lines, want) {
		t.Errorf("the table is %q, want %q", lines, want)
	}
}
