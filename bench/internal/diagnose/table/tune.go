package table

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"kdoctor.io/kdoctor/bench/internal/diagnose/round"
	"kdoctor.io/kdoctor/bench/internal/diagnose/score"
)

// Tune prints for each baseline the settings with the best F1 on training seeds, for hard faults and for gray ones.
func Tune(ctx context.Context, trials int, out io.Writer) error {
	for _, severity := range []round.Severity{round.Hard, round.Gray} {
		settings := grid()
		tallies := make([]score.Tally, len(settings))
		for _, g := range []string{"paths", "packets"} {
			for _, nodes := range []int{10, 50, 200} {
				for i := range trials {
					s := usual(nodes, 1+i%3, severity, 1)
					s.Generator, s.Seed = g, uint64(500_000+i) // #nosec G115 -- a positive count
					if err := tuneOne(ctx, s, settings, tallies); err != nil {
						return err
					}
				}
			}
		}
		show(out, severity, settings, tallies)
	}
	return nil
}

// tuneOne adds one trial to the tallies of all settings.
func tuneOne(ctx context.Context, s Spec, settings []Localiser, tallies []score.Tally) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	trial, _, err := draw(s, s.Seed)
	if err != nil {
		return err
	}
	for k, l := range settings {
		tallies[k].Add(trial, l.Find(trial.Input))
	}
	return nil
}

// shown is how many of the best settings of a baseline are printed.
const shown = 3

func show(out io.Writer, severity round.Severity, settings []Localiser, tallies []score.Tally) {
	order := make([]int, len(settings))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(settings[a].Name(), settings[b].Name()),
			cmp.Compare(tallies[b].F1(), tallies[a].F1()))
	})
	printed := map[string]int{}
	for _, i := range order {
		name := settings[i].Name()
		if printed[name]++; printed[name] > shown {
			continue
		}
		fmt.Fprintf(out, "%s: %s %+v: F1 %.3f, precision %.3f, recall %.3f in %d trials\n", severity, name, settings[i],
			tallies[i].F1(), tallies[i].Precision(), tallies[i].Recall(), tallies[i].Trials)
	}
}
