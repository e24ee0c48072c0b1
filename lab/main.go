// Command lab runs a real Kubernetes cluster of several nodes on one Linux machine, without a container engine: for
// demonstrations, for tests, and for whoever wants to break a network on purpose.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"kdoctor.io/kdoctor/lab/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	root := command.Root(out, os.Stderr)
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}
