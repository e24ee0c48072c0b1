package report_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/report"
)

func TestWhoOughtToAnswerDependsOnTheAgentWhereTheRoundSaysSo(t *testing.T) {
	behind := report.Round{Backends: []report.BackendSet{
		{Targets: []string{"all"}, Pods: []string{"a", "b"}},
		{Targets: []string{"near", "next"}, Pods: []string{"a"}, Askers: []string{"a", "c"}},
		{Targets: []string{"near"}, Pods: nil, Askers: []string{"b"}},
	}}.BackendSets()
	type answer struct {
		Pods  []string
		Known bool
	}
	for _, c := range []struct {
		name, agent, target string
		want                answer
	}{
		{"a set without sources holds for every agent", "b", "all", answer{[]string{"a", "b"}, true}},
		{"a set with sources holds for the first of them", "a", "near", answer{[]string{"a"}, true}},
		{"and for the last", "c", "next", answer{[]string{"a"}, true}},
		{"a set that is empty is known to be", "b", "near", answer{nil, true}},
		{"an agent that is no source knows nothing", "b", "next", answer{nil, false}},
		{"a target that is one agent's own is not known", "a", "other", answer{nil, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			pods, known := behind.Pods(c.agent, c.target)
			if diff := cmp.Diff(c.want, answer{pods, known}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
