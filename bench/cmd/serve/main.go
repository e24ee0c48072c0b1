// Command serve is the other side of the bench where that is not nginx: a server that takes stamps of arrivals, or the
// agents' own responder. It serves until its input ends.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"kdoctor.io/kdoctor/bench/internal/arrival"
	"kdoctor.io/kdoctor/bench/internal/message"
	"kdoctor.io/kdoctor/bench/internal/rig"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "serve: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	address := flags.String("address", "127.0.0.1:18001", "where to listen")
	own := flags.Bool("responder", false, "serve with the agents' responder, and take no stamps")
	rate := flags.Int("rate", 1000, "requests a second that are to arrive, for the grid")
	stall := flags.Duration("stall", 0, "answer nothing for this long, once")
	after := flags.Duration("stall-after", 3500*time.Millisecond, "when to stall, counted from the first request")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in)
	}()
	if *own {
		return respond(ctx, *address)
	}
	l, err := arrival.Listen(ctx, *address)
	if err != nil {
		return err
	}
	s := arrival.NewServer(arrival.Config{Body: rig.Answer, Stall: *stall, StallAfter: *after})
	if err := s.Serve(ctx, l); err != nil {
		return err
	}
	arrivals := s.Arrivals()
	return json.NewEncoder(out).Encode(message.Arrivals{Count: uint64(len(arrivals)),
		Error: arrival.Grid(arrivals, *rate)})
}
