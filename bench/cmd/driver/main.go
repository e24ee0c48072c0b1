// Command driver makes one load with the project's engine, or with what it is held against, and prints what came of it.
// It links no Kubernetes library, so that its memory and CPU time are the engine's.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"kdoctor.io/kdoctor/bench/internal/message"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "driver: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	load, err := measure(o)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(load)
}

func measure(o options) (message.Load, error) {
	switch o.mode {
	case "engine":
		return engineLoad(o)
	case "nethttp":
		return netHTTP(o), nil
	case "sleep":
		return paced(o, sleepUntil), nil
	case "nanosleep":
		return thread(o)
	}
	return message.Load{}, fmt.Errorf("there is no mode %q", o.mode)
}
