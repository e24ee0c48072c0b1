package verdict

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
)

// When an agent's measurements are not trusted. docs/adr/0004-tool-limited.md says why there are such limits at all.
const (
	// missedShare is the share of due requests above which those that the agent could not send make a path doubtful. A load is said to be
	// kept up with when 99.9 % of it is sent; what is left over is too little to move a rate that anyone judges by.
	missedShare = 0.001
	// lagFloor and lagShare bound the agent's own delay. Start errors of a healthy agent are tens of microseconds at the median and
	// up to 3 ms at p99 on a shared virtual machine, so that 5 ms is beyond them. Where a longer mean delay is allowed, a tenth of it is
	// too little to decide whether it is met.
	lagFloor = 5 * time.Millisecond
	lagShare = 10
	// lagOneIn is the share of requests that must be late, and lagLeast how many at least: p99 of fewer than a hundred requests is
	// the latest of them alone, and one late wake-up says nothing.
	lagOneIn = 100
	lagLeast = 2
	// throttledShare and throttledLeast bound the CPU quota's stops: one costs the agent up to a period, usually 100 ms, on every path at once.
	// A single one can come from the moment in which a round starts.
	throttledShare = 0.05
	throttledLeast = 2
	// answeredShare is how much of what large answers ought to have brought must have come: agents to which the round is not known yet when it begins
	// give short ones.
	answeredShare = 0.9
	// filesShare is how full the table of descriptors is when what could not be sent is put down to it.
	filesShare = 0.9
	// aloneLeast is how many requests must have timed out on a path, and aloneTimes how many times as often as on most of the agent's
	// like paths, for the agent not to be the reason. Were it the reason, each path would have its share, and one with ten beside one with
	// a single one would come once in a hundred and seventy pairs, against the majority of several far more seldom.
	aloneLeast = 10
	aloneTimes = 10
)

// agentLimit is the limit that makes all of the agent's paths doubtful, as a clause that says what to do; empty for none.
func agentLimit(a report.Agent, expect Expect) string {
	if reason := throttled(a.Observer); reason != "" {
		return reason
	}
	if reason := notSent(a); reason != "" {
		return reason
	}
	return late(a.Paths, expect)
}

// throttled is about the CPU quota.
func throttled(o report.Observer) string {
	if o.ThrottledPeriods < throttledLeast || float64(o.ThrottledPeriods) <= throttledShare*float64(o.Periods) {
		return ""
	}
	return "the agent " + stops(o) + ": raise its CPU limit or lower the rate"
}

// stops says how much the CPU quota stopped an agent.
func stops(o report.Observer) string {
	share := min(1, float64(o.ThrottledPeriods)/float64(max(o.Periods, 1)))
	limit := ""
	if o.Quota > 0 {
		limit = fmt.Sprintf(" (limit %.2f cores)", o.Quota)
	}
	return fmt.Sprintf("was throttled in %.0f %% of its CPU periods%s, for %v in all", 100*share, limit, o.Throttled.Round(time.Millisecond))
}

// slow is what is known of agents that answer slowly.
type slow struct {
	// byPod are the limits that they met, as clauses. What they answered in time all the same is not made doubtful by them.
	byPod  map[string]string
	behind report.Behind
}

// slowAnswers finds the agents whose answers were slow.
func slowAnswers(round report.Round) slow {
	s := slow{byPod: map[string]string{}, behind: round.Behind()}
	for _, a := range round.Agents {
		if throttled(a.Observer) != "" {
			s.byPod[a.Pod] = fmt.Sprintf("the agent that answers, %s on node %s, %s: raise its CPU limit or lower the rate", a.Pod, a.Node, stops(a.Observer))
		}
	}
	return s
}

// on is the limit that made answers on the path slow, empty for none. Where any of several pods may answer, those that are slow explain no more
// than their share of the requests, up to three standard deviations of a uniform choice: what is beyond that has another reason.
func (s slow) on(agent string, p report.Path, stands between) string {
	if p.Target.Protocol == target.TCP {
		// A kernel answers, not the agent.
		return ""
	}
	if p.Target.Pod != "" {
		return s.byPod[p.Target.Pod]
	}
	pods, _ := s.behind.Pods(agent, p.Target.ID)
	first, hit := "", 0
	for _, pod := range pods {
		if reason := s.byPod[pod]; reason != "" {
			first, hit = cmp.Or(first, reason), hit+1
		}
	}
	if hit == 0 {
		return ""
	}
	var explained float64
	for _, f := range p.Failures {
		if stands.byAnswerer(f) {
			explained += float64(f.Count)
		}
	}
	share, made := s.share(p, stands, hit, len(pods)), float64(p.Sent)
	if explained > made*share+3*math.Sqrt(made*share*(1-share)) {
		return ""
	}
	return first
}

// share is which part of the requests slow agents can be why they fail, where so many of those that may answer are slow. What stands between may lead
// all requests of one client to the same agent: if slow ones alone answered, all went to them.
func (s slow) share(p report.Path, stands between, slow, of int) float64 {
	if !stands.relays || len(p.Peers) == 0 {
		return float64(slow) / float64(of)
	}
	for pod := range p.Peers {
		if s.byPod[pod] == "" {
			return float64(slow) / float64(of)
		}
	}
	return 1
}

// notSent is about ports and descriptors, of which the agent may run out for a while. A path on which nothing at all could be sent is left out:
// something on that path alone keeps the agent from it, such as an address family that its node does not have.
func notSent(a report.Agent) string {
	var due, failed uint64
	for _, p := range a.Paths {
		due += p.Scheduled
		if n := count(p.Failures, probe.NotSent); n < p.Sent {
			failed += n
		}
	}
	if float64(failed) <= missedShare*float64(due) {
		return ""
	}
	o := a.Observer
	switch {
	case o.FileLimit > 0 && float64(o.Files) >= filesShare*float64(o.FileLimit):
		return fmt.Sprintf("the agent could not send %d of %d due requests: %d of its %d descriptors were open: raise its limit of open files or lower the rate",
			failed, due, o.Files, o.FileLimit)
	case o.Ports > 0:
		return fmt.Sprintf("the agent could not send %d of %d due requests: it ran out of ports (it has %d), descriptors or memory for large answers: lower the rate",
			failed, due, o.Ports)
	}
	return fmt.Sprintf("the agent could not send %d of %d due requests: it ran out of ports, descriptors or memory for large answers: lower the rate", failed, due)
}

// late is about what the agent itself added to its requests, on all paths together.
func late(paths []report.Path, expect Expect) string {
	bound := max(lagFloor, expect.MeanDelay/lagShare)
	var lag stats.Histogram
	for _, p := range paths {
		lag.Merge(p.Lag)
	}
	n := lag.Count()
	// The p99 by nearest rank is above the bound when more than a hundredth is.
	many := max(lagLeast, n/lagOneIn+1)
	if n < many {
		return ""
	}
	// The many-th longest; the half keeps the rank clear of rounding.
	longest := lag.Quantile((float64(n-many) + 0.5) / float64(n))
	if longest <= bound {
		return ""
	}
	return fmt.Sprintf("the agent itself was at least %.1f ms late with %d of %d requests (limit %.1f ms): give it more CPU or lower the rate",
		milliseconds(longest), many, n, milliseconds(bound))
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// pathLimit is the limit that makes this one path doubtful; empty for none.
func pathLimit(p report.Path) string {
	notSent := count(p.Failures, probe.NotSent)
	if float64(p.Missed+notSent) <= missedShare*float64(p.Scheduled) {
		return ""
	}
	return fmt.Sprintf("the agent sent only %d of %d due requests (%s): give it more CPU or lower the rate",
		p.Sent-notSent, p.Scheduled, unsent(p.Missed, notSent))
}

// small is the limit of a path whose answers were shorter than the round asks for, which shows nothing of what large ones meet; empty for none.
// An agent gives such answers when the round is not known to it, as after a restart.
func small(p report.Path, least int) string {
	if least == 0 || p.Target.Protocol == target.TCP || float64(p.Bytes) >= answeredShare*float64(p.OK)*float64(least) {
		return ""
	}
	return fmt.Sprintf("answers had %d bytes on average instead of at least %d: agents that do not know the round, as after a restart, give short ones: run the task again",
		p.Bytes/max(p.OK, 1), least)
}

// unsent says why requests were not sent.
func unsent(missed, notSent uint64) string {
	var why []string
	if missed > 0 {
		why = append(why, fmt.Sprintf("%d could not be started in time", missed))
	}
	if notSent > 0 {
		why = append(why, fmt.Sprintf("%d had no port, descriptor or memory for a large answer", notSent))
	}
	return strings.Join(why, ", ")
}

// alone tells whether requests on path i time out so much more often than on most of the agent's other paths of the same protocol
// that the agent's own slowness cannot be why: it is slow on all of them. Protocols are held apart because they cost it differently.
// answers tells that the agent which answers on path i was slow itself: then only what it cannot cause counts.
func alone(paths []report.Path, i int, answers bool) bool {
	timeouts, made := timedOut(paths[i], answers)
	if timeouts < aloneLeast {
		return false
	}
	like, better := 0, 0
	for j, other := range paths {
		otherTimeouts, otherMade := timedOut(other, answers)
		// A path with few requests has few timeouts by chance.
		if j == i || other.Target.Protocol != paths[i].Target.Protocol || 2*otherMade < made {
			continue
		}
		like++
		if aloneTimes*otherTimeouts/otherMade <= timeouts/made {
			better++
		}
	}
	return 2*better > like
}

// timedOut is how many requests timed out, of how many that were made.
func timedOut(p report.Path, answers bool) (timeouts, made float64) {
	for _, f := range p.Failures {
		if f.Outcome == probe.Timeout && (!answers || !(between{}).byAnswerer(f)) {
			timeouts += float64(f.Count)
		}
	}
	return timeouts, float64(p.Sent - count(p.Failures, probe.NotSent) - count(p.Failures, probe.Aborted))
}
