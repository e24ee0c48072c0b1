package sheet_test

import (
	"fmt"
	"strings"
	"testing"

	"kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/cli/sheet"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

// each changes every target of the report to one that did not pass, and says why.
func each(r v1beta1.KdoctorReport, result, reason string, sent int64) v1beta1.KdoctorReport {
	for i := range r.Spec.Report {
		a := &r.Spec.Report[i]
		why := a.NetReachTask.Detail[0].TargetName + ": " + reason
		a.RoundResult, a.FailedReason = "fail", &why
		for j := range a.NetReachTask.Detail {
			d := &a.NetReachTask.Detail[j]
			d.Succeed, d.Result, d.FailureReason, d.SucceedRate = false, result, &reason, 0
			d.Metrics.RequestCounts, d.Metrics.SuccessCounts = sent, sent
		}
		because(&r.Spec, verdict.Reason{Pod: a.PodName, Node: a.NodeName, Text: why})
	}
	r.Spec.FailedRoundNumber = []int64{1}
	return r
}

func forwarded(r v1beta1.KdoctorReport) v1beta1.KdoctorReport {
	for i := range r.Spec.Report {
		r.Spec.Report[i].FetchedBy = "port-forward"
	}
	return r
}

// TestAtNight is what an admin sees who has no time to read.
func TestAtNight(t *testing.T) {
	v4, both := []topology.Family{topology.IPv4}, []topology.Family{topology.IPv4, topology.IPv6}
	sixth := func(_ topology.Agent, t target.Target) fault {
		if t.Family == topology.IPv6 {
			return timeout
		}
		return fault{}
	}
	few := []target.Kind{target.Endpoint, target.ClusterIP}
	// Every pod has a node of its own that it cannot reach, and one node fails three others.
	scattered := func(source topology.Agent, t target.Target) fault {
		var from, to int
		_, _ = fmt.Sscanf(source.Node+" "+t.Node, "node-%d node-%d", &from, &to)
		switch {
		case t.Kind == target.Endpoint && to == (from*7)%200+1:
			return timeout
		case t.Kind == target.Endpoint && to == 9 && from < 4:
			return fault{1, probe.Reset, probe.FirstByte}
		}
		return fault{}
	}
	pending := map[int]string{}
	for i := 2; i <= 200; i++ {
		pending[i] = "pod is Pending: image cannot be pulled"
		if i%50 == 0 {
			pending[i] = "no pod on this node"
		}
	}
	silent := round{nodes: 200, families: v4, silent: pending}.build()
	net1 := func(_ topology.Agent, t target.Target) fault {
		if t.Interface == "net1" && t.Family == topology.IPv6 {
			return timeout
		}
		return fault{}
	}
	unsure := round{nodes: 3, families: v4, broken: cutOff("node-3")}.build()
	sure := unsure.Spec.Findings
	unsure = silentPods(unsure, 1)
	unsure.Spec.Findings[0].Confidence = "medium"
	unsure.Spec.Findings = append(sure, unsure.Spec.Findings...)
	two := drained(round{nodes: 3, families: v4}.build())
	cases := []struct {
		name    string
		report  v1beta1.KdoctorReport
		options sheet.Options
		// first is the first line in words, without its line ends.
		first string
	}{
		{"night_one_of_200_nodes_cut_off_in_80_columns",
			round{nodes: 200, families: both, kinds: few, broken: cutOff("node-3")}.build(), sheet.Options{Width: 80},
			"FAIL  NetReach task, round 1 of 1: 796 of 80400 targets failed; every failing path between pods starts " +
				"or ends at node node-3; look at its pod network: CNI agent, routes and firewall."},
		{"night_one_of_30_nodes_cut_off_failed_only", round{nodes: 30, families: v4, broken: cutOff("node-3")}.build(),
			sheet.Options{Width: 200, Failed: true},
			"FAIL  NetReach task, round 1 of 1: 58 of 1890 targets failed; every failing path between pods starts or " +
				"ends at node node-3; look at its pod network: CNI agent, routes and firewall."},
		{"night_one_of_30_nodes_cut_off_seen_from_it", round{nodes: 30, families: v4, broken: cutOff("node-3")}.build(),
			sheet.Options{Width: 100, Node: "node-3", Round: 1},
			"FAIL  NetReach task, round 1 of 1: 58 of 1890 targets failed; every failing path between pods starts or " +
				"ends at node node-3; look at its pod network: CNI agent, routes and firewall."},
		{"night_ipv6_dead_on_40_nodes", forwarded(round{nodes: 40, families: both, broken: sixth}.build()),
			sheet.Options{Width: 200},
			"FAIL  NetReach task, round 1 of 1: 3320 of 6640 targets failed; every failing path is over IPv6, while " +
				"the other family passes; look at its routes and firewall rules, and at neighbour discovery."},
		{"night_scattered_failures_on_200_nodes",
			round{nodes: 200, families: v4, kinds: few, broken: scattered}.build(), sheet.Options{Width: 100},
			"FAIL  NetReach task, round 1 of 1: 203 of 40200 targets failed; every failing path is of kind Pod IP, " +
				"while paths of other kinds pass; look at that network, and at network policies."},
		{"night_long_names_on_12_nodes",
			round{nodes: 12, families: v4, longName: true,
				broken: cutOff("ip-10-0-130-7.eu-central-1.compute.internal")}.build(), sheet.Options{Width: 80},
			"FAIL  NetReach task, round 1 of 1: 22 of 324 targets failed; every failing path between pods starts or " +
				"ends at node ip-10-0-130-7.eu-central-1.compute.internal; look at its pod network: CNI agent, " +
				"routes and firewall."},
		{"night_one_of_200_agents_reported", silent, sheet.Options{Width: 80},
			"FAIL  NetReach task, round 1 of 1: 199 of 200 agents did not report; node-2: pod is Pending: image " +
				"cannot be pulled."},
		{"night_nothing_was_measured",
			each(round{nodes: 2, families: v4}.build(), "no data", "no request was sent (100 were due)", 0),
			sheet.Options{Width: 80},
			"FAIL  NetReach task, round 1 of 1: nothing was measured: no request was sent (100 were due)."},
		{"night_nothing_was_measured_on_12_nodes",
			each(round{nodes: 12, families: v4}.build(), "no data", "no request was sent (100 were due)", 0),
			sheet.Options{Width: 80},
			"FAIL  NetReach task, round 1 of 1: nothing was measured: no request was sent (100 were due)."},
		{"night_only_tool_limited",
			each(round{nodes: 2, families: v4}.build(), "tool-limited",
				"the agent sent only 61 of 100 due requests (39 could not be started in time): give it more CPU or "+
					"lower the rate", 61), sheet.Options{Width: 80},
			"FAIL  NetReach task, round 1 of 1: 14 of 14 targets tool-limited: an agent was the limit, which says " +
				"nothing about the network."},
		{"night_only_tool_limited_on_12_nodes",
			each(round{nodes: 12, families: v4}.build(), "tool-limited",
				"the agent sent only 61 of 100 due requests (39 could not be started in time): give it more CPU or "+
					"lower the rate", 61), sheet.Options{Width: 100},
			"FAIL  NetReach task, round 1 of 1: 324 of 324 targets tool-limited: an agent was the limit, which says " +
				"nothing about the network."},
		{"night_a_second_interface_is_broken", round{nodes: 2, families: both, second: true, broken: net1}.build(),
			sheet.Options{Width: 80},
			"FAIL  NetReach task, round 1 of 1: 4 of 36 targets failed; every failing path is of kind interface net1 " +
				"over IPv6, while paths of other kinds pass; look at that network, and at network policies."},
		{"night_a_finding_that_is_not_sure", unsure, sheet.Options{Width: 100, Failed: true},
			"FAIL  NetReach task, round 1 of 1: 4 of 27 targets failed; every failing path between pods starts or " +
				"ends at node node-3; look at its pod network: CNI agent, routes and firewall (and 1 more finding)."},
		{"night_a_drained_node_in_a_success", two, sheet.Options{Width: 80, Failed: true},
			"SUCCEED  NetReach task, round 1 of 1: 16 of 16 targets passed, 2 void, 1 agent void."},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := show(t, c.name, c.report, c.options)
			first, _, _ := strings.Cut(got, "\n  when ")
			if words := strings.Join(strings.Fields(first), " "); words != strings.Join(strings.Fields(c.first), " ") {
				t.Errorf("the first line is\n%s\nwant\n%s", words, c.first)
			}
			if lines := strings.Count(got, "\n"); lines > 100 {
				t.Errorf("%d lines; nobody reads more than 100", lines)
			}
		})
	}
}
