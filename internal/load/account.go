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
	// maxExamples is how many different messages are kept of one kind of failure, as report.Failure promises.
	maxExamples = 3
	// maxPeers bounds the pods counted on one path: names come from the network. Further ones are not counted by name.
	maxPeers = 4096
	// maxStatuses bounds the statuses, of which there are 900.
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
	failures map[kind]*failure
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

type kind struct {
	outcome probe.Outcome
	phase   probe.Phase
}

type failure struct {
	count    uint64
	examples []string
	spans    []report.Span
}

// NewAccount is an empty account of the target.
func NewAccount(t target.Target) *Account {
	return &Account{target: t, statuses: tally[int]{bound: maxStatuses}, peers: tally[string]{bound: maxPeers}}
}

// Begin sets when the load started.
func (a *Account) Begin(start time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.started = start
}

// End sets the end to that of the load's, counted by the monotonic clock: setting the wall clock must not turn time
// around.
func (a *Account) End(start, end time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = start.Add(end.Sub(start))
}

// Miss counts attempts that were due and were not made.
func (a *Account) Miss(n uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.missed += n
}

// Record counts an attempt that has ended. The sample stays the caller's.
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
		a.spent(s)
		return
	}
	if s.Reused && s.Closed {
		a.closed++
	}
	a.failed(s)
}

// spent adds the times of a successful attempt.
func (a *Account) spent(s *probe.Sample) {
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

func (a *Account) failed(s *probe.Sample) {
	k := kind{s.Outcome, s.Phase}
	f, ok := a.failures[k]
	if !ok {
		if a.failures == nil {
			a.failures = map[kind]*failure{}
		}
		f = &failure{}
		a.failures[k] = f
	}
	f.count++
	// By the monotonic clock, like the end. An account that was not begun has no time to count from.
	if !a.started.IsZero() {
		f.spans = report.AddFailure(f.spans, max(0, s.Start.Sub(a.started)))
	}
	if s.Message != "" && len(f.examples) < maxExamples && !slices.Contains(f.examples, s.Message) {
		f.examples = append(f.examples, s.Message)
	}
}

// Report copies the counts, so that the copy stays as it is while the path goes on.
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
		// An attempt may find ended what one left that is not recorded yet.
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
