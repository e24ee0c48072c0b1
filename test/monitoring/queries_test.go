package monitoring

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"go.yaml.in/yaml/v3"

	"kdoctor.io/kdoctor/internal/metrics"
)

// query is a query of the dashboard or of a rule.
type query struct{ where, expr string }

func queries(t *testing.T) (all []query) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile("../../charts/kdoctor/files/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$kind", ".*", "$task", ".*")
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, query{"panel " + p.Title, variables.Replace(target.Expr)})
		}
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if text, err = os.ReadFile(rulesFile); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			all = append(all, query{"alert " + r.Alert, r.Expr})
		}
	}
	if len(all) < 25 {
		t.Fatalf("found only %d queries", len(all))
	}
	return all
}

// Every series and every label that a query names is one that the controller exposes.
func TestQueriesNameWhatIsExposed(t *testing.T) {
	known := map[string][]string{}
	for _, f := range metrics.Families() {
		known[f.Name] = f.Labels
		if f.Type == metrics.Histogram {
			known[f.Name+"_sum"], known[f.Name+"_count"] = f.Labels, f.Labels
			known[f.Name+"_bucket"] = append(slices.Clone(f.Labels), "le")
		}
	}
	used := map[string]bool{}
	for _, q := range queries(t) {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(q.expr)
		if err != nil {
			t.Errorf("%s: %v", q.where, err)
			continue
		}
		var labelsOf []string
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if s, ok := n.(*parser.VectorSelector); ok {
				its, exposed := known[s.Name]
				if !exposed {
					t.Errorf("%s: there is no metric %s", q.where, s.Name)
				}
				used[s.Name] = true
				labelsOf = append(labelsOf, its...)
				for _, m := range s.LabelMatchers {
					if m.Name != "__name__" && !slices.Contains(its, m.Name) {
						t.Errorf("%s: %s has no label %s", q.where, s.Name, m.Name)
					}
				}
			}
			return nil
		})
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if a, ok := n.(*parser.AggregateExpr); ok {
				for _, label := range a.Grouping {
					if !slices.Contains(labelsOf, label) {
						t.Errorf("%s: nothing has the label %s", q.where, label)
					}
				}
			}
			return nil
		})
	}
	if len(used) < 15 {
		t.Errorf("queries use only %d metrics", len(used))
	}
}

// Every query of the dashboard finds something where something is wrong.
func TestDashboardShowsWhatIsScraped(t *testing.T) {
	c := newCluster(t)
	const steps = 20
	for i := range steps {
		c.now = time.Unix(0, 0).Add(time.Duration(i) * time.Minute)
		broken := func(from, to string) bool { return i > 2 && from != to && (to == "n1" || from == "n1") }
		c.silence = map[bool]string{true: "n3"}[i > 10]
		c.round(broken)
		c.scrape(t)
	}
	stored := promqltest.LoadedStorage(t, c.load(time.Minute))
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	for _, q := range queries(t) {
		if !strings.HasPrefix(q.where, "panel") {
			continue
		}
		options := promql.NewPrometheusQueryOpts(false, 0, nil)
		ask, err := engine.NewInstantQuery(t.Context(), stored, options, q.expr, c.now)
		if err != nil {
			t.Errorf("%s: %v", q.where, err)
			continue
		}
		answer := ask.Exec(t.Context())
		if found, err := answer.Vector(); err != nil || len(found) == 0 {
			t.Errorf("%s: %d series, %v", q.where, len(found), err)
		}
		ask.Close()
	}
}

func TestEveryAlertIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := map[string]bool{}
	for _, q := range queries(t) {
		if alert, ok := strings.CutPrefix(q.where, "alert "); ok {
			alerts[alert] = true
			if !strings.Contains(string(page), "| "+alert+" | ") {
				t.Errorf("docs/metrics.md has no row for %s", alert)
			}
		}
	}
	if rows := strings.Count(string(page), "\n| Kdoctor"); rows != len(alerts) {
		t.Errorf("docs/metrics.md has %d rows for %d alerts", rows, len(alerts))
	}
}
