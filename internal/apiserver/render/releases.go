package render

import (
	"cmp"
	"slices"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/report"
)

// maxReleases is how many releases of agents a report names.
const maxReleases = 10

// releases counts the agents that reported by their release, those with the most agents first. It is nil if no agent
// told its release.
func releases(agents []report.AgentReport) []systemv1beta1.AgentRelease {
	var all []systemv1beta1.AgentRelease
	told := false
	for i := range agents {
		told = told || agents[i].Release != ""
		at := slices.IndexFunc(all, func(r systemv1beta1.AgentRelease) bool { return r.Release == agents[i].Release })
		if at < 0 {
			at = len(all)
			all = append(all, systemv1beta1.AgentRelease{Release: agents[i].Release})
		}
		all[at].Agents++
	}
	if !told {
		return nil
	}
	slices.SortFunc(all, func(a, b systemv1beta1.AgentRelease) int {
		return cmp.Or(cmp.Compare(b.Agents, a.Agents), cmp.Compare(a.Release, b.Release))
	})
	return all[:min(len(all), maxReleases)]
}
