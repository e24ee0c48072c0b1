package sheet

import (
	"fmt"
	"strconv"
	"strings"

	systemv1beta1 "kdoctor.io/kdoctor/api/system/v1beta1"
)

// figures are what one row shows: of one target, or of several taken together.
type figures struct {
	// targets are all, targetsOK those that passed, targetsVoid those of which nothing is left to judge. Each is
	// counted once: those that are none of these, have no data and are not the agent's limit, failed.
	targets, targetsOK, targetsVoid, targetsNoData, targetsLimited int
	// targetsUnknown are further ones that did not pass, of which no more is known.
	targetsUnknown int
	// sent and ok are of the requests that count, void is how many were sent beyond these.
	sent, ok, void int64
	// mean, p50, p99 and max are in milliseconds, over the successful requests; without any of these they mean nothing.
	mean, p50, p99, max float64
	// worst is the worst of the targets' outcomes.
	worst outcome
	// resent is how many segments were sent again, in how many requests.
	resent, resentIn int64
	// persistentSent, persistentOK and persistentClosed are of the stream over a connection that stays open: requests
	// that count, successes, and failures because the other side had closed it.
	persistentSent, persistentOK, persistentClosed int64
	// idleReset and idleClosed are how many of its connections the other side ended while idle.
	idleReset, idleClosed int64
	// bound is true when p50 and p99 are the highest among several targets. Percentiles cannot be added,
	// but those of the whole are never above the highest of the parts.
	bound bool
}

func figuresOf(d systemv1beta1.TargetDetail) figures {
	f := figures{targets: 1, sent: counted(d.Metrics.RequestCounts, d.Metrics.VoidRequests),
		ok: d.Metrics.SuccessCounts, void: d.Metrics.VoidRequests,
		mean: d.MeanDelay, p50: d.Metrics.Latencies.P50InMs, p99: d.Metrics.Latencies.P99InMs,
		max: d.Metrics.Latencies.MaxInMs}
	f.worst = outcomeOf(d)
	switch f.worst {
	case passed:
		f.targetsOK = 1
	case void:
		f.targetsVoid = 1
	case noData:
		f.targetsNoData = 1
	case toolLimited:
		f.targetsLimited = 1
	case failed:
	}
	f.resent, f.resentIn = d.Metrics.Retransmits, d.Metrics.RetransmittedRequests
	if k := d.Metrics.KeptConnection; k != nil {
		f.persistentSent, f.persistentOK = counted(k.RequestCounts, k.VoidRequests), k.SuccessCounts
		// The report does not say who closed the connection of each request: it may have been a pod that is gone.
		f.idleReset, f.idleClosed = k.ResetWhileIdle, k.ClosedWhileIdle
		f.persistentClosed = max(0, min(k.ClosedByOtherSide, f.persistentSent-f.persistentOK))
	}
	return f
}

// counted is how many of the requests that were sent count.
func counted(sent, void int64) int64 { return max(0, sent-void) }

// add takes further targets in.
func (f *figures) add(o figures) {
	f.bound = f.bound || o.bound || (f.ok > 0 && o.ok > 0)
	if o.ok > 0 {
		share := float64(o.ok) / float64(f.ok+o.ok)
		f.mean += (o.mean - f.mean) * share
		f.p50, f.p99, f.max = max(f.p50, o.p50), max(f.p99, o.p99), max(f.max, o.max)
	}
	f.targets += o.targets
	f.targetsOK += o.targetsOK
	f.targetsVoid += o.targetsVoid
	f.targetsNoData += o.targetsNoData
	f.targetsLimited += o.targetsLimited
	f.targetsUnknown += o.targetsUnknown
	f.sent += o.sent
	f.ok += o.ok
	f.void += o.void
	f.worst = max(f.worst, o.worst)
	f.resent += o.resent
	f.resentIn += o.resentIn
	f.persistentSent += o.persistentSent
	f.persistentOK += o.persistentOK
	f.persistentClosed += o.persistentClosed
	f.idleReset += o.idleReset
	f.idleClosed += o.idleClosed
}

// judged is how many targets are not void.
func (f figures) judged() int { return f.targets - f.targetsVoid }

// targetsFailed is how many failed.
func (f figures) targetsFailed() int {
	return f.judged() - f.targetsOK - f.targetsNoData - f.targetsLimited - f.targetsUnknown
}

// notPassed is how many of those that are judged did not pass.
func (f figures) notPassed() int { return f.judged() - f.targetsOK }

// others tells what became of the targets that are judged and did not pass, such as "2 failed, 1 tool-limited"; it is
// empty where all passed.
func (f figures) others() string {
	var parts []string
	for _, class := range []struct {
		n    int
		what string
	}{{f.targetsFailed(), "failed"}, {f.targetsNoData, noData.String()}, {f.targetsLimited, toolLimited.String()},
		{f.targetsUnknown, "that did not pass either"}} {
		if class.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", class.n, class.what))
		}
	}
	return strings.Join(parts, ", ")
}

// allVoid reports whether there are targets, and nothing is left of any.
func (f figures) allVoid() bool { return f.targets > 0 && f.judged() == 0 }

// outcome is the outcome of all targets together.
func (f figures) outcome() outcome {
	switch {
	case f.allVoid():
		return void
	case f.targetsOK == f.judged():
		return passed
	case !f.worst.fails():
		return failed
	default:
		return f.worst
	}
}

// latencies are the cells MEAN, P50, P99 and MAX.
func (f figures) latencies() [4]string {
	if f.ok == 0 {
		return [4]string{"-", "-", "-", "-"}
	}
	mark := ""
	if f.bound {
		mark = "≤"
	}
	return [4]string{milliseconds(f.mean), mark + milliseconds(f.p50), mark + milliseconds(f.p99), milliseconds(f.max)}
}

// milliseconds keeps two decimals while they mean something.
func milliseconds(ms float64) string {
	if ms < 1000 {
		return strconv.FormatFloat(ms, 'f', 2, 64)
	}
	return strconv.FormatFloat(ms, 'f', 0, 64)
}

func ratio[T int | int64](part, whole T) string {
	return strconv.FormatInt(int64(part), 10) + "/" + strconv.FormatInt(int64(whole), 10)
}
