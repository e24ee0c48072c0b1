package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// unexpectedAnswers are the answers that agents got over one path kind from pods that may not answer them.
type unexpectedAnswers struct {
	pathKind pathKind
	answers  uint64
	// agents are the pods that asked, pods the pods that answered, ids the targets.
	agents, pods, ids []string
	figures           []figure
}

type figure struct {
	agent, id, pod string
	n              uint64
}

// unexpectedBackend finds answers from agents that are no backends of the target for the asking agent, such as agents
// on another node if the traffic policy is Local. Agents that were changed, or left out of the round, may have become
// backends during the round.
func unexpectedBackend(f facts) []Finding {
	unchanged := map[string]bool{}
	for _, e := range f.round.Expected {
		unchanged[e.Pod] = e.LeftOutWhy == "" && !f.changed[e.Pod]
	}
	byWay := map[pathKind]*unexpectedAnswers{}
	for _, a := range f.round.Agents {
		for i := range a.Paths {
			p := &a.Paths[i]
			if set := f.sets.find(a.Pod, &p.Target); set != nil && unchanged[a.Pod] && !silentOnLocal(p.Target) {
				f.addUnexpected(byWay, a.Pod, p, set, unchanged)
			}
		}
	}
	var findings []Finding
	for _, w := range slices.SortedFunc(maps.Keys(byWay), comparePathKinds) {
		findings = append(findings, f.unexpectedFinding(byWay[w]))
	}
	return findings
}

// silentOnLocal reports whether the target may be a node port with the traffic policy Local in a round that the first
// release stored. Such a round does not say which pods besides those of the node may answer there.
func silentOnLocal(t target.Target) bool {
	return t.Kind == target.NodePort && t.Answer == "" && t.OnlyNode == ""
}

func (f facts) addUnexpected(byWay map[pathKind]*unexpectedAnswers, agent string, p *report.Path, set *backendSet,
	unchanged map[string]bool) {
	for pod, n := range p.Peers {
		if n == 0 || set.mayAnswer[pod] || !unchanged[pod] {
			continue
		}
		w := pathKindOf(&p.Target)
		s := byWay[w]
		if s == nil {
			s = &unexpectedAnswers{pathKind: w}
			byWay[w] = s
		}
		s.answers += n
		s.agents, s.pods, s.ids = append(s.agents, agent), append(s.pods, pod), append(s.ids, p.Target.ID)
		s.figures = append(s.figures, figure{agent, p.Target.ID, pod, n})
	}
}

func (f facts) unexpectedFinding(s *unexpectedAnswers) Finding {
	agents, pods := sorted(s.agents), sorted(s.pods)
	var places, lines []string
	for _, pod := range pods {
		places = append(places, f.podName(pod))
	}
	slices.SortFunc(s.figures, func(a, b figure) int {
		return cmp.Or(cmp.Compare(a.agent, b.agent), cmp.Compare(a.id, b.id), cmp.Compare(a.pod, b.pod))
	})
	for _, g := range s.figures[:min(len(s.figures), mostNamed)] {
		lines = append(lines,
			fmt.Sprintf("%s on %s: %s gave %s", cmp.Or(f.nodes[g.agent], g.agent), g.id, f.podName(g.pod),
				plural(g.n, "answer")))
	}
	found := Finding{Component: s.pathKind.component(), Where: firstNames(places), Confidence: Medium,
		Evidence: append(lines, "seen on "+firstNames(sorted(s.ids)))}
	if len(agents) > 1 {
		found.Confidence = High
	}
	found.Message = fmt.Sprintf("%s: %s to agents on %s came from pods that are no backends for them: %s; "+
		"look at the Service's traffic policies, and at how kube-proxy, or what stands in for it, follows them",
		s.pathKind, plural(s.answers, "answer"), firstNames(f.nodesOf(agents)), firstNames(places))
	return found
}
