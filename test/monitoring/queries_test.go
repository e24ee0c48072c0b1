package monitoring

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"

	"kdoctor.io/kdoctor/internal/metrics"
	"kdoctor.io/kdoctor/test/queries"
)

// all returns the queries of the dashboard and of the alerts.
func all(t *testing.T) []queries.Query {
	t.Helper()
	all, err := queries.All("../..")
	if err != nil {
		t.Fatal(err)
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
	for _, q := range all(t) {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(q.Expr)
		if err != nil {
			t.Errorf("%s: %v", q.Where(), err)
			continue
		}
		var labelsOf []string
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if s, ok := n.(*parser.VectorSelector); ok {
				its, exposed := known[s.Name]
				if !exposed {
					t.Errorf("%s: there is no metric %s", q.Where(), s.Name)
				}
				used[s.Name] = true
				labelsOf = append(labelsOf, its...)
				for _, m := range s.LabelMatchers {
					if m.Name != "__name__" && !slices.Contains(its, m.Name) {
						t.Errorf("%s: %s has no label %s", q.Where(), s.Name, m.Name)
					}
				}
			}
			return nil
		})
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			if a, ok := n.(*parser.AggregateExpr); ok {
				for _, label := range a.Grouping {
					if !slices.Contains(labelsOf, label) {
						t.Errorf("%s: nothing has the label %s", q.Where(), label)
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
	for _, q := range all(t) {
		if q.Panel == "" {
			continue
		}
		options := promql.NewPrometheusQueryOpts(false, 0, nil)
		ask, err := engine.NewInstantQuery(t.Context(), stored, options, q.Expr, c.now)
		if err != nil {
			t.Errorf("%s: %v", q.Where(), err)
			continue
		}
		answer := ask.Exec(t.Context())
		if found, err := answer.Vector(); err != nil || len(found) == 0 {
			t.Errorf("%s: %d series, %v", q.Where(), len(found), err)
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
	for _, q := range all(t) {
		if q.Alert != "" {
			alerts[q.Alert] = true
			if !strings.Contains(string(page), "| "+q.Alert+" | ") {
				t.Errorf("docs/metrics.md has no row for %s", q.Alert)
			}
		}
	}
	if rows := strings.Count(string(page), "\n| Kdoctor"); rows != len(alerts) {
		t.Errorf("docs/metrics.md has %d rows for %d alerts", rows, len(alerts))
	}
}
