package render_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

func TestTheInterfaceIsNamedWhereItIsNotTheFirst(t *testing.T) {
	first, second := path(target.Endpoint, "first", "http://198.19.0.2:8080"),
		path(target.SecondInterface, "second", "http://198.18.64.10:8080")
	second.Target.Interface = "net1"
	got := map[string]string{}
	kept := keep(report.Round{Agents: []report.AgentReport{{Pod: "a", Paths: []report.Path{first, second}}}})
	for _, d := range render.Report(task(), kept).Spec.Report[0].NetReachTask.Detail {
		got[d.TargetName] = d.Interface
	}
	if diff := cmp.Diff(map[string]string{"first": "", "second": "net1"}, got); diff != "" {
		t.Errorf("interfaces by target (-want +got):\n%s", diff)
	}
}

func TestBackendsAreThoseThatTheAgentItselfMeets(t *testing.T) {
	near := path(target.ClusterIP, "near", "http://198.18.128.7:80")
	near.Peers = map[string]uint64{"a": 100}
	kept := keep(report.Round{
		Agents: []report.AgentReport{{Pod: "a", Node: "n1", Paths: []report.Path{near}},
			{Pod: "c", Node: "n2", Paths: []report.Path{near}}},
		Backends: []report.BackendSet{{Targets: []string{"near"}, Pods: []string{"a", "b"}, Askers: []string{"a", "b"}},
			{Targets: []string{"near"}, Pods: []string{"c"}, Askers: []string{"c"}}},
	})
	type counts struct{ Answered, Expected int64 }
	got := map[string]counts{}
	for _, r := range render.Report(task(), kept).Spec.Report {
		m := r.NetReachTask.Detail[0].Metrics
		got[r.PodName] = counts{m.BackendsAnswered, m.BackendsExpected}
	}
	if diff := cmp.Diff(map[string]counts{"a": {1, 2}, "c": {0, 1}}, got); diff != "" {
		t.Errorf("backends by agent (-want +got):\n%s", diff)
	}
}
