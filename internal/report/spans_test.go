package report_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/report"
)

// Each case has failures some seconds apart, in the order of their times, as a round of minutes has them.
func TestEightSpansTellWhenAPathFailed(t *testing.T) {
	cases := []struct {
		name string
		// at are seconds; the last one is the failure that comes last.
		at []int
		// want are the first and the last second of each span, and how many failed in it.
		want [][3]int
	}{
		{"eight failures are eight spans", []int{0, 10, 20, 30, 40, 50, 60, 70},
			[][3]int{{0, 0, 1}, {10, 10, 1}, {20, 20, 1}, {30, 30, 1}, {40, 40, 1}, {50, 50, 1}, {60, 60, 1},
				{70, 70, 1}}},
		{"a ninth that is nearest to the last one makes that longer", []int{0, 10, 20, 30, 40, 50, 60, 70, 75},
			[][3]int{{0, 0, 1}, {10, 10, 1}, {20, 20, 1}, {30, 30, 1}, {40, 40, 1}, {50, 50, 1}, {60, 60, 1},
				{70, 75, 2}}},
		{"a ninth that is nearest to the first one makes that longer", []int{0, 10, 20, 30, 40, 50, 60, 70, 4},
			[][3]int{{0, 4, 2}, {10, 10, 1}, {20, 20, 1}, {30, 30, 1}, {40, 40, 1}, {50, 50, 1}, {60, 60, 1},
				{70, 70, 1}}},
		{"half way between two, it joins the earlier one", []int{0, 10, 20, 30, 40, 50, 60, 70, 15},
			[][3]int{{0, 0, 1}, {10, 15, 2}, {20, 20, 1}, {30, 30, 1}, {40, 40, 1}, {50, 50, 1}, {60, 60, 1},
				{70, 70, 1}}},
		{"as far after the last one as two are from each other, it joins the last one",
			[]int{0, 10, 20, 30, 40, 50, 60, 70, 80},
			[][3]int{{0, 0, 1}, {10, 10, 1}, {20, 20, 1}, {30, 30, 1}, {40, 40, 1}, {50, 50, 1}, {60, 60, 1},
				{70, 80, 2}}},
		{"as far before the first one as two are from each other, it joins the first one",
			[]int{10, 20, 30, 40, 50, 60, 70, 80, 0},
			[][3]int{{0, 10, 2}, {20, 20, 1}, {30, 30, 1}, {40, 40, 1}, {50, 50, 1}, {60, 60, 1}, {70, 70, 1},
				{80, 80, 1}}},
		{"farther after the last one, the two that are closest become one", []int{0, 10, 20, 29, 40, 50, 60, 70, 80},
			[][3]int{{0, 0, 1}, {10, 10, 1}, {20, 29, 2}, {40, 40, 1}, {50, 50, 1}, {60, 60, 1}, {70, 70, 1},
				{80, 80, 1}}},
		{"the two that are closest may be the last", []int{0, 10, 20, 30, 40, 50, 60, 65, 90},
			[][3]int{{0, 0, 1}, {10, 10, 1}, {20, 20, 1}, {30, 30, 1}, {40, 40, 1}, {50, 50, 1}, {60, 65, 2},
				{90, 90, 1}}},
		{"of pairs that are equally close the first becomes one", []int{0, 10, 20, 30, 40, 50, 60, 70, 81},
			[][3]int{{0, 10, 2}, {20, 20, 1}, {30, 30, 1}, {40, 40, 1}, {50, 50, 1}, {60, 60, 1}, {70, 70, 1},
				{81, 81, 1}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var spans, want []report.Span
			for _, at := range c.at {
				spans = report.AddFailure(spans, time.Duration(at)*time.Second)
			}
			for _, w := range c.want {
				want = append(want, report.Span{First: time.Duration(w[0]) * time.Second,
					Last:  time.Duration(w[1]) * time.Second,
					Count: uint64(w[2])})
			}
			if diff := cmp.Diff(want, spans); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
		})
	}
}
