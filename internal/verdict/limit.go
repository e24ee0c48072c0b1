package verdict

import (
	"math"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
)

// When an agent's measurements are not trusted. docs/adr/0004-tool-limited.md says why there are such limits at all.
const (
	// missedShare is the share of due requests above which those that the agent could not send make a path doubtful. A
	// load is said to be kept up with when 99.9 % of it is sent; what is left over is too little to move a rate that
	// anyone judges by.
	missedShare = 0.001
	// lagFloor and lagShare bound the agent's own delay. Start errors of a healthy agent are tens of microseconds at
	// the median and up to 3 ms at p99 on a shared virtual machine, so that 5 ms is beyond them. Where a longer mean
	// delay is allowed, a tenth of it is too little to decide whether it is met.
	lagFloor = 5 * time.Millisecond
	lagShare = 10
	// lagOneIn is the share of requests that must be late, and lagLeast how many at least: p99 of fewer than a hundred
	// requests is the latest of them alone, and one late wake-up says nothing.
	lagOneIn = 100
	lagLeast = 2
	// throttledShare and throttledLeast bound the CPU quota's stops: one costs the agent up to a period, usually 100
	// ms, on every path at once. A single one can come from the moment in which a round starts.
	throttledShare = 0.05
	throttledLeast = 2
	// answeredShare is how much of what large answers ought to have brought must have come: agents to which the round
	// is not known yet when it begins give short ones.
	answeredShare = 0.9
	// filesShare is how full the table of descriptors is when what could not be sent is put down to it.
	filesShare = 0.9
)

// agentLimit is the limit that makes all of the agent's paths doubtful; nil for none.
func agentLimit(a *report.Agent, expect Expect) *Reason {
	if reason := throttled(a.Observer); reason != nil {
		return reason
	}
	if reason := notSent(a); reason != nil {
		return reason
	}
	return late(a.Paths, expect)
}

// throttled is about the CPU quota.
func throttled(o report.Observer) *Reason {
	if o.ThrottledPeriods < throttledLeast || float64(o.ThrottledPeriods) <= throttledShare*float64(o.Periods) {
		return nil
	}
	r := Reason{Code: Throttled, Count: o.ThrottledPeriods, Of: o.Periods, Delay: o.Throttled}
	if o.Quota > 0 && !math.IsInf(o.Quota, 0) {
		// An agent's nonsense must not make a reason that JSON cannot hold.
		r.Cores = o.Quota
	}
	return &r
}

// notSent is about ports and descriptors, of which the agent may run out for a while. A path on which nothing at all
// could be sent is left out: something on that path alone keeps the agent from it, such as an address family that its
// node does not have.
func notSent(a *report.Agent) *Reason {
	var due, failed uint64
	for i := range a.Paths {
		p := &a.Paths[i]
		due += p.Scheduled
		if n := requestsOf(p, 0).notSent; n < p.Sent {
			failed += n
		}
	}
	if float64(failed) <= missedShare*float64(due) {
		return nil
	}
	o := a.Observer
	if o.FileLimit > 0 && float64(o.Files) >= filesShare*float64(o.FileLimit) {
		return &Reason{Code: OutOfFiles, Count: failed, Of: due, Used: o.Files, Room: o.FileLimit}
	}
	return &Reason{Code: OutOfPorts, Count: failed, Of: due, Room: o.Ports}
}

// late is about what the agent itself added to its requests, on all paths together.
func late(paths []report.Path, expect Expect) *Reason {
	bound := max(lagFloor, expect.MeanDelay/lagShare)
	var lag stats.Histogram
	for i := range paths {
		lag.Merge(paths[i].Lag)
	}
	n := lag.Count()
	// The p99 by nearest rank is above the bound when more than a hundredth is.
	many := max(lagLeast, n/lagOneIn+1)
	if n < many {
		return nil
	}
	// The many-th longest; the half keeps the rank clear of rounding.
	longest := lag.Quantile((float64(n-many) + 0.5) / float64(n))
	if longest <= bound {
		return nil
	}
	return &Reason{Code: Late, Count: many, Of: n, Delay: longest, Allowed: bound}
}

// pathLimit is the limit that makes this one path doubtful, whose excused requests are still in it; nil for none.
func pathLimit(p *report.Path) *Reason {
	n := requestsOf(p, 0)
	if float64(n.missed+n.notSent) <= missedShare*float64(n.due-min(n.due, n.excused)) {
		return nil
	}
	due, sent := n.due-min(n.due, n.excused), p.Sent-min(p.Sent, n.excused+n.notSent)
	return &Reason{Code: Unsent, Count: sent, Of: due, Missed: n.missed, NotSent: n.notSent}
}

// small is the limit of a path whose answers were shorter than the round asks for, which shows nothing of what large
// ones meet; zero for none. An agent gives such answers when the round is not known to it, as after a restart.
func small(p *report.Path, least int) Reason {
	if !p.Target.Answers() || float64(p.Bytes) >= answeredShare*float64(p.OK)*float64(least) {
		return Reason{}
	}
	return Reason{Code: ShortAnswers, Count: p.Bytes / p.OK,
		Of: uint64(least)} // #nosec G115 -- it is positive: more than no byte was missing
}
