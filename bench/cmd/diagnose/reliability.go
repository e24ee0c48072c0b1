package main

import (
	"fmt"
	"strconv"

	"kdoctor.io/kdoctor/bench/internal/diagnose/table"
)

// reliability is the table of how often reports were right, by how sure they were: of all rows together and for each
// method. A method whose confidence can be relied on is right as often as it claims.
func reliability(results []table.Result) [][]string {
	var methods []string
	sums := map[string]*[]bin{}
	for _, r := range results {
		for i := range r.Scores {
			s := &r.Scores[i]
			if sums[s.Method] == nil {
				methods = append(methods, s.Method)
				all := make([]bin, len(s.Confident))
				sums[s.Method] = &all
			}
			for b := range s.Confident {
				sum := &(*sums[s.Method])[b]
				sum.reports += s.Confident[b]
				sum.right += s.Right[b]
				sum.claimed += s.Sum[b]
			}
		}
	}
	lines := [][]string{{"method", "confidence", "reports", "claimed", "right"}}
	for _, m := range methods {
		bins := *sums[m]
		for b, sum := range bins {
			if sum.reports > 0 {
				lines = append(lines, sum.line(m, float64(b)/float64(len(bins)), float64(b+1)/float64(len(bins))))
			}
		}
	}
	return lines
}

// bin is reports whose confidence is in one range: how many there are, how many were right, and the sum of their
// confidences.
type bin struct {
	reports, right int
	claimed        float64
}

func (b bin) line(method string, from, to float64) []string {
	all := float64(b.reports)
	return []string{method, fmt.Sprintf("%.1f to %.1f", from, to), strconv.Itoa(b.reports),
		fmt.Sprintf("%.3f", b.claimed/all), fmt.Sprintf("%.3f", float64(b.right)/all)}
}
