package report_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
)

func TestMerge(t *testing.T) {
	of := func(pod, node string) report.AgentReport {
		return report.AgentReport{Pod: pod, Node: node, Finished: true}
	}
	cases := []struct {
		name     string
		expected []report.Expected
		reports  []report.AgentReport
		lost     map[string]string
		agents   []report.AgentReport
		missing  []report.Missing
	}{
		{name: "reports are sorted by node, then pod",
			expected: []report.Expected{{Pod: "c", Node: "n1"}, {Pod: "b", Node: "n0"}, {Pod: "a", Node: "n1"}},
			reports:  []report.AgentReport{of("c", "n1"), of("a", "n1"), of("b", "n0")},
			agents:   []report.AgentReport{of("b", "n0"), of("a", "n1"), of("c", "n1")}},
		{name: "an agent without a report is missing, with the reason where there is one",
			expected: []report.Expected{{Pod: "b", Node: "n1"}, {Pod: "a", Node: "n0"}},
			lost:     map[string]string{"b": "no answer"},
			missing: []report.Missing{{Pod: "a", Node: "n0", Reason: "no report"},
				{Pod: "b", Node: "n1", Reason: "no answer"}}},
		{name: "an agent that was left out is missing even if it reports",
			expected: []report.Expected{{Pod: "a", Node: "n0", LeftOutWhy: "pod is Pending"}},
			reports:  []report.AgentReport{of("a", "n0")},
			missing:  []report.Missing{{Pod: "a", Node: "n0", Reason: "pod is Pending"}}},
		{name: "a report that nobody expected is left out",
			expected: []report.Expected{{Pod: "a", Node: "n0"}},
			reports:  []report.AgentReport{of("a", "n0"), of("x", "n9")},
			agents:   []report.AgentReport{of("a", "n0")}},
		{name: "nodes without an agent are missing one by one",
			expected: []report.Expected{{Node: "n1", LeftOutWhy: "no agent"}, {Node: "n0", LeftOutWhy: "no agent"}},
			missing:  []report.Missing{{Node: "n0", Reason: "no agent"}, {Node: "n1", Reason: "no agent"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			agents, missing := report.Merge(c.expected, c.reports, c.lost)
			if diff := cmp.Diff(c.agents, agents, cmp.AllowUnexported(stats.Histogram{})); diff != "" {
				t.Errorf("agents (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.missing, missing); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}
