package wire

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "kdoctor.io/kdoctor/api/agent/v1"
	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
)

// Report returns the message for an agent's report; the caller adds its Key. A report without an end is of a running
// round. A report with an end is of a finished round when Finished is true, and of a stopped round otherwise. Via is
// not sent: the receiver knows it.
func Report(r report.AgentReport) *agentv1.AgentReport {
	m := &agentv1.AgentReport{
		Pod: r.Pod, Node: r.Node,
		State:   stateOf(r),
		Started: timestamp(r.Started), Ended: timestamp(r.Ended),
		Paths:  make([]*agentv1.Path, len(r.Paths)),
		Served: r.Served, ServedPersistent: r.ServedPersistent,
		Observer: observer(r.Observer), Release: r.Release,
	}
	for i, p := range r.Paths {
		m.Paths[i] = path(p)
	}
	for _, path := range r.NotListed {
		m.NotListed = append(m.NotListed, path.Index<<classBits|uint32(path.Class))
	}
	for _, sum := range r.Sums {
		total := path(sum.Total)
		m.Sums = append(m.Sums, &agentv1.Sum{Group: sum.Group, Paths: sum.Paths, NotPassed: sum.NotPassed,
			Total: total})
	}
	if r.Resources.Known {
		m.Resources = &agentv1.Resources{Known: true, MaxCpuPercent: r.Resources.MaxCPU,
			MeanCpuPercent: r.Resources.MeanCPU, MaxMemoryBytes: r.Resources.MaxMemory}
	}
	return m
}

func stateOf(r report.AgentReport) agentv1.RoundState {
	switch {
	case r.Ended.IsZero():
		return agentv1.RoundState_ROUND_STATE_RUNNING
	case r.Finished:
		return agentv1.RoundState_ROUND_STATE_FINISHED
	default:
		return agentv1.RoundState_ROUND_STATE_STOPPED
	}
}

func path(p report.Path) *agentv1.Path {
	m := stream(p)
	m.TargetId = p.Target.ID
	if p.Persistent != nil {
		m.Persistent = stream(*p.Persistent)
	}
	return m
}

// stream returns the message for a path without its target's ID and its persistent stream.
func stream(p report.Path) *agentv1.Path {
	m := &agentv1.Path{
		Scheduled: p.Scheduled, Sent: p.Sent, Missed: p.Missed, Ok: p.OK,
		Latency: histogram(p.Latency), Response: histogram(p.Response), Lag: histogram(p.Lag), Kernel: p.Kernel,
		Retransmits: p.Retransmits, Retransmitted: p.Retransmitted, Reused: p.Reused, Closed: p.Closed,
		IdleResets: p.IdleResets, IdleCloses: p.IdleCloses,
		Peers: p.Peers, Bytes: p.Bytes,
		Started: timestamp(p.Started), Ended: timestamp(p.Ended),
	}
	for _, f := range p.Failures {
		failure := &agentv1.Failure{Outcome: f.Outcome.String(), Phase: f.Phase.String(), Count: f.Count}
		for _, example := range f.Examples[:min(len(f.Examples), MaxExamples)] {
			failure.Examples = append(failure.Examples, Printable(example))
		}
		failure.Spans = spans(f.Spans)
		m.Failures = append(m.Failures, failure)
	}
	for phase, spent := range p.Phases {
		if spent.Count > 0 {
			m.Phases = append(m.Phases,
				&agentv1.PhaseTime{Phase: probe.Phase(phase).String(),
					Count: spent.Count, // #nosec G115 -- an index of the array
					Sum:   durationpb.New(spent.Sum), Max: durationpb.New(spent.Max)})
		}
	}
	if len(p.Statuses) > 0 {
		m.Statuses = make(map[int32]uint64, len(p.Statuses))
		for status, n := range p.Statuses {
			m.Statuses[int32(status)] = n // #nosec G115 -- an HTTP status has three digits
		}
	}
	return m
}

func observer(o report.Observer) *agentv1.Observer {
	return &agentv1.Observer{QuotaCores: o.Quota, Periods: o.Periods, ThrottledPeriods: o.ThrottledPeriods,
		Throttled: durationpb.New(o.Throttled), LongestPause: durationpb.New(o.LongestPause), Files: o.Files,
		FileLimit: o.FileLimit,
		Ports:     o.Ports, Conntrack: o.Conntrack, ConntrackLimit: o.ConntrackLimit, Grid: o.FixedWakeups}
}

func histogram(h stats.Histogram) []byte {
	b, err := h.MarshalBinary()
	if err != nil {
		return nil // Never: writing to memory cannot fail. ParseReport refuses an empty histogram field.
	}
	return b
}

// Printable returns the message in a form that can be sent: valid UTF-8 without control characters, at most
// MaxExampleBytes.
func Printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.ToValidUTF8(s[:min(len(s), MaxExampleBytes)], "")
}

// ParseReport reads an agent's report. It refuses a report whose counts do not add up, or in which a target stands
// twice: a report that is not consistent in itself proves nothing about the network. The paths' targets have nothing
// but their ID: mesh.Plan.Attach adds what the plan knows of them.
func ParseReport(m *agentv1.AgentReport) (report.AgentReport, error) {
	if m == nil {
		return report.AgentReport{}, errors.New("report is missing")
	}
	r := report.AgentReport{Pod: m.GetPod(), Node: m.GetNode(), Served: m.GetServed(),
		ServedPersistent: m.GetServedPersistent(), Release: m.GetRelease()}
	if err := errors.Join(text("pod", r.Pod, 1, maxNameBytes), text("node", r.Node, 0, maxNameBytes),
		text("release", r.Release, 0, maxNameBytes)); err != nil {
		return report.AgentReport{}, fmt.Errorf("report: %w", err)
	}
	var err error
	if r.Started, r.Ended, err = parseTimes("round", m.GetStarted(), m.GetEnded()); err != nil {
		return report.AgentReport{}, fmt.Errorf("report: %w", err)
	}
	r.Finished = m.GetState() == agentv1.RoundState_ROUND_STATE_FINISHED
	if m.GetState() != stateOf(r) {
		return report.AgentReport{}, fmt.Errorf("report: state %s does not fit its times", m.GetState())
	}
	if r.Resources, err = parseResources(m.GetResources()); err != nil {
		return report.AgentReport{}, fmt.Errorf("report: %w", err)
	}
	if r.Observer, err = parseObserver(m.GetObserver()); err != nil {
		return report.AgentReport{}, fmt.Errorf("report: %w", err)
	}
	if len(m.GetPaths()) > MaxTargets {
		return report.AgentReport{}, fmt.Errorf("report: %d paths, allowed are %d", len(m.GetPaths()), MaxTargets)
	}
	seen := make(map[string]bool, len(m.GetPaths()))
	for i, path := range m.GetPaths() {
		p, err := parsePath(path)
		if err != nil {
			return report.AgentReport{}, fmt.Errorf("report: path %d: %w", i, err)
		}
		if seen[p.Target.ID] {
			return report.AgentReport{}, fmt.Errorf("report: path %d: target %q stands twice", i, p.Target.ID)
		}
		seen[p.Target.ID] = true
		r.Paths = append(r.Paths, p)
	}
	if r.Sums, r.NotListed, err = parseSums(m); err != nil {
		return report.AgentReport{}, fmt.Errorf("report: %w", err)
	}
	return r, nil
}

func parseResources(m *agentv1.Resources) (report.Resources, error) {
	if !m.GetKnown() {
		return report.Resources{}, nil
	}
	r := report.Resources{Known: true, MaxCPU: m.GetMaxCpuPercent(), MeanCPU: m.GetMeanCpuPercent(),
		MaxMemory: m.GetMaxMemoryBytes()}
	for _, share := range []float64{r.MaxCPU, r.MeanCPU} {
		if math.IsNaN(share) || share < 0 || share > 1e6 {
			return report.Resources{}, fmt.Errorf("resources: CPU use of %v %% cannot be", share)
		}
	}
	return r, nil
}

func parseObserver(m *agentv1.Observer) (report.Observer, error) {
	o := report.Observer{Quota: m.GetQuotaCores(), Periods: m.GetPeriods(), ThrottledPeriods: m.GetThrottledPeriods(),
		Throttled: m.GetThrottled().AsDuration(), LongestPause: m.GetLongestPause().AsDuration(), Files: m.GetFiles(),
		FileLimit: m.GetFileLimit(),
		Ports:     m.GetPorts(), Conntrack: m.GetConntrack(), ConntrackLimit: m.GetConntrackLimit(),
		FixedWakeups: m.GetGrid()}
	switch {
	case math.IsNaN(o.Quota), o.Quota < 0, o.Quota > 1e6:
		return report.Observer{}, fmt.Errorf("observer: a CPU limit of %v cores cannot be", o.Quota)
	case o.ThrottledPeriods > o.Periods:
		return report.Observer{},
			fmt.Errorf("observer: %d of %d periods cannot be throttled", o.ThrottledPeriods, o.Periods)
	case o.Throttled < 0, o.LongestPause < 0:
		return report.Observer{}, errors.New("observer: a time is negative")
	}
	return o, nil
}

func parsePath(m *agentv1.Path) (report.Path, error) {
	p, err := parseStream(m)
	if err != nil {
		return report.Path{}, err
	}
	// Agents of the release before send the whole target in place of its ID.
	p.Target.ID = cmp.Or(m.GetTargetId(), m.GetTarget().GetId())
	if err := text("target ID", p.Target.ID, 1, maxIDBytes); err != nil {
		return report.Path{}, err
	}
	if m.GetPersistent() == nil {
		return p, nil
	}
	persistent, err := parseStream(m.GetPersistent())
	if err != nil {
		return report.Path{}, fmt.Errorf("persistent stream: %w", err)
	}
	persistent.Target = p.Target
	p.Persistent = &persistent
	return p, nil
}

// parseStream reads a path without its target and its persistent stream.
func parseStream(m *agentv1.Path) (report.Path, error) {
	p := report.Path{Scheduled: m.GetScheduled(), Sent: m.GetSent(), Missed: m.GetMissed(), OK: m.GetOk(),
		Bytes: m.GetBytes(), Kernel: m.GetKernel(),
		Retransmits: m.GetRetransmits(), Retransmitted: m.GetRetransmitted(), Reused: m.GetReused(),
		Closed:     m.GetClosed(),
		IdleResets: m.GetIdleResets(), IdleCloses: m.GetIdleCloses()}
	var err error
	if p.Started, p.Ended, err = parseTimes("path", m.GetStarted(), m.GetEnded()); err != nil {
		return report.Path{}, err
	}
	if err := p.Latency.UnmarshalBinary(m.GetLatency()); err != nil {
		return report.Path{}, fmt.Errorf("latency: %w", err)
	}
	if err := p.Response.UnmarshalBinary(m.GetResponse()); err != nil {
		return report.Path{}, fmt.Errorf("response: %w", err)
	}
	if err := p.Lag.UnmarshalBinary(m.GetLag()); err != nil {
		return report.Path{}, fmt.Errorf("lag: %w", err)
	}
	if p.Phases, err = parsePhases(m.GetPhases(), p.OK); err != nil {
		return report.Path{}, err
	}
	if p.Failures, err = parseFailures(m.GetFailures(), longest(p)); err != nil {
		return report.Path{}, err
	}
	if err := parseAnswers(m, &p); err != nil {
		return report.Path{}, err
	}
	return p, checkCounts(p)
}

// parsePhases reads the time spent in each phase. No phase can have had more attempts than most, the number of
// successful attempts.
func parsePhases(messages []*agentv1.PhaseTime, most uint64) (phases [probe.Phases]report.Phase, err error) {
	for _, m := range messages {
		phase, err := probe.ParsePhase(m.GetPhase())
		if err != nil {
			return phases, err
		}
		spent := report.Phase{Count: m.GetCount(), Sum: m.GetSum().AsDuration(), Max: m.GetMax().AsDuration()}
		if spent.Count == 0 || spent.Count > most || spent.Max < 0 || spent.Sum < spent.Max || phases[phase].Count > 0 {
			return phases, fmt.Errorf("phase %q, %d times, %v in all and %v at most, cannot be", phase, spent.Count,
				spent.Sum, spent.Max)
		}
		phases[phase] = spent
	}
	return phases, nil
}

func parseFailures(messages []*agentv1.Failure, longest time.Duration) ([]report.Failure, error) {
	if len(messages) > int(probe.Outcomes)*int(probe.Phases) {
		return nil, fmt.Errorf("%d kinds of failure are more than there are", len(messages))
	}
	type kind struct {
		probe.Outcome
		probe.Phase
	}
	var failures []report.Failure
	seen := map[kind]bool{}
	for _, m := range messages {
		outcome, err := probe.ParseOutcome(m.GetOutcome())
		if err != nil {
			return nil, fmt.Errorf("failure: %w", err)
		}
		phase, err := probe.ParsePhase(m.GetPhase())
		if err != nil {
			return nil, fmt.Errorf("failure: %w", err)
		}
		if outcome == probe.OK || m.GetCount() == 0 || len(m.GetExamples()) > MaxExamples ||
			seen[kind{outcome, phase}] {
			return nil, fmt.Errorf("failure %s %s: it is none, stands twice, or has too many examples", outcome, phase)
		}
		seen[kind{outcome, phase}] = true
		for _, example := range m.GetExamples() {
			if err := text("example", example, 0, MaxExampleBytes); err != nil {
				return nil, fmt.Errorf("failure %s: %w", outcome, err)
			}
		}
		spans, err := parseSpans(m, longest)
		if err != nil {
			return nil, fmt.Errorf("failure %s: %w", outcome, err)
		}
		failures = append(failures,
			report.Failure{Outcome: outcome, Phase: phase, Count: m.GetCount(), Examples: m.GetExamples(),
				Spans: spans})
	}
	return failures, nil
}

// parseAnswers reads the counts by status and by peer. Neither can be larger than the number of requests that were
// sent.
func parseAnswers(m *agentv1.Path, p *report.Path) error {
	left := p.Sent
	for status, n := range m.GetStatuses() {
		if status < 100 || status > 999 || n == 0 || n > left {
			return fmt.Errorf("status %d, %d times, cannot be", status, n)
		}
		left -= n
		if p.Statuses == nil {
			p.Statuses = make(map[int]uint64, len(m.GetStatuses()))
		}
		p.Statuses[int(status)] = n
	}
	if len(m.GetPeers()) > MaxTargets {
		return fmt.Errorf("%d peers, allowed are %d", len(m.GetPeers()), MaxTargets)
	}
	left = p.Sent
	for peer, n := range m.GetPeers() {
		if err := text("peer", peer, 1, maxNameBytes); err != nil {
			return err
		}
		if n == 0 || n > left {
			return fmt.Errorf("peer %q, %d times, cannot be", peer, n)
		}
		left -= n
	}
	if len(m.GetPeers()) > 0 {
		p.Peers = m.GetPeers()
	}
	return nil
}

// checkCounts returns an error for a path that breaks what report.Path promises. It subtracts and never adds, because
// sums of foreign numbers may overflow.
func checkCounts(p report.Path) error {
	if p.Sent > p.Scheduled || p.Scheduled-p.Sent != p.Missed {
		return fmt.Errorf("%d scheduled are not %d sent and %d missed", p.Scheduled, p.Sent, p.Missed)
	}
	if p.OK > p.Sent {
		return fmt.Errorf("%d of %d sent cannot have succeeded", p.OK, p.Sent)
	}
	failed := p.Sent - p.OK
	left := failed
	for _, f := range p.Failures {
		if f.Count > left {
			return fmt.Errorf("more failures than the %d of %d sent that did not succeed", failed, p.Sent)
		}
		left -= f.Count
	}
	if left > 0 {
		return fmt.Errorf("%d of %d sent have no outcome", left, p.Sent)
	}
	if p.Latency.Count() != p.OK {
		return fmt.Errorf("%d latencies for %d successes", p.Latency.Count(), p.OK)
	}
	if p.Response.Count() != p.OK {
		return fmt.Errorf("%d responses for %d successes", p.Response.Count(), p.OK)
	}
	if p.Lag.Count() != p.Sent {
		return fmt.Errorf("%d lags for %d sent", p.Lag.Count(), p.Sent)
	}
	if p.Kernel > p.OK || p.Retransmitted > p.Sent || p.Retransmits < p.Retransmitted || p.Reused > p.Sent ||
		p.Closed > p.Reused || p.Closed > p.Sent-p.OK {
		return fmt.Errorf("%d timed by the kernel, %d retransmits in %d attempts, %d reused and %d closed "+
			"connections cannot be of %d sent with %d successes",
			p.Kernel, p.Retransmits, p.Retransmitted, p.Reused, p.Closed, p.Sent, p.OK)
	}
	// A connection ends once, and a request opened it.
	if p.IdleResets > p.Sent || p.IdleCloses > p.Sent-p.IdleResets {
		return fmt.Errorf("%d resets and %d closes of idle connections cannot be of %d sent", p.IdleResets,
			p.IdleCloses, p.Sent)
	}
	return nil
}
