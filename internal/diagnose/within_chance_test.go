package diagnose_test

import (
	"fmt"
	"testing"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
)

// TestHealthyRoundsHaveNoFindings holds the promise of chance: no more than one of 1,000 rounds in which each
// connection is led to one of the pods by lot has a finding.
func TestHealthyRoundsHaveNoFindings(t *testing.T) {
	const rounds, most = 20000, 20
	shapes := []lottery{
		{pods: 2, requests: 10}, {pods: 3, requests: 10}, {pods: 3, requests: 30}, {pods: 5, requests: 10},
		{pods: 4, requests: 45},
		{pods: 8, requests: 10}, {pods: 3, requests: 10, families: []topology.Family{topology.IPv4, topology.IPv6}},
		{pods: 12, requests: 10, kinds: []target.Kind{target.ClusterIP}},
		{pods: 6, requests: 70, kinds: []target.Kind{target.ClusterIP}},
		{pods: 25, requests: 20, kinds: []target.Kind{target.ClusterIP}},
	}
	large := []lottery{{pods: 20, requests: 10}, {pods: 60, requests: 10}}
	random, found := seeded(1), 0
	for i := range rounds {
		shape := shapes[i%len(shapes)]
		if i%1000 == 0 {
			shape = large[i/1000%len(large)]
		}
		shape.services = true
		if findings := patterns(shape.round(random)); len(findings) > 0 {
			found++
			t.Logf("round %d of %d pods: %s", i, shape.pods, findings[0].Message)
		}
	}
	if found > most {
		t.Errorf("%d of %d healthy rounds have findings, want %d at most", found, rounds, most)
	}
}

// TestRequestsThatAreDealtInTurnAreNoFault holds what IPVS does: each place that selects backends begins with the same
// pod.
func TestRequestsThatAreDealtInTurnAreNoFault(t *testing.T) {
	for _, l := range []lottery{{pods: 2}, {pods: 3}, {pods: 12}, {pods: 20}, {pods: 40},
		{pods: 30, kinds: []target.Kind{target.ClusterIP}}} {
		for _, requests := range []int{10, 20, 50} {
			for _, paced := range []bool{false, true} {
				l.requests, l.deals, l.paced, l.services = requests, true, paced, true
				for seed := range uint64(3) {
					for _, f := range patterns(l.round(seeded(seed))) {
						t.Errorf("%d pods, %d requests, %d kinds, paced %v: %s: %s", l.pods, requests, len(l.kinds),
							paced, f.Reason,
							f.Message)
					}
				}
			}
		}
	}
}

// findings are of the reason alone.
func reasons(round report.Round) []string {
	var all []string
	for _, f := range patterns(round) {
		all = append(all, fmt.Sprintf("%s %s at %s", f.Confidence, f.Reason, f.Where))
	}
	return all
}
