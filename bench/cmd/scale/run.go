package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"kdoctor.io/kdoctor/bench/internal/rig"
	"kdoctor.io/kdoctor/bench/internal/scale"
)

// lab is the name of the lab whose API server is used.
const lab = "scale"

// order is what the second self is asked for.
type order struct {
	scale.Options
	// Out is the file to which results are appended.
	Out string
}

// measure is the second self.
func measure(ctx context.Context, text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return fmt.Errorf("read what to measure: %w", err)
	}
	o.Progress = os.Stderr
	return scale.Measure(ctx, o.Options, func(r scale.Result) error { return appendLine(o.Out, r) })
}

// all measures all numbers of nodes, each on a lab of its own, prints the tables, and returns 1 where a goal is missed.
func all(ctx context.Context, o options, out io.Writer) (int, error) {
	folder, err := os.MkdirTemp("", "kdoctor-scale-")
	if err != nil {
		return 0, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, "results.jsonl")
	var failures []error
	for _, nodes := range o.nodes {
		if ctx.Err() != nil {
			break
		}
		if err := one(ctx, o, nodes, file); err != nil {
			failures = append(failures, fmt.Errorf("%d nodes: %w", nodes, err))
		}
	}
	results, err := read(file)
	if err != nil {
		return 0, err
	}
	if err := keep(o, results); err != nil {
		failures = append(failures, err)
	}
	missed := show(out, results)
	if err := errors.Join(append(failures, ctx.Err())...); err != nil {
		return 0, err
	}
	if missed {
		return 1, nil
	}
	return 0, nil
}

// one measures one number of nodes.
func one(ctx context.Context, o options, nodes int, file string) (err error) {
	program := func(name string) string { return filepath.Join(o.programs, name) }
	run := func(ctx context.Context, args ...string) (string, error) {
		var printed strings.Builder
		cmd := exec.CommandContext(ctx, program("lab"), args...) // #nosec G204 -- by the caller's flags
		cmd.Stdout, cmd.Stderr = &printed, os.Stderr
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("lab %s: %w", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(printed.String()), nil
	}
	defer func() {
		_, down := run(context.WithoutCancel(ctx), "down", "--name", lab)
		err = errors.Join(err, down)
	}()
	if _, err := run(ctx, "up", "--name", lab, "--nodes", "0", "--families", "ipv4"); err != nil {
		return err
	}
	kubeconfig, err := run(ctx, "kubeconfig", "--name", lab)
	if err != nil {
		return err
	}
	bin, err := run(ctx, "env", "--bin")
	if err != nil {
		return err
	}
	text, err := json.Marshal(order{Out: file, Options: scale.Options{Nodes: nodes, Faults: o.faults,
		Heartbeat: o.heartbeat, Memory: o.memory, Limit: o.limit, Seed: o.seed, Kubeconfig: kubeconfig,
		Kubectl: filepath.Join(bin, "kubectl"), Helm: filepath.Join(bin, "helm"), Chart: o.chart,
		Controller: program("kdoctor-controller"), Plugin: program("kubectl-kdoctor")}})
	if err != nil {
		return fmt.Errorf("write what to measure: %w", err)
	}
	status, err := rig.Within(ctx, "/run/netns/"+lab+"-n0", inside, string(text))
	if err == nil && status != 0 {
		return fmt.Errorf("the measurement ended with status %d", status)
	}
	return err
}

// show prints both tables and reports whether a goal was missed.
func show(out io.Writer, results []scale.Result) (missed bool) {
	printTable := func(head []string, rows [][]string) {
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{head}, rows...) {
			fmt.Fprintln(table, strings.Join(row, "\t"))
		}
		_ = table.Flush()
		fmt.Fprintln(out)
	}
	var rows [][]string
	for _, r := range results {
		rows = append(rows, r.Row())
	}
	printTable(scale.Head(), rows)
	for _, r := range results {
		for _, line := range r.Lines() {
			fmt.Fprintf(out, "%d nodes, %s: %s\n", r.Nodes, r.Fault, line)
		}
	}
	rows = nil
	for _, v := range scale.Judge(results) {
		rows = append(rows, v.Row())
		missed = missed || !v.Met
	}
	fmt.Fprintln(out)
	printTable(scale.GoalsHead(), rows)
	return missed
}

func appendLine(file string, value any) error {
	line, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write a result: %w", err)
	}
	f, err := os.OpenFile(filepath.Clean(file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write a result: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

func read(file string) ([]scale.Result, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the results: %w", err)
	}
	var all []scale.Result
	for line := range strings.Lines(string(text)) {
		var r scale.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("read a result: %w", err)
		}
		all = append(all, r)
	}
	return all, nil
}

// keep appends the results to the file of this day and machine.
func keep(o options, results []scale.Result) error {
	if o.results == "" || len(results) == 0 {
		return nil
	}
	machine := scale.Describe()
	file := filepath.Join(o.results, machine.File())
	lines := []any{machine}
	for _, r := range results {
		lines = append(lines, r)
	}
	var failures []error
	for _, line := range lines {
		failures = append(failures, appendLine(file, line))
	}
	return errors.Join(slices.Clip(failures)...)
}
