package diagnose

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFindingsAreComparedByRuleAndPlace(t *testing.T) {
	at := func(reason, where, message string) Finding {
		return Finding{Reason: reason, Where: where, Message: message}
	}
	a, b, c := at("CommonNode", "node n1", "a"), at("CommonNode", "node n2", "b"), at("OneSource", "node n1", "c")
	for name, tc := range map[string]struct{ before, now, opened, cleared []Finding }{
		"nothing before and now":           {nil, nil, nil, nil},
		"all are new":                      {nil, []Finding{a, b}, []Finding{a, b}, nil},
		"all are gone":                     {[]Finding{a, b}, nil, nil, []Finding{a, b}},
		"the same with other words":        {[]Finding{a}, []Finding{at("CommonNode", "node n1", "others")}, nil, nil},
		"the same in another order":        {[]Finding{a, b}, []Finding{b, a}, nil, nil},
		"another node":                     {[]Finding{a}, []Finding{b}, []Finding{b}, []Finding{a}},
		"another rule on the same node":    {[]Finding{a}, []Finding{c}, []Finding{c}, []Finding{a}},
		"one stays, one comes, one leaves": {[]Finding{a, b}, []Finding{b, c}, []Finding{c}, []Finding{a}},
		"twice the same is one":            {nil, []Finding{a, a}, []Finding{a}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			opened, cleared := Compare(tc.before, tc.now)
			if diff := cmp.Diff(tc.opened, opened); diff != "" {
				t.Errorf("opened (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.cleared, cleared); diff != "" {
				t.Errorf("cleared (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFindingAboutANodeSaysHowBroadItsEvidenceIs(t *testing.T) {
	for name, c := range map[string]struct {
		failed        []ends
		kinds, others int
	}{
		"one path":                      {[]ends{{"n1", "n2", "PodIP"}}, 1, 1},
		"two kinds to one node":         {[]ends{{"n1", "n2", "PodIP"}, {"n1", "n2", "NodePort"}}, 2, 1},
		"one kind from two nodes":       {[]ends{{"n2", "n1", "PodIP"}, {"n3", "n1", "PodIP"}}, 1, 2},
		"a Service, which is no node":   {[]ends{{"n1", "", "ClusterIP"}}, 1, 0},
		"the node's own pod":            {[]ends{{"n1", "n1", "PodIP"}}, 1, 0},
		"paths of others say nothing":   {[]ends{{"n2", "n3", "PodIP"}, {"n1", "n3", "PodIP"}}, 1, 1},
		"both ways between two is once": {[]ends{{"n1", "n2", "PodIP"}, {"n2", "n1", "PodIP"}}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := about(Finding{}, "n1", c.failed)
			if got.Kinds != c.kinds || got.Others != c.others || len(got.Nodes) != 1 || got.Nodes[0] != "n1" {
				t.Errorf("got %+v, want %d kinds and %d others", got, c.kinds, c.others)
			}
		})
	}
}
