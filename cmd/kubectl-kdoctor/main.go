// Command kubectl-kdoctor is the kubectl plugin of kdoctor: "kubectl kdoctor".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"kdoctor.io/kdoctor/internal/cli"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return cli.Run(ctx, args, cli.NewScreen(os.Stdout, os.Stderr, os.Getenv))
}
