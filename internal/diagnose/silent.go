package diagnose

import (
	"cmp"
	"fmt"
	"slices"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/topology"
)

// silentPod is one pod that never answered some agents over one kind of path, or over several.
type silentPod struct {
	pod string
	// paths names the kinds of paths; way is the only one, or the first.
	paths string
	way   way
	// families are those in which the pod is silent.
	families []topology.Family
	// judged is how many other agents can say something, silent are those of them that it never answered, sorted.
	judged int
	silent []string
	// explained reports that lost requests bear the silence out, clean that no request failed, uneven that something
	// other than a fault may lead to some of the pods only.
	explained, clean, uneven bool
	evidence                 []string
}

// everywhere reports whether the pod is silent to all agents that can say something.
func (s silentPod) everywhere() bool { return len(s.silent) == s.judged }

// silentBackend finds pods that a Service, a load balancer or an Ingress ought to lead to and that never answer there,
// although others do. First come those that single views show, then those that only all views of a backend set together
// show.
//
// What a pod sees of itself does not count: it meets itself on its own node alone. Neither does the view of an agent
// that misses most pods while others do not: there the fault is at the agent's end, and not with each of the pods.
func silentBackend(f facts) []Finding {
	var findings []Finding
	for _, s := range f.silent {
		findings = append(findings, f.judge(s))
	}
	return findings
}

// silentPods are sorted by pod, then paths.
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

// silentViews are the views of one way in which something can be said of a pod.
type silentViews struct {
	pod    string
	way    way
	judged []string
	silent []look
}

// saw adds the agent whose view says something. Views come by agent.
func (s *silentViews) saw(agent string) {
	if n := len(s.judged); n == 0 || s.judged[n-1] != agent {
		s.judged = append(s.judged, agent)
	}
}

// silentInViews are the pods that are silent in views of which each says so by itself.
func (f facts) silentInViews() []silentPod {
	type key struct {
		pod string
		way way
	}
	told := f.told()
	fair := map[way]bool{}
	for _, l := range told {
		fair[wayOf(l.target)] = fair[wayOf(l.target)] || !l.most()
	}
	byKey := map[key]*silentViews{}
	var all []*silentViews
	for _, l := range told {
		if l.most() && fair[wayOf(l.target)] {
			continue
		}
		silent := f.tellingOf(l)
		for _, pod := range l.set.pods {
			if pod == l.agent {
				continue
			}
			k := key{pod, wayOf(l.target)}
			if byKey[k] == nil {
				byKey[k] = &silentViews{pod: pod, way: k.way}
				all = append(all, byKey[k])
			}
			byKey[k].saw(l.agent)
			if slices.Contains(silent, pod) {
				byKey[k].silent = append(byKey[k].silent, l)
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
	pod := silentPod{pod: s.pod, paths: s.way.String(), way: s.way, judged: len(s.judged), explained: true, clean: true}
	for _, l := range s.silent {
		pod.silent = append(pod.silent, l.agent)
		if !slices.Contains(pod.families, l.target.Family) {
			pod.families = append(pod.families, l.target.Family)
		}
		pod.explained = pod.explained && l.explained()
		pod.clean = pod.clean && l.clean
		pod.uneven = pod.uneven || l.uneven()
	}
	pod.silent = sorted(pod.silent)
	pod.evidence = f.evidence(s)
	return pod
}

// reach is how many agents reach the pod at its own address and how many do not; those that did not try are in neither.
type reach struct{ works, fails int }

// reached says how the agents fare with the pod's own address over the families.
func (f facts) reached(agents []string, pod string, families []topology.Family) reach {
	var r reach
	for _, agent := range agents {
		var made, ok uint64
		for _, p := range f.direct[pair{agent, pod}] {
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

// tried is how many attempts say something of the other side.
func tried(p *report.Path) uint64 {
	made := p.Sent
	for _, failure := range p.Failures {
		if failure.Outcome == probe.NotSent || failure.Outcome == probe.Aborted {
			made -= min(made, failure.Count)
		}
	}
	return made
}

// judge says what the silence means: the pod's own address tells the pod's fault from that of the way through the
// Service.
func (f facts) judge(s silentPod) Finding {
	where, reach := f.place(s.pod), f.reached(s.silent, s.pod, s.families)
	found := Finding{Where: where, Confidence: f.sure(s, reach), Evidence: s.evidence}
	sources := several(f.nodesOf(s.silent))
	var advice string
	switch {
	case reach.works > 0 && reach.fails > 0:
		found.Component, found.Confidence = Unclear, Low
		advice = fmt.Sprintf("its Pod IP answers %d of these agents; look at the pod, then at the Service", reach.works)
	case reach.works > 0 && s.everywhere():
		found.Component = s.way.component()
		advice = "its Pod IP answers them; look at " + s.way.selector()
	case reach.works > 0:
		found.Component = s.way.component()
		advice = fmt.Sprintf("its Pod IP answers them; look at %s, as it is on %s", s.way.selector(), sources)
	case reach.fails > 0 && s.everywhere():
		found.Component = PodOrNode
		advice = "its Pod IP does not answer them either; look at the pod and at its node"
	case reach.fails > 0:
		found.Component = BetweenNodes
		advice = fmt.Sprintf("its Pod IP does not answer them either; look at the network from %s to node %s", sources,
			f.nodes[s.pod])
	default:
		found.Component, found.Confidence = Unclear, Low
		advice = "its Pod IP was not probed from there; look at the pod, then at " + s.way.selector()
	}
	found.Message = fmt.Sprintf("%s: %s never answered %d of %d other agents, and %s", s.paths, where, len(s.silent),
		s.judged, advice)
	return found
}

// sure is how sure the silence is a fault. Two kinds of evidence are lost requests, as many as the pod's turns, or that
// no request fails at all while the pod answers everyone but through the Service.
func (f facts) sure(s silentPod, reach reach) Confidence {
	sure := Medium
	if s.explained || (s.clean && s.everywhere() && reach.works == len(s.silent)) {
		sure = High
	}
	if s.uneven {
		sure = sure.lower()
	}
	if s.judged == 1 {
		sure = sure.lower()
	}
	return sure
}

// evidence gives the figures of the first few views, and the targets.
func (f facts) evidence(s silentViews) []string {
	var lines []string
	var ids []string
	for _, l := range s.silent {
		if ids = append(ids, l.target.ID); len(ids) > mostNamed {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s on %s: %d answers came from %d of %d pods, and %s",
			cmp.Or(f.nodes[l.agent], l.agent), l.target.ID,
			l.answered, len(l.set.pods)-len(l.silent), len(l.set.pods),
			losses(l.lost, l.answered+l.lost, float64(len(l.silent))/float64(len(l.set.pods)))))
	}
	return append(lines, f.closing(s.pod, sorted(ids))...)
}

// losses says how many of n requests failed, and whether the silent pods explain it, which have the given share of the
// turns.
func losses(lost, n uint64, share float64) string {
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

// closing names the targets on which the pod is silent, and what became of its own report.
func (f facts) closing(pod string, ids []string) []string {
	lines := []string{"silent on " + several(ids)}
	for _, m := range f.round.Missing {
		if m.Pod == pod {
			lines = append(lines, "its agent gave no report: "+m.Reason)
		}
	}
	return lines
}
