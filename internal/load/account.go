package load

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/stats"
	"kdoctor.io/kdoctor/internal/target"
)

const (
	// maxExamples is the number of different messages that one kind of failure keeps, as report.Failure promises.
	maxExamples = 3
	// maxPeers bounds the pods counted on one path, because their names come from the network. Pods beyond the bound
	// are not counted by name.
	maxPeers = 4096
	// maxStatuses is above the number of possible statuses, which is 900.
	maxStatuses = 1000
)

// Account counts what happens on one target. It is safe for concurrent use, and what report.Path promises of its counts
// holds at every moment.
type Account struct {
	target target.Target

	mu       sync.Mutex
	sent     uint64
	missed   uint64
	ok       uint64
	failures map[failureKind]*failure
	latency  stats.Histogram
	response stats.Histogram
	lag      stats.Histogram
	phases   [probe.Phases]report.Phase

	kernel                     uint64
	retransmits, retransmitted uint64
	reused, closed             uint64
	lost                       probe.Lost
	statuses                   tally[int]
	peers                      tally[string]
	bytes                      uint64
	started                    time.Time
	ended                      time.Time
}

type failureKind struct {
	outcome probe.Outcome
	phase   probe.Phase
}

type failure struct {
	count    uint64
	examples []string
	spans    []report.Span
}

// NewAccount returns an empty account of the target.
func NewAccount(t target.Target) *Account {
	return &Account{target: t, statuses: tally[int]{bound: maxStatuses}, peers: tally[string]{bound: maxPeers}}
}

// Begin sets the start of the load.
func (a *Account) Begin(start time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.started = start
}

// End sets the end of the load. The end is counted from the start by the monotonic clock: when somebody sets the wall
// clock, the end must not come before the start.
func (a *Account) End(start, end time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = start.Add(end.Sub(start))
}

// Miss counts n attempts that were due and were not made.
func (a *Account) Miss(n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.missed += n
}

// Record counts an attempt that has ended. Record does not keep the sample.
func (a *Account) Record(s *probe.Sample) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent++
	lag := s.Start.Sub(s.Due) + s.Own
	a.lag.Record(lag)
	a.retransmits += s.Retransmits
	if s.Retransmits > 0 {
		a.retransmitted++
	}
	if s.Reused {
		a.reused++
	}
	a.lost.Resets += s.Lost.Resets
	a.lost.Closes += s.Lost.Closes
	if s.Status != 0 {
		a.statuses.add(s.Status)
	}
	if s.Peer != "" {
		a.peers.add(s.Peer)
	}
	if s.Outcome == probe.OK {
		a.ok++
		a.bytes += uint64(max(s.Bytes, 0))
		a.latency.Record(s.Latency)
		a.response.Record(lag + s.Latency)
		a.addPhases(s)
		return
	}
	if s.Reused && s.Closed {
		a.closed++
	}
	a.addFailure(s)
}

// addPhases adds the times that a successful attempt spent in its phases.
func (a *Account) addPhases(s *probe.Sample) {
	if s.Kernel {
		a.kernel++
	}
	for i, d := range s.Phases {
		if d > 0 {
			p := &a.phases[i]
			p.Count++
			p.Sum += d
			p.Max = max(p.Max, d)
		}
	}
}

func (a *Account) addFailure(s *probe.Sample) {
	k := failureKind{s.Outcome, s.Phase}
	f, ok := a.failures[k]
	if !ok {
		if a.failures == nil {
			a.failures = map[failureKind]*failure{}
		}
		f = &failure{}
		a.failures[k] = f
	}
	f.count++
	// Spans are counted by the monotonic clock, like the end. Without Begin there is no time to count from.
	if !a.started.IsZero() {
		f.spans = report.AddFailure(f.spans, max(0, s.Start.Sub(a.started)))
	}
	if s.Message != "" && len(f.examples) < maxExamples && !slices.Contains(f.examples, s.Message) {
		f.examples = append(f.examples, s.Message)
	}
}

// Report returns a copy of the counts. Later attempts do not change the copy.
func (a *Account) Report() report.Path {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := report.Path{
		Target:    a.target,
		Scheduled: a.sent + a.missed, Sent: a.sent, Missed: a.missed, OK: a.ok,
		Statuses: a.statuses.counts(),
		Peers:    a.peers.counts(),
		Bytes:    a.bytes,
		Kernel:   a.kernel, Phases: a.phases,
		Retransmits: a.retransmits, Retransmitted: a.retransmitted, Reused: a.reused, Closed: a.closed,
		Started: a.started, Ended: a.ended,
		// An attempt may report that a connection ended on which an earlier attempt is not recorded yet.
		IdleResets: min(a.lost.Resets, a.sent),
	}
	r.IdleCloses = min(a.lost.Closes, a.sent-r.IdleResets)
	r.Latency.Merge(a.latency)
	r.Response.Merge(a.response)
	r.Lag.Merge(a.lag)
	for k, f := range a.failures {
		r.Failures = append(r.Failures, report.Failure{Outcome: k.outcome, Phase: k.phase, Count: f.count,
			Examples: slices.Clone(f.examples), Spans: slices.Clone(f.spans)})
	}
	slices.SortFunc(r.Failures, func(a, b report.Failure) int {
		return cmp.Or(cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Phase, b.Phase))
	})
	return r
}
