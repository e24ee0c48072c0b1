package fault

import (
	"context"
	"fmt"
	"strings"
)

// Rules are rules of kube-proxy that a fault removes: a whole table of nftables, or the content of a chain of iptables.
type Rules struct {
	In Namespace `json:"in"`
	// Family is ip or ip6.
	Family string `json:"family"`
	Table  string `json:"table"`
	// Chain is a chain of iptables; empty is the whole table.
	Chain string `json:"chain,omitempty"`
	// Saved is the table before, as text for the program that reads it.
	Saved string `json:"saved"`
}

func (r *Rules) where() Namespace { return r.In }

// iptables is the program of iptables for the family, with an ending such as -save.
func (r *Rules) iptables(ending string) string {
	if r.Family == "ip6" {
		return "ip6tables" + ending
	}
	return "iptables" + ending
}

func (r *Rules) id() string { return r.Family + " " + r.Table }

func (r *Rules) list(ctx context.Context) (string, error) {
	if r.Chain == "" {
		return r.In.run(ctx, "nft", "list", "table", r.Family, r.Table)
	}
	return r.In.run(ctx, r.iptables("-save"), "-t", r.Table)
}

func (r *Rules) prepare(ctx context.Context, _ tools) error {
	saved, err := r.list(ctx)
	if err != nil {
		return fmt.Errorf("save the rules of kube-proxy: %w", err)
	}
	r.Saved = saved
	return nil
}

func (r *Rules) do(ctx context.Context, _ tools) error {
	if r.Chain == "" {
		_, err := r.In.run(ctx, "nft", "delete", "table", r.Family, r.Table)
		return err
	}
	_, err := r.In.run(ctx, r.iptables(""), "-w", "-t", r.Table, "-F", r.Chain)
	return err
}

// undo replaces the table in one transaction.
func (r *Rules) undo(ctx context.Context, _ tools) error {
	if r.Chain == "" {
		return r.In.feed(ctx, fmt.Sprintf("table %s\ndelete table %s\n%s", r.id(), r.id(), r.Saved), "nft", "-f", "-")
	}
	return r.In.feed(ctx, r.Saved, r.iptables("-restore"), "-w", "-T", r.Table)
}

func (r *Rules) left(ctx context.Context, _ tools) ([]string, error) {
	now, err := r.list(ctx)
	if err != nil || len(ruleLines(now)) < len(ruleLines(r.Saved)) {
		return []string{fmt.Sprintf("%s: the rules of the table %s are not all back", r.In, r.id())}, nil
	}
	return nil, nil
}

// ruleLines returns the lines of a table without comments.
func ruleLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}
