package diagnose

import (
	"fmt"

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
// requests is lost, or agents get none.
func endpoints(round report.Round, judged verdict.Verdict) []Finding {
	confidence := Medium
	if judged.Result == verdict.Fail {
		// Requests failed as well.
		confidence = High
	}
	var all []Finding
	for _, fault := range round.Endpoints {
		where := "Service " + fault.Service
		if n := len(fault.Strange); n > 0 {
			all = append(all, Finding{Reason: strangeEndpointReason, Component: ServiceEndpoints, Where: where,
				Cause:      "EndpointStale",
				Confidence: confidence,
				Message: fmt.Sprintf("%s leads to %s at which there is no agent: %s; look at who made its EndpointSlices "+
					"(kubectl get endpointslices -l kubernetes.io/service-name=%s)", where, plural(n, "address"),
					firstNames(fault.Strange), fault.Service),
				Evidence: []string{"its EndpointSlices had " + firstNames(fault.Strange) +
					" when the round began and when it ended"}})
		}
		if n := len(fault.Left); n > 0 {
			all = append(all, Finding{Reason: missingEndpointReason, Component: ServiceEndpoints, Where: where,
				Cause:      "EndpointMissing",
				Confidence: confidence,
				Message: fmt.Sprintf("%s does not lead to %s that it selects and that are ready: %s; look at its "+
					"EndpointSlices and at the controller that makes them, in kube-controller-manager", where,
					plural(n, "pod"), firstNames(fault.Left)),
				Evidence: []string{"its EndpointSlices lacked " + firstNames(fault.Left) +
					" when the round began and when it ended"}})
		}
	}
	return all
}
