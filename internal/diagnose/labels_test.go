package diagnose_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

func TestAFaultBetweenZonesNamesNodesWithAWrongLabel(t *testing.T) {
	const several = 12
	for _, c := range []struct {
		name string
		// label is what node n4 carries, or n5 where it is away from the fault.
		node, label, says string
	}{
		{"another zone's label", "n4", "z2",
			"node n4 carries the label of zone z2, and its paths behave as those of zone z1"},
		{"no label", "n4", "", "node n4 carries no label of a zone, and its paths behave as those of zone z1"},
		{"a label of a zone at fault", "n5", "z1",
			"node n5 carries the label of zone z1, and its paths do not behave as those of zone z1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, zones := nodes(several, true), map[string]string{}
			for i := range s.Nodes {
				n := &s.Nodes[i]
				zones[n.Name] = fmt.Sprintf("z%d", i%3)
				if n.Zone = zones[n.Name]; n.Name == c.node {
					n.Zone = c.label
				}
			}
			seen := climb(s, failing(ladder.NoAnswer, func(o ladder.Observation) bool {
				ends := []string{zones[o.From], zones[o.To]}
				return among(o, ladder.PodToPod, ladder.HostToPod) && slices.Contains(ends, "z0") &&
					slices.Contains(ends, "z1")
			}))
			_, found := diagnose.Locate(report.Round{}, verdict.Verdict{}, seen, diagnose.ClusterOf(s))
			if len(found) != 1 || found[0].Component != "overlay between two zones" {
				t.Fatalf("found %+v, want the overlay between the zones alone", found)
			}
			if text := strings.Join(found[0].Evidence, "\n"); !strings.Contains(text, c.says) {
				t.Errorf("the evidence lacks %q: %s", c.says, text)
			}
		})
	}
}
