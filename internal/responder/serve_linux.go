package responder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// serve runs the shards. They share the listener and its queue: no connection waits for a busy shard while another one
// is idle, and no connection is lost when a shard is full or ends.
func (r *Responder) serve(ctx context.Context, l *net.TCPListener) error {
	fd, err := ownListener(l)
	if err != nil {
		return err
	}
	// The queue ends when the last descriptor of the listener is closed.
	defer func() { _ = unix.Close(fd) }()
	shards := make([]*shard, 0, r.config.Shards)
	defer func() {
		for _, s := range shards {
			s.poller.Close()
		}
	}()
	for i := range r.config.Shards {
		s, err := newShard(r, fd, share(r.config.MaxConnections, r.config.Shards, i))
		if err != nil {
			return fmt.Errorf("start responder: %w", err)
		}
		shards = append(shards, s)
	}
	for i, s := range shards {
		s.full = func() {
			for j, other := range shards {
				if j != i {
					other.poller.Interrupt()
				}
			}
		}
	}
	// A shard that fails ends the others.
	ctx, end := context.WithCancel(ctx)
	defer end()
	woken := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(woken)
		for _, s := range shards {
			s.poller.Interrupt()
		}
	})
	var running sync.WaitGroup
	failed := make([]error, len(shards))
	for i, s := range shards {
		running.Go(func() {
			if failed[i] = s.thread(ctx); failed[i] != nil {
				end()
			}
		})
	}
	running.Wait()
	// Nobody interrupts the pollers after this, so that they can be closed.
	end()
	<-woken
	return errors.Join(failed...)
}

// share returns the i-th of n nearly equal parts of all.
func share(all, n, i int) int { return all*(i+1)/n - all*i/n }

// ownListener returns a descriptor of our own for the listener, and closes the listener: while the runtime watches it,
// it would wake up for every connection.
func ownListener(l *net.TCPListener) (int, error) {
	defer func() { _ = l.Close() }()
	raw, err := l.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("own listener: %w", err)
	}
	fd := -1
	var failed error
	err = raw.Control(func(from uintptr) {
		fd, failed = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err := errors.Join(err, failed); err != nil {
		return -1, fmt.Errorf("own listener: %w", err)
	}
	// Connections inherit the option: an answer never waits for the acknowledgement of the answer before it.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("own listener: %w", err)
	}
	return fd, nil
}
