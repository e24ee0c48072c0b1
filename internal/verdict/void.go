package verdict

import (
	"fmt"
	"slices"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
)

// withoutVoid is the report as it would be had the void requests never been made.
func withoutVoid(a report.Agent) report.Agent {
	a.Paths = slices.Clone(a.Paths)
	for i, p := range a.Paths {
		a.Paths[i] = p.WithoutVoid()
	}
	return a
}

// excuse makes a path void of which nothing is left because its peers were changed, or its own agent was, for which cut is the reason.
func excuse(judged Path, p report.Path, cut string, churn []report.Change) Path {
	if judged.Result != NoData {
		return judged
	}
	void := p.Void()
	switch {
	case void > 0 && void+count(p.Failures, probe.NotSent)+count(p.Failures, probe.Aborted) == p.Sent:
		judged.Void = true
		judged.Reason = fmt.Sprintf("all %d requests are void: %s", void, changedBehind(p, churn))
	case cut != "":
		judged.Void, judged.Reason = true, cut
	}
	return judged
}

// changedBehind says what happened to those that ought to have answered.
func changedBehind(p report.Path, churn []report.Change) string {
	for _, c := range churn {
		if c.Pod == p.Target.Pod {
			return fmt.Sprintf("pod %s on node %s: %s", c.Pod, c.Node, c.Clause())
		}
	}
	return changed(churn)
}

// changed says what happened when it happened to several.
func changed(churn []report.Change) string {
	if len(churn) == 1 {
		return fmt.Sprintf("pod %s on node %s: %s", churn[0].Pod, churn[0].Node, churn[0].Clause())
	}
	return fmt.Sprintf("agents were deleted or restarted %d times during the round", len(churn))
}

// allVoid tells whether none of the paths says anything because of changes, and why.
func allVoid(paths []Path, cut string) (bool, string) {
	if len(paths) == 0 {
		return cut != "", cut
	}
	if slices.ContainsFunc(paths, func(p Path) bool { return !p.Void }) {
		return false, ""
	}
	if cut != "" {
		return true, cut
	}
	return true, paths[0].Target + ": " + paths[0].Reason
}
