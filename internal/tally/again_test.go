package tally

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/report"
)

func TestPairsThatFailedAreProbedAgainUntilTheyPassed(t *testing.T) {
	counts := Tally{Nodes: []string{"a", "b", "c"}, Failures: []Failure{
		{From: 0, To: 1}, {From: 0, To: 1, Group: 1}, {From: 1, To: 1}, {From: 2, To: -1}, {From: 2, To: 0}}}
	before := []report.Again{
		{From: "a", To: "b", Passed: 2}, {From: "b", To: "c", Passed: 1}, {From: "b", To: "a", Passed: 2},
		{From: "c", To: "b", Passed: 1}, {From: "a", To: "gone"}, {From: "gone", To: "a"}}
	got := counts.Again(before, map[string]bool{"a": true, "b": true})
	want := []report.Again{
		{From: "a", To: "b"},               // failed again, and counts from the beginning
		{From: "a", To: "gone", Passed: 1}, // not known not to have passed
		{From: "b", To: "c", Passed: 2},    // passed; b to a passed often enough
		{From: "c", To: "a"},               // failed for the first time
		{From: "c", To: "b", Passed: 1},    // was not asked
		{From: "gone", To: "a"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEachNodeHasABoundedNumberOfPairsToProbeAgain(t *testing.T) {
	const many = 3 * report.MaxAgain
	counts, perNode := Tally{}, map[string]int{}
	for i := range many {
		counts.Nodes = append(counts.Nodes, fmt.Sprintf("n%03d", i))
	}
	for from := range int32(2) {
		for to := range int32(many) {
			counts.Failures = append(counts.Failures, Failure{From: from, To: to})
		}
	}
	before := []report.Again{{From: "n000", To: "n059", Passed: 1}, {From: "n002", To: "n000"}}
	for _, a := range counts.Again(before, map[string]bool{}) {
		perNode[a.From]++
	}
	want := map[string]int{"n000": report.MaxAgain, "n001": report.MaxAgain, "n002": 1}
	if diff := cmp.Diff(want, perNode); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
