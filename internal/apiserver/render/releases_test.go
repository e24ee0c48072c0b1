package render

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/report"
)

func TestReleases(t *testing.T) {
	of := func(releases ...string) (agents []report.AgentReport) {
		for _, r := range releases {
			agents = append(agents, report.AgentReport{Release: r})
		}
		return agents
	}
	cases := map[string]struct {
		agents []report.AgentReport
		want   []systemv1beta1.AgentRelease
	}{
		"no agent told its release: nothing": {of("", ""), nil},
		"one release": {of("0.2.0", "0.2.0"),
			[]systemv1beta1.AgentRelease{{Release: "0.2.0", Agents: 2}}},
		"two releases and one that was not told: the most first": {of("0.2.0", "", "0.3.0", "0.3.0"),
			[]systemv1beta1.AgentRelease{{Release: "0.3.0", Agents: 2}, {Agents: 1}, {Release: "0.2.0", Agents: 1}}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, releases(test.agents)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
