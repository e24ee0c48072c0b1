// Package diagnose says where a fault is, from the report of a round alone. It is a list of rules, each for one
// pattern.
//
// A rule claims only what the figures prove, and says how sure it is. A round without findings may still have faults.
package diagnose

import (
	"cmp"
	"slices"

	"kdoctor.io/kdoctor/internal/infer"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// Confidence is how sure a finding is.
type Confidence = report.Confidence

// The degrees of confidence.
const (
	// High: two kinds of evidence, from more than one agent, say the same.
	High Confidence = "high"
	// Medium: the evidence is of one kind, or from one agent.
	Medium Confidence = "medium"
	// Low: something else may explain the figures too.
	Low Confidence = "low"
)

// rank orders degrees, the surest first.
func rank(c Confidence) int {
	switch c {
	case High:
		return 0
	case Medium:
		return 1
	default:
		return 2
	}
}

// lower returns the next lower degree.
func lower(c Confidence) Confidence {
	if c == High {
		return Medium
	}
	return Low
}

// Component is the part of the cluster that a finding is about.
type Component = report.Component

// The components.
const (
	// PodOrNode is one pod, or the node that it is on.
	PodOrNode Component = "pod or node"
	// ServicePath is what leads from a Service's address to its pods: endpoints, and kube-proxy or its replacement.
	ServicePath Component = "Service path"
	// ServiceEndpoints is which addresses a Service leads to, by its EndpointSlices.
	ServiceEndpoints Component = Component(infer.Endpoint)
	// LoadBalancerPath is the path through a load balancer's address, IngressPath the path through an Ingress.
	LoadBalancerPath Component = "load balancer path"
	IngressPath      Component = "Ingress path"
	// BetweenNodes is the network from some nodes to another node.
	BetweenNodes Component = "network between nodes"
	// Unclear may be any of the components above.
	Unclear Component = "not clear"
)

// Finding is one fault and where it is.
type Finding = report.Finding

// rule finds one pattern. Its findings are sorted; Findings fills in their Reason.
type rule struct {
	reason string
	find   func(facts) []Finding
}

// rules is the table of rules, in the order in which findings of equal confidence are shown.
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

// Reasons returns the reasons of all possible findings.
func Reasons() []string {
	var all []string
	for _, r := range rules() {
		all = append(all, r.reason)
	}
	for _, p := range append(nodeRules(), propertyRules()...) {
		all = append(all, p.reason)
	}
	for _, p := range parts() {
		all = append(all, p.reason)
	}
	return append(all, onlyPersistentReason, betweenZonesReason, strangeEndpointReason, missingEndpointReason)
}

// Findings applies all rules, and says what the failed paths have in common. A common kind or family of paths is left
// out if a rule is sure of its finding, because it adds nothing then. The surest finding comes first: it is the one to
// show where there is room for one. Of equally sure findings, what failed paths have in common comes first. The same
// round gives the same findings, in whatever order its agents and paths come.
//
// The findings of a round in which agents report sums are those that Large made when the round ended.
func Findings(round report.Round, judged verdict.Verdict) []Finding {
	located := append(endpoints(round, judged), round.Located...)
	if round.HasSums() {
		return surestFirst(append(located, beyond(round.Findings, located)...))
	}
	known := gather(round).unexplained()
	var patterns []Finding
	for _, r := range rules() {
		for _, f := range r.find(known) {
			f.Reason = r.reason
			patterns = append(patterns, f)
		}
	}
	sure := slices.ContainsFunc(patterns, func(f Finding) bool { return f.Confidence == High })
	all, properties := Localise(round, judged), propertyRules()
	if round.Ladder != nil && !dead(round) {
		// The ladder tells components apart, and found none that explains the few requests that failed.
		all = nil
	}
	all = slices.DeleteFunc(all, func(f Finding) bool {
		return sure && slices.ContainsFunc(properties, func(r commonRule) bool { return r.reason == f.Reason })
	})
	// A finding about a node says more than findings about the pods on it.
	all = append(all, patterns...)
	// What the API server says of itself needs no figures, and comes first. Components come before patterns of paths.
	return surestFirst(append(located, beyond(all, located)...))
}

// beyond returns the findings of rules that say more than the located faults do. What failed paths have in common says
// less than the component that makes them fail; and a pod that does not answer is explained by its node.
func beyond(found, located []Finding) []Finding {
	if !slices.ContainsFunc(located, func(f Finding) bool { return f.Probability > 0 }) {
		return found
	}
	common := append(nodeRules(), propertyRules()...)
	return slices.DeleteFunc(slices.Clone(found), func(f Finding) bool {
		if slices.ContainsFunc(common, func(r commonRule) bool { return r.reason == f.Reason }) {
			return true
		}
		return slices.ContainsFunc(located, func(of Finding) bool { return covers(of, f) })
	})
}

// covers reports whether the located fault is at all nodes that the finding names.
func covers(located, f Finding) bool {
	if len(f.Nodes) == 0 || located.Probability == 0 {
		return false
	}
	return !slices.ContainsFunc(f.Nodes, func(node string) bool { return !slices.Contains(located.Nodes, node) })
}

// surestFirst sorts findings, the surest first. A component that was found with a fair probability stands among the
// sure ones: it says more than a pattern of paths.
func surestFirst(all []Finding) []Finding {
	place := func(f Finding) int {
		if f.Probability > 0 && f.Confidence == Medium {
			return rank(High)
		}
		return rank(f.Confidence)
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(place(a), place(b)) })
	return all
}

// dead reports whether a path failed for all of its requests.
func dead(round report.Round) bool {
	for i := range round.Agents {
		for k := range round.Agents[i].Paths {
			if p := &round.Agents[i].Paths[k]; p.Sent > 0 && p.OK == 0 {
				return true
			}
		}
	}
	return false
}
