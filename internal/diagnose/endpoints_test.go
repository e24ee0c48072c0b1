package diagnose_test

import (
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
)

func TestEndpointsThatAreWrongAreNamedFirst(t *testing.T) {
	round := report.Round{Endpoints: []report.EndpointFault{
		{Service: "kdoctor-agent-ipv4", Strange: []string{"192.0.2.9:8080"}},
		{Service: "kdoctor-agent-ipv6", Left: []string{"kdoctor-agent-x"}}}}
	for result, want := range map[verdict.Result]diagnose.Confidence{verdict.Fail: diagnose.High,
		verdict.Pass: diagnose.Medium} {
		found := diagnose.Findings(round, verdict.Verdict{Result: result})
		if len(found) != 2 || found[0].Reason != "StrangeEndpoint" || found[1].Reason != "MissingEndpoint" ||
			found[0].Confidence != want || !strings.Contains(found[0].Message, "kdoctor-agent-ipv4") ||
			!strings.Contains(found[0].Message, "192.0.2.9:8080") ||
			!strings.Contains(found[1].Message, "kdoctor-agent-x") {
			t.Errorf("%s: found %+v", result, found)
		}
	}
}
