package wire

import (
	"fmt"
	"slices"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/report"
)

// parseSums reads the sums and the indices of the paths that are in sums and did not pass. mesh.Plan.Attach holds both
// against the plan.
func parseSums(m *agentv1.AgentReport) ([]report.Sum, []report.NotListed, error) {
	if len(m.GetSums()) > MaxTargets || len(m.GetNotListed()) > MaxTargets {
		return nil, nil, fmt.Errorf("%d sums and %d paths that did not pass; allowed are %d of each", len(m.GetSums()),
			len(m.GetNotListed()), MaxTargets)
	}
	var sums []report.Sum
	seen := make(map[uint32]bool, len(m.GetSums()))
	for _, s := range m.GetSums() {
		total, err := parseSum(s)
		if err != nil {
			return nil, nil, fmt.Errorf("sum of group %d: %w", s.GetGroup(), err)
		}
		if seen[s.GetGroup()] || s.GetPaths() == 0 || s.GetNotPassed() > s.GetPaths() {
			return nil, nil, fmt.Errorf("sum of group %d: it stands twice, or %d of %d paths cannot be", s.GetGroup(),
				s.GetNotPassed(), s.GetPaths())
		}
		seen[s.GetGroup()] = true
		sums = append(sums, report.Sum{Group: s.GetGroup(), Paths: s.GetPaths(), NotPassed: s.GetNotPassed(),
			Total: total})
	}
	notListed := slices.Grow([]report.NotListed(nil), len(m.GetNotListed()))
	for i, number := range m.GetNotListed() {
		path := report.NotListed{Index: number >> classBits, Class: report.Class(number & (1<<classBits - 1))}
		if path.Index >= MaxTargets || path.Class >= report.Classes || i > 0 && path.Index <= notListed[i-1].Index {
			return nil, nil, fmt.Errorf("the paths that did not pass have no class, or are not ascending below %d", MaxTargets)
		}
		notListed = append(notListed, path)
	}
	return sums, notListed, nil
}

// classBits is the number of bits in which the message has the class of a path that is not listed, below its index.
const classBits = 2

func parseSum(m *agentv1.Sum) (report.Path, error) {
	total, err := parseStream(m.GetTotal())
	if err != nil || m.GetTotal().GetPersistent() == nil {
		return total, err
	}
	persistent, err := parseStream(m.GetTotal().GetPersistent())
	if err != nil {
		return report.Path{}, fmt.Errorf("persistent stream: %w", err)
	}
	total.Persistent = &persistent
	return total, nil
}
