package diagnose_test

import (
	"testing"
	"time"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

func TestASlowNodeOfThreeIsFound(t *testing.T) {
	s := fourNodes(true)
	s.Agents, s.Hosts, s.Nodes = s.Agents[:3], s.Hosts[:3], s.Nodes[:3]
	seen := climb(s, failing("", func(ladder.Observation) bool { return false }))
	for i := range seen {
		seen[i].Mean = 200 * time.Microsecond
		if at(seen[i], "n2") && seen[i].Rung != ladder.SecondInterface {
			seen[i].Mean = 100 * time.Millisecond
		}
	}
	_, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, seen, diagnose.ClusterOf(s))
	if len(found) != 1 || found[0].Cause != "Delay" || found[0].Where != "node n2" ||
		found[0].Component != "node network" {
		t.Errorf("found %+v, want a delay of node n2's network alone", found)
	}
}
