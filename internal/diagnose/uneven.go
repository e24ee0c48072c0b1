package diagnose

import (
	"fmt"
	"slices"
	"strings"
)

// noSpecReason is why uneven Services are worth a finding.
const noSpecReason = "although nothing in the Service's spec says so"

// oneBackendOnly finds Services that lead all agents to the same pod.
func oneBackendOnly(f facts) []Finding {
	return f.routingFindings(toOne, func(c routing) Finding {
		return Finding{Where: f.podName(c.pods[0]), Confidence: f.routingConfidence(c), Message: fmt.Sprintf(
			"%s: %s gave all %s to %s, %s; %s answered, so look at the Service's EndpointSlices and at kube-proxy",
			c.names(), f.podName(c.pods[0]), plural(c.answered, "answer"), plural(len(c.agents), "agent"), noSpecReason,
			"none of "+plural(len(c.set.pods)-1, "other pod"))}
	})
}

// localOnly finds Services that lead each node to its own pods.
func localOnly(f facts) []Finding {
	return f.routingFindings(toLocal, func(c routing) Finding {
		what := fmt.Sprintf("requests from each of %d nodes were answered by pods of the same node alone",
			len(f.nodesOf(c.agents)))
		if c.byTarget {
			what = "requests to each node port were answered by pods of one node alone"
		}
		return Finding{Where: "the Service's " + c.names(), Confidence: lower(f.routingConfidence(c)),
			Message: fmt.Sprintf(
				"%s: %s, %s; look at the topology settings of kube-proxy, or of what stands in for it",
				c.names(), what, noSpecReason)}
	})
}

// fewBackends finds Services that lead all agents, or some nodes, to a few of the pods.
func fewBackends(f facts) []Finding {
	found := f.routingFindings(toFew, func(c routing) Finding {
		return Finding{Where: "the Service's " + c.names(), Confidence: f.routingConfidence(c), Message: fmt.Sprintf(
			"%s: %d of %s gave all %s to %s, %s; look at the Service's EndpointSlices and at kube-proxy", c.names(),
			len(c.pods),
			plural(len(c.set.pods), "pod"), plural(c.answered, "answer"), plural(len(c.agents), "agent"), noSpecReason)}
	})
	return append(found, f.routingFindings(fromSome, func(c routing) Finding {
		where := firstNames(c.selectors)
		from, look := "from "+where, "at kube-proxy on "+where+", or at what stands in for it"
		if !c.pathKinds[0].clientSelects() {
			from, look = "on "+where, "at kube-proxy on the node that has the address, or at what stands in for it"
		}
		return Finding{Where: where, Confidence: f.routingConfidence(c), Message: fmt.Sprintf(
			"%s: %s, %d of %s gave all %s, %s; look %s", c.names(), from, len(c.pods),
			plural(len(c.set.pods), "pod"), plural(c.answered, "answer"), noSpecReason, look)}
	})...)
}

// routingFindings makes findings of the routings of the kind.
func (f facts) routingFindings(kind routingKind, find func(routing) Finding) []Finding {
	var findings []Finding
	for _, c := range f.routings {
		if c.kind != kind {
			continue
		}
		found := find(c)
		found.Component = ServicePath
		found.Evidence = f.routingEvidence(c)
		findings = append(findings, found)
	}
	return findings
}

// routingConfidence returns how sure it is that a Service leads to a few pods only: the other pods' own addresses must
// answer several agents.
func (f facts) routingConfidence(c routing) Confidence {
	r := f.reachOthers(c)
	switch {
	case c.lost > 0 || r.fails > 0:
		return Low
	case c.kind == fromSome:
		return Medium
	case len(c.agents) > 1 && r.works > 0:
		return High
	default:
		return Medium
	}
}

// reachOthers returns how many agents reach pods at their own addresses that a Service leaves out.
func (f facts) reachOthers(c routing) reach {
	var sum reach
	for _, agent := range c.agents {
		for _, pod := range c.set.pods {
			if pod == agent || (slices.Contains(c.pods, pod) && c.kind != toLocal) {
				continue
			}
			r := f.reachOf([]string{agent}, pod, c.families)
			sum.works, sum.fails = sum.works+r.works, sum.fails+r.fails
		}
	}
	return sum
}

// routingEvidence returns how often each of the first few pods answered, and what was lost.
func (f facts) routingEvidence(c routing) []string {
	var lines []string
	for i, pod := range c.pods {
		if i == mostNamed {
			lines = append(lines, fmt.Sprintf("%d more pods answered", len(c.pods)-mostNamed))
			break
		}
		lines = append(lines,
			fmt.Sprintf("%s gave %s to %s", f.podName(pod), plural(c.counts[i], "answer"),
				plural(len(c.agents), "agent")))
	}
	if c.lost > 0 {
		return append(lines, fmt.Sprintf("%d of %d requests were lost, which does not explain it", c.lost, c.answered+
			c.lost))
	}
	return append(lines, "no request was lost")
}

func pathKindNames(kinds []pathKind) string {
	var names []string
	for _, w := range kinds {
		names = append(names, w.String())
	}
	return firstNames(names)
}

// plural returns the number with the noun.
func plural[T int | uint64](n T, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// grossPart is the part of its share below which a pod's answers are worth a finding. Its inverse is the bound above
// the share.
const grossPart = 0.5

// unevenService finds pods to which a Service leads grossly less, or grossly more, than to the others. Pods of a set
// with silent pods are left out, because the others have more there.
func unevenService(f facts) []Finding {
	all := pools(f.cells, byPathKind)
	comparisons := 0
	for _, p := range all {
		comparisons += 2 * len(p.set.pods)
	}
	var findings []Finding
	for _, p := range all {
		if p.pattern.dealtInTurn() || f.explainedElsewhere(p) {
			continue
		}
		if found, ok := f.unevenPods(p, comparisons); ok {
			findings = append(findings, found)
		}
	}
	return findings
}

// explainedElsewhere reports whether another rule has a finding about the pool's Service.
func (f facts) explainedElsewhere(p *pool) bool {
	led := func(c routing) bool { return c.set.key == p.set.key && slices.Contains(c.pathKinds, p.pathKinds[0]) }
	silent := func(s silentPod) bool { _, ok := p.set.index[s.pod]; return ok }
	return slices.ContainsFunc(f.routings, led) || slices.ContainsFunc(f.silent, silent)
}

func (f facts) unevenPods(p *pool, comparisons int) (Finding, bool) {
	share := 1 / float64(len(p.set.pods))
	var pods, lines []string
	for i, pod := range p.set.pods {
		got, n, lost := p.answersOf(i)
		// Lost requests may have been the pod's turns.
		least, most := (got+lost)/(n+lost), got/n
		rare := least <= grossPart*share && unlikely(logTailBelow(n+lost, least, share), comparisons)
		often := most*grossPart >= share && unlikely(logTail(n, most, share), comparisons)
		if !rare && !often {
			continue
		}
		pods = append(pods, f.podName(pod))
		lines = append(lines,
			fmt.Sprintf("%s gave %.0f of %.0f answers, where about %.0f would be its share", f.podName(pod), got, n,
				n*share))
	}
	if len(pods) == 0 {
		return Finding{}, false
	}
	what := lines[0]
	if len(pods) > 1 {
		what = fmt.Sprintf("%s gave far more or far less than their shares of the answers", firstNames(pods))
	}
	return Finding{Component: ServicePath, Where: firstNames(pods), Confidence: Low,
		Evidence: lines[:min(len(lines), mostNamed)], Message: fmt.Sprintf(
			"%s: %s; look at readiness during the round, and at weights or affinity in kube-proxy, or in what stands "+
				"in for it",
			p.names(), what)}, true
}

// answersOf returns how many answers agents got from the pod with the index, of how many answers, and how many requests
// they lost. If agents' nodes select the backends, requests from the pod's own agent are left out.
func (p *pool) answersOf(i int) (got, n, lost float64) {
	for agent, t := range p.agents {
		if agent != p.set.pods[i] || !p.pathKinds[0].clientSelects() {
			got, n, lost = got+float64(t.answers[i]), n+float64(t.n), lost+float64(t.lost)
		}
	}
	return got, n, lost
}
