// Package diagnose says where a fault is, from nothing but the report of a round: a list of rules, each of which knows one pattern.
//
// A rule claims only what the figures bear out, and says how sure it is. That nothing is found means nothing.
package diagnose

import (
	"slices"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// Confidence is how sure a finding is.
type Confidence string

// The degrees of confidence.
const (
	// High: two kinds of evidence, from more than one agent, say the same.
	High Confidence = "high"
	// Medium: the evidence is of one kind, or from one agent.
	Medium Confidence = "medium"
	// Low: something else may explain the figures as well.
	Low Confidence = "low"
)

// lower is the next lower degree.
func (c Confidence) lower() Confidence {
	if c == High {
		return Medium
	}
	return Low
}

// Component is the part of the cluster that a finding is about.
type Component string

// The components.
const (
	// PodOrNode is one pod, or the node that it is on.
	PodOrNode Component = "pod or node"
	// ServicePath is what leads from a Service's address to its pods: endpoints, and kube-proxy or what stands in for it.
	ServicePath Component = "Service path"
	// LoadBalancerPath is the same for the load balancer's address, IngressPath for the Ingress.
	LoadBalancerPath Component = "load balancer path"
	IngressPath      Component = "Ingress path"
	// BetweenNodes is the network from some nodes to another.
	BetweenNodes Component = "network between nodes"
	// Unclear is any of the above.
	Unclear Component = "not clear"
)

// Finding is one fault and where it is.
type Finding struct {
	// Reason names the rule, in one word that stays the same.
	Reason    string
	Component Component
	// Where names the thing, such as a pod and its node.
	Where      string
	Confidence Confidence
	// Message is one sentence without a final stop: what is wrong, seen from where, and what to look at next.
	Message string
	// Evidence are the figures behind it, one clause each.
	Evidence []string
}

// rule finds one pattern. Its findings are sorted, and their Reason is left to the table.
type rule struct {
	reason string
	find   func(facts) []Finding
}

// rules is the table of what can be found, in the order in which findings are shown.
func rules() []rule {
	return []rule{
		{"SilentBackend", silentBackend},
	}
}

// Findings applies all rules. The same report gives the same findings, whatever order its agents and paths have.
func Findings(round report.Round) []Finding {
	known := gather(round)
	var all []Finding
	for _, r := range rules() {
		for _, f := range r.find(known) {
			f.Reason = r.reason
			all = append(all, f)
		}
	}
	return all
}

// facts is a round's report, with what rules look up in it.
type facts struct {
	round report.Round
	// nodes are the nodes of all pods that were expected to report, by pod.
	nodes map[string]string
	// behind are the pods that ought to answer, but for those that were changed.
	behind report.Behind
	// ways are those to pods' own addresses, by the pod that probed and the one that ought to answer.
	ways map[pair][]report.Path
	// changed are the pods that were deleted or restarted meanwhile. That one of them is silent, or sees another silent, means nothing.
	changed map[string]bool
}

// pair is who probed and who ought to answer, both pods.
type pair struct{ from, to string }

func gather(round report.Round) facts {
	f := facts{round: round, nodes: map[string]string{}, ways: map[pair][]report.Path{}, changed: map[string]bool{}}
	for _, c := range round.Churn {
		f.changed[c.Pod] = true
	}
	f.behind = f.unchanged().Behind()
	for _, e := range round.Expected {
		f.nodes[e.Pod] = e.Node
	}
	for _, a := range round.Agents {
		f.nodes[a.Pod] = a.Node
		for _, p := range a.Paths {
			if p.Target.Kind == target.Endpoint && p.Target.Pod != "" {
				ends := pair{a.Pod, p.Target.Pod}
				f.ways[ends] = append(f.ways[ends], p)
			}
		}
	}
	return f
}

// unchanged is the round without the pods that were changed among those that ought to answer.
func (f facts) unchanged() report.Round {
	round := f.round
	if len(f.changed) == 0 {
		return round
	}
	round.Backends = slices.Clone(round.Backends)
	for i, group := range round.Backends {
		round.Backends[i].Pods = slices.DeleteFunc(slices.Clone(group.Pods), func(pod string) bool { return f.changed[pod] })
	}
	return round
}
