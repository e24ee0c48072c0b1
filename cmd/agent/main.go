// Command agent is the kdoctor agent: it answers probes, and probes what the controller asks it to.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"kdoctor.io/kdoctor/internal/agent"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "kdoctor-agent:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	options := defaults(os.Getenv)
	if err := options.parse(args, out); err != nil {
		return err
	}
	if len(options.check.addresses) > 0 {
		if err := options.check.validate(); err != nil {
			return err
		}
		return options.check.run(ctx, out)
	}
	if err := options.validate(); err != nil {
		return err
	}
	listeners, err := agent.Listen(ctx, options.ports)
	if err != nil {
		return err
	}
	return agent.Run(ctx, agent.Config{Identity: options.identity, TLSDir: options.tlsDir,
		Log: options.logger(log)}, listeners)
}
