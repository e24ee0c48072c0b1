// Command oracle judges random rounds whose truth is known, and says how often the judgement is wrong. Its exit
// status is 1 if it ever is.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"kdoctor.io/kdoctor/internal/oracle"
)

var errWrong = errors.New("the judgement was wrong")

func main() {
	switch err := run(os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errWrong):
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(2)
	}
}

func run(args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("oracle", flag.ContinueOnError)
	rounds := flags.Uint64("rounds", 100_000, "how many rounds")
	seed := flags.Uint64("seed", 1, "seed of all of them")
	first := flags.Uint64("first", 0, "number of the first one")
	examples := flags.Int("examples", oracle.Examples, "how many examples of each kind of error to show")
	round := flags.Int64("round", -1, "show the one round of this number, instead")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *round >= 0 {
		oracle.Show(out, oracle.Draw(*seed, uint64(*round)))
		return nil
	}
	// Rounds are short-lived: memory is cheaper than collecting it.
	debug.SetGCPercent(400)
	start := time.Now()
	tally := oracle.Run(*seed, *first, *rounds, *examples, func(done uint64) {
		fmt.Fprintf(progress, "%d of %d rounds, %.0f a second\n", done, *rounds,
			float64(done)/time.Since(start).Seconds())
	})
	tally.Write(out, *seed, time.Since(start))
	if tally.Failed() {
		return errWrong
	}
	return nil
}
