package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/bench/internal/diagnose/table"
)

// options is what a run is asked for.
type options struct {
	// row is the one row that is asked for; with all it is every row of the evaluation.
	row  table.Spec
	all  bool
	json bool
	// misses prints what was missed and named falsely; tune looks for the baselines' best settings.
	misses, tune bool
	// tenth takes a tenth of the trials; most is the largest number of nodes of which rows are taken.
	tenth   bool
	most    int
	results string
	// training takes the evaluation's rows with training seeds.
	training bool
	// begin is after how much CPU time no trial begins, end after how much the process is ended; 0 is never.
	begin, end time.Duration
}

func parse(args []string) (options, error) {
	o := options{row: table.Spec{Burst: 1, Noise: 1}}
	var severity, methods string
	flags := flag.NewFlagSet("diagnose", flag.ContinueOnError)
	s := &o.row
	flags.IntVar(&s.Nodes, "nodes", 0, "simulate one row with this many nodes, 4 to 100000; 0 is the whole evaluation")
	flags.IntVar(&s.Zones, "zones", 3, "zones")
	flags.IntVar(&s.Faults, "faults", 1, "faults at the same time, 0 to 3")
	flags.IntVar(&s.Trials, "trials", 50, "trials, each with a seed of its own")
	flags.StringVar(&s.Generator, "generator", "paths", "paths, or packets for the rows of the table of faults")
	flags.StringVar(&severity, "severity", "hard", "hard, gray for 2 to 50 % of loss, or faint for 0.5 to 50 %")
	flags.Float64Var(&s.Noise, "noise", 1, "background loss as a multiple of 2e-5")
	flags.IntVar(&s.Burst, "burst", 1, "probes in a row that partial loss takes")
	flags.Float64Var(&s.Lost, "lost", 0, "share of agents whose report is missing")
	flags.Float64Var(&s.Labels, "labels", 0, "share of nodes with the label of a wrong zone")
	flags.Float64Var(&s.Churn, "churn", 0, "share of nodes that are deleted within the round")
	flags.BoolVar(&s.Unknown, "unknown-background", false, "do not tell the search the background loss")
	flags.BoolVar(&s.WithoutHosts, "without-hosts", false, "no agents in host networks")
	flags.StringVar(&methods, "methods", strings.Join(table.Methods(), ","), "methods, separated by commas")
	flags.Uint64Var(&s.Seed, "seed", 1, "seed of the first trial; those from 1000000 on are for evaluation alone")
	flags.BoolVar(&o.json, "json", false, "print the row as JSON, again after each trial")
	flags.BoolVar(&o.misses, "misses", false, "print what the first method missed and named falsely; training seeds "+
		"only")
	flags.BoolVar(&o.tune, "tune", false, "print the baselines' best settings on training seeds, from -trials of "+
		"each size")
	flags.BoolVar(&o.tenth, "tenth", false, "take a tenth of the evaluation's trials")
	flags.BoolVar(&o.training, "training", false, "take the evaluation's rows with training seeds; nothing is kept")
	flags.IntVar(&o.most, "most", table.MostNodes, "of the evaluation, take rows up to this many nodes")
	flags.StringVar(&o.results, "results", "bench/results", "folder for the evaluation's figures, as JSON lines; "+
		"empty is none")
	flags.DurationVar(&o.begin, "begin", 0, "after how much CPU time no trial of a row begins; 0 is never")
	flags.DurationVar(&o.end, "end", 0, "after how much CPU time a row is ended, in seconds; 0 is never")
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); err != nil {
		var usage strings.Builder
		flags.SetOutput(&usage)
		flags.PrintDefaults()
		return o, fmt.Errorf("%w; the flags are:\n%s", err, usage.String())
	}
	if flags.NArg() > 0 {
		return o, errors.New("there are flags only, see -help")
	}
	s.Severity, s.Methods = round.Severity(severity), strings.Split(methods, ",")
	o.all = s.Nodes == 0 && !o.tune
	return o, o.validate(flags)
}

// validate reports flags that make no sense together.
func (o options) validate(flags *flag.FlagSet) error {
	if o.misses && o.row.Seed >= table.Evaluation {
		return fmt.Errorf("-misses is for training seeds, which end below %d: what an evaluation missed stays unseen",
			table.Evaluation)
	}
	if o.tune {
		return nil
	}
	if !o.all {
		return o.row.Validate()
	}
	var failures []error
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "tenth", "most", "results", "training":
		default:
			failures = append(failures, fmt.Errorf("-%s needs -nodes: the evaluation's rows are fixed", f.Name))
		}
	})
	return errors.Join(failures...)
}
