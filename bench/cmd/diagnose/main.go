// Command diagnose measures by simulation how well faults are found from the probes of a round: the product's inference
// and four known methods, on two generators that share nothing with it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "diagnose: %v\n", err)
		status = 1
	}
	os.Exit(status)
}
