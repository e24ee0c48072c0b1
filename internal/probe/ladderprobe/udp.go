package ladderprobe

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/datagram"
	"kdoctor.io/kdoctor/internal/ladder"
)

// Sizes of the headers below a datagram's payload in bytes.
const (
	headers4 = 20 + 8
	headers6 = 40 + 8
)

// leastMTU is the least MTU of a link that the search for the largest packet assumes: RFC 791 and RFC 8200.
func leastMTU(to netip.Addr) int {
	if to.Unmap().Is4() {
		return 576
	}
	return 1280
}

func headers(to netip.Addr) int {
	if to.Unmap().Is4() {
		return headers4
	}
	return headers6
}

// askUDP sends one datagram of the given packet size and waits for its answer.
func askUDP(ctx context.Context, spec ladder.Spec, size int) attempt {
	conn, err := datagram.Dial(ctx, spec.Address, spec.SourcePort)
	if err != nil {
		return failed(err, false)
	}
	defer func() { _ = conn.Close() }()
	defer until(ctx, conn)()
	if size == ladder.FullSize {
		size = interfaceMTU(conn)
	}
	number := rand.Uint64() // #nosec G404 -- tells this probe's answer from that of another
	request := datagram.Request(number, size-headers(spec.Address.Addr()))
	began := time.Now()
	if _, err := conn.Write(request); err != nil {
		return failed(err, false)
	}
	buffer := make([]byte, len(request)+1)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return failed(err, false)
		}
		got, from, err := datagram.ParseAnswer(buffer[:n])
		switch {
		case err != nil:
			return attempt{failure: ladder.BadReply}
		case got != number || n != len(request):
			continue
		case spec.Peer != "" && !from.Is(spec.Peer):
			return attempt{failure: ladder.WrongPeer, peer: from.Name}
		case spec.Peer == "":
			return attempt{took: time.Since(began), peer: from.Name}
		}
		return attempt{took: time.Since(began)}
	}
}

// ethernetMTU is the size of packets where the interface cannot be found.
const ethernetMTU = 1500

// interfaceMTU returns the MTU of the interface that has the connection's own address, at most that of Ethernet with
// jumbo frames: a loopback interface permits more than any network.
func interfaceMTU(conn net.Conn) int {
	const jumbo = 9000
	own, ok := conn.LocalAddr().(*net.UDPAddr)
	interfaces, err := net.Interfaces()
	if !ok || err != nil {
		return ethernetMTU
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addresses {
			if network, ok := a.(*net.IPNet); ok && network.IP.Equal(own.IP) {
				return min(i.MTU, jumbo)
			}
		}
	}
	return ethernetMTU
}

// search finds the size of the largest packet that arrives, for the first few paths that lost all full-size packets. A
// path that also loses the smallest packets has no such size.
func search(ctx context.Context, specs []ladder.Spec, results []ladder.Result) {
	bounded, cancel := context.WithTimeout(ctx, searchWithin)
	defer cancel()
	var all sync.WaitGroup
	searches := 0
	for i, spec := range specs {
		r := &results[i]
		silent := r.Failures[ladder.NoAnswer] + r.Failures[ladder.TooLarge]
		if spec.Method != ladder.UDP || spec.Bytes != ladder.FullSize || r.Sent == 0 || silent < r.Sent {
			continue
		}
		if searches++; searches > mostSearches {
			break
		}
		all.Go(func() { r.PathMTU = largest(bounded, spec) })
	}
	all.Wait()
}

// largest searches by halves. Each size gets two attempts, so that one lost packet does not decide.
func largest(ctx context.Context, spec ladder.Spec) int {
	const wait = 200 * time.Millisecond
	fits := func(size int) bool {
		for range 2 {
			bounded, cancel := context.WithTimeout(ctx, min(wait, spec.Timeout))
			got := askUDP(bounded, spec, size)
			cancel()
			if got.failure == "" && got.err == nil {
				return true
			}
		}
		return false
	}
	low, high := leastMTU(spec.Address.Addr()), fullSize(ctx, spec)
	if high <= low || !fits(low) {
		return 0
	}
	for high-low > 1 && ctx.Err() == nil {
		if middle := (low + high) / 2; fits(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	if ctx.Err() != nil {
		return 0
	}
	return low
}

// fullSize returns the size that the interface on the way permits.
func fullSize(ctx context.Context, spec ladder.Spec) int {
	conn, err := datagram.Dial(ctx, spec.Address, 0)
	if err != nil {
		return 0
	}
	defer func() { _ = conn.Close() }()
	return interfaceMTU(conn)
}
