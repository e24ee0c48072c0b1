package sheet_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/cli/sheet"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

func change(node int) string {
	return fmt.Sprintf("pod kdoctor-agent-x%04d on node node-%d: its node was drained during the round, 6s after its start", node, node)
}

// voidTarget is a target of which nothing is left to judge after so many void requests.
func voidTarget(d *v1beta1.TargetDetail, requests int64, reason string) {
	d.Succeed, d.Result, d.SucceedRate, d.MeanDelay, d.FailureReason = false, "void", 0, 0, &reason
	d.Metrics = v1beta1.HTTPMetrics{RequestCounts: requests, VoidRequests: requests}
}

// drained is the report of a round during which the last node was drained: its agent gave no report, nobody answers at
// its address after that, and the Service led some requests to it.
func drained(r v1beta1.KdoctorReport) v1beta1.KdoctorReport {
	last := len(r.Spec.Report)
	gone := r.Spec.Report[last-1]
	r.Spec.Report = r.Spec.Report[:last-1]
	r.Spec.NotReported = append(r.Spec.NotReported,
		v1beta1.NotReported{NodeName: gone.NodeName, PodName: gone.PodName,
			Reason: "its node was drained during the round", Void: true})
	r.Spec.Churn = append(r.Spec.Churn, change(last))
	for i := range r.Spec.Report {
		for j := range r.Spec.Report[i].NetReachTask.Detail {
			d := &r.Spec.Report[i].NetReachTask.Detail[j]
			switch {
			case strings.Contains(d.TargetName, gone.PodName):
				voidTarget(d, 100, fmt.Sprintf("all 100 requests are void: pod %s on node %s: its node was drained",
					gone.PodName, gone.NodeName))
			case strings.HasPrefix(d.TargetName, "AgentCluster"):
				d.Metrics.VoidRequests, d.Metrics.SuccessCounts = 20, d.Metrics.SuccessCounts*8/10
				d.Metrics.KeptConnection = &v1beta1.KeptConnection{RequestCounts: 10, SuccessCounts: 6, VoidRequests: 4,
					Reused: 5, ClosedByOtherSide: 1}
			}
		}
	}
	return r
}

// cutShort turns what the agent measured into what one reports that was stopped before it sent anything.
func cutShort(r v1beta1.KdoctorReport, agent int) v1beta1.KdoctorReport {
	a := &r.Spec.Report[agent]
	why := "its pod was deleted during the round"
	for j := range a.NetReachTask.Detail {
		voidTarget(&a.NetReachTask.Detail[j], 0, why)
	}
	a.RoundResult, a.FailedReason = v1beta1.ResultVoid, &why
	return r
}

func manyChanges(r v1beta1.KdoctorReport) v1beta1.KdoctorReport {
	for i := range 7 {
		r.Spec.Churn = append(r.Spec.Churn, change(i+1))
	}
	return r
}

func TestChurn(t *testing.T) {
	nodePort := func(source topology.Agent, to target.Target) fault {
		if to.Kind == target.NodePort && source.Node == "node-1" {
			return timeout
		}
		return fault{}
	}
	nothing := cutShort(v4(1, nil), 0)
	nothing.Spec.Churn, nothing.Spec.FailedRoundNumber = []string{change(1)}, []int64{1}
	because(&nothing.Spec,
		verdict.Reason{Code: verdict.NothingLeft, Changes: 1,
			Change: &report.Change{Pod: "kdoctor-agent-x0001", Node: "node-1", Kind: report.Drained}})
	silent := drained(v4(3, nil))
	silent.Spec.NotReported = append(silent.Spec.NotReported,
		v1beta1.NotReported{PodName: "kdoctor-agent-x0004", Reason: "no node takes its pod"})
	because(&silent.Spec,
		verdict.Reason{Code: verdict.NotReported, Pod: "kdoctor-agent-x0004", Text: "no node takes its pod"})
	narrow := sheet.Options{Width: 80}
	cases := []struct {
		name    string
		report  v1beta1.KdoctorReport
		options sheet.Options
	}{
		{"drained_node_in_80_columns", drained(v4(3, nil)), narrow},
		{"drained_node_with_colour", drained(v4(3, nil)), sheet.Options{Width: 100, Color: true}},
		{"drained_node_wide", drained(v4(2, nil)), sheet.Options{Wide: true}},
		{"drained_node_beside_a_fault", drained(v4(3, nodePort)), narrow},
		{"drained_node_beside_a_fault_failed_only", drained(v4(3, nodePort)), sheet.Options{Width: 80, Failed: true}},
		{"drained_node_among_many", drained(v4(13, nil)), narrow},
		{"drained_node_beside_an_agent_without_a_node", silent, narrow},
		{"agent_that_is_void", manyChanges(cutShort(v4(2, nil), 1)), narrow},
		{"agent_that_is_void_with_colour", cutShort(v4(2, nil), 1),
			sheet.Options{Width: 100, Color: true, Node: "node-2"}},
		{"agent_that_is_void_failed_only", manyChanges(cutShort(v4(2, nil), 1)),
			sheet.Options{Width: 80, Failed: true}},
		{"changes_wide", manyChanges(v4(1, nil)), sheet.Options{Wide: true}},
		{"nothing_is_left_to_judge", nothing, narrow},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := show(t, c.name, c.report, c.options)
			if failed := strings.Contains(got, "FAIL"); failed == sheet.Passed(c.report) {
				t.Errorf("the sheet says FAIL: %v, though the round passed: %v", failed, sheet.Passed(c.report))
			}
		})
	}
}

func TestARoundBeyondThosePlannedIsNotCountedAmongThem(t *testing.T) {
	r := v4(1, nil)
	r.Spec.ReportRoundNumber, r.Spec.FinishedRoundNumber = 2, 2
	var text bytes.Buffer
	if err := sheet.Write(&text, r, sheet.Options{}); err != nil {
		t.Fatal(err)
	}
	if want := "SUCCEED  NetReach task, round 2: 5 of 5 targets passed.\n"; !strings.HasPrefix(text.String(), want) {
		t.Errorf("got %q, want it to begin with %q", text.String(), want)
	}
}

func TestWhatIsShownOfTheLoad(t *testing.T) {
	for name, c := range map[string]struct {
		load *v1beta1.Load
		wide bool
		want string
	}{
		"nothing, where nothing is known": {nil, true, ""},
		"nothing, but in the wide form":   {&v1beta1.Load{RequestsPerSecond: 10}, false, ""},
		"what it costs": {&v1beta1.Load{RequestsPerSecond: 10, AskedRequestsPerSecond: 10, TargetsPerAgent: 27,
			ConnectionsPerSecond: 270, TrackedConnections: 2970, PortsPerTarget: 10}, true,
			"  load    10 requests/s to each of up to 27 targets from each agent: 270 new connections/s, up to 2970 tracked"},
		"a rate below one a second": {&v1beta1.Load{SecondsPerRequest: 7, AskedRequestsPerSecond: 1,
			TargetsPerAgent: 700, ConnectionsPerSecond: 100, TrackedConnections: 1400}, true,
			"  load    1 request every 7 s to each of up to 700 targets from each agent: 100 new connections/s, up " +
				"to 1400 tracked"},
		"nothing, where nothing was sent": {&v1beta1.Load{AskedRequestsPerSecond: 1, TargetsPerAgent: 700}, true, ""},
		"how large answers are, in every form": {&v1beta1.Load{RequestsPerSecond: 10, AnswerSizeInByte: 8000,
			AnswerBytesPerSecond: 2_376_000}, false,
			"  load    answers of at least 8000 bytes: up to 2.4 MB/s to each agent"},
		"that connections stay open": {&v1beta1.Load{RequestsPerSecond: 1, TargetsPerAgent: 3, TrackedConnections: 3},
			true,
			"  load    1 request/s to each of up to 3 targets from each agent: connections that stay open, up to 3 tracked"},
	} {
		t.Run(name, func(t *testing.T) {
			r := v4(1, nil)
			r.Spec.Load = c.load
			var text bytes.Buffer
			if err := sheet.Write(&text, r, sheet.Options{Wide: c.wide, Width: 80}); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, l := range strings.Split(text.String(), "\n") {
				if strings.HasPrefix(l, "  load") {
					got += l
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
