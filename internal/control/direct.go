package control

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/segment"
	"kdoctor.io/kdoctor/internal/topology"
)

// stagger is how long an address is given before the next one is tried beside it.
const stagger = 250 * time.Millisecond

// dialDirect connects to the first of the addresses that answers. Families take turns, and each address gets a short
// lead over the next. It returns only when all attempts are over. The connection has small segments: the handshake of
// TLS and what agents report pass also on a way that loses full packets.
func dialDirect(ctx context.Context, addresses []netip.Addr, port uint16) (net.Conn, error) {
	if len(addresses) == 0 {
		return nil, errors.New("the pod has no address")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	queue := interleave(addresses)
	running := 0
	next := func() {
		if len(queue) == 0 || ctx.Err() != nil {
			return
		}
		address := netip.AddrPortFrom(queue[0], port)
		queue = queue[1:]
		running++
		go func() {
			conn, err := segment.Dialer().DialContext(ctx, "tcp", address.String())
			results <- result{conn, err}
		}()
	}
	lead := time.NewTicker(stagger)
	defer lead.Stop()
	var won net.Conn
	var failures []error
	for next(); running > 0; {
		select {
		case <-lead.C:
			if won == nil {
				next()
			}
		case r := <-results:
			running--
			switch {
			case r.err != nil && won == nil:
				failures = append(failures, r.err)
				next()
			case r.err == nil && won == nil:
				won = r.conn
				cancel()
			case r.err == nil:
				// A second winner is not needed, and nothing was sent on it.
				_ = r.conn.Close()
			}
		}
	}
	if won == nil {
		return nil, errors.Join(append(failures, ctx.Err())...)
	}
	return won, nil
}

// interleave lets the families take turns, beginning with that of the first address.
func interleave(addresses []netip.Addr) []netip.Addr {
	var queues [][]netip.Addr
	for _, family := range topology.FamiliesOf(addresses) {
		queues = append(queues,
			slices.DeleteFunc(slices.Clone(addresses),
				func(a netip.Addr) bool { return topology.FamilyOf(a) != family }))
	}
	ordered := make([]netip.Addr, 0, len(addresses))
	for len(ordered) < len(addresses) {
		for n, queue := range queues {
			if len(queue) > 0 {
				ordered = append(ordered, queue[0])
				queues[n] = queue[1:]
			}
		}
	}
	return ordered
}
