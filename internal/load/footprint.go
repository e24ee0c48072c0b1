package load

import (
	"time"

	"kdoctor.io/kdoctor/internal/mesh"
)

// How long the kernel's connection tracking remembers a TCP connection, by its defaults (nf_conntrack_proto_tcp.c, tcp_timeouts;
// net.netfilter.nf_conntrack_tcp_timeout_*).
const (
	// trackedAfterReset is the timeout of the state CLOSE, which a reset leads to: that is how attempts with a whole answer end.
	trackedAfterReset = 10 * time.Second
	// trackedAfterFailure is that of SYN_SENT, FIN_WAIT and TIME_WAIT: one of them is left by an attempt without a whole answer.
	trackedAfterFailure = 120 * time.Second
)

// Footprint is what a load needs of the node that it starts from, and of whatever else on the way tracks connections.
type Footprint struct {
	// ConnectionsPerSecond is how many connections are opened, 0 where a few that stay open carry all requests.
	ConnectionsPerSecond float64
	// Conntrack is how many entries of connection tracking live at once at most while requests are answered, however late.
	Conntrack uint64
	// ConntrackFailing is the same while no request is answered: each then leaves its entry for two minutes.
	ConntrackFailing uint64
	// PortsPerTarget is how many local ports connections to one target hold at once, when every answer takes the whole timeout.
	// A reset frees its port at once; one that was closed without a whole answer may hold its port for another 60 s (tcp_fin_timeout).
	PortsPerTarget uint64
}

// FootprintOf is the footprint of the load on so many targets.
//
// With R requests a second on all targets, R new connections a second are opened. Of those, R x timeout are under way at once at most
// (not more than DefaultInFlight), and R x 10 s were reset and are still tracked; together they are never more than there are requests.
// Connections that are kept are those that were under way at once, and at least one for each target.
func FootprintOf(targets int, l mesh.Load) Footprint {
	if targets <= 0 || l.PerSecond <= 0 {
		return Footprint{}
	}
	n, total := uint64(targets), uint64(targets)*l.Requests()
	// held is how many requests to one target come due within a timeout, inFlight the same for all of them.
	held := clamp(due(l.PerSecond, l.Timeout), 1, max(1, min(l.Requests(), DefaultInFlight)))
	inFlight := min(n*held, max(n, DefaultInFlight))
	if l.Connection == mesh.KeepAlive {
		// Where nothing is answered nothing is kept either, and every attempt opens a connection of its own.
		return Footprint{Conntrack: inFlight, ConntrackFailing: min(total, n*due(l.PerSecond, trackedAfterFailure)+inFlight), PortsPerTarget: held}
	}
	f := Footprint{
		ConnectionsPerSecond: float64(targets) * float64(l.PerSecond),
		Conntrack:            min(total, n*due(l.PerSecond, trackedAfterReset)+inFlight),
		ConntrackFailing:     min(total, n*due(l.PerSecond, trackedAfterFailure)+inFlight),
		PortsPerTarget:       held,
	}
	if requests, every := l.Kept(); requests > 0 && every > 0 {
		kept := clamp(spans(l.Timeout, every), 1, requests)
		f.Conntrack += n * kept
		f.ConntrackFailing += n * min(requests, spans(trackedAfterFailure, every)+kept)
		f.PortsPerTarget += kept
	}
	return f
}

// due is how many of the requests at the rate come due within the time, rounded up.
func due(perSecond int, within time.Duration) uint64 {
	return spans(within*time.Duration(perSecond), time.Second)
}

// spans is how many intervals it takes to cover the time.
func spans(time, interval time.Duration) uint64 {
	if time <= 0 {
		return 0
	}
	return uint64((time + interval - 1) / interval) // #nosec G115 -- neither is negative
}

func clamp(n, least, most uint64) uint64 { return min(max(n, least), most) }
