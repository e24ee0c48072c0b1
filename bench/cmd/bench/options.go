package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"kdoctor.io/kdoctor/bench/internal/part"
)

// options is what a run is asked for.
type options struct {
	programs, results string
	lab, image        string
	parts             []string
	rounds            int
	length            time.Duration
	foreign           float64
	seed              uint64
	list              bool
}

func parse(args []string) (options, error) {
	var o options
	var quick bool
	var parts string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&quick, "quick", false, "5 rounds of 1 s instead of 15 of 2 s: about 12 minutes, and less to trust")
	flags.StringVar(&parts, "part", "", "only the parts whose names begin with one of these, separated by commas")
	flags.IntVar(&o.rounds, "rounds", 0, "how many rounds, instead of 15 or 5")
	flags.DurationVar(&o.length, "length", 0, "how long a run takes, in whole seconds, instead of 2s or 1s")
	flags.Float64Var(&o.foreign, "foreign", 0.3, "how many CPUs other processes may take during a run that counts")
	flags.Uint64Var(&o.seed, "seed", 1, "decides the order of contestants")
	flags.StringVar(&o.programs, "programs", ".build/bench", "folder of the programs that were built")
	flags.StringVar(&o.lab, "lab", ".build/bin/lab", "the lab program; without it the part that needs a cluster is "+
		"not measured")
	flags.StringVar(&o.image, "image", ".build/images/agent.tar", "archive with the image of the agents, for that part")
	flags.StringVar(&o.results, "results", "bench/results", "folder for what is measured, as JSON lines")
	flags.BoolVar(&o.list, "list", false, "print the parts and their contestants and end")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	rounds, length := 15, 2*time.Second
	if quick {
		rounds, length = 5, time.Second
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
	if o.length == 0 {
		o.length = length
	}
	if parts != "" {
		o.parts = strings.Split(parts, ",")
	}
	return o, o.validate(flags.NArg())
}

func (o options) validate(rest int) error {
	switch {
	case rest > 0:
		return errors.New("there are flags only, see -help")
	case o.rounds < 1 || o.rounds > 1000:
		return fmt.Errorf("-rounds is %d and must be between 1 and 1000", o.rounds)
	case o.length < time.Second || o.length > time.Minute || o.length%time.Second != 0:
		return fmt.Errorf("-length is %v and must be whole seconds between 1s and 1m: ab and wrk know no fractions",
			o.length)
	case o.foreign < 0:
		return fmt.Errorf("-foreign is %v and must not be negative", o.foreign)
	case len(o.chosen()) == 0:
		return fmt.Errorf("no part's name begins with any of %v, see -list", o.parts)
	}
	return nil
}

// chosen are the parts that are asked for.
func (o options) chosen() []part.Part {
	return slices.DeleteFunc(part.All(o.length), func(p part.Part) bool {
		return len(o.parts) > 0 &&
			!slices.ContainsFunc(o.parts, func(prefix string) bool { return strings.HasPrefix(p.Name, prefix) })
	})
}

func printList(w io.Writer, o options) {
	for _, p := range o.chosen() {
		fmt.Fprintf(w, "%-16s %s\n", p.Name, p.Title)
		for _, c := range p.Contestants {
			fmt.Fprintf(w, "%-16s   %s\n", "", c.Name)
		}
	}
}
