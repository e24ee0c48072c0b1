// Package dns describes the cluster's name server, CoreDNS, as objects for the API server.
package dns

import (
	"bytes"
	_ "embed"
	"fmt"
	"text/template"

	"kdoctor.io/kdoctor/lab/internal/plan"
)

//go:embed coredns.yaml
var text string

// Manifest returns the objects of CoreDNS for a lab, as YAML.
func Manifest(s plan.Settings, image string) ([]byte, error) {
	t, err := template.New("coredns").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("read CoreDNS' template: %w", err)
	}
	var out bytes.Buffer
	values := map[string]any{"Image": image, "Node": plan.NodeName(0), "Addresses": s.DNS(), "Policy": policy(s),
		"Families": families(s)}
	if err := t.Execute(&out, values); err != nil {
		return nil, fmt.Errorf("render CoreDNS' objects: %w", err)
	}
	return out.Bytes(), nil
}

func policy(s plan.Settings) string {
	if s.Families == plan.DualStack {
		return "RequireDualStack"
	}
	return "SingleStack"
}

func families(s plan.Settings) []string {
	var out []string
	if s.IPv4() {
		out = append(out, "IPv4")
	}
	if s.IPv6() {
		out = append(out, "IPv6")
	}
	return out
}
