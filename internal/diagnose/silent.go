package diagnose

import (
	"cmp"
	"fmt"
	"slices"

	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

// silentPod is one pod that never answered some agents over one or several kinds of path.
type silentPod struct {
	pod string
	// paths names the kinds of paths. pathKind is the only kind, or the first.
	paths    string
	pathKind pathKind
	// families are the families in which the pod is silent.
	families []topology.Family
	// judgedBy is how many other agents have enough answers to judge the pod. silentTo are those of them that the pod
	// never answered, sorted.
	judgedBy int
	silentTo []string
	// explained reports that lost requests confirm the silence, clean that no request failed, uneven that a known
	// reason may lead to only some of the pods.
	explained, clean, uneven bool
	evidence                 []string
}

// silentToAll reports whether the pod is silent to all agents that can judge it.
func (s silentPod) silentToAll() bool { return len(s.silentTo) == s.judgedBy }

// silentBackend finds pods that a Service, a load balancer or an Ingress ought to lead to and that never answer there,
// although others do. Pods that single views show to be silent come from silentInViews, pods that only all views of a
// backend set together show from silentInPools.
//
// A pod's view of itself does not count: it meets itself only on its own node. The view of an agent that misses most
// pods while others do not does not count either: then the fault is at the agent's end.
func silentBackend(f facts) []Finding {
	var findings []Finding
	for _, s := range f.silent {
		if reach := f.reachOf(s.silentTo, s.pod, s.families); !f.locatedOnTheWay(s, reach) {
			findings = append(findings, f.silenceFinding(s, reach))
		}
	}
	return findings
}

// locatedOnTheWay reports whether the pod is silent because agents do not reach it at its own address either, and a
// fault was located: then that fault, or another one that was located, is what keeps them from it.
func (f facts) locatedOnTheWay(s silentPod, reach reach) bool {
	if !slices.ContainsFunc(f.round.Located, func(fault Finding) bool { return fault.Probability > 0 }) {
		return false
	}
	if reach.works+reach.fails > 0 || f.round.Ladder == nil {
		return reach.works == 0 && reach.fails > 0
	}
	return !slices.ContainsFunc(s.silentTo, func(agent string) bool {
		return !slices.ContainsFunc(f.round.Ladder.Failing, func(o ladder.Observation) bool {
			return o.Rung == ladder.PodToPod && o.From == f.nodes[agent] && o.To == f.nodes[s.pod]
		})
	})
}

// silentPods returns the silent pods, sorted by pod, then paths.
func (f facts) silentPods() []silentPod {
	all := f.silentInViews()
	known := map[string]bool{}
	for _, s := range all {
		known[s.pod] = true
	}
	all = append(all, f.silentInPools(known)...)
	slices.SortFunc(all,
		func(a, b silentPod) int { return cmp.Or(cmp.Compare(a.pod, b.pod), cmp.Compare(a.paths, b.paths)) })
	return all
}

// silentViews are the views of one path kind that can judge a pod.
type silentViews struct {
	pod    string
	kind   pathKind
	judged []string
	silent []view
}

// addAgent adds the agent of a view that can judge the pod. Views come by agent.
func (s *silentViews) addAgent(agent string) {
	if n := len(s.judged); n == 0 || s.judged[n-1] != agent {
		s.judged = append(s.judged, agent)
	}
}

// silentInViews returns the pods that single views show to be silent.
func (f facts) silentInViews() []silentPod {
	type key struct {
		pod  string
		kind pathKind
	}
	views := f.answeredViews()
	fair := map[pathKind]bool{}
	for _, v := range views {
		fair[pathKindOf(v.target)] = fair[pathKindOf(v.target)] || !v.mostSilent()
	}
	byKey := map[key]*silentViews{}
	var all []*silentViews
	for _, v := range views {
		if v.mostSilent() && fair[pathKindOf(v.target)] {
			continue
		}
		silent := f.provenSilent(v)
		for _, pod := range v.set.pods {
			if pod == v.agent {
				continue
			}
			k := key{pod, pathKindOf(v.target)}
			if byKey[k] == nil {
				byKey[k] = &silentViews{pod: pod, kind: k.kind}
				all = append(all, byKey[k])
			}
			byKey[k].addAgent(v.agent)
			if slices.Contains(silent, pod) {
				byKey[k].silent = append(byKey[k].silent, v)
			}
		}
	}
	var pods []silentPod
	for _, s := range all {
		if len(s.silent) > 0 {
			pods = append(pods, f.fromViews(*s))
		}
	}
	return pods
}

func (f facts) fromViews(s silentViews) silentPod {
	pod := silentPod{pod: s.pod, paths: s.kind.String(), pathKind: s.kind, judgedBy: len(s.judged), explained: true,
		clean: true}
	for _, v := range s.silent {
		pod.silentTo = append(pod.silentTo, v.agent)
		if !slices.Contains(pod.families, v.target.Family) {
			pod.families = append(pod.families, v.target.Family)
		}
		pod.explained = pod.explained && v.explained()
		pod.clean = pod.clean && v.clean
		pod.uneven = pod.uneven || v.uneven()
	}
	pod.silentTo = sorted(pod.silentTo)
	pod.evidence = f.evidence(s)
	return pod
}

// reach is how many agents reach the pod at its own address and how many do not. Agents that did not try count for
// neither.
type reach struct{ works, fails int }

// reachOf returns how many of the agents reach the pod at its own address over the families.
func (f facts) reachOf(agents []string, pod string, families []topology.Family) reach {
	var r reach
	for _, agent := range agents {
		var made, ok uint64
		for _, p := range f.podPaths[pair{agent, pod}] {
			if slices.Contains(families, p.Target.Family) {
				made, ok = made+tried(p), ok+p.OK
			}
		}
		switch {
		case made == 0:
		case 2*ok >= made:
			r.works++
		default:
			r.fails++
		}
	}
	return r
}

// tried returns how many attempts are evidence about the other side.
func tried(p *report.Path) uint64 {
	made := p.Sent
	for _, failure := range p.Failures {
		if failure.Outcome == probe.NotSent || failure.Outcome == probe.Aborted {
			made -= min(made, failure.Count)
		}
	}
	return made
}

// silenceFinding says what the silence means: whether the pod's own address answers separates the pod's fault from a
// fault of the path through the Service.
func (f facts) silenceFinding(s silentPod, reach reach) Finding {
	where := f.podName(s.pod)
	found := Finding{Where: where, Confidence: f.confidence(s, reach), Evidence: s.evidence,
		Nodes: nodesNamed(f.nodes[s.pod])}
	sources := firstNames(f.nodesOf(s.silentTo))
	var advice string
	switch {
	case reach.works > 0 && reach.fails > 0:
		found.Component, found.Confidence = Unclear, Low
		advice = fmt.Sprintf("its Pod IP answers %d of these agents; look at the pod, then at the Service", reach.works)
	case reach.works > 0 && s.silentToAll():
		found.Component = s.pathKind.component()
		advice = "its Pod IP answers them; look at " + s.pathKind.selector()
	case reach.works > 0:
		found.Component = s.pathKind.component()
		advice = fmt.Sprintf("its Pod IP answers them; look at %s, as it is on %s", s.pathKind.selector(), sources)
	case reach.fails > 0 && s.silentToAll():
		found.Component = PodOrNode
		advice = "its Pod IP does not answer them either; look at the pod and at its node"
	case reach.fails > 0:
		found.Component = BetweenNodes
		advice = fmt.Sprintf("its Pod IP does not answer them either; look at the network from %s to node %s", sources,
			f.nodes[s.pod])
	default:
		found.Component, found.Confidence = Unclear, Low
		advice = "its Pod IP was not probed from there; look at the pod, then at " + s.pathKind.selector()
	}
	found.Message = fmt.Sprintf("%s: %s never answered %d of %d other agents, and %s", s.paths, where, len(s.silentTo),
		s.judgedBy, advice)
	return found
}

// confidence returns how sure it is that the silence is a fault. It is high with two kinds of evidence: either as many
// lost requests as the pod's turns, or no failed request at all while the pod answers all agents at its own address.
func (f facts) confidence(s silentPod, reach reach) Confidence {
	sure := Medium
	if s.explained || (s.clean && s.silentToAll() && reach.works == len(s.silentTo)) {
		sure = High
	}
	if s.uneven {
		sure = lower(sure)
	}
	if s.judgedBy == 1 {
		sure = lower(sure)
	}
	return sure
}

// evidence returns the figures of the first few views, and the targets.
func (f facts) evidence(s silentViews) []string {
	var lines []string
	var ids []string
	for _, v := range s.silent {
		if ids = append(ids, v.target.ID); len(ids) > mostNamed {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s on %s: %d answers came from %d of %d pods, and %s",
			cmp.Or(f.nodes[v.agent], v.agent), v.target.ID,
			v.answered, len(v.set.pods)-len(v.silent), len(v.set.pods),
			lossClause(v.lost, v.answered+v.lost, float64(len(v.silent))/float64(len(v.set.pods)))))
	}
	return append(lines, f.closingEvidence(s.pod, sorted(ids))...)
}

// lossClause says how many of n requests failed, and whether the silent pods explain the loss. share is the silent
// pods' share of the turns, 0 to 1.
func lossClause(lost, n uint64, share float64) string {
	switch {
	case explained(lost, n, share):
		return fmt.Sprintf("%d of %d requests failed, where the silent ones' turns were about %.0f", lost, n,
			float64(n)*share)
	case lost == 0:
		return "no request was lost"
	default:
		return fmt.Sprintf("%d of %d requests failed, which silence alone does not explain", lost, n)
	}
}

// closingEvidence names the targets on which the pod is silent, and says what became of its own report.
func (f facts) closingEvidence(pod string, ids []string) []string {
	lines := []string{"silent on " + firstNames(ids)}
	for _, m := range f.round.Missing {
		if m.Pod == pod {
			lines = append(lines, "its agent gave no report: "+m.Reason)
		}
	}
	return lines
}
