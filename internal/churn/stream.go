package churn

import (
	"cmp"
	"math"
	"slices"
	"time"

	"kdoctor.io/kdoctor/internal/probe"
	"kdoctor.io/kdoctor/internal/report"
	"kdoctor.io/kdoctor/internal/target"
)

// stream is one stream of requests of a path. All of its moments are counted from the excuser's zero, as if the agent
// had started at the earliest moment at which it may have.
type stream struct {
	path report.Path
	// start and end are when the stream began and ended.
	start, end time.Duration
	// unsure is how much later all may have been.
	unsure time.Duration
	// planned is how many requests were to come due in a nanosecond, 0 where nobody knows.
	planned float64
	// since is the time between two requests over one connection, 0 where each has its own: a request over an old
	// connection fails for what happened since the one before.
	since time.Duration
	// spans are those of failures that changes can cause, sorted by their first moments.
	spans []span
	// untimed reports that the report does not tell when some of these failures were.
	untimed bool
}

// span is one span of a failure.
type span struct {
	// failure is the index of the failure.
	failure     int
	first, last time.Duration
	count       uint64
	// excused reports whether changes explain the span, told whether an excuse says so.
	excused, told bool
}

// stream returns one stream of the agent's path: the counted one, or the one over persistent connections.
func (e *excuser) stream(a report.Agent, whole, p report.Path, planned float64) stream {
	p.Target = whole.Target
	moment := func(at time.Time) (earliest, latest time.Duration) {
		first, last := clock(a, at)
		return first.Sub(e.zero), last.Sub(e.zero)
	}
	p.Excuses = nil
	s := stream{path: p}
	var latest time.Duration
	s.start, latest = moment(p.Started)
	s.unsure = max(latest-s.start, 0)
	s.end, _ = moment(p.Ended)
	s.planned = planned
	if rate := s.rate(); p.Reused > 0 && rate > 0 {
		s.since = time.Duration(1 / rate)
	}
	for i, f := range p.Failures {
		if !causedBy(f, p) {
			continue
		}
		timed := uint64(0)
		for _, at := range f.Spans {
			timed += at.Count
			s.spans = append(s.spans,
				span{failure: i, first: s.start + at.First, last: s.start + at.Last, count: at.Count})
		}
		s.untimed = s.untimed || timed < f.Count
	}
	slices.SortStableFunc(s.spans,
		func(a, b span) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last)) })
	return s
}

// due returns how many requests came due between two moments of the stream, both included.
func (s stream) due(first, last time.Duration) float64 { return s.rate()*float64(last-first) + 1 }

// asked is how many requests came due between two moments of the stream, both included, while anybody was away.
func (s stream) asked(away []window, first, last time.Duration) float64 {
	return s.rate()*float64(overlap(away, first, last)) + 1
}

// rate is how many requests came due in a nanosecond. A path ends with the last attempt of its agent, which may be
// long after the last request came due.
func (s stream) rate() float64 {
	if s.planned > 0 {
		return s.planned
	}
	if s.end <= s.start {
		return 0
	}
	return float64(s.path.Scheduled) / float64(s.end-s.start)
}

// within reports whether the span lies within the window: whenever the agent started, or at one of the moments at
// which it may have started where these are close together.
func (s stream) within(at span, w window) bool {
	if s.unsure > doubt {
		return at.first >= w.from && at.last+s.unsure-s.since <= w.to
	}
	shift := max(w.from-at.first, 0)
	return shift <= s.unsure && at.last+shift-s.since <= w.to
}

// meets reports whether a request that was sent at the moment may have met any of the windows: if the agent started so
// much later than at the earliest, or at any moment at which it may have where these are close together.
func (s stream) meets(windows []window, at, shift time.Duration) bool {
	earliest, latest := at+shift, at+shift
	if s.unsure <= doubt {
		earliest, latest = at, at+s.unsure
	}
	return slices.ContainsFunc(windows, func(w window) bool { return w.from <= latest && w.to >= earliest-s.since })
}

// touches reports whether the span may have something in common with the window.
func (s stream) touches(at span, w window) bool {
	return at.first-s.since <= w.to && at.last >= w.from-s.unsure
}

// excuse adds what the absences explain: the spans that are excused and lie within the window.
// away tells how many backends were away at most between two moments, backends is how many may answer in all.
func (s *stream) excuse(zero time.Time, w window, absences []absence, away func(first, last time.Duration) int,
	backends int) {
	var found report.Excuse
	first, last := forever, -forever
	pending := func(at span) bool { return at.excused && !at.told && s.within(at, w) }
	for _, at := range s.spans {
		if pending(at) {
			first, last = min(first, at.first), max(last, at.last)
			found.Explained += at.count
		}
	}
	if found.Explained == 0 {
		return
	}
	for _, a := range absences {
		during := func(at span) bool { return pending(at) && s.touches(at, a.window) }
		if slices.ContainsFunc(s.spans, during) && !slices.Contains(found.Changes, a.change) {
			found.Changes = append(found.Changes, a.change)
		}
	}
	found.First, found.Last = zero.Add(first), zero.Add(last+s.unsure)
	found.Of = max(found.Explained, min(s.path.Scheduled, uint64(math.Round(s.due(first, last)))))
	found.Away, found.Backends = away(first, last+s.unsure), backends
	s.path.Excuses = append(s.path.Excuses, found)
	for i, at := range s.spans {
		s.spans[i].told = at.told || pending(at)
	}
}

// marked returns the stream's path with what is excused marked as void.
func (s stream) marked() report.Path {
	p := s.path
	p.Failures = slices.Clone(p.Failures)
	for i := range p.Failures {
		p.Failures[i].Excused = 0
	}
	for _, at := range s.spans {
		if at.excused {
			p.Failures[at.failure].Excused += at.count
		}
	}
	return p
}

// causedBy reports whether requests can fail in this way because a pod is no longer there. What answers in its place
// decides where that pod alone may answer: its address may belong to another pod by then.
func causedBy(f report.Failure, p report.Path) bool {
	alone := p.Target.MayAnswer() == target.OnePod
	switch f.Outcome {
	case probe.Timeout, probe.Refused, probe.Reset, probe.Unreachable, probe.BadAnswer:
		return true
	case probe.WrongPeer:
		return alone
	case probe.BadStatus:
		return alone || (p.Target.Kind == target.Ingress && p.Gateway())
	}
	return false
}
