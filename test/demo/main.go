// Command demo shows kdoctor at work: it brings a Kubernetes of three nodes up on this machine, installs the chart,
// applies one NetReach and prints what a cluster admin would look at. Its exit status follows the verdict.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// errNotHealthy means that everything worked and the round did not succeed.
var errNotHealthy = errors.New("the round did not succeed")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Args[1:], os.Stdout); {
	case errors.Is(err, errNotHealthy):
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	build := flags.String("build", ".build", "folder with bin/ and images/")
	version := flags.String("version", "0.1.0", "tag of the images")
	chart := flags.String("chart", "charts/kdoctor", "folder of the chart")
	task := flags.String("task", "examples/netreach.yaml", "manifest to apply")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return newSession(out, *build, *version, *chart, *task).run(ctx)
}
