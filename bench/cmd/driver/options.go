package main

import (
	"flag"
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
)

// options is one load.
type options struct {
	mode, host                    string
	port, targets, rate, saturate int
	inFlight                      int
	duration, timeout             time.Duration
	connection                    string
	plain, precise, grid          bool
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("driver", flag.ContinueOnError)
	flags.StringVar(&o.mode, "mode", "engine", "engine, nethttp, sleep or nanosleep")
	flags.StringVar(&o.host, "host", "127.0.0.1", "IPv4 address of the targets; nethttp knows this one only")
	flags.IntVar(&o.port, "port", 18000, "first port of the targets")
	flags.IntVar(&o.targets, "targets", 1, "how many targets, each on the port after the one before")
	flags.IntVar(&o.rate, "rate", 1, "requests a second on each target")
	flags.IntVar(&o.saturate, "saturate", 0, "keep this many requests under way instead of a rate")
	flags.IntVar(&o.inFlight, "in-flight", 0, "most requests under way at once, 0 for the engine's own bound")
	flags.DurationVar(&o.duration, "duration", time.Second, "how long, in whole seconds")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Second, "bound on each request")
	flags.StringVar(&o.connection, "connection", string(mesh.NewConnection), "new, keepalive or both")
	flags.BoolVar(&o.plain, "plain", false, "leave stamps, phases and TCP's own figures out")
	flags.BoolVar(&o.grid, "grid", false, "wake at fixed moments")
	flags.BoolVar(&o.precise, "precise", false, "wake for every event")
	return o, flags.Parse(args)
}
