// Command mkimage makes a container image, as a file, from one static binary: no registry, no daemon, and the same
// bytes every time.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	err := run(os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "mkimage: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	options, err := parse(args, out)
	if err != nil {
		return err
	}
	image, err := options.image()
	if err != nil {
		return err
	}
	size, err := write(options, image)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s for linux/%s: %.1f MB in %s\n", options.Name, options.Arch, float64(size)/1e6,
		options.Out)
	return err
}
