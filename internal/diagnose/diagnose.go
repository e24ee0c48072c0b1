// Package diagnose says where a fault is, from nothing but the report of a round: a list of rules, each of which knows
// one pattern.
//
// A rule claims only what the figures bear out, and says how sure it is. That nothing is found means nothing.
package diagnose

import (
	"cmp"
	"slices"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
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

// rank orders degrees, the surest first.
func (c Confidence) rank() int {
	switch c {
	case High:
		return 0
	case Medium:
		return 1
	default:
		return 2
	}
}

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
	// ServicePath is what leads from a Service's address to its pods: endpoints, and kube-proxy or what stands in for
	// it.
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
		{"OneBackendOnly", oneBackendOnly},
		{"LocalOnly", localOnly},
		{"FewBackends", fewBackends},
		{"UnevenService", unevenService},
		{"UnexpectedBackend", unexpectedBackend},
		{"NodePortAddresses", nodePortAddresses},
	}
}

// Reasons are the reasons of all findings that there can be.
func Reasons() []string {
	var all []string
	for _, r := range rules() {
		all = append(all, r.reason)
	}
	for _, p := range append(places(), properties()...) {
		all = append(all, p.reason)
	}
	return append(all, onlyPersistentReason)
}

// Findings applies all rules, and says what the paths that failed have in common; that this is a kind or a family says
// nothing new where a rule is sure of what it found. The surest finding comes first: it is
// the one that people are shown where there is room for one. The same round gives the same findings, whatever order its
// agents and paths have.
func Findings(round report.Round, judged verdict.Verdict) []Finding {
	known := gather(round)
	var patterns []Finding
	for _, r := range rules() {
		for _, f := range r.find(known) {
			f.Reason = r.reason
			patterns = append(patterns, f)
		}
	}
	sure := slices.ContainsFunc(patterns, func(f Finding) bool { return f.Confidence == High })
	all, properties := Localise(round, judged), properties()
	all = slices.DeleteFunc(all, func(f Finding) bool {
		return sure && slices.ContainsFunc(properties, func(p place) bool { return p.reason == f.Reason })
	})
	// A node says more than the pods on it.
	all = append(all, patterns...)
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(a.Confidence.rank(), b.Confidence.rank()) })
	return all
}
