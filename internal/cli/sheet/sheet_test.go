package sheet_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"

	"kdoctor.io/kdoctor/api/system/v1beta1"
	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/cli/sheet"
	"kdoctor.io/kdoctor/internal/mesh"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// round makes a report out of the plans that the real target builders make, so that the names are the real ones.
type round struct {
	nodes    int
	families []topology.Family
	second   bool
	longName bool
	// kinds are those that are probed; without any, all but second interfaces, and these where second says so.
	kinds []target.Kind
	// broken tells how a source's requests to a target fail; none where it is nil.
	broken func(source topology.Agent, t target.Target) fault
	// mute is a pod that answers at none of the Services' addresses.
	mute string
	// silent are the nodes, from 1, whose agents do not report.
	silent map[int]string
}

var began = time.Date(2026, time.March, 1, 3, 0, 4, 0, time.UTC)

func (r round) snapshot() topology.Snapshot {
	var s topology.Snapshot
	for i := 1; i <= r.nodes; i++ {
		node := fmt.Sprintf("node-%d", i)
		if r.longName {
			node = fmt.Sprintf("ip-10-0-130-%d.eu-central-1.compute.internal", i)
		}
		a := topology.Agent{Pod: fmt.Sprintf("kdoctor-agent-x%04d", i), Node: node, HTTPPort: 8080,
			NotReady: r.silent[i]}
		a.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 244, byte(i), 5}),
			netip.MustParseAddr(fmt.Sprintf("fd00:10:244:%x::5", i))}
		a.Interfaces = []topology.Interface{{Name: "net1",
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 168, 9, byte(i)}),
				netip.MustParseAddr(fmt.Sprintf("fd00:9::%x", i))}}}
		s.Agents = append(s.Agents, a)
		s.Nodes = append(s.Nodes,
			topology.Node{Name: node,
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{172, 18, 0, byte(i + 1)}),
					netip.MustParseAddr(fmt.Sprintf("fd00:18::%x", i+1))}})
	}
	for i, cluster := range []string{"10.96.7.41", "fd00:10:96::7a1"} {
		load := []string{"172.18.255.1", "fd00:18:ff::1"}[i]
		s.Services = append(s.Services,
			topology.Service{Name: "kdoctor-agent", Port: 80, NodePort: uint16(32713 + i), LoadBalancer: true,
				ClusterIPs: []netip.Addr{netip.MustParseAddr(cluster)},
				Ingress:    []topology.Entry{{Address: netip.MustParseAddr(load), Proxy: true}}})
		s.Ingresses = append(s.Ingresses,
			topology.Ingress{Rules: []topology.Rule{{Path: "/kdoctoragent"}},
				Entries: []topology.Entry{{Address: netip.MustParseAddr(load).Next()}}})
	}
	return s
}

// fault is how many of the hundred requests of a path fail, and how; none of them where it is zero.
type fault struct {
	requests uint64
	outcome  probe.Outcome
	phase    probe.Phase
}

// build makes the report of a round by all the code that makes those of production from what agents send.
func (r round) build() v1beta1.KdoctorReport {
	want := mesh.Want{Families: r.families,
		Kinds: []target.Kind{target.Endpoint, target.ClusterIP, target.NodePort, target.LoadBalancer, target.Ingress}}
	if r.second {
		want.Kinds = []target.Kind{target.Endpoint, target.SecondInterface, target.ClusterIP, target.NodePort,
			target.LoadBalancer, target.Ingress}
	}
	if len(r.kinds) > 0 {
		want.Kinds = r.kinds
	}
	planned := mesh.New(schedule.Key{}, report.TaskRef{}, r.snapshot(), want)
	measured := report.Round{Key: schedule.Key{Generation: 1, Round: 1}, Started: began,
		Ended:    began.Add(12 * time.Second),
		Expected: planned.Expected, Backends: planned.Backends}
	for _, e := range planned.Expected {
		if e.LeftOutWhy != "" {
			measured.Missing = append(measured.Missing, report.Missing{Pod: e.Pod, Node: e.Node, Reason: e.LeftOutWhy})
		}
	}
	behind, times, assigned := measured.BackendSets(), latencies(), planned.Assign()
	for i, plan := range planned.Plans {
		plan.Targets = nil
		for t := range assigned.Targets(i) {
			plan.Targets = append(plan.Targets, *t)
		}
		order := map[string]int{"": 0}
		for n, node := range r.snapshot().Nodes {
			order[node.Name] = n
		}
		slices.SortStableFunc(plan.Targets, func(a, b target.Target) int {
			return cmp.Or(cmp.Compare(slices.Index(want.Kinds, a.Kind), slices.Index(want.Kinds, b.Kind)),
				cmp.Compare(slices.Index(r.families, a.Family), slices.Index(r.families, b.Family)),
				cmp.Compare(order[mesh.NodeOf(&a)], order[mesh.NodeOf(&b)]))
		})
		measured.Agents = append(measured.Agents, r.agent(i, plan, behind, times))
		// Whole reports come from rounds without sums, in which targets are planned by name.
		e := &measured.Expected[slices.IndexFunc(measured.Expected,
			func(e report.Expected) bool { return e.Pod == plan.Agent.Pod })]
		e.Paths, e.Targets = 0, nil
		for _, t := range plan.Targets {
			e.Targets = append(e.Targets, t.ID)
		}
	}
	judged := verdict.Judge(measured, verdict.Expect{SuccessRate: 1})
	return *render.Whole(render.ReportedTask{Kind: "NetReach", Name: "task", Generation: 1, ExpectedRounds: 1,
		DoneRounds: 1,
		Finished:   true},
		verdict.StoredRound{Round: measured, Verdict: judged})
}

// because adds a reason why the round failed, as reports have it.
func because(spec *v1beta1.KdoctorReportSpec, r verdict.Reason) {
	spec.FailedReasons = append(spec.FailedReasons, r.String())
	spec.Reasons = append(spec.Reasons,
		v1beta1.Reason{Code: string(r.Code), NodeName: r.Node, PodName: r.Pod, TargetName: r.Target,
			Message: r.String()})
}

// latencies are those of a hundred requests each, on several paths.
func latencies() (all [9]stats.Histogram) {
	for i := range all {
		mean := time.Duration(210+110*i) * time.Microsecond
		for k := range 100 {
			all[i].Record(mean * time.Duration(60+k) / 100)
		}
		all[i].Record(6 * mean)
	}
	return all
}

func (r round) agent(i int, plan mesh.Plan, behind report.BackendSets, times [9]stats.Histogram) report.AgentReport {
	late := time.Duration(i%3) * time.Second
	a := report.AgentReport{Pod: plan.Agent.Pod, Node: plan.Agent.Node, Finished: true, Started: began.Add(late),
		Ended:     began.Add(11*time.Second + late),
		Resources: report.Resources{Known: true, MaxCPU: float64(20+i%7) + 0.203, MeanCPU: 12, MaxMemory: 21_400_000}}
	for j, t := range plan.Targets {
		p := report.Path{Target: t, Scheduled: 100, Sent: 100, OK: 100, Started: a.Started, Ended: a.Ended}
		if r.broken != nil {
			if f := r.broken(plan.Agent, t); f.requests > 0 {
				p.OK -= f.requests
				p.Failures = []report.Failure{{Outcome: f.outcome, Phase: f.phase, Count: f.requests}}
			}
		}
		if p.OK > 0 {
			p.Statuses, p.Latency = map[int]uint64{200: p.OK}, times[(i*7+j*3)%9]
		}
		if pods, several := behind.Pods(a.Pod, t.ID); several {
			p.Peers = map[string]uint64{}
			pods = slices.DeleteFunc(slices.Clone(pods), func(pod string) bool { return pod == r.mute })
			for k := range p.OK {
				p.Peers[pods[int(k)%len(pods)]]++
			}
		}
		a.Paths = append(a.Paths, p)
	}
	return a
}

// timeout is the fault of a path on which nothing answers.
var timeout = fault{100, probe.Timeout, probe.Connect}

// cutOff is the node whose pod network is dead: pods elsewhere cannot be reached from it, nor its pod from elsewhere.
func cutOff(node string) func(topology.Agent, target.Target) fault {
	return func(source topology.Agent, t target.Target) fault {
		if t.Node != "" && (source.Node == node) != (t.Node == node) {
			return timeout
		}
		return fault{}
	}
}

func TestWrite(t *testing.T) {
	v4, both := []topology.Family{topology.IPv4}, []topology.Family{topology.IPv4, topology.IPv6}
	gap := round{nodes: 2, families: v4}.build()
	because(&gap.Spec, verdict.Reason{Code: verdict.NoTarget, Kind: target.LoadBalancer, Family: topology.IPv6,
		Text: "Service kdoctor/kdoctor-agent-ipv6 has no IPv6 load balancer address in status.loadBalancer.ingress"})
	stopped := round{nodes: 2, families: v4}.build()
	reason := "the round was stopped before its end"
	stopped.Spec.Report[1].RoundResult, stopped.Spec.Report[1].FailedReason, stopped.Spec.Report[1].FetchedBy = "fail",
		&reason, "port-forward"
	because(&stopped.Spec, verdict.Reason{Code: verdict.Stopped, Pod: "kdoctor-agent-x0002", Node: "node-2"})
	endless := round{nodes: 1, families: v4}.build()
	endless.Spec.RoundNumber, endless.Spec.ReportRoundNumber = -1, 4711
	for i := range int64(40) {
		endless.Spec.FailedRoundNumber = append(endless.Spec.FailedRoundNumber, i*7+1)
	}
	slow := func(_ topology.Agent, t target.Target) fault {
		if t.Kind == target.NodePort && t.Family == topology.IPv6 {
			return fault{100, probe.Refused, probe.Connect}
		}
		return fault{}
	}
	cases := []struct {
		name    string
		report  v1beta1.KdoctorReport
		options sheet.Options
	}{
		{"pass", round{nodes: 3, families: v4}.build(), sheet.Options{Width: 120}},
		{"pass_in_80_columns", round{nodes: 3, families: v4}.build(), sheet.Options{Width: 80}},
		{"pass_wide", round{nodes: 2, families: both, second: true}.build(), sheet.Options{Wide: true}},
		{"pass_on_a_terminal_with_colour", round{nodes: 1, families: v4}.build(),
			sheet.Options{Width: 100, Color: true}},
		{"both_families_and_second_interface", round{nodes: 2, families: both, second: true}.build(),
			sheet.Options{Width: 120}},
		{"one_node_cut_off", round{nodes: 3, families: v4, broken: cutOff("node-3")}.build(),
			sheet.Options{Width: 120}},
		{"one_node_cut_off_with_colour", round{nodes: 3, families: v4, broken: cutOff("node-3")}.build(),
			sheet.Options{Width: 100, Color: true, Failed: true}},
		{"one_node_cut_off_failed_only", round{nodes: 3, families: v4, broken: cutOff("node-3")}.build(),
			sheet.Options{Width: 80, Failed: true}},
		{"one_node_cut_off_seen_from_it", round{nodes: 3, families: v4, broken: cutOff("node-3")}.build(),
			sheet.Options{Width: 120, Node: "node-3"}},
		{"node_port_fails_over_ipv6_only", round{nodes: 3, families: both, broken: slow}.build(),
			sheet.Options{Width: 100, Failed: true}},
		{"agent_missing", round{nodes: 3, families: v4,
			silent: map[int]string{2: "pod is Pending: 0/3 nodes are available, 1 of them has too little memory"}}.build(), sheet.Options{Width: 80}},
		{"nobody_reported", round{nodes: 1, families: v4, silent: map[int]string{1: "pod is Pending"}}.build(),
			sheet.Options{Width: 80}},
		{"target_that_does_not_exist", gap, sheet.Options{Width: 80}},
		{"round_stopped_and_report_by_port_forward", stopped, sheet.Options{Width: 100}},
		{"endless_task_with_many_failed_rounds", endless, sheet.Options{Width: 100}},
		{"long_node_names_in_80_columns", round{nodes: 3, families: both, longName: true, broken: slow}.build(),
			sheet.Options{Width: 80}},
		{"100_nodes", round{nodes: 100, families: both}.build(), sheet.Options{Width: 120}},
		{"100_nodes_one_with_a_broken_path",
			round{nodes: 100, families: v4, broken: func(s topology.Agent, t target.Target) fault {
				if s.Node == "node-42" && t.Node == "node-17" {
					return timeout
				}
				return fault{}
			}}.build(), sheet.Options{Width: 100}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			show(t, c.name, c.report, c.options)
		})
	}
}

// show writes the sheet 200 seconds after the round began, and holds it against the golden file of the name and against
// its width.
func show(t *testing.T, name string, report v1beta1.KdoctorReport, options sheet.Options) string {
	t.Helper()
	options.Now = began.Add(200 * time.Second)
	var got bytes.Buffer
	if err := sheet.Write(&got, report, options); err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("testdata", name+".txt"), got.String())
	if options.Width > 0 && !options.Color {
		checkWidth(t, got.String(), options.Width)
	}
	return got.String()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got (rewrite with -update):\n%s", diff)
	}
}

func checkWidth(t *testing.T, text string, width int) {
	t.Helper()
	for _, l := range strings.Split(text, "\n") {
		if n := utf8.RuneCountInString(l); n > width {
			t.Errorf("line of %d characters, the limit is %d: %q", n, width, l)
		}
	}
}

func TestPassed(t *testing.T) {
	good := func() v1beta1.KdoctorReport {
		return round{nodes: 2, families: []topology.Family{topology.IPv4}}.build()
	}
	cases := []struct {
		name   string
		change func(*v1beta1.KdoctorReportSpec)
		want   bool
	}{
		{"every agent succeeded", func(*v1beta1.KdoctorReportSpec) {}, true},
		{"an earlier round failed",
			func(s *v1beta1.KdoctorReportSpec) { s.ReportRoundNumber, s.FailedRoundNumber = 2, []int64{1} }, true},
		{"this round is listed as failed", func(s *v1beta1.KdoctorReportSpec) { s.FailedRoundNumber = []int64{1} },
			false},
		{"nobody reported", func(s *v1beta1.KdoctorReportSpec) { s.Report = nil }, false},
		{"one agent did not report",
			func(s *v1beta1.KdoctorReportSpec) { s.NotReported = make([]v1beta1.NotReported, 1) }, false},
		{"one agent failed", func(s *v1beta1.KdoctorReportSpec) { s.Report[1].RoundResult = "fail" }, false},
		{"one agent's result is unknown", func(s *v1beta1.KdoctorReportSpec) { s.Report[1].RoundResult = "" }, false},
		{"a target was asked for and does not exist",
			func(s *v1beta1.KdoctorReportSpec) { s.FailedReasons = []string{"no Ingress"} }, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := good()
			c.change(&r.Spec)
			if got := sheet.Passed(r); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
