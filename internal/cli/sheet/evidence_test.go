package sheet_test

import (
	"fmt"
	"testing"

	"kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/cli/sheet"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

func v4(nodes int, broken func(topology.Agent, target.Target) fault) v1beta1.KdoctorReport {
	return round{nodes: nodes, families: []topology.Family{topology.IPv4}, broken: broken}.build()
}

// rich adds all that an agent can tell of each of its targets.
func rich(r v1beta1.KdoctorReport) v1beta1.KdoctorReport {
	for i := range r.Spec.Report {
		task := r.Spec.Report[i].NetReachTask
		task.Observer = &v1beta1.Observer{Mode: "precise", CPULimit: 0.5, ThrottledShare: 0.02, ThrottledInMs: 12.5,
			LongestPauseInMs: 0.31, Files: 118, FileLimit: 1048576, Ports: 28232, Conntrack: 640,
			ConntrackLimit: 131072}
		for j := range task.Detail {
			d := &task.Detail[j]
			m := &d.Metrics
			m.LagInMs, m.ClockSource = &v1beta1.Spread{Mean: 0.04, P99: 0.2, Max: 1.1}, "kernel"
			m.PhasesInMs = map[string]v1beta1.Phase{"first byte": {Mean: d.MeanDelay * 0.6, Max: 2},
				"connect": {Mean: d.MeanDelay * 0.4, Max: 1}}
			response := m.Latencies
			response.MeanInMs += 0.04
			m.Response = &response
			m.KeptConnection = &v1beta1.KeptConnection{RequestCounts: 10, SuccessCounts: 10, Reused: 9,
				Latencies: &v1beta1.Latencies{MeanInMs: 0.1, P99InMs: 0.2, MaxInMs: 0.3}}
			if j >= len(r.Spec.Report) {
				m.Backends, m.BackendsAnswered,
					m.BackendsExpected = map[string]int64{"kdoctor-agent-x0001": 48, "kdoctor-agent-x0002": 52}, 2, 2
			}
		}
	}
	return r
}

// lossy has what a success hides: segments sent again on one target, and connections that do not stay open on another.
func lossy(nodes int) v1beta1.KdoctorReport {
	r := rich(v4(nodes, nil))
	first := r.Spec.Report[0].NetReachTask.Detail
	first[0].Metrics.Retransmits, first[0].Metrics.RetransmittedRequests = 3, 2
	last := &first[len(first)-1].Metrics
	last.Retransmits, last.RetransmittedRequests = 1, 1
	last.KeptConnection = &v1beta1.KeptConnection{RequestCounts: 10, SuccessCounts: 6, Reused: 4, ClosedByOtherSide: 3}
	return r
}

// limited turns the targets of the given node, of the given kind where one is given, into ones that its agent could not
// serve.
func limited(r v1beta1.KdoctorReport, node string) v1beta1.KdoctorReport {
	r = rich(r)
	for i := range r.Spec.Report {
		a := &r.Spec.Report[i]
		if a.NodeName != node {
			continue
		}
		a.RoundResult = "fail"
		a.NetReachTask.Observer.ThrottledShare, a.NetReachTask.Observer.ThrottledInMs = 0.41, 3100
		for j := range a.NetReachTask.Detail {
			reason := "the agent sent only 61 of 100 due requests: it is short of CPU, ports or descriptors"
			d := &a.NetReachTask.Detail[j]
			if d.TargetUrl == "http://10.96.7.41:80" {
				d.Succeed, d.Result, d.FailureReason, d.Metrics.RequestCounts, d.Metrics.SuccessCounts = false,
					"tool-limited", &reason, 61, 61
				why := d.TargetName + ": " + reason
				a.FailedReason = &why
			}
		}
		because(&r.Spec, verdict.Reason{Pod: a.PodName, Node: node, Text: *a.FailedReason})
	}
	r.Spec.FailedRoundNumber = []int64{1}
	return r
}

// silentPods has so many pods that a Service never leads to.
func silentPods(r v1beta1.KdoctorReport, pods int) v1beta1.KdoctorReport {
	var found []v1beta1.Finding
	for i := range pods {
		where := fmt.Sprintf("pod kdoctor-agent-x%04d on node node-%d", i+3, i+3)
		found = append(found,
			v1beta1.Finding{Reason: "SilentBackend", Component: "Service path", Where: where, Confidence: "high",
				Message: "ClusterIP: " + where + " never answered 2 of 2 other agents, and its Pod IP answers them; " +
					"look at the Service's endpoints and at kube-proxy",
				Evidence: []string{"node-1 on AgentClusterV4IP_10.96.7.41:80: 67 answers came from 2 of 3 pods, and " +
					"33 of 100 requests failed, where the silent ones' turns were about 33"}})
	}
	r.Spec.Findings = found
	return r
}

func TestEvidence(t *testing.T) {
	service := func(_ topology.Agent, t target.Target) fault {
		if t.Kind == target.ClusterIP {
			return fault{33, probe.Timeout, probe.Connect}
		}
		return fault{}
	}
	silent := round{nodes: 3, families: []topology.Family{topology.IPv4}, broken: service,
		mute: "kdoctor-agent-x0003"}.build()
	reduced := v4(2, nil)
	reduced.Spec.ReducedLoad = "each target got 25 requests a second instead of 100: an agent with 200 targets may " +
		"send 5000 requests a second for this task"
	reduced.Spec.LoadOfOthers = "other rounds sent 300 requests a second from each of these agents when this one " +
		"began, beside the 5000 of this round"
	empty := v4(1, nil)
	why := "no request was sent (100 were due)"
	empty.Spec.Report[0].RoundResult, empty.Spec.FailedRoundNumber = "fail", []int64{1}
	empty.Spec.Report[0].NetReachTask.Detail[0].Succeed, empty.Spec.Report[0].NetReachTask.Detail[0].Result = false,
		"no data"
	empty.Spec.Report[0].NetReachTask.Detail[0].FailureReason,
		empty.Spec.Report[0].NetReachTask.Detail[0].Metrics = &why, v1beta1.HTTPMetrics{}
	cases := []struct {
		name    string
		report  v1beta1.KdoctorReport
		options sheet.Options
	}{
		{"everything_told_and_nothing_wrong_in_80_columns", rich(v4(2, nil)), sheet.Options{Width: 80}},
		{"everything_told_wide", rich(v4(2, nil)), sheet.Options{Wide: true}},
		{"loss_that_success_hides_in_80_columns", lossy(2), sheet.Options{Width: 80}},
		{"loss_that_success_hides_wide", lossy(1), sheet.Options{Wide: true}},
		{"loss_on_one_of_many_nodes", lossy(12), sheet.Options{Width: 80}},
		{"agent_is_the_limit_in_80_columns", limited(v4(2, nil), "node-2"), sheet.Options{Width: 80}},
		{"agent_is_the_limit_with_colour", limited(v4(2, nil), "node-2"),
			sheet.Options{Width: 100, Color: true, Failed: true}},
		{"agent_is_the_limit_beside_a_fault", limited(v4(3, cutOff("node-3")), "node-2"),
			sheet.Options{Width: 80, Failed: true}},
		{"silent_pod_in_80_columns", silent, sheet.Options{Width: 80, Failed: true}},
		{"silent_pod_with_colour", silent, sheet.Options{Width: 100, Failed: true, Color: true}},
		{"finding_in_a_round_that_passed", silentPods(v4(3, nil), 1), sheet.Options{Width: 80}},
		{"many_findings", silentPods(v4(3, service), 7), sheet.Options{Width: 100, Failed: true, Node: "node-1"}},
		{"many_findings_wide", silentPods(v4(3, service), 7), sheet.Options{Wide: true, Failed: true, Node: "node-1"}},
		{"lower_load_than_asked_for", reduced, sheet.Options{Width: 80}},
		{"target_without_data", empty, sheet.Options{Width: 80}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			show(t, c.name, c.report, c.options)
		})
	}
}
