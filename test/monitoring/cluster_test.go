package monitoring

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"kdoctor.io/kdoctor/internal/metrics"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/schedule"
	"kdoctor.io/kdoctor/internal/target"
	"kdoctor.io/kdoctor/internal/topology"
	"kdoctor.io/kdoctor/internal/verdict"
)

const nodes = 4

// cluster is a controller as its metrics see it, at a time that the test sets, and what was scraped of it.
type cluster struct {
	*metrics.Collector
	registry *prometheus.Registry
	now      time.Time
	leading  bool
	task     metrics.Task
	expiry   time.Time
	rounds   int64
	// silence and latency are those of the next rounds.
	silence string
	latency time.Duration

	scrapes int
	series  map[string][]string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{registry: prometheus.NewPedanticRegistry(), now: time.Unix(0, 0), leading: true,
		latency: 300 * time.Microsecond, series: map[string][]string{},
		task: metrics.Task{Kind: "NetReach", Name: "web", UID: "u", Created: time.Unix(0, 0), Interval: time.Minute,
			Timeout: time.Minute, Due: time.Unix(120, 0)},
		expiry: time.Unix(0, 0).Add(90 * 24 * time.Hour)}
	names := map[string]bool{}
	for i := range nodes {
		names[node(i)] = true
	}
	c.Collector = metrics.New(metrics.Config{
		Leading:      func() bool { return c.leading },
		Tasks:        func(context.Context) ([]metrics.Task, error) { return []metrics.Task{c.task}, nil },
		Nodes:        func(context.Context) (map[string]bool, error) { return names, nil },
		Certificates: func() map[string]time.Time { return map[string]time.Time{"api": c.expiry} },
		Build:        metrics.Build{Version: "v1", Revision: "r", GoVersion: "go"},
	})
	if err := c.registry.Register(c.Collector); err != nil {
		t.Fatal(err)
	}
	return c
}

func node(i int) string { return fmt.Sprintf("n%d", i) }

// round runs a round in which the paths fail that broken names. The next one is due in time.
func (c *cluster) round(broken func(from, to string) bool) {
	done := c.measure(broken)
	done.Verdict = verdict.Judge(done.Round, verdict.Expect{SuccessRate: 1})
	c.end(done)
}

func (c *cluster) end(done verdict.StoredRound) {
	c.rounds++
	done.Round.Key = schedule.Key{UID: "u", Generation: 1, Round: c.rounds}
	c.End(done.Round.Key, done, c.now)
	c.task.Due = c.now.Add(c.task.Interval + c.task.Timeout)
}

func (c *cluster) measure(broken func(from, to string) bool) verdict.StoredRound {
	r := report.Round{Started: c.now.Add(-10 * time.Second), Ended: c.now}
	for i := range nodes {
		a := report.AgentReport{Pod: "agent-" + node(i), Node: node(i), Finished: true}
		e := report.Expected{Pod: a.Pod, Node: a.Node, Requests: 10}
		for j := range nodes {
			a.Paths = append(a.Paths, c.path(node(j), broken(node(i), node(j))))
			e.Targets = append(e.Targets, node(j))
		}
		r.Expected = append(r.Expected, e)
		if a.Node == c.silence {
			r.Missing = append(r.Missing, report.Missing{Pod: a.Pod, Node: a.Node, Reason: "no report"})
			continue
		}
		r.Agents = append(r.Agents, a)
	}
	return verdict.StoredRound{Round: r}
}

func (c *cluster) path(to string, broken bool) report.Path {
	p := report.Path{Target: target.Target{ID: to, Kind: target.Endpoint, Family: topology.IPv4, Node: to,
		Pod: "agent-" + to, Answer: target.OnePod}, Scheduled: 10, Sent: 10}
	if broken {
		p.Failures = []report.Failure{{Outcome: probe.Timeout, Phase: probe.Connect, Count: 10}}
		return p
	}
	p.OK = 10
	p.Peers = map[string]uint64{"agent-" + to: 10}
	for range 10 {
		p.Latency.Record(c.latency)
	}
	return p
}

func nothing(string, string) bool { return false }

// scrape notes all series as they are now.
func (c *cluster) scrape(t *testing.T) {
	t.Helper()
	all, err := c.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	now := map[string]string{}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			seriesOf(f, m, now)
		}
	}
	for name, value := range now {
		for len(c.series[name]) < c.scrapes {
			c.series[name] = append(c.series[name], "_")
		}
		c.series[name] = append(c.series[name], value)
	}
	c.scrapes++
	for name, values := range c.series {
		if len(values) < c.scrapes {
			// A series that is not scraped again ends at once, as Prometheus marks it.
			c.series[name] = append(values, "stale")
		}
	}
}

func seriesOf(f *dto.MetricFamily, m *dto.Metric, into map[string]string) {
	name := func(suffix string, more ...string) string {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
		}
		return f.GetName() + suffix + "{" + strings.Join(append(labels, more...), ",") + "}"
	}
	switch f.GetType() {
	case dto.MetricType_HISTOGRAM:
		h := m.GetHistogram()
		for _, b := range h.GetBucket() {
			into[name("_bucket", fmt.Sprintf(`le="%g"`, b.GetUpperBound()))] = strconv.FormatUint(b.GetCumulativeCount(), 10)
		}
		into[name("_bucket", `le="+Inf"`)] = strconv.FormatUint(h.GetSampleCount(), 10)
		into[name("_count")] = strconv.FormatUint(h.GetSampleCount(), 10)
		into[name("_sum")] = fmt.Sprint(h.GetSampleSum())
	case dto.MetricType_COUNTER:
		into[name("")] = fmt.Sprint(m.GetCounter().GetValue())
	default:
		into[name("")] = fmt.Sprint(m.GetGauge().GetValue())
	}
}

// load returns what was scraped in the language of Prometheus' own tests.
func (c *cluster) load(step time.Duration) string {
	var out strings.Builder
	fmt.Fprintf(&out, "load %s\n", step)
	for _, name := range slices.Sorted(maps.Keys(c.series)) {
		fmt.Fprintf(&out, "  %s %s\n", name, strings.Join(c.series[name], " "))
	}
	return out.String()
}
