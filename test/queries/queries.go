// Package queries reads the queries of the chart's dashboard and of its alerts, as a Prometheus gets them.
package queries

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// Query is one query. Panel is the title of the panel that shows it, Alert the name of the alert that rests on it; one
// of them is empty.
type Query struct{ Panel, Alert, Expr string }

// Rules returns the path of the alerts' file below the repository's root.
func Rules(root string) string {
	return filepath.Join(folder(root), "rules.yaml")
}

func folder(root string) string {
	return filepath.Join(root, "charts", "kdoctor", "files", "monitoring")
}

// All returns those of the dashboard and then those of the alerts, for all tasks. root is this repository.
func All(root string) ([]Query, error) {
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile(filepath.Join(folder(root), "dashboard.json"))
	if err != nil {
		return nil, fmt.Errorf("read the dashboard: %w", err)
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		return nil, fmt.Errorf("read the dashboard: %w", err)
	}
	var all []Query
	variables := strings.NewReplacer("$__rate_interval", "5m", "$kind", ".*", "$task", ".*")
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, Query{Panel: p.Title, Expr: variables.Replace(target.Expr)})
		}
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if text, err = os.ReadFile(Rules(root)); err != nil {
		return nil, fmt.Errorf("read the alerts: %w", err)
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read the alerts: %w", err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			all = append(all, Query{Alert: r.Alert, Expr: r.Expr})
		}
	}
	return all, nil
}

// Where names the panel or the alert.
func (q Query) Where() string {
	if q.Panel != "" {
		return "panel " + q.Panel
	}
	return "alert " + q.Alert
}
