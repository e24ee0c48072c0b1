package mesh

import (
	"time"
)

// trackedAfterReset is how long the kernel tracks a TCP connection after the RST that closes it:
// net.netfilter.nf_conntrack_tcp_timeout_close, by default 10 s. A connection that ends by FIN stays for 120 s.
const trackedAfterReset = 10 * time.Second

// Footprint is what a load costs the node of the agent that makes it, and whatever else on the way tracks connections.
type Footprint struct {
	// Connections is how many new connections the agent opens a second.
	Connections int
	// Tracked is the most entries that they hold at a time in the node's table of tracked connections, where the node
	// tracks them.
	Tracked int
	// Ports is the most local ports that connections to one target hold at a time.
	Ports int
}

// Footprint is that of the load on so many targets, when every answer takes as long as it may.
//
// With R requests a second to a target, ceil(R x timeout) of them are under way at once, each with a port and an entry,
// and R x 10 s ended before and are still tracked; both together are never more than there are requests. Attempts that
// nobody answers stay tracked for longer (120 s by default): that comes on top. A connection that stays open counts as
// an entry and not as a new one, because it is opened once.
func (l Load) Footprint(targets int) Footprint {
	requests := int(l.Requests()) // #nosec G115 -- a day at 1000 a second is far below the limit
	underWay := min(requests, max(l.over(l.Timeout), 1))
	if l.Connection == KeepAlive {
		return Footprint{Tracked: targets * underWay, Ports: underWay}
	}
	f := Footprint{Connections: ceil(targets*l.PerSecond, l.every()), Ports: underWay}
	f.Tracked = targets * min(requests, underWay+l.over(trackedAfterReset))
	if l.Connection == Both {
		f.Tracked, f.Ports = f.Tracked+targets, f.Ports+1
	}
	return f
}

// over is how many requests come due within the time, rounded up.
func (l Load) over(within time.Duration) int {
	every := time.Duration(l.every()) * time.Second
	return int((time.Duration(l.PerSecond)*within + every - 1) / every)
}
