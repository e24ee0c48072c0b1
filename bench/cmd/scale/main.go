// Command scale holds the controller against its goals for large clusters: the real controller, aggregated API, kubectl
// and plugin on a real API server, with simulated agents in place of nodes (Linux, root).
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"kdoctor.io/kdoctor/bench/internal/scale"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "scale: %v\n", err)
		status = 1
	}
	os.Exit(status)
}

// inside is the first argument of the program's second self, which measures in the API server's network namespace; the
// second argument is what and where, in JSON.
const inside = "inside"

func run(ctx context.Context, args []string) (int, error) {
	if len(args) > 1 && args[0] == scale.Measured {
		return 0, json.NewEncoder(os.Stdout).Encode(scale.RunMeasured(ctx, args[1:]))
	}
	if len(args) == 2 && args[0] == scale.Agents {
		return 0, scale.RunAgents(ctx, args[1])
	}
	if len(args) == 2 && args[0] == inside {
		return 0, measure(ctx, args[1])
	}
	o, err := parse(args)
	if err != nil {
		return 0, err
	}
	return all(ctx, o, os.Stdout)
}
