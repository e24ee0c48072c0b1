package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// strangers are the answers that agents got over one way from pods that may not answer them.
type strangers struct {
	way     way
	answers uint64
	// agents are those that asked, pods those that answered, ids the targets.
	agents, pods, ids []string
	figures           []figure
}

type figure struct {
	agent, id, pod string
	n              uint64
}

// unexpectedBackend finds answers from agents that are no backends of the target for the agent that asked: those of
// another node where the traffic policy is Local, say. Agents that were changed, or that were left out of the round,
// may have become backends meanwhile.
func unexpectedBackend(f facts) []Finding {
	steady := map[string]bool{}
	for _, e := range f.round.Expected {
		steady[e.Pod] = e.LeftOutWhy == "" && !f.changed[e.Pod]
	}
	byWay := map[way]*strangers{}
	for _, a := range f.round.Agents {
		for i := range a.Paths {
			p := &a.Paths[i]
			if set := f.sets.of(a.Pod, &p.Target); set != nil && steady[a.Pod] && !silentOnLocal(p.Target) {
				f.meet(byWay, a.Pod, p, set, steady)
			}
		}
	}
	var findings []Finding
	for _, w := range slices.SortedFunc(maps.Keys(byWay), compareWays) {
		findings = append(findings, f.unexpected(byWay[w]))
	}
	return findings
}

// silentOnLocal reports whether the target may be a node port with the traffic policy Local of a round that the first
// release stored: it did not say which pods beside those of the node may answer there.
func silentOnLocal(t target.Target) bool {
	return t.Kind == target.NodePort && t.Answer == "" && t.OnlyNode == ""
}

func (f facts) meet(byWay map[way]*strangers, agent string, p *report.Path, set *backendSet, steady map[string]bool) {
	for pod, n := range p.Peers {
		if n == 0 || set.may[pod] || !steady[pod] {
			continue
		}
		w := wayOf(&p.Target)
		s := byWay[w]
		if s == nil {
			s = &strangers{way: w}
			byWay[w] = s
		}
		s.answers += n
		s.agents, s.pods, s.ids = append(s.agents, agent), append(s.pods, pod), append(s.ids, p.Target.ID)
		s.figures = append(s.figures, figure{agent, p.Target.ID, pod, n})
	}
}

func (f facts) unexpected(s *strangers) Finding {
	agents, pods := sorted(s.agents), sorted(s.pods)
	var places, lines []string
	for _, pod := range pods {
		places = append(places, f.place(pod))
	}
	slices.SortFunc(s.figures, func(a, b figure) int {
		return cmp.Or(cmp.Compare(a.agent, b.agent), cmp.Compare(a.id, b.id), cmp.Compare(a.pod, b.pod))
	})
	for _, g := range s.figures[:min(len(s.figures), mostNamed)] {
		lines = append(lines,
			fmt.Sprintf("%s on %s: %s gave %s", cmp.Or(f.nodes[g.agent], g.agent), g.id, f.place(g.pod),
				plural(g.n, "answer")))
	}
	found := Finding{Component: s.way.component(), Where: several(places), Confidence: Medium,
		Evidence: append(lines, "seen on "+several(sorted(s.ids)))}
	if len(agents) > 1 {
		found.Confidence = High
	}
	found.Message = fmt.Sprintf("%s: %s to agents on %s came from pods that are no backends for them: %s; "+
		"look at the Service's traffic policies, and at how kube-proxy, or what stands in for it, follows them",
		s.way, plural(s.answers, "answer"), several(f.nodesOf(agents)), several(places))
	return found
}
