package diagnose_test

import (
	"slices"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/internal/diagnose"
	"kdoctor.io/kdoctor/internal/ladder"
	"kdoctor.io/kdoctor/internal/report"
)

// oneOf fails one of n requests to the cluster address.
func oneOf(n int, how ladder.Failure) func(asked) ladder.Failure {
	asks := map[string]int{}
	return func(a asked) ladder.Failure {
		if a.Rung != ladder.ClusterIP || !a.Counted {
			return ""
		}
		if asks[a.From]++; asks[a.From]%n != 0 {
			return ""
		}
		return how
	}
}

// An endpoint that went takes few connections with it: those that a kernel still tracks. Rules that still lead to it
// take its share of all.
func TestConnectionsToAnEndpointThatWentAreSaidToBeTracked(t *testing.T) {
	gone := []report.EndpointFault{{Service: "agents", Gone: []string{"10.0.0.9:80"}}}
	for name, c := range map[string]struct {
		endpoints []report.EndpointFault
		fails     func(asked) ladder.Failure
		cause     string
		// says and evidence report whether the address is in the message and in the evidence.
		says, evidence bool
	}{
		"few connections are lost":         {gone, oneOf(30, ladder.NoAnswer), "ConntrackStale", true, true},
		"its share of them is lost":        {gone, oneOf(5, ladder.NoAnswer), "EndpointStale", false, true},
		"few connections are refused":      {gone, oneOf(30, ladder.Refused), "EndpointStale", false, true},
		"no endpoint went":                 {nil, oneOf(30, ladder.NoAnswer), "EndpointStale", false, false},
		"one of the other family went":     {gone6(), oneOf(30, ladder.NoAnswer), "EndpointStale", false, false},
		"one went, and nothing else fails": {gone, oneOf(1000, ladder.NoAnswer), "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			round, judged := whole{snapshot: cluster4(true), endpoints: c.endpoints, fails: c.fails}.round()
			found := diagnose.Findings(round, judged)
			if c.cause == "" {
				if len(found) > 0 {
					t.Errorf("found %+v, want nothing", found)
				}
				return
			}
			if len(found) != 1 {
				t.Fatalf("found %+v, want one finding", found)
			}
			f := found[0]
			says := strings.Contains(f.Message, "an endpoint that has gone: 10.0.0.9:80")
			evidence := slices.ContainsFunc(f.Evidence,
				func(line string) bool { return strings.Contains(line, "no longer have 10.0.0.9:80") })
			if f.Cause != c.cause || says != c.says || evidence != c.evidence {
				t.Errorf("cause %s, named %t, evidence %t; want %s, %t, %t\n%s\n%q", f.Cause, says, evidence, c.cause,
					c.says, c.evidence, f.Message, f.Evidence)
			}
		})
	}
}

// gone6 is an address that nothing of the round's family leads to.
func gone6() []report.EndpointFault {
	return []report.EndpointFault{{Service: "agents6", Gone: []string{"[2001:db8::9]:80"}}}
}
