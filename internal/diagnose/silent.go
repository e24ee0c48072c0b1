package diagnose

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
)

// silentPod is one pod as all agents see it over one kind of path.
type silentPod struct {
	pod  string
	kind target.Kind
	// judged are the other agents of whose view something can be said; silent are the views in which the pod never answered.
	judged map[string]bool
	silent []look
}

// silentBackend finds pods that a Service, a load balancer or an Ingress ought to choose and that never answer there, although others do.
//
// What a pod sees of itself does not count: it meets itself on its own node alone. Neither does the view of an agent that misses most
// pods while others do not: there the fault is at the agent's end, and not with each of the pods.
func silentBackend(f facts) []Finding {
	var findings []Finding
	for _, s := range silentPods(f.looks()) {
		findings = append(findings, f.judge(s))
	}
	return findings
}

// silentPods are sorted by pod, then kind; views by agent, then target.
func silentPods(looks []look) []silentPod {
	type key struct {
		pod  string
		kind target.Kind
	}
	fair := map[target.Kind]bool{}
	for _, l := range looks {
		fair[l.target.Kind] = fair[l.target.Kind] || !l.most()
	}
	byKey := map[key]*silentPod{}
	for _, l := range looks {
		if l.most() && fair[l.target.Kind] {
			continue
		}
		for _, pod := range l.pods {
			if pod == l.agent {
				continue
			}
			k := key{pod, l.target.Kind}
			s := byKey[k]
			if s == nil {
				s = &silentPod{pod: pod, kind: k.kind, judged: map[string]bool{}}
				byKey[k] = s
			}
			s.judged[l.agent] = true
			if l.telling() && slices.Contains(l.silent, pod) {
				s.silent = append(s.silent, l)
			}
		}
	}
	var all []silentPod
	for _, s := range byKey {
		if len(s.silent) == 0 {
			continue
		}
		slices.SortFunc(s.silent, func(a, b look) int {
			return cmp.Or(cmp.Compare(a.agent, b.agent), cmp.Compare(a.target.ID, b.target.ID))
		})
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b silentPod) int { return cmp.Or(cmp.Compare(a.pod, b.pod), cmp.Compare(a.kind, b.kind)) })
	return all
}

// agents are those to which the pod is silent, sorted.
func (s silentPod) agents() []string {
	var all []string
	for _, l := range s.silent {
		all = append(all, l.agent)
	}
	return slices.Compact(all)
}

// everywhere tells whether all agents of whose view something can be said see the pod silent.
func (s silentPod) everywhere() bool { return len(s.agents()) == len(s.judged) }

// explained tells whether failures bear the silence out in every view.
func (s silentPod) explained() bool {
	return !slices.ContainsFunc(s.silent, func(l look) bool { return !l.explained() })
}

// reach is how many agents reach the pod at its own address and how many do not; those that did not try are in neither.
type reach struct{ works, fails int }

// direct tells how the agents to which the pod is silent fare with its own address, over the families in which it is silent.
func (f facts) direct(s silentPod) reach {
	var r reach
	for _, agent := range s.agents() {
		var made, ok uint64
		for _, p := range f.ways[pair{agent, s.pod}] {
			if !slices.ContainsFunc(s.silent, func(l look) bool { return l.target.Family == p.Target.Family }) {
				continue
			}
			made, ok = made+p.Sent, ok+p.OK
			for _, failure := range p.Failures {
				if failure.Outcome == probe.NotSent || failure.Outcome == probe.Aborted {
					made -= min(made, failure.Count)
				}
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

// judge says what the silence means: the pod's own address tells the pod's fault from that of the way through the Service.
func (f facts) judge(s silentPod) Finding {
	where := f.place(s.pod)
	found := Finding{Where: where, Confidence: Medium, Evidence: f.evidence(s)}
	if s.explained() {
		found.Confidence = High
	}
	if pins(s.kind) {
		found.Confidence = found.Confidence.lower()
	}
	if len(s.judged) == 1 {
		found.Confidence = found.Confidence.lower()
	}
	sources := f.nodesOf(s.agents())
	reach := f.direct(s)
	var advice string
	switch {
	case reach.works > 0 && reach.fails > 0:
		found.Component, found.Confidence = Unclear, Low
		advice = fmt.Sprintf("its Pod IP answers %d of these agents; look at the pod, then at the Service", reach.works)
	case reach.works > 0 && s.everywhere():
		found.Component = leads(s.kind)
		advice = "its Pod IP answers them; look at " + chooser(s.kind)
	case reach.works > 0:
		found.Component = leads(s.kind)
		advice = fmt.Sprintf("its Pod IP answers them; look at %s, as it is on %s", chooser(s.kind), sources)
	case reach.fails > 0 && s.everywhere():
		found.Component = PodOrNode
		advice = "its Pod IP does not answer them either; look at the pod and at its node"
	case reach.fails > 0:
		found.Component = BetweenNodes
		advice = fmt.Sprintf("its Pod IP does not answer them either; look at the network from %s to node %s", sources, f.nodes[s.pod])
	default:
		found.Component, found.Confidence = Unclear, Low
		advice = "its Pod IP was not probed from there; look at the pod, then at " + chooser(s.kind)
	}
	found.Message = fmt.Sprintf("%s: %s never answered %d of %d other agents, and %s", s.kind, where, len(s.agents()), len(s.judged), advice)
	return found
}

func (f facts) place(pod string) string {
	if node := f.nodes[pod]; node != "" {
		return fmt.Sprintf("pod %s on node %s", pod, node)
	}
	return "pod " + pod
}

// leads is what stands between a client and the pods on paths of the kind.
func leads(kind target.Kind) Component {
	switch kind {
	case target.LoadBalancer:
		return LoadBalancerPath
	case target.Ingress:
		return IngressPath
	default:
		return ServicePath
	}
}

// chooser is what picks a pod on paths of the kind, for people.
func chooser(kind target.Kind) string {
	switch kind {
	case target.LoadBalancer:
		return "the load balancer's list of backends"
	case target.Ingress:
		return "the Ingress controller's list of backends"
	default:
		return "the Service's endpoints and at kube-proxy"
	}
}

// mostNamed is how many things one sentence names.
const mostNamed = 3

// several names the first few.
func several(names []string) string {
	if len(names) <= mostNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNamed], ", "), len(names)-mostNamed)
}

// nodesOf names the nodes of the pods.
func (f facts) nodesOf(pods []string) string {
	nodes := map[string]bool{}
	for _, pod := range pods {
		nodes[cmp.Or(f.nodes[pod], pod)] = true
	}
	return several(slices.Sorted(maps.Keys(nodes)))
}

// evidence tells the figures of the first few views, and the targets.
func (f facts) evidence(s silentPod) []string {
	var lines []string
	ids := map[string]bool{}
	for i, l := range s.silent {
		ids[l.target.ID] = true
		if i >= mostNamed {
			continue
		}
		line := fmt.Sprintf("%s on %s: %d answers came from %d of %d pods", cmp.Or(f.nodes[l.agent], l.agent), l.target.ID,
			l.answered, len(l.pods)-len(l.silent), len(l.pods))
		turns := float64(l.answered+l.lost) * float64(len(l.silent)) / float64(len(l.pods))
		switch {
		case l.explained():
			line += fmt.Sprintf(", and %d of %d requests failed, where the silent ones' turns were about %.0f", l.lost, l.answered+l.lost, turns)
		case l.lost == 0:
			line += ", and no request was lost"
		default:
			line += fmt.Sprintf(", and %d of %d requests failed, which silence alone does not explain", l.lost, l.answered+l.lost)
		}
		lines = append(lines, line)
	}
	lines = append(lines, "silent on "+several(slices.Sorted(maps.Keys(ids))))
	for _, m := range f.round.Missing {
		if m.Pod == s.pod {
			lines = append(lines, "its agent gave no report: "+m.Reason)
		}
	}
	return lines
}
