// Command release makes everything that a release of kdoctor consists of, in one folder: images for both architectures,
// the chart, the plugin for six platforms, its krew manifest, lists of what is inside, and checksums. The same commit
// makes the same bytes. Nothing is published.
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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, warnings io.Writer) error {
	options, err := parse(args, warnings, os.Getenv)
	if err != nil {
		return err
	}
	if options, err = options.fromGit(ctx, warnings); err != nil {
		return err
	}
	if options.unnamed() {
		fmt.Fprintln(warnings, "release: RELEASE_URL or HOME_URL is not given (--release-url, --home-url): the krew manifest "+
			"and the chart name addresses that do not exist; name those from which people will download")
	}
	return newRelease(options, goBuild(options), out).make(ctx)
}
