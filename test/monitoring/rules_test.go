package monitoring

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/verdict"
	"kdoctor.io/kdoctor/test/queries"
)

// scenario is what happens minute by minute, and which alerts fire at the end.
type scenario struct {
	// each is called every step, with the number of the step; nothing is scraped if it returns false.
	each func(c *cluster, step int) bool
	// steps is how many there are, step how long each takes; zero is 20 steps of a minute.
	steps int
	step  time.Duration
	want  []string
}

func scenarios() map[string]scenario {
	rounds := func(broken func(from, to string) bool) func(*cluster, int) bool {
		return func(c *cluster, _ int) bool { c.round(broken); return true }
	}
	return map[string]scenario{
		"all is well": {each: rounds(nothing)},
		"a failed round after good ones": {each: func(c *cluster, step int) bool {
			c.round(func(_, to string) bool { return step == 19 && to == "n1" })
			return true
		}},
		"a node that is not reached": {each: rounds(func(from, to string) bool { return to == "n1" && from != to }),
			want: []string{"KdoctorFindingOpen web", "KdoctorNodeNotReached n1", "KdoctorPathFailing web"}},
		"a node that reaches nothing": {each: rounds(func(from, to string) bool { return from == "n2" && from != to }),
			want: []string{"KdoctorFindingOpen web", "KdoctorNodeReachesNothing n2", "KdoctorPathFailing web"}},
		"an agent that is silent": {each: func(c *cluster, _ int) bool { c.silence = "n3"; c.round(nothing); return true },
			want: []string{"KdoctorAgentsSilent web"}},
		"rounds that cannot be run": {each: func(c *cluster, _ int) bool { c.end(c.measure(nothing)); return true },
			want: []string{"KdoctorRoundWithoutResult web"}},
		"rounds that end": {each: func(c *cluster, step int) bool {
			if step < 10 {
				c.round(nothing)
			}
			return true
		}, want: []string{"KdoctorNoRoundInTime web"}},
		"starts that are missed": {each: func(c *cluster, _ int) bool {
			c.task.Missed, c.task.Due = true, c.now.Add(time.Minute)
			return true
		}, want: []string{"KdoctorNoRoundInTime web"}},
		"a suspended task": {each: func(c *cluster, step int) bool {
			if step < 10 {
				c.round(nothing)
				return true
			}
			c.task.Due, c.task.Interval = time.Time{}, 0
			return true
		}},
		"agents that are too slow": {each: func(c *cluster, _ int) bool {
			done := c.measure(nothing)
			done.Verdict = toolLimited(done.Round)
			c.end(done)
			return true
		}, want: []string{"KdoctorToolLimited web"}},
		"requests that became slow": {steps: 28 * 6, step: 10 * time.Minute, each: func(c *cluster, step int) bool {
			if step >= 26*6 {
				c.latency = 5 * time.Millisecond
			}
			c.round(nothing)
			c.task.Due = c.now.Add(time.Hour)
			return true
		}, want: []string{"KdoctorLatencyRegression web"}},
		"requests that stay as slow as they were": {steps: 28 * 6, step: 10 * time.Minute,
			each: func(c *cluster, _ int) bool {
				c.latency = 5 * time.Millisecond
				c.round(nothing)
				c.task.Due = c.now.Add(time.Hour)
				return true
			}},
		"a controller that waits": {each: func(c *cluster, _ int) bool { c.leading = false; return true },
			want: []string{"KdoctorNoLeader"}},
		"no controller": {each: func(*cluster, int) bool { return false }, want: []string{"KdoctorNoLeader"}},
		"a certificate that ends soon": {each: func(c *cluster, _ int) bool {
			c.expiry = time.Unix(86400, 0)
			c.round(nothing)
			return true
		}, want: []string{"KdoctorCertificateExpires"}},
		"a store that fails": {steps: 40, each: func(c *cluster, _ int) bool {
			c.round(nothing)
			c.Failed("write")
			return true
		}, want: []string{"KdoctorReportsNotStored"}},
	}
}

// play returns what was scraped in a scenario, and when it ended.
func (s scenario) play(t *testing.T) (c *cluster, step time.Duration) {
	t.Helper()
	c, step = newCluster(t), s.step
	if step == 0 {
		step = time.Minute
	}
	steps := s.steps
	if steps == 0 {
		steps = 20
	}
	for i := range steps {
		c.now = time.Unix(0, 0).Add(time.Duration(i) * step)
		if s.each(c, i) {
			c.scrape(t)
		}
	}
	return c, step
}

func TestAlerts(t *testing.T) {
	tested := map[string]bool{}
	for name, s := range scenarios() {
		for _, want := range s.want {
			alert, _, _ := strings.Cut(want, " ")
			tested[alert] = true
		}
		t.Run(name, func(t *testing.T) {
			c, step := s.play(t)
			stored := promqltest.LoadedStorage(t, c.load(step))
			// Scrapes may be ten minutes apart here.
			engine := promqltest.NewTestEngine(t, false, 11*time.Minute, promqltest.DefaultMaxSamplesPerQuery)
			group := load(t, engine, stored)
			for at := time.Unix(0, 0); !at.After(c.now); at = at.Add(step) {
				group.Eval(t.Context(), at)
			}
			if diff := cmp.Diff(s.want, firing(t, group)); diff != "" {
				t.Errorf("alerts that fire (-want +got):\n%s", diff)
			}
		})
	}
	all := load(t, promqltest.NewTestEngine(t, false, 0, 1000), promqltest.LoadedStorage(t, ""))
	for _, r := range all.AlertingRules() {
		if !tested[r.Name()] {
			t.Errorf("no scenario makes %s fire", r.Name())
		}
	}
}

// database is what rules read and write.
type database interface {
	storage.Queryable
	storage.AppendableV2
}

// load returns the chart's rules over the database.
func load(t *testing.T, engine *promql.Engine, stored database) *rules.Group {
	t.Helper()
	manager := rules.NewManager(&rules.ManagerOptions{Context: t.Context(), Queryable: stored, AppendableV2: stored,
		QueryFunc: rules.EngineQueryFunc(engine, stored), Logger: slog.New(slog.DiscardHandler),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		Parser:     parser.NewParser(parser.Options{})})
	groups, errs := manager.LoadGroups(time.Minute, labels.EmptyLabels(), "", nil, false, queries.Rules("../.."))
	if len(errs) > 0 || len(groups) != 1 {
		t.Fatalf("%d groups of rules, %v", len(groups), errs)
	}
	for _, g := range groups {
		return g
	}
	return nil
}

// firing returns the alerts that fire, each with its node or its task.
func firing(t *testing.T, group *rules.Group) (all []string) {
	t.Helper()
	for _, r := range group.AlertingRules() {
		if err := r.LastError(); err != nil {
			t.Errorf("%s: %v", r.Name(), err)
		}
		for _, a := range r.ActiveAlerts() {
			if a.State != rules.StateFiring {
				continue
			}
			name := r.Name()
			for _, label := range []string{"node", "task"} {
				if value := a.Labels.Get(label); value != "" {
					name += " " + value
					break
				}
			}
			all = append(all, name)
			checkTexts(t, r.Name(), a)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// checkTexts fails where something is missing that a person reads.
func checkTexts(t *testing.T, rule string, a *rules.Alert) {
	t.Helper()
	if a.Labels.Get("severity") == "" {
		t.Errorf("%s has no severity", rule)
	}
	for _, name := range []string{"summary", "description"} {
		text := a.Annotations.Get(name)
		if text == "" || strings.Contains(text, "<error") || strings.Contains(text, "<no value>") {
			t.Errorf("%s: %s is %q", rule, name, text)
		}
	}
}

// toolLimited judges all paths as tool-limited.
func toolLimited(r report.Round) verdict.Verdict {
	v := verdict.Judge(r, verdict.Expect{SuccessRate: 1})
	v.Result = verdict.ToolLimited
	for i := range v.Agents {
		for j := range v.Agents[i].Paths {
			v.Agents[i].Paths[j].Result = verdict.ToolLimited
		}
	}
	return v
}
