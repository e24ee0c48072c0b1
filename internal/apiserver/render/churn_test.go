package render_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/verdict"
)

func TestWhatWasChangedIsShownAndFailsNothing(t *testing.T) {
	void := report.Failure{Outcome: probe.Timeout, Phase: probe.Connect, Count: 40, Excused: 40}
	part := report.Path{Target: target.Target{ID: "part"}, Scheduled: 100, Sent: 100, OK: 60,
		Failures: []report.Failure{void}, Latency: histogram(60, time.Millisecond)}
	persistent := part
	part.Persistent = &persistent
	whole := report.Path{Target: target.Target{ID: "whole", Pod: "agent-c"}, Scheduled: 40, Sent: 40,
		Failures: []report.Failure{void}}
	round := report.Round{
		Key: schedule.Key{UID: "u", Generation: 1, Round: 1}, Started: began(), Ended: began().Add(12 * time.Second),
		Churn: []report.Change{{Pod: "agent-c", Node: "node-3", Kind: report.Deleted,
			WindowStart: began().Add(6 * time.Second)}},
		Missing: []report.Missing{{Pod: "agent-c", Node: "node-3", Reason: "its pod was deleted during the round",
			Excused: true}},
		Expected: []report.Expected{{Pod: "agent-a", Node: "node-1", Targets: []string{"part"}},
			{Pod: "agent-b", Node: "node-2", Targets: []string{"whole"}}},
		Agents: []report.AgentReport{{Pod: "agent-a", Node: "node-1", Finished: true, Paths: []report.Path{part}},
			{Pod: "agent-b", Node: "node-2", Finished: true, Paths: []report.Path{whole}}},
	}
	got := render.Report(render.ReportedTask{Kind: "NetReach", Name: "t", Generation: 1},
		verdict.StoredRound{Round: round, Verdict: verdict.Judge(round, verdict.Expect{SuccessRate: 1})})

	if diff := cmp.Diff([]string{"pod agent-c on node node-3: its pod was deleted during the round, 6s after its start"}, got.Spec.Churn); diff != "" {
		t.Errorf("churn (-want +got):\n%s", diff)
	}
	missing := []systemv1beta1.NotReported{{NodeName: "node-3", PodName: "agent-c",
		Reason: "its pod was deleted during the round", Void: true}}
	if diff := cmp.Diff(missing, got.Spec.NotReported); diff != "" {
		t.Errorf("not reported (-want +got):\n%s", diff)
	}
	if s := render.Summarize(got); s.Result != render.Succeed || got.Spec.FailedRoundNumber != nil ||
		s.Paths != (render.Paths{Passed: 1, Void: 1}) {
		t.Errorf("summary %+v, failed rounds %v; want a success with one path that passed and one that is void", s,
			got.Spec.FailedRoundNumber)
	}
	a, b := got.Spec.Report[0], got.Spec.Report[1]
	if a.RoundResult != render.Succeed || b.RoundResult != systemv1beta1.ResultVoid {
		t.Errorf("the agents' results are %s and %s, want succeed and void", a.RoundResult, b.RoundResult)
	}
	if d := a.NetReachTask.Detail[0]; !d.Succeed || d.SucceedRate != 1 || d.Metrics.VoidRequests != 40 ||
		d.Metrics.RequestCounts != 100 || d.Metrics.KeptConnection.VoidRequests != 40 {
		t.Errorf("a path of which a part is void is shown as %+v", d)
	}
	if d := b.NetReachTask.Detail[0]; d.Succeed || d.Result != systemv1beta1.ResultVoid || d.FailureReason == nil ||
		d.SucceedRate != 0 || d.Metrics.VoidRequests != 40 {
		t.Errorf("a path that is void is shown as %+v", d)
	}
}
