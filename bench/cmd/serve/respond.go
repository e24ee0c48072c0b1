package main

import (
	"context"
	"fmt"
	"net"

	"kdoctor.io/kdoctor/bench/internal/rig"
	"kdoctor.io/kdoctor/internal/echo"
	"kdoctor.io/kdoctor/internal/responder"
)

// respond serves with the agents' responder, on one thread.
func respond(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	r := responder.New(responder.Config{Shards: 1,
		Identity: echo.Identity{Installation: rig.Installation, Pod: "bench", PodUID: "bench", Node: "bench"}})
	return r.Serve(ctx, l)
}
