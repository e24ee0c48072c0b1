package diagnose

import (
	"fmt"
	"slices"
	"strings"
)

// unsaid is why the findings about uneven Services are findings.
const unsaid = "although nothing in the Service's spec says so"

// oneBackendOnly finds Services that lead everybody to the same pod.
func oneBackendOnly(f facts) []Finding {
	return f.coursesOf(toOne, func(c course) Finding {
		return Finding{Where: f.place(c.pods[0]), Confidence: f.certain(c), Message: fmt.Sprintf(
			"%s: %s gave all %s to %s, %s; %s answered, so look at the Service's EndpointSlices and at kube-proxy",
			c.names(), f.place(c.pods[0]), plural(c.answered, "answer"), plural(len(c.agents), "agent"), unsaid,
			"none of "+plural(len(c.set.pods)-1, "other pod"))}
	})
}

// localOnly finds Services that lead each node to its own pods.
func localOnly(f facts) []Finding {
	return f.coursesOf(toLocal, func(c course) Finding {
		what := fmt.Sprintf("requests from each of %d nodes were answered by pods of the same node alone",
			len(f.nodesOf(c.agents)))
		if c.byTarget {
			what = "requests to each node port were answered by pods of one node alone"
		}
		return Finding{Where: "the Service's " + c.names(), Confidence: f.certain(c).lower(), Message: fmt.Sprintf(
			"%s: %s, %s; look at the topology settings of kube-proxy, or of what stands in for it",
			c.names(), what, unsaid)}
	})
}

// fewBackends finds Services that lead everybody, or some nodes, to a few of the pods.
func fewBackends(f facts) []Finding {
	found := f.coursesOf(toFew, func(c course) Finding {
		return Finding{Where: "the Service's " + c.names(), Confidence: f.certain(c), Message: fmt.Sprintf(
			"%s: %d of %s gave all %s to %s, %s; look at the Service's EndpointSlices and at kube-proxy", c.names(),
			len(c.pods),
			plural(len(c.set.pods), "pod"), plural(c.answered, "answer"), plural(len(c.agents), "agent"), unsaid)}
	})
	return append(found, f.coursesOf(fromSome, func(c course) Finding {
		where := several(c.places)
		from, look := "from "+where, "at kube-proxy on "+where+", or at what stands in for it"
		if !c.ways[0].bySource() {
			from, look = "on "+where, "at kube-proxy on the node that has the address, or at what stands in for it"
		}
		return Finding{Where: where, Confidence: f.certain(c), Message: fmt.Sprintf(
			"%s: %s, %d of %s gave all %s, %s; look %s", c.names(), from, len(c.pods),
			plural(len(c.set.pods), "pod"), plural(c.answered, "answer"), unsaid, look)}
	})...)
}

// coursesOf makes findings of the courses of the kind.
func (f facts) coursesOf(kind courseKind, find func(course) Finding) []Finding {
	var findings []Finding
	for _, c := range f.led {
		if c.kind != kind {
			continue
		}
		found := find(c)
		found.Component = ServicePath
		found.Evidence = f.courseEvidence(c)
		findings = append(findings, found)
	}
	return findings
}

// certain is how sure it is that a Service leads to a few pods: the others' own addresses answer several agents all the
// same.
func (f facts) certain(c course) Confidence {
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

// reachOthers is how many agents reach pods at their own addresses that a Service leaves out.
func (f facts) reachOthers(c course) reach {
	var sum reach
	for _, agent := range c.agents {
		for _, pod := range c.set.pods {
			if pod == agent || (slices.Contains(c.pods, pod) && c.kind != toLocal) {
				continue
			}
			r := f.reached([]string{agent}, pod, c.families)
			sum.works, sum.fails = sum.works+r.works, sum.fails+r.fails
		}
	}
	return sum
}

// courseEvidence gives how often each of the first few pods answered, and what was lost.
func (f facts) courseEvidence(c course) []string {
	var lines []string
	for i, pod := range c.pods {
		if i == mostNamed {
			lines = append(lines, fmt.Sprintf("%d more pods answered", len(c.pods)-mostNamed))
			break
		}
		lines = append(lines,
			fmt.Sprintf("%s gave %s to %s", f.place(pod), plural(c.counts[i], "answer"),
				plural(len(c.agents), "agent")))
	}
	if c.lost > 0 {
		return append(lines, fmt.Sprintf("%d of %d requests were lost, which does not explain it", c.lost, c.answered+
			c.lost))
	}
	return append(lines, "no request was lost")
}

func names(ways []way) string {
	var names []string
	for _, w := range ways {
		names = append(names, w.String())
	}
	return several(names)
}

// plural is the number with the noun.
func plural[T int | uint64](n T, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// gross is how much less than its share a pod must get to be told of, as a part of it, and the inverse of how much
// more.
const gross = 0.5

// unevenService finds pods to which a Service leads, but to which it leads grossly less, or grossly more, than to the
// others. Where pods are silent, or requests are lost to them, the rest has more.
func unevenService(f facts) []Finding {
	all := pools(f.cells, byWay)
	comparisons := 0
	for _, p := range all {
		comparisons += 2 * len(p.set.pods)
	}
	var findings []Finding
	for _, p := range all {
		if p.pattern.dealt() || f.otherwise(p) {
			continue
		}
		if found, ok := f.skewed(p, comparisons); ok {
			findings = append(findings, found)
		}
	}
	return findings
}

// otherwise reports whether another rule says what the pool's Service does.
func (f facts) otherwise(p *pool) bool {
	led := func(c course) bool { return c.set.key == p.set.key && slices.Contains(c.ways, p.ways[0]) }
	silent := func(s silentPod) bool { _, ok := p.set.index[s.pod]; return ok }
	return slices.ContainsFunc(f.led, led) || slices.ContainsFunc(f.silent, silent)
}

func (f facts) skewed(p *pool, comparisons int) (Finding, bool) {
	share := 1 / float64(len(p.set.pods))
	var pods, lines []string
	for i, pod := range p.set.pods {
		got, n, lost := p.others(i)
		// Lost requests may have been the pod's turns.
		least, most := (got+lost)/(n+lost), got/n
		rare := least <= gross*share && unlikely(below(n+lost, least, share), comparisons)
		often := most*gross >= share && unlikely(tail(n, most, share), comparisons)
		if !rare && !often {
			continue
		}
		pods = append(pods, f.place(pod))
		lines = append(lines,
			fmt.Sprintf("%s gave %.0f of %.0f answers, where about %.0f would be its share", f.place(pod), got, n,
				n*share))
	}
	if len(pods) == 0 {
		return Finding{}, false
	}
	what := lines[0]
	if len(pods) > 1 {
		what = fmt.Sprintf("%s gave far more or far less than their shares of the answers", several(pods))
	}
	return Finding{Component: ServicePath, Where: several(pods), Confidence: Low,
		Evidence: lines[:min(len(lines), mostNamed)], Message: fmt.Sprintf(
			"%s: %s; look at readiness during the round, and at weights or affinity in kube-proxy, or in what stands "+
				"in for it",
			p.names(), what)}, true
}

// others are how many answers agents got from the pod with the index, of how many, and how many requests they lost.
// What its own node leads to it is left out where agents' nodes select the backends.
func (p *pool) others(i int) (got, n, lost float64) {
	for agent, t := range p.agents {
		if agent != p.set.pods[i] || !p.ways[0].bySource() {
			got, n, lost = got+float64(t.met[i]), n+float64(t.n), lost+float64(t.lost)
		}
	}
	return got, n, lost
}
