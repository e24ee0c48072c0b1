// Command mutation changes a package in many small ways, one at a time, and reports which of these mutants the
// package's tests do not notice.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(1)
	}
}

// run parses the arguments, makes the mutants of the package, tests each and prints what came of them.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	return s.test(ctx, out)
}

func parse(args []string) (options, error) {
	o := options{}
	var tests string
	flags := flag.NewFlagSet("mutation", flag.ContinueOnError)
	flags.IntVar(&o.sample, "n", 150, "how many mutants to test; 0 is all")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the sample")
	flags.IntVar(&o.parallel, "j", 1, "how many mutants to test at a time")
	flags.StringVar(&o.only, "only", "", "take mutants of files whose path contains this")
	flags.BoolVar(&o.verbose, "v", false, "print the killed ones too, with the test that failed")
	flags.StringVar(&tests, "tests", "", "packages, separated by commas, whose tests run after the package's own")
	if err := flags.Parse(args); err != nil {
		return options{}, fmt.Errorf("read the arguments: %w", err)
	}
	if flags.NArg() != 1 || o.sample < 0 || o.parallel < 1 {
		return options{},
			fmt.Errorf("%w: mutation [-n 150] [-seed 1] [-j 1] [-only file] [-v] [-tests ./a,./b] ./package", errUsage)
	}
	o.pkg = flags.Arg(0)
	o.tests = append([]string{o.pkg}, strings.FieldsFunc(tests, func(r rune) bool { return r == ',' })...)
	return o, nil
}
