package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// doubt is what speaks against trusting a path's measurements.
type doubt struct {
	// agent is the limit that the agent met on all of its paths, limit the one it met on this path, one of which the agent's is the first;
	// both are empty for none.
	agent, limit string
	// answer is the limit that an agent met which may answer on this path, as a clause; empty for none.
	answer string
	between
	// alone tells whether requests time out on this path and hardly on the agent's others; nil is no.
	alone func() bool
}

// between is what stands between an agent and those that answer it.
type between struct {
	// relays tells that it is something which ends connections itself and speaks for the agents behind it, and gateway that all unexpected
	// statuses are such as it gives when it hears nothing from them.
	relays, gateway bool
}

// betweenOf is what stands on the path, whose void requests must still be in it.
func betweenOf(p report.Path) between {
	return between{relays: p.Target.Kind == target.LoadBalancer || p.Target.Kind == target.Ingress, gateway: p.Gateway() && (p.Kept == nil || p.Kept.Gateway())}
}

// slowness is the limit that can make requests slow or let them time out; empty for none.
func (d doubt) slowness() string { return cmp.Or(d.limit, d.answer) }

// explains tells whether requests can have failed so because the agent that asks, or one that answers, was slow.
func (d doubt) explains(f report.Failure) bool {
	return (d.limit != "" && byAsker(f)) || (d.answer != "" && d.byAnswerer(f))
}

// JudgePath judges one path of an agent of which nothing but this path is known: whatever the rest of its report says against it is left out.
func JudgePath(p report.Path, expect Expect) Path {
	stands := betweenOf(p)
	p = p.WithoutVoid()
	return judgePath(p, expect, doubt{limit: pathLimit(p), between: stands})
}

// judgePath judges the counted requests and the kept stream apart; what weighs more decides.
func judgePath(p report.Path, expect Expect, d doubt) Path {
	judged := Path{Target: p.Target.ID}
	judged.Result, judged.Reason = judgeCounted(p, expect, d)
	if result, reason := judgeKept(p.Kept, expect, d); worse(result, judged.Result) {
		judged.Result, judged.Reason = result, reason
	}
	return judged
}

// judgeCounted judges the counted requests. The order is: was anything measured, did enough succeed, was it fast enough,
// could the agent measure at all. Requests that the agent could not send, or that were cut off by the end of the round,
// say nothing about the path and are left out of its rate.
func judgeCounted(p report.Path, expect Expect, d doubt) (Result, string) {
	made := p.Sent - count(p.Failures, probe.NotSent) - count(p.Failures, probe.Aborted)
	switch {
	case made == 0:
		return NoData, because(fmt.Sprintf("no request was sent (%d were due)%s", p.Scheduled, worst(p.Failures)), "; ", d.agent)
	case short(p.OK, made, expect.SuccessRate):
		return failed(p.OK, made, p.Failures, expect, d)
	case p.OK > 0 && expect.MeanDelay > 0 && p.Latency.Mean() > expect.MeanDelay:
		reason := fmt.Sprintf("mean delay %.3f ms is above the expected %d ms", float64(p.Latency.Mean())/float64(time.Millisecond), expect.MeanDelay.Milliseconds())
		if slowness := d.slowness(); slowness != "" {
			return ToolLimited, because(reason, ", but ", slowness)
		}
		return Fail, reason
	case p.OK == 0 && expect.MeanDelay > 0:
		return NoData, because("no request succeeded, so there is no delay to judge"+worst(p.Failures), "; ", d.limit)
	case d.limit != "":
		return ToolLimited, d.limit
	}
	return Pass, ""
}

// judgeKept judges the stream over connections that stay open. Requests that found their connection closed by the other side count
// neither way: HTTP lets a server close an idle connection at any moment. A stream without one reused connection proves nothing.
func judgeKept(kept *report.Path, expect Expect, d doubt) (Result, string) {
	if kept == nil || kept.Reused == 0 {
		return Pass, ""
	}
	failures, closed := withoutClosed(kept.Failures, kept.Closed)
	made := kept.Sent - closed - count(failures, probe.NotSent) - count(failures, probe.Aborted)
	if made == 0 || !short(kept.OK, made, expect.SuccessRate) {
		return Pass, ""
	}
	// Whether the counted requests fail alone says nothing about these.
	d.agent, d.alone = "", nil
	result, reason := failed(kept.OK, made, failures, expect, d)
	return result, "over a kept connection: " + reason
}

// withoutClosed takes so many failures away from those that a connection closed by the other side leads to (a reset or an early end before
// the answer's first byte), and tells how many there were to take.
func withoutClosed(failures []report.Failure, closed uint64) (rest []report.Failure, taken uint64) {
	rest = slices.Clone(failures)
	for i := range rest {
		f := &rest[i]
		if f.Phase != probe.FirstByte || (f.Outcome != probe.Reset && f.Outcome != probe.BadAnswer) {
			continue
		}
		n := min(f.Count, closed-taken)
		f.Count -= n
		taken += n
	}
	return rest, taken
}

// failed judges requests of which too few succeeded. Where an agent met a limit, they fail only when enough of them failed in ways
// that no slow agent can cause, or when they time out on this path alone.
func failed(ok, made uint64, failures []report.Failure, expect Expect, d doubt) (Result, string) {
	reason := fmt.Sprintf("%d of %d requests succeeded, expected a rate of at least %v%s", ok, made, expect.SuccessRate, worst(failures))
	var certain uint64
	for _, f := range failures {
		if !d.explains(f) {
			certain += f.Count
		}
	}
	switch {
	case d.slowness() == "":
		return Fail, reason
	case short(made-min(made, certain), made, expect.SuccessRate):
		return Fail, reason
	case d.alone != nil && d.alone():
		return Fail, reason
	}
	return ToolLimited, because(reason, ", but ", d.slowness())
}

// byAsker tells whether requests can have failed so because the agent that asked was slow. All else somebody else answered, or refused to.
func byAsker(f report.Failure) bool {
	return f.Outcome == probe.Timeout || f.Outcome == probe.NotSent || f.Outcome == probe.Aborted
}

// byAnswerer tells whether requests can have failed so because an agent was slow that may answer them. Its kernel takes connections, however
// slow it is. Load balancers and Ingresses do not wait as long as the asker: they close the connection without a byte, or answer for the agent.
func (b between) byAnswerer(f report.Failure) bool {
	switch f.Outcome {
	case probe.Timeout:
		return f.Phase > probe.Connect
	case probe.Reset, probe.BadAnswer:
		return b.relays && f.Phase == probe.FirstByte
	case probe.BadStatus:
		return b.relays && b.gateway
	case probe.NotSent, probe.Aborted:
		return true
	case probe.OK, probe.Refused, probe.Unreachable, probe.DNSFailed, probe.TLSFailed, probe.WrongPeer, probe.Other, probe.Outcomes:
	}
	return false
}

// because adds the limit that the agent met, if any, with the words that join it.
func because(reason, join, limit string) string {
	if limit == "" {
		return reason
	}
	return reason + join + limit
}

// short tells whether ok of total misses the rate. The tolerance is for rates such as 0.07 that binary floats cannot hold:
// it is far below one request for any count that fits a round.
func short(ok, total uint64, rate float64) bool {
	want := rate * float64(total)
	return float64(ok) < want-1e-9*max(want, 1)
}

// count is how many requests had the outcome.
func count(failures []report.Failure, outcome probe.Outcome) uint64 {
	var total uint64
	for _, f := range failures {
		if f.Outcome == outcome {
			total += f.Count
		}
	}
	return total
}

// worst names the most frequent failure.
func worst(failures []report.Failure) string {
	var most report.Failure
	for _, f := range failures {
		if f.Count > most.Count {
			most = f
		}
	}
	if most.Count == 0 {
		return ""
	}
	if phase := most.Phase.String(); phase != "" {
		return fmt.Sprintf(" (%d %s at %s)", most.Count, most.Outcome, phase)
	}
	return fmt.Sprintf(" (%d %s)", most.Count, most.Outcome)
}
