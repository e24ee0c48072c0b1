package diagnose_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// The words of findings are the same in whatever order the round has its agents, its backend sets and their pods.
func TestTheOrderOfARoundChangesNoWord(t *testing.T) {
	onePod := func() report.Round {
		r := counted(5, append(everyone(5, "ClusterIP", 20), everyone(5, "NodePort", 20)...)...)
		pods := r.Backends[0].Pods
		r.Backends = []report.BackendSet{{Targets: []string{"ClusterIP"}, Pods: pods},
			{Targets: []string{"NodePort"}, Pods: slices.Clone(pods)}}
		return r
	}
	for _, c := range []struct {
		name  string
		round func() report.Round
		mix   func(*report.Round)
	}{
		{"pods of one of two sets", onePod, func(r *report.Round) { slices.Reverse(r.Backends[1].Pods) }},
		{"pods of both sets", onePod, func(r *report.Round) {
			slices.Reverse(r.Backends[0].Pods)
			slices.Reverse(r.Backends[1].Pods)
		}},
		{"backend sets", onePod, func(r *report.Round) { slices.Reverse(r.Backends) }},
		{"agents that unexpected pods answered", func() report.Round { return elsewhere(4) },
			func(r *report.Round) { slices.Reverse(r.Agents) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			round, mixed := c.round(), c.round()
			c.mix(&mixed)
			want := diagnose.Findings(round, verdict.Verdict{})
			if len(want) != 1 {
				t.Errorf("%d findings, want one: %+v", len(want), want)
			}
			if diff := cmp.Diff(want, diagnose.Findings(mixed, verdict.Verdict{})); diff != "" {
				t.Errorf("(-in order +mixed):\n%s", diff)
			}
		})
	}
}

// A pod that all views together show to be silent comes before a pod that each view shows if its name comes first.
func TestSilentPodsComeInTheOrderOfTheirNames(t *testing.T) {
	round := counted(6, append(everyone(6, "ClusterIP", 40, 40, 40, 40, 0, 40),
		everyone(6, "NodePort", 4, 0, 4, 4, 4, 4)...)...)
	want := []string{"low SilentBackend at pod agent-01 on node node-01",
		"low SilentBackend at pod agent-04 on node node-04"}
	if diff := cmp.Diff(want, reasons(round)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Two kinds of paths to the same pod were measured by different agents: all of these agents count.
func TestWaysThatLeadToOnePodAreToldWithAllOfTheirAgents(t *testing.T) {
	views := append(everyone(3, "ClusterIP", 20), everyone(5, "NodePort", 20)...)
	found := diagnose.Findings(counted(5, views...), verdict.Verdict{})
	if len(found) == 0 || !strings.Contains(found[0].Message, "gave all 160 answers to 5 agents") {
		t.Errorf("%+v, want first that one pod gave 160 answers to 5 agents", found)
	}
}

// One of the agents misses most pods, which is its own fault; all others miss the second pod alone.
func TestAnAgentThatMissesMostHidesNoneOfTheOthers(t *testing.T) {
	views := everyone(6, "ClusterIP", 40, 0, 40, 40, 40, 40)
	views[3].peers = []uint64{0, 0, 200}
	found := diagnose.Findings(counted(6, views...), verdict.Verdict{})
	for _, f := range found {
		if f.Reason == "SilentBackend" && strings.Contains(f.Message, "4 of 4 other agents") {
			return
		}
	}
	t.Errorf("%+v, want a silent pod that answered none of 4 other agents", found)
}
