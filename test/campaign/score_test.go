package main

import (
	"testing"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
)

func TestAFailedRoundInWhichNothingIsBrokenIsAFalseAlarm(t *testing.T) {
	starved := []systemv1beta1.Finding{{Component: "agent", Cause: "AgentStarved"}}
	for _, c := range []struct {
		name string
		of   outcome
		want bool
	}{
		{"a round that passes", outcome{Result: "pass"}, false},
		{"a round that fails and names nothing", outcome{Result: "fail"}, true},
		{"a round that passes and names something", outcome{Result: "pass", Findings: starved}, true},
		{"a finding that is right in this disturbance", outcome{Result: "fail", Findings: starved,
			Allowed: []string{"AgentStarved"}}, false},
		{"another finding than that", outcome{Result: "pass", Findings: starved, Allowed: []string{"Delay"}}, true},
		{"a fault was injected", outcome{Result: "fail", Findings: starved, Injected: []injected{{}}}, false},
	} {
		if got := c.of.alarm(); got != c.want {
			t.Errorf("%s: a false alarm is %v, want %v", c.name, got, c.want)
		}
	}
}

func TestFindingsBesideTheFaultAreCounted(t *testing.T) {
	on := injected{Fault: fault{Name: "f", Components: []string{"overlay"}, Place: "node"}, On: "n1"}
	o := outcome{Injected: []injected{on}, Findings: []systemv1beta1.Finding{{Component: "overlay", Where: "node n1"},
		{Component: "overlay", Where: "node n2"}, {Component: "Service", Where: "all nodes"}}}
	if got := o.beside(); got != 2 {
		t.Errorf("%d findings name another thing than the fault, want 2", got)
	}
}
