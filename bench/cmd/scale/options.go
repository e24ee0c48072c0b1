package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"kdoctor.io/kdoctor/bench/internal/fleet"
)

// options is what a run is asked for.
type options struct {
	nodes          []int
	faults         []fleet.Fault
	memory         int64
	limit          time.Duration
	seed           uint64
	heartbeat      int
	programs       string
	chart, results string
}

// Values of -memory that are no quantities.
const (
	ofTheChart = "chart"
	noMemory   = "none"
)

func parse(args []string) (options, error) {
	var o options
	var nodes, faults, memory string
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	flags.StringVar(&nodes, "nodes", "50,150,300,1000,2000,5000", "numbers of nodes, separated by commas")
	flags.StringVar(&faults, "faults", join(fleet.Faults()), "faults, separated by commas")
	flags.StringVar(&memory, "memory", ofTheChart, "the controller's limit of memory, which a cgroup enforces: chart "+
		"is what the chart gives it, none is no limit, others are quantities such as 500Mi")
	flags.DurationVar(&o.limit, "limit", 8*time.Minute, "how long a round may take until it counts as lost")
	flags.IntVar(&o.heartbeat, "heartbeat", 0, "in place of the faults, how many rounds of a heartbeat, one right after "+
		"the other with the least load; the goal is about 500 with -nodes=300")
	flags.Uint64Var(&o.seed, "seed", 1, "decides what the agents measure")
	flags.StringVar(&o.programs, "programs", ".build/bin", "folder of the controller, the plugin and the lab")
	flags.StringVar(&o.chart, "chart", "charts/kdoctor", "folder of the chart")
	flags.StringVar(&o.results, "results", "bench/results", "folder for what is measured, as JSON lines; empty is none")
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
	if err := o.lists(nodes, faults); err != nil {
		return o, err
	}
	err := o.rest(memory)
	return o, err
}

func (o *options) lists(nodes, faults string) error {
	for text := range strings.SplitSeq(nodes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 3 || n > fleet.MostNodes {
			return fmt.Errorf("-nodes has %q and must have numbers from 3 to %d", text, fleet.MostNodes)
		}
		o.nodes = append(o.nodes, n)
	}
	for text := range strings.SplitSeq(faults, ",") {
		f, err := fleet.ParseFault(text)
		if err != nil {
			return fmt.Errorf("-faults: %w", err)
		}
		o.faults = append(o.faults, f)
	}
	return nil
}

func (o *options) rest(memory string) (err error) {
	switch memory {
	case ofTheChart:
	case noMemory:
		o.memory = -1
	default:
		quantity, err := resource.ParseQuantity(memory)
		if err != nil || quantity.Value() <= 0 {
			return fmt.Errorf("-memory is %q and must be %s, %s, or a quantity such as 500Mi", memory, ofTheChart,
				noMemory)
		}
		o.memory = quantity.Value()
	}
	if o.limit < time.Minute {
		return fmt.Errorf("-limit is %v and must be a minute at least", o.limit)
	}
	for _, path := range []*string{&o.programs, &o.chart} {
		if *path, err = filepath.Abs(*path); err != nil {
			return fmt.Errorf("find %s: %w", *path, err)
		}
	}
	return nil
}

func join(faults []fleet.Fault) string {
	names := make([]string, len(faults))
	for i, f := range faults {
		names[i] = string(f)
	}
	return strings.Join(names, ",")
}
