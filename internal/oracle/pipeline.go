package oracle

import (
	"time"

	"kdoctor.io/kdoctor/internal/churn"
	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Judged is the product's judgement on a round.
type Judged struct {
	Round    report.Round
	Verdict  verdict.Verdict
	Findings []diagnose.Finding
}

// Judge simulates the scenario and lets the product judge what its agents report.
func Judge(s Scenario) (Judged, error) {
	e, err := Simulate(s).evidence()
	if err != nil {
		return Judged{}, err
	}
	return e.judge(s.Expect), nil
}

// evidence is what reaches the controller, before it judges.
type evidence struct {
	round  report.Round
	silent map[string]time.Time
}

// evidence returns what the controller has once the round is over, joined as internal/round joins it.
func (t *Truth) evidence() (evidence, error) {
	var reports []report.AgentReport
	lost, silent, answered := map[string]string{}, map[string]time.Time{}, map[string]time.Time{}
	for _, a := range t.Agents {
		if !a.Reports {
			pod := podName(a.Number)
			lost[pod], silent[pod], answered[pod] = "no answer on either way", epoch().Add(a.SilentSince),
				epoch().Add(a.LastAnswered)
			continue
		}
		r, err := t.Record(a)
		if err != nil {
			return evidence{}, err
		}
		reports = append(reports, r)
	}
	agents, missing := report.Merge(t.mesh.Expected, reports, lost)
	for i, m := range missing {
		missing[i].LastAnswered = answered[m.Pod]
	}
	m := t.mesh
	return evidence{silent: silent,
		round: report.Round{Started: epoch(), Deadline: epoch().Add(t.Length + time.Minute),
			Ended:  epoch().Add(t.Length),
			Budget: m.Load, Expected: m.Expected, Backends: m.Backends, Agents: agents, Missing: missing, Gaps: m.Gaps,
			Churn: t.observedChanges(), Outside: m.Outside}}, nil
}

// observedChanges returns the changes that the product observes in snapshots of the cluster.
func (t *Truth) observedChanges() []report.Change {
	var agents []topology.Agent
	answered, silent := map[string]time.Time{}, map[string]time.Time{}
	for _, p := range t.mesh.Plans {
		agents = append(agents, p.Agent)
	}
	for _, a := range t.Agents {
		answered[podName(a.Number)] = epoch().Add(a.LastAnswered)
		if a.SilentSince != forever {
			silent[podName(a.Number)] = epoch().Add(a.SilentSince)
		}
	}
	w := churn.NewWatch(agents, epoch())
	w.Observe(t.world.snapshot(0))
	for _, at := range t.snapshotTimes {
		w.Observe(t.world.snapshot(at))
	}
	w.ObserveSilence(silent)
	return w.Changes(answered)
}

// judge is the product's own pipeline.
func (e evidence) judge(expect verdict.Expect) Judged {
	round := churn.Excuse(e.round, e.silent)
	judged := verdict.Judge(round, expect)
	return Judged{Round: round, Verdict: judged, Findings: diagnose.Findings(round, judged)}
}
