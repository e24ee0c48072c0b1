package round

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

// What is wrong with EndpointSlices is what was so at both ends of the round. What went is what either end knows of.
func TestEndpointsAreComparedAtBothEndsOfTheRound(t *testing.T) {
	many := make([]string, report.MaxEndpoints+5)
	for i := range many {
		many[i] = fmt.Sprintf("192.0.2.%02d:80", i)
	}
	for name, c := range map[string]struct {
		first, last topology.Slices
		want        []report.EndpointFault
	}{
		"nothing": {},
		"wrong all the time": {topology.Slices{Strange: []string{"a", "b"}, Left: []string{"p"}},
			topology.Slices{Strange: []string{"b", "c"}, Left: []string{"p", "q"}},
			[]report.EndpointFault{{Service: "web", Strange: []string{"b"}, Left: []string{"p"}}}},
		"wrong for a while": {topology.Slices{Strange: []string{"a"}}, topology.Slices{Left: []string{"p"}}, nil},
		"gone before, and meanwhile": {topology.Slices{Gone: []string{"a", "b"}},
			topology.Slices{Gone: []string{"b", "c"}},
			[]report.EndpointFault{{Service: "web", Gone: []string{"a", "b", "c"}}}},
		"more than are kept": {topology.Slices{Gone: many}, topology.Slices{},
			[]report.EndpointFault{{Service: "web", Gone: many[:report.MaxEndpoints]}}},
	} {
		t.Run(name, func(t *testing.T) {
			var w clusterWatch
			w.note([]topology.Service{{Name: "web", Slices: c.first}, {Name: "removed", Slices: c.first}})
			w.note([]topology.Service{{Name: "made", Slices: c.last}, {Name: "web", Slices: c.last}})
			if diff := cmp.Diff(c.want, w.endpoints()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
