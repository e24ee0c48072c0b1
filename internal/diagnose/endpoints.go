package diagnose

import (
	"fmt"
	"slices"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

// The reasons of findings about EndpointSlices.
const (
	strangeEndpointReason = "StrangeEndpoint"
	missingEndpointReason = "MissingEndpoint"
)

// endpoints finds Services whose EndpointSlices have an address at which there is no agent, or lack an agent. It is
// what the API server had when the round began and when it ended, so no figures are needed to see it: a share of the
// requests is lost, or agents get none. What is wrong alike with several Services, as with those of both IP families,
// is one finding: whoever made their EndpointSlices is one as well.
func endpoints(round report.Round, judged verdict.Verdict) []Finding {
	confidence := Medium
	if judged.Result == verdict.Fail {
		// Requests failed as well.
		confidence = High
	}
	var all []Finding
	strange := wrongOf(round.Endpoints, func(f report.EndpointFault) []string { return f.Strange })
	if n := len(strange.names); n > 0 {
		all = append(all, Finding{Reason: strangeEndpointReason, Component: ServiceEndpoints, Where: strange.where(),
			Cause: "EndpointStale", Confidence: confidence,
			Message: fmt.Sprintf("%s %s to %s at which there is no agent: %s; look at who made %s EndpointSlices "+
				"(kubectl get endpointslices -l kubernetes.io/service-name=%s)", strange.where(), strange.verb("leads", "lead"),
				plural(n, "address"), firstNames(strange.names), strange.verb("its", "their"), strange.services[0]),
			Evidence: strange.evidence("had")})
	}
	left := wrongOf(round.Endpoints, func(f report.EndpointFault) []string { return f.Left })
	if n := len(left.names); n > 0 {
		all = append(all, Finding{Reason: missingEndpointReason, Component: ServiceEndpoints, Where: left.where(),
			Cause: "EndpointMissing", Confidence: confidence,
			Message: fmt.Sprintf("%s %s not lead to %s that %s: %s; look at %s EndpointSlices and at "+
				"the controller that makes them, in kube-controller-manager", left.where(), left.verb("does", "do"),
				plural(n, "ready pod"), left.verb("it selects", "they select"), firstNames(left.names),
				left.verb("its", "their")),
			Evidence: left.evidence("lacked")})
	}
	return all
}

// wrongSlices are Services whose EndpointSlices are wrong in one way: names are the addresses or pods, each once, and
// of has them by Service.
type wrongSlices struct {
	services, names []string
	of              [][]string
}

func wrongOf(all []report.EndpointFault, names func(report.EndpointFault) []string) (w wrongSlices) {
	for _, fault := range all {
		these := names(fault)
		if len(these) == 0 {
			continue
		}
		w.services, w.of = append(w.services, fault.Service), append(w.of, these)
		for _, name := range these {
			if !slices.Contains(w.names, name) {
				w.names = append(w.names, name)
			}
		}
	}
	return w
}

// where names the Services.
func (w wrongSlices) where() string {
	return w.verb("Service ", "Services ") + firstNames(w.services)
}

// verb returns the word for one Service, or that for several.
func (w wrongSlices) verb(one, several string) string {
	if len(w.services) == 1 {
		return one
	}
	return several
}

// evidence says of each Service what its EndpointSlices had, or lacked.
func (w wrongSlices) evidence(what string) []string {
	var lines []string
	for i, names := range w.of[:min(len(w.of), mostNamed)] {
		whose := "its"
		if len(w.of) > 1 {
			whose = w.services[i] + "'s"
		}
		lines = append(lines, fmt.Sprintf("%s EndpointSlices %s %s when the round began and when it ended", whose, what,
			firstNames(names)))
	}
	return lines
}
