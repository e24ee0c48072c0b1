// Package gate carries connections from the machine into the lab: what comes in on a listener goes on to one address.
//
// The listener belongs to the machine's network namespace and the process to the lab's; a socket stays where it was
// made.
package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
)

// Serve carries connections until ctx ends, and returns when the last one is closed.
func Serve(ctx context.Context, listener net.Listener, target netip.AddrPort) error {
	ctx, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if err != nil && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept a connection: %w", err)
		}
		open.Go(func() {
			// A target that is not there, or not yet, shows at the other end as a connection that is closed at once.
			_ = carry(ctx, conn, target)
		})
	}
}

// carry copies both ways, and hands on each way's end by itself.
func carry(ctx context.Context, near net.Conn, target netip.AddrPort) error {
	defer near.Close()
	var dialer net.Dialer
	far, err := dialer.DialContext(ctx, "tcp", target.String())
	if err != nil {
		return fmt.Errorf("reach %s: %w", target, err)
	}
	defer far.Close()
	stop := context.AfterFunc(ctx, func() { near.Close(); far.Close() })
	defer stop()
	result := make(chan error, 2)
	go func() { result <- copyWay(far, near) }()
	go func() { result <- copyWay(near, far) }()
	return errors.Join(<-result, <-result)
}

func copyWay(to, from net.Conn) error {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return errors.Join(err, half.CloseWrite())
	}
	return err
}
