package metrics_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"kdoctor.io/kdoctor/internal/metrics"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

var update = flag.Bool("update", false, "write the golden files again")

func start() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

// cluster is what exists, and a registry with a collector that is told so.
type cluster struct {
	*metrics.Collector
	registry *prometheus.Registry
	leading  bool
	tasks    []metrics.Task
	nodes    map[string]bool
	broken   error
}

func newCluster(t *testing.T, nodes int) *cluster {
	t.Helper()
	c := &cluster{registry: prometheus.NewPedanticRegistry(), leading: true, nodes: map[string]bool{},
		tasks: []metrics.Task{{Kind: "NetReach", Name: "web", UID: "u1", Created: start(), Interval: time.Minute,
			Timeout: 30 * time.Second, Due: start().Add(90 * time.Second), Finished: start().Add(-time.Minute)}}}
	for i := range nodes {
		c.nodes[node(i)] = true
	}
	c.Collector = metrics.New(metrics.Config{
		Leading: func() bool { return c.leading },
		Tasks:   func(context.Context) ([]metrics.Task, error) { return c.tasks, c.broken },
		Nodes:   func(context.Context) (map[string]bool, error) { return c.nodes, nil },
		Certificates: func() map[string]time.Time {
			return map[string]time.Time{"api": start().Add(time.Hour), "controller": start().Add(2 * time.Hour)}
		},
		Build: metrics.Build{Version: "v1", Revision: "abc", GoVersion: "go1"},
	})
	if err := c.registry.Register(c.Collector); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) gather(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	all, err := c.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, f := range all {
		byName[f.GetName()] = f
	}
	return byName
}

// text is the exposition of all families.
func (c *cluster) text(t *testing.T) string {
	t.Helper()
	all, err := c.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, f := range all {
		if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// series counts what a scrape of the text format has, histograms bucket by bucket.
func series(text string) (n int) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

func node(i int) string { return fmt.Sprintf("n%03d", i) }

func key(round int64) schedule.Key { return schedule.Key{UID: "u1", Generation: 1, Round: round} }

// pathTo is a path of ten requests to a node, of which some failed.
func pathTo(kind target.Kind, family topology.Family, to string, failed uint64) report.Path {
	leads := target.Target{ID: string(kind) + string(family) + to, Kind: kind, Family: family, Node: to}
	p := report.Path{Target: leads,
		Scheduled: 10, Sent: 10, OK: 10 - failed, Retransmits: failed}
	if failed > 0 {
		p.Failures = []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: failed}}
	}
	for range p.OK {
		p.Latency.Record(250 * time.Microsecond)
	}
	return p
}

// listed is a round of nodes in which every path is reported; all requests to broken fail.
func listed(number int64, nodes int, broken string) verdict.StoredRound {
	r := report.Round{Key: key(number), Task: report.TaskRef{Kind: "NetReach", Name: "web"}, Started: start(),
		Ended: start().Add(12 * time.Second)}
	for i := range nodes {
		a := report.AgentReport{Pod: "agent-" + node(i), Node: node(i), Finished: true}
		e := report.Expected{Pod: a.Pod, Node: a.Node, Requests: 10}
		for j := range nodes {
			failed := uint64(0)
			if node(j) == broken {
				failed = 10
			}
			a.Paths = append(a.Paths, pathTo(target.Endpoint, topology.IPv4, node(j), failed))
		}
		service := pathTo(target.ClusterIP, topology.IPv4, "", 0)
		service.Target.Answer = target.Backends
		a.Paths = append(a.Paths, service)
		for _, p := range a.Paths {
			e.Targets = append(e.Targets, p.Target.ID)
		}
		r.Agents, r.Expected = append(r.Agents, a), append(r.Expected, e)
	}
	return verdict.StoredRound{Round: r, Verdict: verdict.Judge(r, verdict.Expect{SuccessRate: 1})}
}

func silentNode(done verdict.StoredRound, name string) verdict.StoredRound {
	done.Round.Expected = append(done.Round.Expected, report.Expected{Pod: "agent-" + name, Node: name})
	done.Round.Missing = append(done.Round.Missing,
		report.Missing{Pod: "agent-" + name, Node: name, Reason: "no report"})
	done.Verdict = verdict.Judge(done.Round, verdict.Expect{SuccessRate: 1})
	return done
}

func groups() (all []report.NodeEnd) {
	for _, kind := range target.Kinds() {
		for _, family := range []topology.Family{topology.IPv4, topology.IPv6} {
			all = append(all, report.NodeEnd{Kind: kind.Kind, Family: family})
		}
	}
	return all
}

// summed is a round of all kinds of paths in which agents report sums. All paths to broken failed, and half of its
// paths; each agent lists one of them.
func summed(number int64, nodes int, broken string) verdict.StoredRound {
	done := listed(number, 0, "")
	r, all := &done.Round, uint64(nodes)
	for i := range nodes {
		a := report.AgentReport{Pod: "agent-" + node(i), Node: node(i), Finished: true}
		for _, g := range groups() {
			sum := report.Sum{Paths: all, Total: report.Path{}}
			for range 3 {
				p := pathTo(g.Kind, g.Family, broken, 1)
				sum.Total.Add(&p, func(string) bool { return false })
			}
			sum.Total.Target = target.Target{Kind: g.Kind, Family: g.Family}
			lost := target.Target{Kind: g.Kind, Family: g.Family, Node: broken}
			if broken != "" {
				sum.NotPassed = 1
				a.NotListed = append(a.NotListed, report.NotListed{Class: report.Failed, Target: &lost})
			}
			a.Sums = append(a.Sums, sum)
		}
		if broken != "" {
			a.Paths = append(a.Paths, pathTo(target.Endpoint, topology.IPv4, broken, 10))
		}
		r.Agents = append(r.Agents, a)
		r.Expected = append(r.Expected, report.Expected{Pod: a.Pod, Node: a.Node, Requests: 10, Paths: 12 * all})
	}
	for i := range nodes {
		for _, g := range groups() {
			g.NodeCount = report.NodeCount{Node: node(i), Paths: all}
			if g.Node == broken {
				g.NotPassed = all
			}
			if g.Kind.Traits().Direct || g.Kind == target.NodePort {
				r.Ends = append(r.Ends, g)
			}
		}
	}
	done.Verdict = verdict.Judge(*r, verdict.Expect{SuccessRate: 1})
	return done
}

func TestExpositionIsTheGoldenOne(t *testing.T) {
	for name, done := range map[string]verdict.StoredRound{
		"listed": silentNode(listed(1, 3, node(1)), "n003"), "sums": summed(1, 2, node(1)),
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 4)
			c.Begin(key(1))
			c.End(key(1), done, time.Now())
			c.Begin(key(2))
			got, path := c.text(t), "testdata/"+name+".txt"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNamesFollowTheRules(t *testing.T) {
	c := newCluster(t, 3)
	c.End(key(1), silentNode(listed(1, 3, node(1)), "n003"), time.Now())
	problems, err := testutil.GatherAndLint(c.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	got := c.gather(t)
	for _, f := range metrics.Families() {
		if got[f.Name] == nil && f.Name != "kdoctor_round_last_success_timestamp_seconds" &&
			f.Name != "kdoctor_round_agent_silent" {
			t.Errorf("a round shows no series of %s", f.Name)
		}
		if strings.HasSuffix(f.Help, ".") || f.Help == "" || f.Series == "" {
			t.Errorf("%s has the help %q and series %q", f.Name, f.Help, f.Series)
		}
	}
}

// The bound: 19 series a node and 600 beside them, for one task of all kinds of paths and both families; and half a
// dozen for the controller.
func TestSeriesGrowWithTheNodesAndNotWithTheirPairs(t *testing.T) {
	for _, nodes := range []int{100, 1000} {
		for name, broken := range map[string]string{"healthy": "", "one node is broken": node(7)} {
			t.Run(fmt.Sprintf("%d nodes, %s", nodes, name), func(t *testing.T) {
				c := newCluster(t, nodes)
				c.End(key(1), summed(1, nodes, broken), time.Now())
				n := series(c.text(t))
				t.Logf("%d series", n)
				if most := 19*nodes + 610; n > most || n < 18*nodes {
					t.Errorf("%d series, want %d to %d", n, 18*nodes, most)
				}
			})
		}
	}
	c := newCluster(t, 100)
	c.End(key(1), listed(1, 100, node(7)), time.Now())
	if n := series(c.text(t)); n > 19*100+610 || n < 600 {
		t.Errorf("%d series of a round of 10,000 paths one by one", n)
	}
}

func labelled(f *dto.MetricFamily, label, value string) (n int) {
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == label && l.GetValue() == value {
				n++
			}
		}
	}
	return n
}

func TestSeriesEndWithTheirNodeAndTheirTask(t *testing.T) {
	c := newCluster(t, 4)
	c.End(key(1), silentNode(listed(1, 3, node(1)), "n003"), time.Now())
	mentions := func(name string) (n int) {
		for _, f := range c.gather(t) {
			for _, label := range []string{"node", "from", "to"} {
				n += labelled(f, label, name)
			}
		}
		return n
	}
	for _, name := range []string{node(1), "n003"} {
		if mentions(name) == 0 {
			t.Fatalf("%s has no series", name)
		}
		delete(c.nodes, name)
		if n := mentions(name); n > 0 {
			t.Errorf("%d series of a deleted node", n)
		}
	}
	if mentions(node(0)) == 0 {
		t.Error("a node that is still there has no series")
	}
	// The same name, another task: nothing of the first one is left.
	c.tasks[0].UID = "u2"
	if text := c.text(t); strings.Contains(text, "kdoctor_rounds_total") || !strings.Contains(text,
		`kdoctor_task_timeout_seconds{kind="NetReach",task="web"}`) {
		t.Errorf("a task that was made again shows:\n%s", text)
	}
	c.tasks = nil
	if text := c.text(t); strings.Contains(text, "web") {
		t.Errorf("a deleted task is shown:\n%s", text)
	}
	// It is forgotten, not hidden.
	c.tasks = []metrics.Task{{Kind: "NetReach", Name: "web", UID: "u1"}}
	if text := c.text(t); strings.Contains(text, "kdoctor_round") && strings.Contains(text, `path="Endpoint"`) {
		t.Errorf("a deleted task is kept:\n%s", text)
	}
}

func value(t *testing.T, text, name string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "absent"
}

func TestCountersAddUpAndGaugesAreThoseOfTheLastRound(t *testing.T) {
	c := newCluster(t, 3)
	check := func(when string, want map[string]string) {
		t.Helper()
		text := c.text(t)
		got := map[string]string{}
		for name := range want {
			got[name] = value(t, text, name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
	}
	timeouts := "kdoctor_requests_total" +
		`{family="IPv4",kind="NetReach",outcome="Timeout",path="Endpoint",task="web"}`
	failed := "kdoctor_rounds_total" + `{kind="NetReach",result="fail",task="web"}`
	isFail := "kdoctor_round_result" + `{kind="NetReach",result="fail",task="web"}`
	notRun := "kdoctor_round_result" + `{kind="NetReach",result="not run",task="web"}`
	success := "kdoctor_round_last_success_timestamp_seconds" + `{kind="NetReach",task="web"}`
	finished := "kdoctor_round_last_finished_timestamp_seconds" + `{kind="NetReach",task="web"}`
	lost := "kdoctor_round_node_failed_paths" +
		`{direction="to",kind="NetReach",node="n001",path="Endpoint",task="web"}`

	c.End(key(1), listed(1, 3, node(1)), time.Now())
	check("after a failed round", map[string]string{timeouts: "30", failed: "1", isFail: "1", success: "absent",
		finished: "1.793534412e+09", lost: "3"})
	// The conductor returns a stored round as it is when it is asked for again.
	c.End(key(1), listed(1, 3, node(1)), time.Now())
	check("after the same round", map[string]string{timeouts: "30", failed: "1"})
	c.End(key(2), listed(2, 3, ""), time.Now())
	check("after a round that passed", map[string]string{timeouts: "30", failed: "1", isFail: "0",
		success: "1.793534412e+09", lost: "0"})
	c.Begin(key(3))
	c.Withdraw(key(3))
	check("after a withdrawn round", map[string]string{isFail: "0", notRun: "0", "kdoctor_rounds_running": "0"})
	c.End(key(4), verdict.StoredRound{}, start().Add(time.Hour))
	check("after a round that could not be run", map[string]string{timeouts: "30", isFail: "0", notRun: "1",
		finished: "1.793538e+09", success: "1.793534412e+09", lost: "absent"})
	c.leading = false
	check("after another leads", map[string]string{timeouts: "absent", finished: "absent", "kdoctor_leader": "0"})
	c.leading, c.broken = true, errors.New("no cache")
	check("while the tasks are not known", map[string]string{timeouts: "absent", "kdoctor_leader": "1"})
	c.broken = nil
	check("once they are known again", map[string]string{timeouts: "30"})
}

func TestRestoredRoundHasGaugesAndNoCounts(t *testing.T) {
	for name, stored := range map[string]verdict.StoredRound{
		"listed": listed(1, 3, node(1)), "sums": summed(1, 3, node(1)),
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 3)
			if stored.Round.HasSums() {
				head := stored.Round
				head.Agents, head.Ends = nil, nil
				r := metrics.NewRestored(&head, stored.Verdict)
				for i := range stored.Round.Agents {
					a := stored.Round.Agents[i]
					a.NotListed = nil
					judged := stored.Verdict.Agents[i]
					judged.Unlisted = nil
					r.Add(&a, &judged)
				}
				c.Restore(r)
			} else {
				c.Restore(metrics.RestoreWhole(stored))
			}
			restored := c.text(t)
			if strings.Contains(restored, "kdoctor_requests_total{") ||
				value(t, restored, `kdoctor_rounds_total{kind="NetReach",result="fail",task="web"}`) != "0" {
				t.Error("a restored round is counted")
			}
			live := newCluster(t, 3)
			live.End(key(1), stored, time.Now())
			counted := live.text(t)
			for _, gauge := range []string{`kdoctor_round_result{kind="NetReach",result="fail",task="web"}`,
				`kdoctor_round_agents_reported{kind="NetReach",task="web"}`,
				`kdoctor_round_paths{family="IPv4",kind="NetReach",path="Endpoint",result="fail",task="web"}`,
				`kdoctor_round_node_failed_paths{direction="from",kind="NetReach",node="n000",path="Endpoint",task="web"}`,
			} {
				if got, want := value(t, restored, gauge), value(t, counted, gauge); got != want || got == "absent" {
					t.Errorf("%s is %s, and was %s", gauge, got, want)
				}
			}
			// The next round is another, so it counts.
			c.End(key(2), listed(2, 3, ""), time.Now())
			c.Restore(metrics.RestoreWhole(stored))
			if got := value(t, c.text(t), `kdoctor_round_result{kind="NetReach",result="pass",task="web"}`); got != "1" {
				t.Error("a restored round hides a newer one")
			}
		})
	}
}

func TestHistogramsSayTheSameInBothForms(t *testing.T) {
	c := newCluster(t, 3)
	done := listed(1, 3, "")
	p := &done.Round.Agents[0].Paths[0]
	for _, us := range []int{0, 50, 100, 5_000, 20_000_000} {
		p.Latency.Record(time.Duration(us) * time.Microsecond)
	}
	c.End(key(1), done, time.Now())
	f := c.gather(t)["kdoctor_request_duration_seconds"]
	for _, m := range f.GetMetric() {
		if labelled(&dto.MetricFamily{Metric: []*dto.Metric{m}}, "path", "Endpoint") == 0 {
			continue
		}
		h := m.GetHistogram()
		if got := h.GetSampleCount(); got != 95 {
			t.Errorf("%d observations, want 95", got)
		}
		got := map[string]uint64{}
		for _, b := range h.GetBucket() {
			got[fmt.Sprint(b.GetUpperBound())] = b.GetCumulativeCount()
		}
		want := map[string]uint64{"0.0001": 2, "0.0003": 93, "0.001": 93, "0.003": 93, "0.01": 94, "0.03": 94,
			"0.1": 94, "0.3": 94, "1": 94, "3": 94, "10": 94}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		// Native buckets: each value is within its bucket's bounds by at most one bucket, and none is lost.
		native, delta, at := h.GetZeroCount(), int64(0), 0
		index := int32(0)
		for _, span := range h.GetPositiveSpan() {
			index += span.GetOffset()
			for range span.GetLength() {
				delta += h.GetPositiveDelta()[at]
				native, at, index = native+uint64(delta), at+1, index+1 // #nosec G115 -- a count
			}
		}
		if native != 95 || h.GetZeroCount() != 1 || index != 36 {
			t.Errorf("native buckets have %d observations, %d of them zero, and end before %d", native, h.GetZeroCount(),
				index)
		}
		return
	}
	t.Error("there is no histogram of paths to endpoints")
}

// The reference of metrics is written from the table of families.
func TestReferenceIsCurrent(t *testing.T) {
	const page, begin, end = "../../docs/metrics.md", "<!-- metrics: begin (written by 'go test ./internal/metrics " +
		"-update') -->\n", "<!-- metrics: end -->\n"
	var table strings.Builder
	table.WriteString("| metric | type | series | labels | meaning |\n|---|---|---|---|---|\n")
	for _, f := range metrics.Families() {
		labels := ""
		if len(f.Labels) > 0 {
			labels = "`" + strings.Join(f.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Type, f.Series, labels, f.Help)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table.String(), got); diff != "" {
		t.Errorf("run 'go test ./internal/metrics -update' (-want +got):\n%s", diff)
	}
}
