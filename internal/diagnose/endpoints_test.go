package diagnose_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// The Services of both families lead to the same pods: what is wrong with one pod is wrong with both.
func TestWhatIsWrongAlikeWithSeveralServicesIsOneFinding(t *testing.T) {
	found := diagnose.Findings(report.Round{Endpoints: []report.EndpointFault{
		{Service: "web-ipv4", Strange: []string{"192.0.2.9:8080"}, Left: []string{"agent-x"}},
		{Service: "web-ipv6", Strange: []string{"[2001:db8::9]:8080"}, Left: []string{"agent-x"}},
	}}, verdict.Verdict{Result: verdict.Fail})
	var got []string
	for _, f := range found {
		got = append(got, append([]string{f.Where, f.Message}, f.Evidence...)...)
	}
	want := []string{
		"Services web-ipv4, web-ipv6",
		"Services web-ipv4, web-ipv6 lead to 2 addresses at which there is no agent: 192.0.2.9:8080, [2001:db8::9]:8080; " +
			"look at who made their EndpointSlices (kubectl get endpointslices -l kubernetes.io/service-name=web-ipv4)",
		"web-ipv4's EndpointSlices had 192.0.2.9:8080 when the round began and when it ended",
		"web-ipv6's EndpointSlices had [2001:db8::9]:8080 when the round began and when it ended",
		"Services web-ipv4, web-ipv6",
		"Services web-ipv4, web-ipv6 do not lead to 1 ready pod that they select: agent-x; look at their " +
			"EndpointSlices and at the controller that makes them, in kube-controller-manager",
		"web-ipv4's EndpointSlices lacked agent-x when the round began and when it ended",
		"web-ipv6's EndpointSlices lacked agent-x when the round began and when it ended",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
