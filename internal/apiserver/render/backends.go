package render

import (
	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

// mostBackends is how many pods one target names: every agent has every target, so the list grows with the square of
// the cluster.
const mostBackends = 100

// backends is who ought to answer on targets that stand for several pods, and who never did.
type backends struct {
	expected report.BackendSets
	silent   map[diagnose.AgentTarget][]string
	// unknown reports that nobody knows which backends are expected.
	unknown bool
}

func expectedBackends(round report.Round) backends {
	return backends{expected: round.BackendSets(), silent: diagnose.SilentBackends(round)}
}

// tell adds who answered the agent, where any of several pods may.
func (b backends) tell(m *systemv1beta1.HTTPMetrics, agent string, p report.Path) {
	pods, ok := b.expected.Pods(agent, p.Target.ID)
	if !ok && (!b.unknown || p.Target.MayAnswer() != target.Backends) {
		return
	}
	m.BackendsExpected = int64(len(pods))
	for _, pod := range pods {
		if p.Peers[pod] > 0 {
			m.BackendsAnswered++
		}
	}
	m.SilentBackends = b.silent[diagnose.AgentTarget{Agent: agent, Target: p.Target.ID}]
	if len(p.Peers) > mostBackends {
		return
	}
	m.Backends = make(map[string]int64, len(p.Peers))
	for pod, n := range p.Peers {
		m.Backends[pod] = count(n)
	}
}

func findings(stored verdict.StoredRound) []systemv1beta1.Finding {
	var all []systemv1beta1.Finding
	for _, f := range diagnose.Findings(stored.Round, stored.Verdict) {
		all = append(all, systemv1beta1.Finding{Reason: f.Reason, Component: string(f.Component), Where: f.Where,
			Confidence: string(f.Confidence), Message: f.Message, Evidence: f.Evidence,
			Cause: f.Cause, Causes: causes(f.Causes), Probability: f.Probability, Against: f.Against,
			RunnerUp: f.RunnerUp, Falsify: f.Falsify, Command: f.Command})
	}
	return all
}

func causes(of []report.ComponentCause) []systemv1beta1.ComponentCause {
	var all []systemv1beta1.ComponentCause
	for _, c := range of {
		all = append(all, systemv1beta1.ComponentCause{Component: string(c.Component), Cause: c.Cause})
	}
	return all
}

// diagnosis says what the ladder cost and saw; nil in a round without one.
func diagnosis(l *report.Ladder) *systemv1beta1.Diagnosis {
	if l == nil {
		return nil
	}
	d := &systemv1beta1.Diagnosis{Agents: int64(l.Senders), HostAgents: int64(l.Hosts), Probes: count(l.Sent),
		Failed: count(l.Failed)}
	for _, b := range l.SmallestLoss {
		d.SmallestLoss = append(d.SmallestLoss, systemv1beta1.SmallestLoss{Path: diagnose.RungTitle(b.Rung),
			Probes: count(b.Probes), Percent: 100 * b.Loss})
	}
	return d
}
