package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"

	"kdoctor.io/kdoctor/bench/internal/diagnose/table"
)

// run does what is asked for and returns 1 where a goal is missed.
func run(ctx context.Context, args []string, out io.Writer) (int, error) {
	o, err := parse(args)
	if err != nil {
		return 0, err
	}
	if o.tune {
		return 0, table.Tune(ctx, o.row.Trials, out)
	}
	if o.all {
		return evaluate(ctx, o, out)
	}
	return one(ctx, o, out)
}

// one simulates one row.
func one(ctx context.Context, o options, out io.Writer) (int, error) {
	options := table.Options{Begin: o.begin, End: o.end}
	listed := misses{out: out}
	if o.misses {
		options.Watch = listed.add
	}
	if o.json {
		encoder := json.NewEncoder(out)
		options.Each = func(r table.Result) error { return encoder.Encode(r) }
	}
	result, err := table.Run(ctx, o.row, options)
	if err != nil || o.json {
		return 0, err
	}
	if o.misses && len(result.Scores) > 0 {
		listed.sum(result.Scores[0])
	}
	return show(out, revision(ctx), []table.Result{result}), nil
}

// evaluate simulates all rows, each in a process of its own, so that its memory is known and another row can be
// simulated beside it.
func evaluate(ctx context.Context, o options, out io.Writer) (int, error) {
	var rows []table.Spec
	for i, r := range table.Rows() {
		if o.training {
			r.Seed = table.TrainingSeed(i)
		}
		if o.tenth {
			r.Trials = max(1, r.Trials/10)
		}
		if r.Nodes <= o.most {
			rows = append(rows, r)
		}
	}
	results, err := children(ctx, rows)
	if err != nil {
		return 0, err
	}
	commit := revision(ctx)
	status := show(out, commit, results)
	fmt.Fprintln(out)
	for i, r := range results {
		r.Spec.Trials = max(1, r.Done)
		fmt.Fprintf(out, "row %d again: make bench-diagnose DIAGNOSE=\"%s\"\n", i, strings.Join(r.Spec.Args(), " "))
	}
	if o.training {
		return status, nil
	}
	return status, keep(o.results, commit, results)
}

// children simulates rows in processes of their own, two at a time as far as they are small.
func children(ctx context.Context, rows []table.Spec) ([]table.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	results, failures := make([]table.Result, len(rows)), make([]error, len(rows))
	simulate := func(i int) {
		results[i], failures[i] = child(ctx, self, rows[i])
		fmt.Fprintf(os.Stderr, "row %d of %d is done\n", i, len(rows))
	}
	next := make(chan int)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for i := range next {
				simulate(i)
			}
		})
	}
	for i := range rows {
		if rows[i].Nodes <= table.Together {
			next <- i
		}
	}
	close(next)
	workers.Wait()
	for i := range rows {
		if rows[i].Nodes > table.Together {
			simulate(i)
		}
	}
	return results, errors.Join(failures...)
}

// child simulates one row in another process, which prints the result so far after each trial.
func child(ctx context.Context, self string, row table.Spec) (table.Result, error) {
	result := table.Result{Spec: row}
	begin, end := row.Limits()
	args := append(row.Args(), "-json", "-begin", begin.String(), "-end", end.String())
	cmd := exec.CommandContext(ctx, self, args...) // #nosec G204 -- this very program
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, os.Stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return result, ctx.Err()
	}
	late := ended(err)
	if err != nil && !late {
		return result, fmt.Errorf("simulate %s: %w", strings.Join(args, " "), err)
	}
	for line := range bytes.Lines(printed.Bytes()) {
		var r table.Result
		if err := json.Unmarshal(line, &r); err != nil {
			if late {
				break
			}
			return result, fmt.Errorf("read the result of %s: %w", strings.Join(args, " "), err)
		}
		result = r
	}
	if late {
		result.GaveUp = end.Seconds()
	}
	return result, nil
}

// ended reports whether the kernel ended a process since it had used its CPU time.
func ended(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, is := exit.Sys().(syscall.WaitStatus)
	return is && status.Signaled() && (status.Signal() == syscall.SIGXCPU || status.Signal() == syscall.SIGKILL)
}

// show prints the tables and returns 1 where a goal is missed.
func show(out io.Writer, commit string, results []table.Result) (status int) {
	fmt.Fprintf(out, "commit %s\n\n", commit)
	lines := [][]string{table.Head()}
	for i := range results {
		lines = append(lines, results[i].Lines(i)...)
	}
	printTable(out, lines)
	lines = [][]string{table.GoalsHead()}
	for _, g := range table.Judge(results) {
		lines = append(lines, g.Line())
		if !g.Met {
			status = 1
		}
	}
	printTable(out, lines)
	printTable(out, reliability(results))
	for i, r := range results {
		if r.GaveUp > 0 {
			fmt.Fprintf(out, "row %d was ended within a trial after %.0f s of CPU time\n", i, r.GaveUp)
		}
		fmt.Fprintf(out, "row %d: %.0f observations of %.0f probes a round; %d draws of faults left out, since one "+
			"lay behind another or lost too little\n", i, r.Observations, r.Probes, r.LeftOut)
	}
	return status
}

func printTable(out io.Writer, lines [][]string) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintln(table, strings.Join(line, "\t"))
	}
	_ = table.Flush()
	fmt.Fprintln(out)
}

// revision is the commit of the folder that the program runs in, with a mark if files differ from it.
func revision(ctx context.Context) string {
	said, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(said))
}

// keep appends the results to the file of this day and machine.
func keep(folder, commit string, results []table.Result) error {
	if folder == "" {
		return nil
	}
	machine := table.Describe(commit)
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	failures := []error{encoder.Encode(machine)}
	for _, r := range results {
		failures = append(failures, encoder.Encode(r))
	}
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	name := filepath.Join(folder, machine.File())
	f, err := os.OpenFile(filepath.Clean(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	_, err = f.Write(text.Bytes())
	return errors.Join(err, f.Close())
}
