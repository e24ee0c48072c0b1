// Command mkimage makes a container image, as a file, from a static binary for each architecture: no registry, no
// daemon, and the same bytes every time.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"kdoctor.io/kdoctor/internal/image"
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
	if errors.Is(err, errVersion) {
		return nil
	}
	if err != nil {
		return err
	}
	var platforms []image.Platform
	for i, arch := range options.Archs {
		platform, err := image.New(options.Spec, arch, options.Sources[i])
		if err != nil {
			return err
		}
		platforms = append(platforms, platform)
	}
	bundle, err := image.NewBundle(options.Spec, platforms...)
	if err != nil {
		return err
	}
	if err := bundle.WriteArchive(options.Out, options.Docker); err != nil {
		return err
	}
	for _, p := range platforms {
		fmt.Fprintf(out, "%s for linux/%s: %.1f MB in %s\n", options.Spec.Name, p.Arch, float64(p.Bytes)/1e6, options.Out)
	}
	return nil
}
