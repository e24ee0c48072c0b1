// Command bench measures the engine's claims against other load generators on this machine, in a network namespace of
// its own (Linux, root).
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"kdoctor.io/kdoctor/bench/internal/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		status = 1
	}
	os.Exit(status)
}

// isolated is the first argument of the program's second self, which lives in the namespace.
const isolated = "isolated"

func run(ctx context.Context, args []string) (int, error) {
	inside := len(args) > 0 && args[0] == isolated
	if inside {
		args = args[1:]
	}
	o, err := parse(args)
	if err != nil {
		return 0, err
	}
	if o.list {
		printList(os.Stdout, o)
		return 0, nil
	}
	if inside {
		if err := rig.LoopbackUp(); err != nil {
			return 0, err
		}
		return 0, measure(ctx, o, os.Stdout, os.Stderr)
	}
	if err := ready(ctx, o.programs, os.Stderr); err != nil {
		return 0, err
	}
	return rig.Isolate(ctx, isolated)
}
