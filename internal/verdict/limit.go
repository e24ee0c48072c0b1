package verdict

import (
	"iter"
	"math"
	"time"

	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
)

// When an agent's measurements are not trusted. docs/adr/0004-tool-limited.md says why there are such limits at all.
const (
	// missedShare is the share of due requests above which unsent requests make a path doubtful. Sending 99.9 % of a
	// load counts as keeping up with it; the rest is too little to move a rate that anyone judges by.
	missedShare = 0.001
	// lagFloor and lagShare bound the agent's own delay. Start errors of a healthy agent are tens of microseconds at
	// the median and up to 3 ms at p99 on a shared virtual machine, so 5 ms is beyond them. If a longer mean delay is
	// allowed, one part in lagShare of it is too little to decide whether the mean delay is met.
	lagFloor = 5 * time.Millisecond
	lagShare = 10
	// lagOneIn is one in how many requests must be late, lagLeast how many must be late at least: p99 of fewer than a
	// hundred requests is only the latest one, and one late wake-up is no evidence.
	lagOneIn = 100
	lagLeast = 2
	// throttledShare and throttledLeast bound the CPU quota's stops. One stop costs the agent up to a period, usually
	// 100 ms, on every path at once. A single stop can come from the moment in which a round starts.
	throttledShare = 0.05
	throttledLeast = 2
	// answeredShare is the share of the expected bytes that large answers must have brought: agents that do not know
	// the round yet when it begins give short answers.
	answeredShare = 0.9
	// filesShare is how full the table of descriptors must be for unsent requests to be put down to it.
	filesShare = 0.9
)

// agentLimit is the limit that makes all of the agent's paths doubtful; nil for none.
func agentLimit(a *report.AgentReport, expect Expect) *Reason {
	if reason := throttled(a.Observer); reason != nil {
		return reason
	}
	if reason := outOfResources(a); reason != nil {
		return reason
	}
	return lateRequests(a, expect)
}

// throttled returns the limit of the CPU quota, nil if the agent did not meet it.
func throttled(o report.Observer) *Reason {
	if o.ThrottledPeriods < throttledLeast || float64(o.ThrottledPeriods) <= throttledShare*float64(o.Periods) {
		return nil
	}
	r := Reason{Code: Throttled, Count: o.ThrottledPeriods, Of: o.Periods, Delay: o.Throttled}
	if o.Quota > 0 && !math.IsInf(o.Quota, 0) {
		// A bad value from an agent must not make a reason that JSON cannot hold.
		r.Cores = o.Quota
	}
	return &r
}

// outOfResources returns the limit of ports and descriptors, which an agent may run out of for a while; nil if it did
// not. A path on which nothing at all could be sent is left out: something on that path alone prevents sending, such as
// an address family that the node does not have.
func outOfResources(a *report.AgentReport) *Reason {
	var due, failed uint64
	for p := range allPaths(a) {
		due += p.Scheduled
		if n := countRequests(p, 0).notSent; n < p.Sent {
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

// allPaths returns the agent's listed paths, and its sums like paths.
func allPaths(a *report.AgentReport) iter.Seq[*report.Path] {
	return func(yield func(*report.Path) bool) {
		for i := range a.Paths {
			if !yield(&a.Paths[i]) {
				return
			}
		}
		for i := range a.Sums {
			if !yield(&a.Sums[i].Total) {
				return
			}
		}
	}
}

// lateRequests returns the limit of the agent's own delay, on all paths together; nil if the agent was not late.
func lateRequests(a *report.AgentReport, expect Expect) *Reason {
	bound := max(lagFloor, expect.MeanDelay/lagShare)
	var lag stats.Histogram
	for p := range allPaths(a) {
		lag.Merge(p.Lag)
	}
	n := lag.Count()
	// The p99 by nearest rank is above the bound if more than a hundredth of the requests is.
	many := max(lagLeast, n/lagOneIn+1)
	if n < many {
		return nil
	}
	// Quantile returns the many-th longest delay; the half keeps the rank clear of rounding.
	longest := lag.Quantile((float64(n-many) + 0.5) / float64(n))
	if longest <= bound {
		return nil
	}
	return &Reason{Code: Late, Count: many, Of: n, Delay: longest, Allowed: bound}
}

// pathLimit returns the limit that makes this one path doubtful, nil for none. The path must still include its excused
// requests.
func pathLimit(p *report.Path) *Reason {
	n := countRequests(p, 0)
	if float64(n.missed+n.notSent) <= missedShare*float64(n.due-min(n.due, n.excused)) {
		return nil
	}
	due, sent := n.due-min(n.due, n.excused), p.Sent-min(p.Sent, n.excused+n.notSent)
	return &Reason{Code: Unsent, Count: sent, Of: due, Missed: n.missed, NotSent: n.notSent}
}

// shortAnswers returns the limit of a path whose answers were shorter than the round asks for, zero for none. Short
// answers do not show what large answers meet. An agent gives short answers when it does not know the round, as after a
// restart.
func shortAnswers(p *report.Path, least int) Reason {
	if !p.Target.Answers() || float64(p.Bytes) >= answeredShare*float64(p.OK)*float64(least) {
		return Reason{}
	}
	return Reason{Code: ShortAnswers, Count: p.Bytes / p.OK,
		Of: uint64(least)} // #nosec G115 -- it is positive: more than no byte was missing
}
