package mesh

import (
	"math"
	"time"

	"kdoctor.io/kdoctor/internal/report"
)

// trackedAfterReset is how long the kernel tracks a TCP connection after the RST that closes it: net.netfilter.nf_conntrack_tcp_timeout_close,
// by default 10 s. A connection that ends by FIN stays for 120 s.
const trackedAfterReset = 10 * time.Second

// Footprint is what a load costs the node of the agent that makes it, and whatever else on the way tracks connections.
type Footprint struct {
	// Connections is how many new connections the agent opens a second.
	Connections int
	// Tracked is the most entries that they hold at a time in the node's table of tracked connections, where the node tracks them.
	Tracked int
	// Ports is the most local ports that connections to one target hold at a time.
	Ports int
}

// Footprint is that of the load on so many targets, when every answer takes as long as it may.
//
// With R requests a second to a target, ceil(R x timeout) of them are under way at once, each with a port and an entry, and R x 10 s ended before
// and are still tracked; both together are never more than there are requests. Attempts that nobody answers stay tracked for longer
// (120 s by default): that comes on top. A connection that stays open counts as an entry and not as a new one, because it is opened once.
func (l Load) Footprint(targets int) Footprint {
	requests := int(l.Requests()) // #nosec G115 -- a day at 1000 a second is far below the limit
	underWay := min(requests, max(over(l.PerSecond, l.Timeout), 1))
	if l.Connection == KeepAlive {
		return Footprint{Tracked: targets * underWay, Ports: underWay}
	}
	f := Footprint{Connections: targets * l.PerSecond, Ports: underWay}
	f.Tracked = targets * min(requests, underWay+over(l.PerSecond, trackedAfterReset))
	if l.Connection == Both {
		f.Tracked, f.Ports = f.Tracked+targets, f.Ports+1
	}
	return f
}

// over is how many requests at the rate come due within the time, rounded up.
func over(perSecond int, within time.Duration) int {
	return int((time.Duration(perSecond)*within + time.Second - 1) / time.Second)
}

// keptLeast is the least number of requests of a kept stream; see Load.Kept.
const keptLeast = 3

// Sends is how many requests a second the load sends to so many targets, rounded up. The kept stream of Both counts as a tenth of
// the counted requests, and as no less than its three requests over the load's duration.
func (l Load) Sends(targets int) int {
	counted := targets * l.PerSecond
	if l.Connection != Both {
		return counted
	}
	return max(ceil(counted*(keptShare+1), keptShare), counted+ceil(keptLeast*targets, l.seconds()))
}

// Fits is the largest whole rate with which so many targets get at most limit requests a second, by the count of Sends; it may be 0 or less.
// Without a limit or without targets every rate fits.
func (l Load) Fits(targets, limit int) int {
	switch {
	case limit <= 0 || targets <= 0:
		return math.MaxInt
	case l.Connection != Both:
		return limit / targets
	}
	seconds := l.seconds()
	return min(limit*keptShare/((keptShare+1)*targets), (limit*seconds-keptLeast*targets)/(targets*seconds))
}

// seconds is the duration in whole seconds, at least 1.
func (l Load) seconds() int { return max(int(l.Duration/time.Second), 1) }

func ceil(a, b int) int { return (a + b - 1) / b }

// within lowers the rate to the largest whole number, at least 1, that keeps all limits. It tells both rates, and what the lower one costs.
func within(ask Ask, limits Limits) (Load, report.Load) {
	asked, given := ask.Load, ask.Load
	agent, total := asked.Fits(ask.Most, limits.PerAgent), asked.Fits(ask.All, limits.Total)
	given.PerSecond = min(asked.PerSecond, max(min(agent, total), 1))
	cost := given.Footprint(ask.Most)
	told := report.Load{Asked: asked.PerSecond, Given: given.PerSecond, Limit: limits.PerAgent, Targets: ask.Most, Sends: given.Sends(ask.Most),
		TotalLimit: limits.Total, TotalTargets: ask.All, TotalSends: given.Sends(ask.All), ByTotal: given.PerSecond < asked.PerSecond && total < agent,
		Others: limits.Others, OthersTotal: limits.OthersTotal,
		Connections: cost.Connections, Tracked: cost.Tracked, Ports: cost.Ports}
	return given, told
}
