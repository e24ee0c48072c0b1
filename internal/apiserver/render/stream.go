package render

import (
	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Stream renders a round in which agents report sums, agent by agent, so that no more than one agent needs to be in
// memory. The result is what Report renders of the whole round.
type Stream struct {
	task    ReportedTask
	stored  verdict.StoredRound
	figures *tally
}

// NewStream begins with the round without its agents.
func NewStream(task ReportedTask, head verdict.StoredRound) *Stream {
	head.Round.Agents, head.Verdict.Agents = nil, nil
	return &Stream{task: task, stored: head, figures: newTally(head.Round)}
}

// Add adds an agent. The judgement is nil if the agent was not judged.
func (s *Stream) Add(a *report.AgentReport, v *verdict.JudgedAgent) {
	if v == nil {
		v = new(judgedAgent(nil, a.Pod))
	}
	s.figures.add(a, *v)
	// What notes are made of stays: who took part, and the few paths that prove nothing about a load balancer.
	slim, judged := report.AgentReport{Pod: a.Pod, Node: a.Node, Release: a.Release}, verdict.JudgedAgent{Pod: v.Pod,
		Node: v.Node}
	var results map[string]verdict.JudgedPath
	for i := range a.Paths {
		if t := &a.Paths[i].Target; t.ShortCircuit {
			if results == nil {
				results = judgedPaths(*v)
			}
			slim.Paths = append(slim.Paths, report.Path{Target: *t})
			judged.Paths = append(judged.Paths, judgedPath(results, t.ID))
		}
	}
	s.stored.Round.Agents = append(s.stored.Round.Agents, slim)
	s.stored.Verdict.Agents = append(s.stored.Verdict.Agents, judged)
}

// Report returns the report of the agents that were added.
func (s *Stream) Report() *systemv1beta1.KdoctorReport {
	return withoutPaths(s.task, s.stored, s.figures)
}
