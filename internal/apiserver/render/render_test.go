package render_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"kdoctor.io/kdoctor/internal/apiserver/render"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

var update = flag.Bool("update", false, "write the golden files anew")

func began() time.Time { return time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC) }

func task() render.ReportedTask {
	return render.ReportedTask{
		Kind: "NetReach", Name: "task", UID: "0b1f8f4e", Created: began().Add(-time.Minute), Generation: 1,
		ExpectedRounds: 1, DoneRounds: 1, Finished: true,
	}
}

func path(kind target.Kind, id, address string) report.Path {
	var latency stats.Histogram
	for i := range 100 {
		latency.Record(time.Duration(i+1) * 250 * time.Microsecond)
	}
	return report.Path{
		Target:    target.Target{ID: id, Kind: kind, Family: topology.IPv4, Protocol: target.HTTP, Address: address},
		Scheduled: 100, Sent: 100, OK: 100, Latency: latency,
		Statuses: map[int]uint64{200: 100}, Bytes: 36968,
		Started: began(), Ended: began().Add(10*time.Second + 32286878*time.Nanosecond),
	}
}

// agent measured two paths, in an order that the report does not keep.
func agent(pod, node string) report.AgentReport {
	own := path(target.Endpoint, "AgentPodV4IP_"+pod+"_172.40.0.6", "http://172.40.0.6:8080")
	own.Target.Pod, own.Target.Answer = pod, target.OnePod
	return report.AgentReport{
		Pod: pod, Node: node, Via: report.Direct, Finished: true, Started: began(),
		Ended: began().Add(11*time.Second + 178657432),
		Paths: []report.Path{
			path(target.Ingress, "AgentIngress_http://172.18.0.50/kdoctoragent", "http://172.18.0.50/kdoctoragent"),
			own,
		},
		Resources: report.Resources{MaxCPU: 26.203, MeanCPU: 8.25, MaxMemory: 101_000_000, Known: true},
	}
}

func keep(round report.Round) verdict.StoredRound {
	return verdict.StoredRound{
		Round: round, Verdict: verdict.Judge(round, verdict.Expect{SuccessRate: 1, MeanDelay: 1500 * time.Millisecond}),
		Spec: json.RawMessage(`{"target":{"ipv4":true}}`),
	}
}

func passed() verdict.StoredRound {
	a, b := agent("agent-a", "node-1"), agent("agent-b", "node-2")
	return keep(report.Round{
		Key: schedule.Key{UID: "0b1f8f4e", Generation: 1, Round: 1}, Started: began(),
		Ended:    began().Add(12 * time.Second),
		Expected: []report.Expected{{Pod: "agent-a", Node: "node-1"}, {Pod: "agent-b", Node: "node-2"}},
		Agents:   []report.AgentReport{b, a},
	})
}

// failed has every way to fail: a silent agent, one fetched through the node with failing, empty and unmeasured paths,
// and a gap.
func failed() verdict.StoredRound {
	hurt := agent("agent-b", "node-2")
	hurt.Via, hurt.Resources = report.PortForward, report.Resources{}
	broken := &hurt.Paths[0]
	broken.OK, broken.Statuses = 90, map[int]uint64{200: 90, 503: 3}
	broken.Failures = []report.Failure{
		{Outcome: probe.Timeout, Phase: probe.Connect, Count: 7, Examples: []string{"i/o timeout"}},
		{Outcome: probe.BadStatus, Phase: probe.FirstByte, Count: 2},
		{Outcome: probe.BadStatus, Phase: probe.FirstByte, Count: 1},
	}
	hurt.Paths = append(hurt.Paths,
		report.Path{Target: target.Target{ID: "AgentNodePortV4IP_172.18.0.3_32713", Kind: target.NodePort,
			Address: "http://172.18.0.3:32713"}, Scheduled: 100, Missed: 100})
	return keep(report.Round{
		Key: schedule.Key{UID: "0b1f8f4e", Generation: 1, Round: 2}, Started: began(),
		Ended: began().Add(12 * time.Second),
		Expected: []report.Expected{
			{Pod: "agent-a", Node: "node-1"},
			{Pod: "agent-b", Node: "node-2", Targets: []string{"AgentClusterV4IP_10.0.0.1:80"}},
			{Pod: "agent-c", Node: "node-3", LeftOutWhy: "pod is Pending"},
		},
		Agents:  []report.AgentReport{agent("agent-a", "node-1"), hurt},
		Missing: []report.Missing{{Pod: "agent-c", Node: "node-3", Reason: "pod is Pending"}},
		Gaps:    []target.Gap{{Kind: target.LoadBalancer, Family: topology.IPv4, Reason: "the Service has no address"}},
	})
}

func manyRounds() render.ReportedTask {
	t := task()
	t.ExpectedRounds, t.DoneRounds, t.Finished = 3, 1, false
	return t
}

func TestGolden(t *testing.T) {
	cases := map[string]struct {
		task   render.ReportedTask
		stored verdict.StoredRound
	}{
		"passed": {task(), passed()},
		"failed": {manyRounds(), failed()},
		"silent": {task(), silent()},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := yaml.Marshal(render.Report(c.task, c.stored))
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("run with -update after reading this (-golden +got):\n%s", diff)
			}
		})
	}
}

// free are the maps whose keys are data.
func free() []string {
	const detail = ".spec.Report[].NetReachTask.Detail[]"
	return []string{
		".spec.Report[].NetReachTaskSpec", detail + ".Metrics.Errors", detail + ".Metrics.StatusCodes",
		detail + ".Metrics.Backends", detail + ".Metrics.PhasesInMs", detail + ".Metrics.KeptConnection.Errors",
	}
}

// additions are the keys that a passed report has beyond those that tools expect: they may be left out, and never
// replace another.
func additions() []string {
	const task = ".spec.Report[].NetReachTask"
	return []string{
		task + ".MeanCPU", task + ".Observer", task + ".Detail[].Metrics.Response", task + ".Detail[].Metrics.LagInMs",
		task + ".Detail[].Metrics.PhasesInMs",
		task + ".Detail[].Metrics.ClockSource", task + ".Detail[].Metrics.Retransmits", task +
			".Detail[].Metrics.RetransmittedRequests",
		task + ".Detail[].Metrics.Backends", task + ".Detail[].Metrics.BackendsAnswered", task +
			".Detail[].Metrics.BackendsExpected",
		task + ".Detail[].Metrics.KeptConnection", ".spec.Load", task + ".Detail[].TargetKind", task +
			".Detail[].IPFamily",
		task + ".Detail[].TargetPodName", task + ".Detail[].TargetNodeName", task + ".Detail[].Metrics.DurationInMs",
		task + ".Detail[].Metrics.TotalDataSizeInByte", task + ".MaxCPUInPercent", task + ".MeanCPUInPercent",
		task + ".MaxMemoryInByte", ".spec.Report[].RoundDurationInMs", ".spec.Summary",
	}
}

// shape lists the key paths below a value with the types of their values.
func shape(into map[string]bool, at string, value any) {
	switch v := value.(type) {
	case map[string]any:
		into[at+": map"] = true
		if slices.Contains(free(), at) {
			return
		}
		for key, below := range v {
			shape(into, at+"."+key, below)
		}
	case []any:
		into[at+": list"] = true
		for _, below := range v {
			shape(into, at+"[]", below)
		}
	case nil:
		into[at+": null"] = true
	default:
		into[fmt.Sprintf("%s: %T", at, v)] = true
	}
}

func shapeOf(t *testing.T, text []byte) map[string]bool {
	t.Helper()
	var value map[string]any
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	if meta, ok := value["metadata"].(map[string]any); ok {
		delete(meta, "uid")
	}
	keys := map[string]bool{}
	shape(keys, "", value)
	return keys
}

func TestAPassedReportHasTheKeysAndTypesThatToolsExpectAndNothingElseButTheAdditions(t *testing.T) {
	want, err := os.ReadFile("testdata/shape.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rich := passed()
	for i := range rich.Round.Agents {
		rich.Round.Agents[i] = observed(rich.Round.Agents[i])
	}
	rich.Round.Budget = report.RequestBudget{Asked: 10, Granted: 10, Targets: 2, Connections: 20, Tracked: 220,
		Ports: 2}
	rich.Round.Backends = []report.BackendSet{{Targets: []string{"AgentIngress_http://172.18.0.50/kdoctoragent"},
		Pods: []string{"agent-a", "agent-b"}}}
	for name, stored := range map[string]verdict.StoredRound{"as an agent reports that tells the least": passed(),
		"as one reports that tells everything": rich} {
		t.Run(name, func(t *testing.T) {
			text, err := yaml.Marshal(render.Report(task(), stored))
			if err != nil {
				t.Fatal(err)
			}
			got := shapeOf(t, text)
			for _, addition := range additions() {
				known := false
				for key := range got {
					if rest, ok := strings.CutPrefix(key, addition); ok && strings.ContainsAny(rest[:1], ":.[") {
						known = true
						delete(got, key)
					}
				}
				if !known && len(stored.Round.Backends) > 0 {
					t.Errorf("there is no %s", addition)
				}
			}
			if diff := cmp.Diff(shapeOf(t, want), got); diff != "" {
				t.Errorf("shape (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFailedReportAddsKeysAndLosesNone(t *testing.T) {
	want, err := yaml.Marshal(render.Report(task(), passed()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.Marshal(render.Report(manyRounds(), failed()))
	if err != nil {
		t.Fatal(err)
	}
	have := shapeOf(t, got)
	for key := range shapeOf(t, want) {
		if key != ".spec.FailedRoundNumber: null" && !have[key] {
			t.Errorf("a failed report lacks %s", key)
		}
	}
}

func TestRoundNumbers(t *testing.T) {
	cases := map[string]struct {
		task     render.ReportedTask
		done     int64
		failures []int64
	}{
		"a round is over before the status says so": {render.ReportedTask{Generation: 1, DoneRounds: 1,
			FailedRounds: []int64{1}}, 2, []int64{1, 2}},
		"a round that the status tells of counts once": {render.ReportedTask{Generation: 1, DoneRounds: 2,
			FailedRounds: []int64{2}}, 2, []int64{2}},
		"a round of an earlier generation does not count": {render.ReportedTask{Generation: 2}, 0, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := render.Report(c.task, failed())
			if r.Spec.FinishedRoundNumber != c.done || !cmp.Equal(r.Spec.FailedRoundNumber, c.failures) {
				t.Errorf("got %d finished, %v failed; want %d, %v", r.Spec.FinishedRoundNumber,
					r.Spec.FailedRoundNumber, c.done, c.failures)
			}
		})
	}
}

func TestRenderingChangesNothingThatIsKept(t *testing.T) {
	stored, owner := failed(), render.ReportedTask{Generation: 1, FailedRounds: make([]int64, 1, 8)}
	before := fmt.Sprintf("%+v %+v", stored, owner.FailedRounds[:8])
	render.Report(owner, stored)
	if after := fmt.Sprintf("%+v %+v", stored, owner.FailedRounds[:8]); before != after {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
}

func TestSummarize(t *testing.T) {
	cases := map[string]struct {
		task   render.ReportedTask
		stored verdict.StoredRound
		want   render.Summary
	}{
		"a passed round": {task(), passed(),
			render.Summary{Round: "1/1", Result: "succeed", Reported: 2, Expected: 2, Paths: render.Paths{Passed: 4},
				Ended: passed().Round.Agents[0].Ended}},
		"a failed round": {manyRounds(), failed(),
			render.Summary{Round: "2/3", Result: "fail", Reported: 2, Expected: 3,
				Paths: render.Paths{Passed: 3, Failed: 1, NoData: 2}, Ended: passed().Round.Agents[0].Ended,
				Reason: "no LoadBalancer target over IPv4: the Service has no address"}},
		"a round without end and without any agent": {render.ReportedTask{ExpectedRounds: schedule.Forever},
			keep(report.Round{Key: schedule.Key{Round: 7}}),
			render.Summary{Round: "7", Result: "fail", Reason: "no agent reported"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, render.Summarize(render.Report(c.task, c.stored))); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}
