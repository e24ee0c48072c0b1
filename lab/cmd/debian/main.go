// Command debian installs the Debian packages that it is given, without starting their services. It is apart from the
// lab so that programs which need no Kubernetes need not build it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"kdoctor.io/kdoctor/lab/internal/packages"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "debian: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string, out io.Writer) error {
	if len(names) == 0 {
		return errors.New("no package is named; give one or more, such as: debian nginx-light")
	}
	return packages.Install(ctx, names, out)
}
