package limits

import (
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
)

// trackedAfterReset is how long the kernel tracks a TCP connection after the RST that closes it:
// net.netfilter.nf_conntrack_tcp_timeout_close, by default 10 s. A connection that ends by FIN stays for 120 s.
const trackedAfterReset = 10 * time.Second

// Footprint is what a load costs the node of the agent that makes it, and whatever else on the way tracks connections.
type Footprint struct {
	// Connections is the number of new connections that the agent opens a second.
	Connections int
	// Tracked is the most entries that the connections hold at a time in the node's table of tracked connections, where
	// the node tracks them.
	Tracked int
	// Ports is the most local ports that connections to one target hold at a time.
	Ports int
}

// FootprintOf returns the worst-case cost of the load on the number of targets: every request takes the full timeout.
//
// With R requests a second to a target, ceil(R x timeout) of them are under way at once, each with a port and an entry,
// and R x 10 s ended before and are still tracked; both together are never more than there are requests. Attempts that
// nobody answers stay tracked for longer (120 s by default), which is not counted here. A connection that stays open
// counts as an entry and not as a new connection, because it is opened once.
func FootprintOf(l mesh.Load, targets int) Footprint {
	requests := int(l.Requests()) // #nosec G115 -- a day at 1000 a second is far below the limit
	underWay := min(requests, max(dueWithin(l, l.Timeout), 1))
	if l.Connection == mesh.KeepAlive {
		return Footprint{Tracked: targets * underWay, Ports: underWay}
	}
	f := Footprint{Connections: ceil(targets*l.PerSecond, l.Divisor()), Ports: underWay}
	f.Tracked = targets * min(requests, underWay+dueWithin(l, trackedAfterReset))
	if l.Connection == mesh.Both {
		f.Tracked, f.Ports = f.Tracked+targets, f.Ports+1
	}
	return f
}

// dueWithin returns how many requests come due on a target within the time, rounded up.
func dueWithin(l mesh.Load, within time.Duration) int {
	every := time.Duration(l.Divisor()) * time.Second
	return int((time.Duration(l.PerSecond)*within + every - 1) / every)
}
